//! Where each value comes from.

use super::{
    layer::Layer,
    problem::{Part, Place, Problem, Problems, Spot},
    trace::Shape,
};

/// Every layer that was read, to look up where a value was written.
#[derive(Debug, Default)]
pub struct Origins {
    /// From the weakest to the strongest.
    pub(super) layers: Vec<Layer>,
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
        let short_form = !matches!(self.shape(known), Some(Shape::Table | Shape::Array));
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
        let (layer, key) = self.in_test(number, rest)?;
        layer.place(&key, part)
    }

    /// The layer that has a test, and the key there.
    fn in_test(&self, number: &str, rest: &[String]) -> Option<(&Layer, Vec<String>)> {
        let (layer, index) = self.tests.get(number.parse::<usize>().ok()?)?;
        let key = ["tests".into(), index.to_string()].into_iter().chain(rest.iter().cloned()).collect();
        Some((&self.layers[*layer], key))
    }

    /// As much of a key as was written anywhere and not overridden.
    fn known<'k>(&self, key: &'k [String]) -> &'k [String] {
        let written = (0..=key.len()).rev().find(|length| self.shape(&key[..*length]).is_some());
        &key[..written.unwrap_or(0)]
    }

    /// What stands at a key once all layers are merged.
    fn shape(&self, key: &[String]) -> Option<Shape> {
        match key {
            [tests, number, rest @ ..] if tests == "tests" => {
                let (layer, key) = self.in_test(number, rest)?;
                layer.shape(&key)
            }
            [tests] if tests == "tests" => Some(Shape::Array),
            _ => self.merged_shape(key),
        }
    }

    /// A table is what all have written into it who come after the last that wrote something else there.
    fn merged_shape(&self, key: &[String]) -> Option<Shape> {
        let mut layers: Vec<&Layer> = self.layers.iter().rev().collect();
        let mut shape = Shape::Table;
        for length in 1..=key.len() {
            let each = layers.iter().filter_map(|layer| Some((*layer, layer.shape(&key[..length])?)));
            let each: Vec<_> = each.collect();
            shape = each.first()?.1;
            layers = match shape {
                Shape::Table => each.iter().map_while(|(layer, of)| (*of == Shape::Table).then_some(*layer)).collect(),
                Shape::Array | Shape::Scalar => vec![each[0].0],
            };
        }
        Some(shape)
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
