//! Where each value comes from.

use serde_json::Value;

use super::{
    layer::{Layer, child},
    problem::{Part, Place, Problem, Problems, Spot},
};

/// Every layer that was read, to look up where a value was written.
#[derive(Debug, Default)]
pub struct Origins {
    /// From the weakest to the strongest.
    pub(super) layers: Vec<Layer>,
    /// What they come to together.
    pub(super) merged: Value,
    /// Tests are appended: which layer, and which of its tests.
    pub(super) tests: Vec<(usize, usize)>,
}

impl Origins {
    /// Where the effective value of a key was written; of a key that was not, where what would hold it was.
    pub fn place(&self, key: &[String]) -> Place {
        self.find(key, Part::Value)
    }

    /// Where an effective value comes from: built in, unless it, or the short form that says it, was written.
    pub fn origin(&self, key: &[String]) -> Place {
        let known = self.known(key);
        let short_form = !matches!(child(&self.merged, known), Some(Value::Object(_) | Value::Array(_)));
        if known.len() == key.len() || short_form { self.place(known) } else { Place::BuiltIn }
    }

    /// Gives each problem the place its key was written at, and puts them in the order of the files.
    pub fn locate(&self, mut problems: Problems) -> Problems {
        for Problem { key, part, place, related, hides_value, .. } in &mut problems.0 {
            if place.is_none() && !key.is_empty() {
                *place = Some(self.find(key, *part));
            }
            if let (true, Some(Place::File(spot))) = (*hides_value, place) {
                spot.hide();
            }
            for other in related.iter_mut().filter(|other| other.place.is_none()) {
                other.place = Some(self.find(&other.key, Part::Key));
            }
        }
        problems.0.sort_by_key(|problem| self.rank(problem));
        self.drop_echoes(&mut problems);
        problems
    }

    /// A line that is no TOML is wrong in many ways that are all the same, and behind an open bracket all is misread.
    fn drop_echoes(&self, problems: &mut Problems) {
        let mut torn: Option<(String, usize)> = None;
        problems.0.retain(|Problem { place, key, .. }| {
            let Some(Place::File(Spot { path, line, .. })) = place else { return true };
            let told = torn.as_ref().is_some_and(|(file, at)| file == path && at == line);
            if key.is_empty() && !told {
                torn = Some((path.clone(), *line));
            }
            let misread = !key.is_empty() && self.layers.iter().any(|layer| layer.misread(path, *line));
            !told && !misread
        });
    }

    fn find(&self, key: &[String], part: Part) -> Place {
        let known = self.known(key);
        let part = if known.len() == key.len() { part } else { Part::Value };
        let place = match known {
            [tests, number, rest @ ..] if tests == "tests" => self.place_in_test(number, rest, part),
            _ => self.layers.iter().rev().find_map(|layer| layer.place(known, part)),
        };
        place.unwrap_or(Place::BuiltIn)
    }

    fn place_in_test(&self, number: &str, rest: &[String], part: Part) -> Option<Place> {
        let (layer, index) = self.tests.get(number.parse::<usize>().ok()?)?;
        let key: Vec<String> = ["tests".into(), index.to_string()].into_iter().chain(rest.iter().cloned()).collect();
        self.layers[*layer].place(&key, part)
    }

    /// As much of a key as was written anywhere and not overridden.
    fn known<'k>(&self, key: &'k [String]) -> &'k [String] {
        let written = (0..=key.len()).rev().find(|length| child(&self.merged, &key[..*length]).is_some());
        &key[..written.unwrap_or(0)]
    }

    /// By layer and line; on one line, what is no TOML first.
    fn rank(&self, problem: &Problem) -> (usize, usize, bool, usize) {
        match &problem.place {
            Some(Place::File(spot)) => {
                let layer = self.layers.iter().position(|layer| layer.file_name() == Some(&spot.path));
                (layer.unwrap_or(0), spot.line, !problem.key.is_empty(), spot.column)
            }
            Some(_) => (self.layers.len(), 0, false, 0),
            None => (0, 0, false, 0),
        }
    }
}
