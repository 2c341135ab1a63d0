//! docs/reference is what the sources say, and its examples are settings that can be used.

use std::{env, fs, path::Path};

use aqueduct::{
    kinds::{Kinds, reference},
    plan::Plan,
    settings::Layers,
};

/// Every page with its file.
fn pages() -> Vec<(String, String)> {
    let kinds = Kinds::built_in();
    let of_filters = kinds.filters().iter().map(|kind| (format!("{}.md", kind.name), reference::page(kind)));
    of_filters.chain([("README.md".to_owned(), reference::index(&kinds))]).collect()
}

#[test]
fn the_reference_is_what_the_sources_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    if env::var_os("UPDATE_REFERENCE").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        for (file, page) in pages() {
            fs::write(folder.join(file), page).expect("a file that can be written");
        }
    }
    for (file, page) in pages() {
        let written = fs::read_to_string(folder.join(&file)).unwrap_or_default();
        assert!(written == page, "docs/reference/{file} is old: UPDATE_REFERENCE=1 cargo test --test reference");
    }
    let there = fs::read_dir(&folder).expect("a folder").count();
    assert_eq!(there, pages().len(), "docs/reference has pages of what is not there any more");
}

#[test]
fn each_filter_has_a_page_with_an_example_and_its_settings() {
    for kind in Kinds::built_in().filters() {
        assert!(kind.about().contains("```toml"), "{} has no example", kind.name);
        assert!(kind.schema().is_some(), "{} does not tell its settings", kind.name);
    }
}

#[test]
fn each_example_can_be_used() {
    for kind in Kinds::built_in().filters() {
        for (number, example) in kind.about().split("```toml\n").skip(1).enumerate() {
            let text = example.split("```").next().expect("an end");
            let loaded = Layers::new().text("example.toml", text).load();
            let settings =
                loaded.unwrap_or_else(|wrong| panic!("{} {number}: {}", kind.name, wrong.render(false))).settings;
            if let Err(wrong) = Plan::draw(settings, &Kinds::built_in(), None) {
                panic!("{} {number}: {wrong}", kind.name);
            }
            assert!(text.contains(kind.name), "{} {number} is about something else", kind.name);
        }
    }
}
