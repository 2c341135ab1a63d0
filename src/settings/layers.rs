//! The layers settings are made of: built in < files < environment < flags.
//!
//! Files of a directory are `default.toml`, `{AQUEDUCT_ENV}.toml` and `local.toml`, the later over the earlier. Tables
//! are merged key by key by the `config` crate, everything else is replaced, and tests are appended. What was merged
//! is then read strictly (by `strict`), and every value remembers the layer it came from.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    Settings,
    layer::Layer,
    origins::Origins,
    problem::{Place, Problem, Problems, did_you_mean, name},
    strict::decode,
};

/// What holds when nothing else is said, with a comment on every key.
pub const BUILT_IN: &str = include_str!("../../settings/default.toml");

/// What the names of variables that are settings begin with; sections are separated by two underscores as well.
pub const PREFIX: &str = "AQUEDUCT__";

/// The variable that names the file between `default.toml` and `local.toml` of a directory. The file must be there,
/// even if the directory need not be; where settings are a single file, the variable means nothing.
pub const ENVIRONMENT: &str = "AQUEDUCT_ENV";

/// Where settings are read from. Later calls do not override earlier ones: the order of the layers is fixed.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    files: Vec<Files>,
    environment: Vec<(String, String)>,
    /// Variables of ours whose name or value is not UTF-8.
    unreadable: Vec<String>,
    flags: Vec<Flag>,
}

#[derive(Debug, Clone)]
struct Flag {
    name: String,
    key: Vec<String>,
    value: Value,
}

#[derive(Debug, Clone)]
enum Files {
    Directory { path: PathBuf, required: bool },
    File(PathBuf),
    Text { name: String, text: String },
}

/// Settings that hold together, and where each of them comes from.
#[derive(Debug)]
pub struct Loaded {
    /// What is set.
    pub settings: Settings,
    /// Where it was written.
    pub origins: Origins,
}

/// What could be read, and what is wrong with the rest.
#[derive(Debug)]
pub struct Reading {
    /// What is set; what is wrong is left out.
    pub settings: Settings,
    /// Where it was written.
    pub origins: Origins,
    /// What is wrong, in the order of the layers.
    pub problems: Problems,
    /// Whether every layer was read to its end: if not, what seems to be missing may have been written.
    pub complete: bool,
}

impl Layers {
    /// The built-in settings alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory or a file, whichever is there; neither is a problem.
    #[must_use]
    pub fn path(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        if path.is_file() { self.file(path) } else { self.directory(path) }
    }

