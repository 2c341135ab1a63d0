//! The files that come with the house do what they say.

use std::{fs, path::PathBuf};

use aqueduct::{kinds::Kinds, plan::Plan, proxy::rehearsal, settings::Layers};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn every_recipe_is_good_and_tests_itself() {
    let recipes = fs::read_dir(folder("settings/recipes")).expect("the recipes");
    for recipe in recipes {
        let path = recipe.expect("a recipe").path();
        // Beside them lies what they name.
        if path.extension().is_none_or(|kind| kind != "toml") {
            continue;
        }

        let drawn = Layers::new().file(&path).read().draw(|settings| Plan::draw(settings, &Kinds::built_in(), None));

        let (plan, origins) = drawn.unwrap_or_else(|problems| panic!("{problems}"));
        let tests = rehearsal::run_tests(&plan).unwrap_or_else(|problems| panic!("{}", origins.locate(problems)));
        assert!(tests > 0, "{} has no tests", path.display());
    }
}

#[test]
fn the_sample_layers_are_good() {
    for name in ["development", "production"] {
        let layers = Layers::new().directory(folder("settings"));
        let layers = layers.environment([("AQUEDUCT_ENV".to_owned(), name.to_owned())]);

        let drawn = layers.read().draw(|settings| Plan::draw(settings, &Kinds::built_in(), None));

        assert!(drawn.is_ok(), "{name}: {}", drawn.map(|_| ()).unwrap_err());
    }
}
