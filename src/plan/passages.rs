//! Which filters a route has: those it writes itself, those of the policies it uses, those of all routes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    iter,
    path::PathBuf,
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::Value;

use super::{
    kept::{self, Passed},
    places::Places,
};
use crate::{
    filters::{
        Step, WhoAsks, conditional,
        site::{Belongings, Chore, Shared, Site},
    },
    kinds::{FilterKind, Kinds},
    language::{Condition, Fault},
    settings::{
        Names, PolicySettings, Problem, RouteDefaults, RouteSettings, Settings, StoreSettings,
        problem::{self, did_you_mean},
    },
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
    /// The requests that pass it, if not all do.
    pub when: Option<String>,
}

/// Filters that were built, by the key of their settings: one that several routes use is one, with one state.
#[derive(Default, Clone)]
pub struct Built {
    filters: HashMap<Vec<String>, Filter>,
    stores: IndexMap<String, StoreSettings>,
    methods: Vec<String>,
    shared: Shared,
    /// What should be known of several together.
    warnings: BTreeSet<String>,
}

impl Built {
    /// What filters learn of other settings than their own is what it was.
    fn stands_by(&self, settings: &Settings) -> bool {
        self.stores == settings.stores && self.methods == settings.server.http.methods
    }
}

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
    places: Places,
    before: Option<&'s Built>,
    ledger: &'s Ledger,
    built: Built,
    /// Those that could not be.
    wrong: HashSet<Vec<String>>,
    /// Of policies.
    conditions: HashMap<&'s str, Arc<Condition>>,
}

/// A filter that a route has, where its settings stand.
struct Found<'s> {
    below: Vec<&'s str>,
    settings: &'s Value,
    when: Option<Arc<Condition>>,
}

impl Found<'_> {
    /// `false` is none.
    fn is_there(&self) -> bool {
        *self.settings != Value::Bool(false)
    }
}

type Written = IndexMap<String, Value>;

const A_PROOF: &str =
    "`basic_auth`, `api_key`, `jwt`, `client_cert`, `forward_auth` or `auth` beside it, or a key such as `ip`";

const A_CONDITION: &str =
    "a condition such as `method == 'POST' and not client.ip in cidr('10.0.0.0/8')`: docs/conditions.md";

impl Built {
    /// What the filters have to do that is on no request's way.
    pub fn chores(&self) -> impl Iterator<Item = &Arc<dyn Chore>> {
        self.filters.values().flat_map(|filter| &filter.belongings.chores)
    }