    /// The files of a directory, which must be there.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(Files::Directory { path: path.into(), required: true });
        self
    }

    /// The files of a directory, if it is there.
    #[must_use]
    pub fn directory_if_there(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(Files::Directory { path: path.into(), required: false });
        self
    }

    /// One file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(Files::File(path.into()));
        self
    }

    /// One file that is in memory.
    #[must_use]
    pub fn text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.push(Files::Text { name: name.into(), text: text.into() });
        self
    }

    /// Environment variables, of which [`ENVIRONMENT`] and those with the [`PREFIX`] are taken.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables.into_iter().filter(|(name, _)| is_ours(name)));
        self
    }

    /// The environment of this process.
    #[must_use]
    pub fn process_environment(self) -> Self {
        self.raw_environment(std::env::vars_os())
    }

    /// What of it is ours must be UTF-8.
    fn raw_environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        for (name, value) in variables {
            let shown = name.to_string_lossy().into_owned();
            if !is_ours(&shown) {
                continue;
            }
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => self.environment.push((name, value)),
                _ => self.unreadable.push(shown),
            }
        }
        self
    }

    /// A command line flag: what it sets, to what, and its name.
    #[must_use]
    pub fn flag<K: Into<String>>(
        mut self,
        key: impl IntoIterator<Item = K>,
        value: impl Into<Value>,
        flag: &str,
    ) -> Self {
        let key = key.into_iter().map(Into::into).collect();
        self.flags.push(Flag { name: flag.to_owned(), key, value: value.into() });
        self
    }

    /// The files that are read, whether or not they are there.
    pub fn files(&self) -> Vec<PathBuf> {
        let named = self.named().map(|name| format!("{name}.toml"));
        let names = || ["default.toml"].into_iter().chain(named.as_deref()).chain(["local.toml"]);
        let of = |files: &Files| match files {
            Files::Directory { path, .. } => names().map(|name| path.join(name)).collect(),
            Files::File(path) => vec![path.clone()],
            Files::Text { .. } => Vec::new(),
        };
        self.files.iter().flat_map(of).collect()
    }

    /// What [`ENVIRONMENT`] says of the files of directories.
    fn named(&self) -> Option<&str> {
        let name = self.environment.iter().rev().find(|(name, _)| name == ENVIRONMENT).map(|(_, value)| value.as_str());
        name.filter(|name| !matches!(*name, "" | "default" | "local"))
    }

    /// Reads and merges them all, or says everything that is wrong.
    pub fn load(self) -> Result<Loaded, Problems> {
        let Reading { settings, origins, problems, .. } = self.read();
        problems.none_or(Loaded { settings, origins })
    }

    /// Reads and merges what can be, and says everything that is wrong.
    pub fn read(self) -> Reading {
        let mut stack = Stack::default();
        stack.layers.push(Layer::built_in(BUILT_IN, &mut stack.problems));
        let name = self.named();
        for files in &self.files {
            match files {
                Files::Directory { path, required } => stack.add_directory(path, *required, name),
                Files::File(path) => stack.add_file(path, true),
                Files::Text { name, text } => stack.add_text(name, text),
            }
        }
        stack.add_environment(self.environment);
        stack.refuse_unreadable(self.unreadable);
        stack.add_flags(self.flags);
        stack.read()
    }
}

impl Reading {
    /// Draws from the settings what is to come of them: `layers.read().draw(Proxy::from_settings)`. What is wrong
    /// with them and what cannot be drawn is told together.
    pub fn draw<T>(self, draw: impl FnOnce(Settings) -> Result<T, Problems>) -> Result<(T, Origins), Problems> {
        let Self { settings, origins, problems, complete } = self;
        if !complete {
            return Err(problems);
        }
        match draw(settings) {
            Ok(drawn) => problems.none_or((drawn, origins)),
            Err(later) => Err(origins.locate(problems.and(later))),
        }
    }
}

impl Settings {
    /// Settings as the server reads them: the files of a directory, under the environment of this process.
    pub fn load(directory: impl Into<PathBuf>) -> Result<Self, Problems> {
        Layers::new().directory(directory).process_environment().load().map(|loaded| loaded.settings)
    }
}

/// Layers as they are read, and what is wrong with them.
#[derive(Default)]
struct Stack {
    layers: Vec<Layer>,
    problems: Problems,
    torn: bool,
}

impl Stack {
    fn add_directory(&mut self, directory: &Path, required: bool, name: Option<&str>) {
        if !directory.is_dir() {
            if required {
                let what = format!("there is no settings directory or file `{}`", directory.display());
                self.problems.push(Problem::at::<String>([], what));
                self.torn = true;
            } else if let Some(name) = name {
                // Nobody need have a directory, but who names one of its files means it.
                self.add_named(directory, name);
            }
            return;
        }
        self.add_file(&directory.join("default.toml"), false);
        if let Some(name) = name {
            self.add_named(directory, name);
        }
        self.add_file(&directory.join("local.toml"), false);
    }

