//! Files of keys: their hashes, whom they are for, and what is known of these.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use toml::de::DeTable;

use crate::{
    exchange::Identity,
    filters::authenticator::{Proof, Terms},
    http::cookies,
    settings::{Problem, Problems},
};

const HELP: &str = "[NAME] and below it sha256 = \"..\", of `printf %s KEY | sha256sum`";

/// Those that let in, by their hashes.
pub struct Keys(HashMap<[u8; 32], Arc<Proof>>);

impl Keys {
    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with it; hashes are not shown.
    pub fn read(path: &Path, terms: &Terms) -> Result<Self, Problems> {
        let file = path.display();
        let problem = |line: usize, what: &str| Problem::at(["keys"], format!("{file}:{line}: {what}")).help(HELP);
        let text = fs::read_to_string(path)
            .map_err(|error| Problem::at(["keys"], format!("cannot read {file}: {error}")).help(HELP))?;
        let broken = |error: &toml::de::Error| {
            problem(line_of(&text, error.span().map_or(0, |span| span.start)), &error.message().replace('\n', ", "))
        };
        let names = DeTable::parse(&text).map_err(|error| broken(&error))?;
        let tables: IndexMap<String, Map<String, Value>> = toml::from_str(&text).map_err(|error| broken(&error))?;
        let (mut keys, mut problems) = (HashMap::new(), Problems::default());
        for (name, mut claims) in tables {
            let place = names.get_ref().keys().find(|known| known.get_ref() == &name);
            let line = line_of(&text, place.map_or(0, |place| place.span().start));
            let hash = claims.remove("sha256").as_ref().and_then(Value::as_str).and_then(hash);
            let proof = terms.proof(Identity { scheme: "api_key", subject: Some(name.clone()), claims });
            match hash {
                Some(hash) if keys.contains_key(&hash) => {
                    problems.push(problem(line, &format!("`{}` has the key of another", name.escape_debug())));
                }
                Some(hash) => drop(keys.insert(hash, proof)),
                None => problems.push(problem(
                    line,
                    &format!("`{}` needs `sha256`, a string of 64 hexadecimal digits", name.escape_debug()),
                )),
            }
        }
        if keys.is_empty() && problems.is_empty() {
            problems.push(Problem::at(["keys"], format!("{file} has no key")).help(HELP));
        }
        problems.none_or(Self(keys))
    }

    /// Whose key this is.
    pub fn find(&self, key: &[u8]) -> Option<&Arc<Proof>> {
        self.0.get(digest(&SHA256, key).as_ref())
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    cookies::bytes(text.to_ascii_lowercase().as_bytes())
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}
