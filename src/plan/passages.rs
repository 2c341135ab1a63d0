//! Which filters a route has: those it writes itself, those of the policies it uses, those of all routes.

use std::{
    collections::{HashMap, HashSet},
    iter,
    path::PathBuf,
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::Value;

use crate::{
    filters::{
        Step,
        site::{Belongings, Chore, Site},
    },
    kinds::{FilterKind, Kinds},
    settings::{Problem, RouteDefaults, RouteSettings, Settings, problem::did_you_mean},
    telemetry::metrics::Ledger,
};

/// The filters of one route.
#[derive(Default)]
pub struct Passage {
    /// Outermost first.
    pub steps: Vec<Step>,
    /// What these are, for people.
    pub names: Vec<StepName>,
}

/// What a step is called, and where its settings are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepName {
    /// The kind.
    pub kind: &'static str,
    /// The key of its settings.
    pub at: Vec<String>,
}

/// Filters that were built, by the key of their settings: one that several routes use is one, with one state.
#[derive(Default, Clone)]
pub struct Built(HashMap<Vec<String>, Filter>);

#[derive(Clone)]
struct Filter {
    written: Value,
    step: Step,
    belongings: Belongings,
}

/// Every route's filters while a plan is drawn.
pub struct Passages<'s> {
    settings: &'s Settings,
    kinds: &'s Kinds,
    before: Option<&'s Built>,
    ledger: &'s Ledger,
    built: Built,
    /// Those that could not be.
    wrong: HashSet<Vec<String>>,
}

type Written = IndexMap<String, Value>;

impl Built {
    /// What the filters have to do that is on no request's way.
    pub fn chores(&self) -> impl Iterator<Item = &Arc<dyn Chore>> {
        self.0.values().flat_map(|filter| &filter.belongings.chores)
    }

    /// What should be known of them.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> = self.0.values().flat_map(|filter| filter.belongings.warnings.clone()).collect();
        warnings.sort();
        warnings
    }
}

/// Every file that filters read when a plan is drawn.
pub fn files(settings: &Settings, kinds: &Kinds) -> Vec<PathBuf> {
    let routes = settings.routes.values().map(|route| &route.filters);
    let policies = settings.policies.values().map(|policy| &policy.filters);
    let all = routes.chain(policies).chain(iter::once(&settings.defaults.filters));
    let mut files: Vec<_> =
        all.flatten().filter_map(|(name, written)| Some(kind_named(kinds, name)?.files(written))).flatten().collect();
    files.sort();
    files.dedup();
    files
}

impl<'s> Passages<'s> {
    /// None yet.
    pub fn new(settings: &'s Settings, kinds: &'s Kinds, before: Option<&'s Built>, ledger: &'s Ledger) -> Self {
        Self { settings, kinds, before, ledger, built: Built::default(), wrong: HashSet::new() }
    }

    /// All that was built.
    pub fn into_built(self) -> Built {
        self.built
    }

    /// What stands in no route: it is wrong even if none uses it.
    pub fn check_shared(&mut self, problems: &mut Vec<Problem>) {
        let settings = self.settings;
        self.check_all(&["defaults"], &settings.defaults.filters, RouteDefaults::KEYS, problems);
        self.check_names(&["defaults"], &settings.defaults, problems);
        for (name, policy) in &settings.policies {
            if !super::upstreams::can_be_named(name) {
                let what = "its name must be such that an environment variable can name it";
                problems.push(Problem::at(["policies", name], what).help("lower-case letters, digits and `_`"));
            }
            self.check_all(&["policies", name], &policy.filters, &[], problems);
        }
    }

    fn check_all(&mut self, at: &[&str], written: &'s Written, keys: &[&str], problems: &mut Vec<Problem>) {
        self.check_kinds(at, written, keys, problems);
        for kind in self.kinds.filters() {
            if let Some(settings) = written.get(kind.name).filter(|settings| **settings != Value::Bool(false)) {
                self.step(kind, at, settings, problems);
            }
        }
    }

