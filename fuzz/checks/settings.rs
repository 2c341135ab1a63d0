//! Whatever a settings file holds, it becomes a plan, or problems that can be shown.

use aqueduct::{
    kinds::Kinds,
    plan::Plan,
    proxy::rehearsal,
    settings::{Layers, show},
};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let reading = Layers::new().text("settings/default.toml", text).read();
    match reading.draw(|settings| Plan::draw(settings, &Kinds::built_in(), None)) {
        Ok((plan, origins)) => {
            show::show(&plan.settings, Some(&origins));
            if let Err(problems) = rehearsal::run_tests(&plan) {
                assert!(!origins.locate(problems).render(false).is_empty());
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(!problems.render(false).is_empty());
        }
    }
}
