//! A file beside the settings, which others write: read as strictly as these, and what is wrong with it is told in the same way.

use serde::de::DeserializeOwned;

use super::{
    layer::Layer,
    origins::Origins,
    problem::{Problem, Problems},
    strict::decode,
};

/// What such a file says, and where.
#[derive(Debug)]
pub struct Beside<T> {
    /// What it says.
    pub written: T,
    /// Where each value stands in it, by its key.
    pub origins: Origins,
}

impl<T: DeserializeOwned> Beside<T> {
    /// Reads what is in a file of this name.
    ///
    /// # Errors
    /// Everything that is wrong with it, by line and column.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, Problems> {
        let text = std::str::from_utf8(bytes).map_err(|error| Layer::no_text(name, bytes, error.valid_up_to()))?;
        let mut problems = Problems::default();
        let (mut layer, _) = Layer::file(name, text, &mut problems);
        let written = decode(&mut layer.take_tree(), &[], &mut problems);
        let origins = Origins { layers: vec![layer], tests: Vec::new() };
        match (written, origins.locate(problems)) {
            (Some(written), problems) if problems.is_empty() => Ok(Self { written, origins }),
            (_, problems) => Err(problems),
        }
    }
}

impl<T> Beside<T> {
    /// What is wrong with one of its keys, as it was found later; with the place where it stands.
    pub fn locate(&self, problem: Problem) -> Problem {
        self.origins.locate(problem.into()).0.remove(0)
    }
}