    /// Those of a route, in the order of the table of kinds: the order in a file never matters.
    pub fn of_route(&mut self, text: &str, written: &'s RouteSettings, problems: &mut Vec<Problem>) -> Passage {
        let (at, settings) = (["routes", text], self.settings);
        self.check_kinds(&at, &written.filters, &RouteSettings::KEYS, problems);
        self.check_names(&at, &written.overrides, problems);
        let uses = written.overrides.policies.as_ref().or(settings.defaults.policies.as_ref());
        let policies: Vec<_> = uses
            .iter()
            .flat_map(|names| &names.0)
            .filter_map(|name| Some((name.as_str(), &settings.policies.get(name)?.filters)))
            .collect();
        let mut passage = Passage::default();
        for kind in self.kinds.filters() {
            let found = match written.filters.get(kind.name) {
                Some(own) => Some((at.to_vec(), own)),
                None => match of_policies(kind.name, &policies) {
                    Ok(Some((policy, shared))) => Some((vec!["policies", policy], shared)),
                    Ok(None) => settings.defaults.filters.get(kind.name).map(|shared| (vec!["defaults"], shared)),
                    Err([first, second]) => {
                        let what = format!("both `{first}` and `{second}` have `{}`", kind.name);
                        let help = format!("write `{}` here, or leave it to one of them", kind.name);
                        problems.push(Problem::at(at.into_iter().chain(["use"]), what).help(help));
                        None
                    }
                },
            };
            let Some((at, settings)) = found.filter(|(_, settings)| **settings != Value::Bool(false)) else { continue };
            if let Some(step) = self.step(kind, &at, settings, problems) {
                passage.steps.push(step);
                passage.names.push(StepName { kind: kind.name, at: key(&at, kind.name) });
            }
        }
        passage
    }

    /// The filter whose settings stand below `at`. What is wrong with it is told once.
    fn step(
        &mut self,
        kind: &FilterKind,
        at: &[&str],
        written: &'s Value,
        problems: &mut Vec<Problem>,
    ) -> Option<Step> {
        let at = key(at, kind.name);
        if let Some(built) = self.built.0.get(&at) {
            return Some(built.step.clone());
        }
        if self.wrong.contains(&at) {
            return None;
        }
        let before = self.before.and_then(|before| before.0.get(&at));
        if let Some(same) = before.filter(|before| before.written == *written && kind.files(written).is_empty()) {
            self.built.0.insert(at, same.clone());
            return Some(same.step.clone());
        }
        let site = Site::new(kind.name, &at, before.map(|before| &before.belongings), self.ledger);
        match kind.build(written, &site) {
            Ok(step) => {
                let belongings = site.into_belongings();
                self.built.0.insert(at, Filter { written: written.clone(), step: step.clone(), belongings });
                Some(step)
            }
            Err(problem) => {
                problems.extend(problem.0);
                self.wrong.insert(at);
                None
            }
        }
    }

    fn check_kinds(&self, at: &[&str], written: &Written, keys: &[&str], problems: &mut Vec<Problem>) {
        for name in written.keys().filter(|name| kind_named(self.kinds, name).is_none()) {
            let kinds = self.kinds.filters().iter().map(|kind| kind.name);
            let known: Vec<_> = keys.iter().copied().chain(kinds).collect();
            let help =
                did_you_mean(name, known.iter().copied()).unwrap_or_else(|| format!("one of {}", known.join(", ")));
            let problem = Problem::at_key(at.iter().copied().chain([name.as_str()]), format!("unknown key `{name}`"));
            problems.push(problem.help(help));
        }
    }

    fn check_names(&self, at: &[&str], written: &RouteDefaults, problems: &mut Vec<Problem>) {
        let names = written.policies.iter().flat_map(|names| &names.0);
        for (index, name) in names.enumerate().filter(|(_, name)| !self.settings.policies.contains_key(*name)) {
            let help =
                did_you_mean(name, self.settings.policies.keys()).unwrap_or_else(|| format!("no [policies.{name}]"));
            let index = index.to_string();
            let what = format!("unknown policy `{}`", name.escape_debug());
            problems.push(Problem::at(at.iter().copied().chain(["use", &index]), what).help(help));
        }
    }
}

/// The one policy that has a filter of this kind.
fn of_policies<'s>(
    kind: &str,
    policies: &[(&'s str, &'s Written)],
) -> Result<Option<(&'s str, &'s Value)>, [&'s str; 2]> {
    let mut having = policies.iter().filter_map(|(name, written)| Some((*name, written.get(kind)?)));
    match (having.next(), having.next()) {
        (Some((first, _)), Some((second, _))) => Err([first, second]),
        (found, _) => Ok(found),
    }
}

fn kind_named<'k>(kinds: &'k Kinds, name: &str) -> Option<&'k FilterKind> {
    kinds.filters().iter().find(|kind| kind.name == name)
}

fn key(at: &[&str], kind: &str) -> Vec<String> {
    at.iter().copied().chain([kind]).map(String::from).collect()
}