    fn add_named(&mut self, directory: &Path, name: &str) {
        let path = directory.join(format!("{name}.toml"));
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if plain && path.is_file() {
            return self.add_file(&path, true);
        }
        let what = format!("{ENVIRONMENT} is `{}`, but there is no `{}`", name.escape_debug(), path.display());
        let others = fs::read_dir(directory).into_iter().flatten().flatten();
        let others = others.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned()));
        let mut problem = Problem::at::<String>([], what).hint(did_you_mean(name, others));
        problem.place = Some(Place::Environment(ENVIRONMENT.into()));
        self.problems.push(problem);
        self.torn = true;
    }

    fn add_file(&mut self, path: &Path, required: bool) {
        let name = path.display().to_string();
        match fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => self.add_text(&name, &text),
            Ok(Err(error)) => {
                self.problems.push(Layer::no_text(&name, error.as_bytes(), error.utf8_error().valid_up_to()));
                self.torn = true;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
            Err(error) => {
                let what = format!("cannot read `{}`: {error}", path.display());
                self.problems.push(Problem::at::<String>([], what));
                self.torn = true;
            }
        }
    }

    fn add_text(&mut self, name: &str, text: &str) {
        let (layer, whole) = Layer::file(name, text, &mut self.problems);
        self.layers.push(layer);
        self.torn |= !whole;
    }

    /// Each variable is a layer of its own, in the order of their names: `AQUEDUCT__LOG` under `AQUEDUCT__LOG__LEVEL`.
    fn add_environment(&mut self, mut variables: Vec<(String, String)>) {
        variables.sort();
        for (name, text) in &variables {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
            if path.iter().any(String::is_empty) || path.len() > 8 {
                let mut problem = Problem::at::<String>([], format!("`{name}` names no setting"));
                problem.place = Some(Place::Environment(name.clone()));
                self.problems.push(problem.help("sections and keys are separated by two underscores"));
                continue;
            }
            self.layers.push(Layer::environment(name, &path, text));
        }
    }

    fn refuse_unreadable(&mut self, variables: Vec<String>) {
        for name in variables {
            let mut problem = Problem::at::<String>([], format!("`{}` is not UTF-8", name.escape_debug()));
            problem.place = Some(Place::Environment(name));
            self.problems.push(problem);
            self.torn = true;
        }
    }

    /// Flags are all equally strong: none may silently win over another.
    fn add_flags(&mut self, flags: Vec<Flag>) {
        for (index, Flag { name: flag, key, value }) in flags.iter().enumerate() {
            if flags[..index].iter().any(|earlier| earlier.key == *key) {
                let mut problem = Problem::at(key.clone(), format!("`{}` is set twice", name(key)));
                problem.place = Some(Place::Flag(flag.clone()));
                self.problems.push(problem.help("leave one of them out"));
            }
            self.layers.push(Layer::flag(flag, key, value.clone()));
        }
    }

    fn read(mut self) -> Reading {
        let (mut tests, mut tests_from) = (Vec::new(), Vec::new());
        let mut sources = Vec::new();
        for (number, layer) in self.layers.iter_mut().enumerate() {
            let mut tree = layer.take_tree();
            if let Some(own) = take(&mut tree, "tests", Value::is_array).as_mut().and_then(Value::as_array_mut) {
                tests_from.extend((0..own.len()).map(|index| (number, index)));
                tests.append(own);
            }
            sources.push(tree);
        }
        let alone = MANY.map(|section| (section, alone(&mut sources, section)));
        let mut merged = match merge(sources) {
            Ok(merged) => merged,
            Err(error) => {
                self.problems.push(Problem::at::<String>([], error.to_string()));
                Value::Object(Map::new())
            }
        };
        if let Some(merged) = merged.as_object_mut() {
            merged.entry("tests").or_insert(Value::Array(tests));
            for (section, entries) in alone {
                merged.extend(entries.map(|entries| (section.to_owned(), entries)));
            }
        }
        let settings = settings_of(merged, &mut self.problems);
        let origins = Origins { layers: self.layers, tests: tests_from };
        let problems = origins.locate(self.problems);
        Reading { settings, origins, problems, complete: !self.torn }
    }
}

fn is_ours(variable: &str) -> bool {
    variable == ENVIRONMENT || variable.starts_with(PREFIX)
}

/// Sections with an entry for each of what there may be many of.
const MANY: [&str; 2] = ["routes", "upstreams"];

/// Takes a section out, if it is of this kind.
fn take(tree: &mut Value, section: &str, is_fit: fn(&Value) -> bool) -> Option<Value> {
    let table = tree.as_object_mut()?;
    table.get(section).filter(|value| is_fit(value))?;
    table.shift_remove(section)
}

