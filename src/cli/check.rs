//! `aqueduct check`

use std::time::SystemTime;

use super::{Exit, Source, tell};
use crate::{
    kinds::Kinds,
    plan::{Plan, discovery::Unread},
    proxy::rehearsal,
    settings::{Origins, Problems},
};

pub fn check(source: Source) -> Exit {
    match checked(source) {
        Ok((plan, tests)) => {
            for warning in plan.warnings.iter().chain(&plan.expiring(SystemTime::now())) {
                eprintln!("warning: {warning}");
            }
            println!("the settings are good: {}", summary(&plan, tests));
            Exit::Success
        }
        Err(problems) => tell(&problems),
    }
}

fn checked(source: Source) -> Result<(Plan, usize), Problems> {
    let (mut plan, origins): (Plan, Origins) =
        source.layers().read().draw(|settings| Plan::draw(settings, &Kinds::built_in(), None))?;
    read_endpoints(&mut plan).map_err(|problems| origins.locate(problems))?;
    let tests = rehearsal::run_tests(&plan).map_err(|problems| origins.locate(problems))?;
    Ok((plan, tests))
}

/// Files that name endpoints are read while the server runs, and may come later; what is wrong with those that are there it would
/// only tell.
fn read_endpoints(plan: &mut Plan) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for discovery in plan.discoveries.values() {
        match discovery.read_file() {
            Ok(_) => {}
            Err(Unread::Missing(what)) => {
                plan.warnings.push(format!("upstream {} has no endpoints yet: {what}", discovery.upstream.name));
            }
            Err(Unread::Wrong(wrong)) => problems.0.extend(wrong.0),
        }
    }
    problems.none_or(())
}

fn summary(plan: &Plan, tests: usize) -> String {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let tests = if tests == 0 { "no tests".into() } else { format!("{} passed", count(tests, "test")) };
    format!(
        "{}, {}, {}, {tests}",
        count(plan.listeners.len(), "listener"),
        count(plan.routes.entries().len(), "route"),
        count(plan.upstreams.len(), "upstream"),
    )
}