    /// What they have in common.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What should be known of them.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> =
            self.filters.values().flat_map(|filter| filter.belongings.warnings.clone()).collect();
        warnings.extend(self.warnings.iter().cloned());
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
        let shared = before.map(|before| before.shared.clone()).unwrap_or_default();
        Self {
            settings,
            kinds,
            places: Places::of(kinds),
            before,
            ledger,
            built: Built {
                filters: HashMap::new(),
                stores: settings.stores.clone(),
                methods: settings.server.http.methods.clone(),
                shared,
                warnings: BTreeSet::new(),
            },
            wrong: HashSet::new(),
            conditions: HashMap::new(),
        }
    }

    /// All that was built.
    pub fn into_built(self) -> Built {
        self.built
    }

    /// What stands in no route: it is wrong even if none uses it.
    pub fn check_shared(&mut self, problems: &mut Vec<Problem>) {
        let settings = self.settings;
        self.read_conditions(problems);
        self.check_all(&["defaults"], &settings.defaults.filters, RouteDefaults::KEYS, problems);
        self.check_names(&["defaults"], &settings.defaults, problems);
        for (name, policy) in &settings.policies {
            if !super::upstreams::can_be_named(name) {
                let what = "its name must be such that an environment variable can name it";
                problems.push(Problem::at(["policies", name], what).help("lower-case letters, digits and `_`"));
            }
            self.check_all(&["policies", name], &policy.filters, &["when"], problems);
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
    pub fn of_route(&mut self, text: &'s str, written: &'s RouteSettings, problems: &mut Vec<Problem>) -> Passage {
        let at = ["routes", text];
        self.check_kinds(&at, &written.filters, &RouteSettings::KEYS, problems);
        self.check_names(&at, &written.overrides, problems);
        let uses = written.overrides.policies.as_ref().or(self.settings.defaults.policies.as_ref());
        self.passage(&at, Some(&written.filters), uses, problems)
    }

    /// Those of requests that no route takes.
    pub fn of_no_route(&mut self, problems: &mut Vec<Problem>) -> Passage {
        self.passage(&["defaults"], None, self.settings.defaults.policies.as_ref(), problems)
    }

    fn passage(
        &mut self,
        at: &[&'s str],
        own: Option<&'s Written>,
        uses: Option<&'s Names>,
        problems: &mut Vec<Problem>,
    ) -> Passage {
        let settings = self.settings;
        if own.is_none_or(Written::is_empty) && uses.is_none() && settings.defaults.filters.is_empty() {
            // Of a hundred thousand routes most have none: not each is asked for all kinds.
            return Passage::default();
        }
        let policies: Vec<_> = uses
            .iter()
            .flat_map(|names| &names.0)
            .filter_map(|name| settings.policies.get_key_value(name))
            .map(|(name, policy)| (name.as_str(), policy))
            .collect();
        let mut all = Vec::new();
        for (number, kind) in self.kinds.filters().iter().enumerate() {
            let own = own.and_then(|own| own.get(kind.name));
            let own = own.map(|settings| vec![Found { below: at.to_vec(), settings, when: None }]);
            let found = own.unwrap_or_else(|| self.shared(kind.name, &policies, at, problems));
            all.extend(found.into_iter().filter(Found::is_there).map(|found| (number, kind, found)));
        }
        if own.is_some() {
            self.check_who_asks(at, &all, problems);
        }
        all.sort_by_key(|(number, kind, found)| self.places.place(*number, kind.who_asks(found.settings)));
        let (mut passage, mut conditions, mut passed) = (Passage::default(), 0, Vec::new());
        for (_, kind, Found { below, settings, when }) in all {
            let Some(step) = self.step(kind, &below, settings, problems) else { continue };
            passage.steps.push(match &when {
                None => step,
                Some(condition) => {
                    conditions += 1;
                    step.when(condition, (conditions - 1) % conditional::MOST)
                }
            });
            let at = key(&below, kind.name);
            let name = StepName { kind: kind.name, at: at.clone(), when: when.as_ref().map(|when| when.to_string()) };
            passage.names.push(name);
            passed.push((at, when));
        }
        self.warn(&passed);
        if conditions > conditional::MOST {
            let what =
                format!("{conditions} of its filters have a condition, and no more than {} can", conditional::MOST);
            problems.push(Problem::at(at.iter().copied().chain(["use"]), what).help("use fewer policies"));
        }
        passage
    }

    /// Who counts by who asks has nothing to count by where nobody has to prove it.
    fn check_who_asks(&self, at: &[&str], all: &[(usize, &FilterKind, Found<'s>)], problems: &mut Vec<Problem>) {
        if all.iter().any(|(number, ..)| self.places.is_proof(*number)) {
            return;
        }
        for (_, kind, Found { below, settings, .. }) in all {
            if kind.who_asks(settings) == WhoAsks::Unasked {
                continue;
            }
            let name = problem::name(&key(below, kind.name));
            let what =
                format!("`{name}` tells clients apart by what they have proved, and here nobody proves anything");
            let at = at.iter().copied().chain((below == at).then_some(kind.name));
            problems.push(Problem::at(at, what).help(A_PROOF));
        }
    }

    /// Of what should be known of these filters together.
    fn warn(&mut self, filters: &[(Vec<String>, Option<Arc<Condition>>)]) {
        let passage: Vec<_> = filters
            .iter()
            .filter_map(|(at, when)| {
                let Belongings { keeps_by, makes_by, .. } = &self.built.filters.get(at)?.belongings;
                let (keeps_by, makes_by) = (keeps_by.as_ref(), makes_by.as_deref());
                Some(Passed { place: problem::name(at), keeps_by, makes_by, when: when.as_deref() })
            })
            .collect();
        let warnings = kept::warnings(&passage);
        self.built.warnings.extend(warnings);
    }

    /// Those of policies with a condition, in their order, and that of the one without, or else of all routes.
    fn shared(
        &self,
        kind: &str,
        policies: &[(&'s str, &'s PolicySettings)],
        at: &[&str],
        problems: &mut Vec<Problem>,
    ) -> Vec<Found<'s>> {
        let having = policies.iter().filter_map(|(name, policy)| Some((*name, policy, policy.filters.get(kind)?)));
        let (with, without): (Vec<_>, Vec<_>) = having.partition(|(_, policy, _)| policy.when.is_some());
        let condition = |name: &str| self.conditions.get(name).cloned();
        let mut found: Vec<_> = with
            .into_iter()
            // What is wrong with a condition was told.
            .filter_map(|(name, _, settings)| {
                Some(Found { below: vec!["policies", name], settings, when: Some(condition(name)?) })
            })
            .collect();
        match without[..] {
            [] => {
                let of_all = self.settings.defaults.filters.get(kind);
                found.extend(of_all.map(|settings| Found { below: vec!["defaults"], settings, when: None }));
            }
            [(name, _, settings)] => found.push(Found { below: vec!["policies", name], settings, when: None }),
            [(first, ..), (second, ..), ..] => {
                let what = format!("both `{first}` and `{second}` have `{kind}`");
                let help = format!("write `{kind}` here, leave it to one of them, or give one a condition (`when`)");
                problems.push(Problem::at(at.iter().copied().chain(["use"]), what).help(help));
            }
        }
        found
    }

    /// Reads the conditions of policies.
    fn read_conditions(&mut self, problems: &mut Vec<Problem>) {
        for (name, policy) in &self.settings.policies {
            match policy.when.as_deref().map(Condition::parse) {
                Some(Ok(condition)) => {
                    if condition.asks_for_claims()
                        && let Some(early) = self.asked_too_early(policy)
                    {
                        let what = format!("nothing is proved of a client yet where `{early}` asks this");
                        let help = "only filters behind those that prove who asks can know his claims; `authorize` and `quota` are";
                        problems.push(Problem::at(["policies", name, "when"], what).help(help));
                    }
                    self.conditions.insert(name, Arc::new(condition));
                }
                Some(Err(Fault { at, what, help })) => {
                    let help = help.unwrap_or_else(|| A_CONDITION.into());
                    problems.push(Problem::at(["policies", name, "when"], what).within(at).help(help));
                }
                None => {}
            }
        }
    }

    /// A filter of this policy that no proof of who asks can come before.
    fn asked_too_early(&self, policy: &PolicySettings) -> Option<&'static str> {
        let kinds = self.kinds.filters().iter().enumerate();
        let mut early = kinds.filter(|(number, _)| self.places.is_before_proofs(*number)).map(|(_, kind)| kind);
        let is_early = |kind: &&FilterKind| {
            policy.filters.get(kind.name).is_some_and(|written| kind.who_asks(written) != WhoAsks::OnTheWayIn)
        };
        early.find(is_early).map(|kind| kind.name)
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
        if let Some(built) = self.built.filters.get(&at) {
            return Some(built.step.clone());
        }
        if self.wrong.contains(&at) {
            return None;
        }
        let stands_as_before = self.before.is_some_and(|before| before.stands_by(self.settings));
        let before = self.before.and_then(|before| before.filters.get(&at));
        if let Some(same) =
            before.filter(|before| stands_as_before && before.written == *written && kind.files(written).is_empty())
        {
            self.built.filters.insert(at, same.clone());
            return Some(same.step.clone());
        }
        let site = Site::new(kind.name, &at, before.map(|before| &before.belongings), self.ledger)
            .with_stores(&self.settings.stores)
            .with_methods(&self.settings.server.http.methods)
            .with_shared(&self.built.shared);
        match kind.build(written, &site) {
            Ok(step) => {
                let belongings = site.into_belongings();
                self.built.filters.insert(at, Filter { written: written.clone(), step: step.clone(), belongings });
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

fn kind_named<'k>(kinds: &'k Kinds, name: &str) -> Option<&'k FilterKind> {
    kinds.filters().iter().find(|kind| kind.name == name)
}

fn key(at: &[&str], kind: &str) -> Vec<String> {
    at.iter().copied().chain([kind]).map(String::from).collect()
}