/// The section, if one layer alone has something in it, as a rule: then there is nothing to merge.
fn alone(layers: &mut [Value], section: &str) -> Option<Value> {
    let mut have = layers.iter_mut().filter(|layer| match layer.get(section) {
        Some(Value::Object(entries)) => !entries.is_empty(),
        other => other.is_some(),
    });
    let (only, others) = (have.next()?, have.next());
    if others.is_some() { None } else { take(only, section, Value::is_object) }
}

/// Reads what was merged. Routes, upstreams and tests are read one by one: there may be many of them.
fn settings_of(mut tree: Value, problems: &mut Problems) -> Settings {
    // What is not even a table or an array is told when the rest is read.
    let [routes, upstreams] = MANY.map(|section| take(&mut tree, section, Value::is_object));
    let tests = take(&mut tree, "tests", Value::is_array);
    let mut settings: Settings = decode(&mut tree, &[], problems).unwrap_or_default();
    settings.routes = named("routes", routes, problems);
    settings.upstreams = named("upstreams", upstreams, problems);
    settings.tests = numbered("tests", tests, problems);
    settings
}

/// An entry that is wrong keeps its place and name, so that nothing that names it seems to dangle.
fn named<T: DeserializeOwned + Default>(
    section: &str,
    entries: Option<Value>,
    problems: &mut Problems,
) -> IndexMap<String, T> {
    let Some(Value::Object(entries)) = entries else { return IndexMap::new() };
    let entries = entries.into_iter().map(|(name, mut entry)| {
        let entry = decode(&mut entry, &[section.to_owned(), name.clone()], problems);
        (name, entry.unwrap_or_default())
    });
    entries.collect()
}

fn numbered<T: DeserializeOwned>(section: &str, entries: Option<Value>, problems: &mut Problems) -> Vec<T> {
    let Some(Value::Array(entries)) = entries else { return Vec::new() };
    let entries = entries.into_iter().enumerate().filter(|(_, entry)| !entry.is_null());
    entries
        .filter_map(|(index, mut entry)| decode(&mut entry, &[section.to_owned(), index.to_string()], problems))
        .collect()
}

/// The `config` crate takes the keys of the topmost table for path expressions. All of ours lie one level below.
const ROOT: &str = "settings";

/// A layer as the `config` crate takes it.
#[derive(Debug, Clone)]
struct Woven(config::Value);

impl config::Source for Woven {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, config::Value>, config::ConfigError> {
        Ok(config::Map::from_iter([(ROOT.to_owned(), self.0.clone())]))
    }
}

fn merge(layers: Vec<Value>) -> Result<Value, config::ConfigError> {
    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(Woven(woven(layer)));
    }
    let mut whole: Map<String, Value> = builder.build()?.try_deserialize()?;
    Ok(whole.shift_remove(ROOT).unwrap_or_default())
}

fn woven(value: Value) -> config::Value {
    use config::ValueKind;
    let kind = match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(value) => ValueKind::Boolean(value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => ValueKind::I64(number),
            (None, Some(number)) => ValueKind::U64(number),
            (None, None) => ValueKind::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => ValueKind::String(text),
        Value::Array(elements) => ValueKind::Array(elements.into_iter().map(woven).collect()),
        Value::Object(table) => ValueKind::Table(table.into_iter().map(|(key, value)| (key, woven(value))).collect()),
    };
    config::Value::new(None, kind)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_variable_of_ours_that_is_not_utf_8_is_a_problem_and_others_are_not() {
        let bad = || OsString::from_vec(b"2\xff".to_vec());
        let odd_name = OsString::from_vec(b"AQUEDUCT__LOG__\xff".to_vec());
        let variables =
            [("AQUEDUCT__SERVER__WORKERS".into(), bad()), (odd_name, "x".into()), ("LS_COLORS".into(), bad())];

        let problems = Layers::new().raw_environment(variables).load().expect_err("two cannot be read");

        let places: Vec<_> = problems.0.iter().filter_map(|problem| problem.place.clone()).collect();
        let named = |name: &str| Place::Environment(name.into());
        assert_eq!(places, [named("AQUEDUCT__SERVER__WORKERS"), named("AQUEDUCT__LOG__\u{fffd}")]);
        assert!(problems.0.iter().all(|problem| problem.what.contains("is not UTF-8")), "{problems}");
    }
}
