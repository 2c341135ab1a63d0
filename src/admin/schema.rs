//! `GET /schema`: what answers look like, by the types that they are made of. docs/admin.schema.json is the same.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{Problem, Word, cache, entry, plan, reload, status, upstreams};

/// A schema for each kind of answer, below `$defs`; all of it takes any of them.
pub fn all() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let kinds = [
        generator.subschema_for::<Word>(),
        generator.subschema_for::<status::Now>(),
        generator.subschema_for::<upstreams::All>(),
        generator.subschema_for::<status::Upstream>(),
        generator.subschema_for::<plan::InForce>(),
        generator.subschema_for::<cache::Purged>(),
        generator.subschema_for::<entry::Entries>(),
        generator.subschema_for::<reload::InForce>(),
        generator.subschema_for::<reload::Wrong>(),
        generator.subschema_for::<Problem<'_>>(),
    ];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answers of the admin API",
        "description": "docs/admin.md says which is whose. Fields are added in later versions, and not renamed.",
        "anyOf": kinds,
        "$defs": generator.take_definitions(true),
    })
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    #[test]
    fn the_documented_schema_is_that_of_the_types() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admin.schema.json");
        let schema = format!("{:#}\n", all());
        if env::var_os("UPDATE_REFERENCE").is_some() {
            fs::write(&file, &schema).expect("a file that can be written");
        }

        let documented = fs::read_to_string(file).unwrap_or_default();

        assert!(documented == schema, "docs/admin.schema.json is old: UPDATE_REFERENCE=1 cargo test --lib schema");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own_and_says_what_it_is() {
        let schema = all();

        let kinds = schema["$defs"].as_object().expect("definitions");
        for (name, kind) in kinds {
            assert!(!name.ends_with(|end: char| end.is_ascii_digit()), "two types are called {name}");
            assert!(kind["description"].is_string(), "{name} does not say what it is");
        }
    }
}
