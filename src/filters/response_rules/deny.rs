//! Answers that do not get out.

use indexmap::IndexMap;
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

use crate::{
    exchange::Exchange,
    filters::{
        JsonSchema,
        media_types::MediaTypes,
        patterns, schemars,
        statuses::{StatusList, Statuses},
    },
    http::{HeaderName, Response},
    language::Condition,
    settings::{Names, Problem, Problems},
};

/// So many rules there may be: each has a bit.
pub const MOST: usize = u64::BITS as usize;

/// One of the rules under `deny`: against an answer of which all of it holds.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DenySettings {
    /// A condition for the request; any, if this is not said.
    pub when: Option<String>,
    /// The answer has one of these.
    pub status: StatusList,
    /// Its content has one of these types.
    pub content_types: Option<Names>,
    /// It has all of these fields, with such values; `*` is anything.
    pub headers: IndexMap<String, String>,
}

/// The same, compiled.
pub struct Rule {
    when: Option<Condition>,
    statuses: Vec<Statuses>,
    types: Option<MediaTypes>,
    headers: Vec<(HeaderName, Regex)>,
}

impl Rule {
    /// What is wrong with it is told.
    pub fn new(settings: DenySettings, index: &str, problems: &mut Problems) -> Self {
        let at = |key: &str| ["deny", index, key].map(String::from);
        let DenySettings { when, status, content_types, headers } = settings;
        if status.0.is_empty() && content_types.is_none() && headers.is_empty() {
            let help = "status = \"5xx\", content_types = [..] or headers = { .. }";
            problems.push(Problem::at(["deny", index], "it is against all answers").help(help));
        }
        let when = when
            .and_then(|text| Condition::parse(&text).map_err(|fault| problems.push(fault.problem(at("when")))).ok());
        let types = content_types.map(|names| {
            let mut wrong = Problems::default();
            let types = MediaTypes::of(&names, "content_types", &mut wrong);
            let place = ["deny", index].map(String::from);
            wrong.0.into_iter().for_each(|problem| problems.push(problem.inside(&place)));
            types
        });
        let headers = headers.iter().filter_map(|(name, value)| {
            let place = ["deny", index, "headers", name.as_str()].map(String::from);
            field(name, value).map_err(|what| problems.push(Problem::at(place, what).help(A_FIELD))).ok()
        });
        let headers = headers.collect();
        Self { when, statuses: status.0, types, headers }
    }

    /// It asks what type of content there is.
    pub fn asks_for_types(&self) -> bool {
        self.types.is_some()
    }

    fn is_against(&self, response: &Response) -> bool {
        let has_field = |(name, value): &(HeaderName, Regex)| {
            response.headers.get_all(name).any(|found| value.is_match(found.as_bytes()))
        };
        (self.statuses.is_empty() || self.statuses.iter().any(|statuses| statuses.has(response.status)))
            && self.types.as_ref().is_none_or(|types| types.may_have(&response.headers))
            && self.headers.iter().all(has_field)
    }
}

const A_FIELD: &str = "a name and a value such as `x-debug = \"*\"`";

fn field(name: &str, value: &str) -> Result<(HeaderName, Regex), &'static str> {
    let name = HeaderName::try_from(name).map_err(|_| "not the name of a field")?;
    Ok((name, patterns::compiled(value).ok_or("the value takes too much memory")?))
}

/// Those that are about this request: one bit for each.
pub fn meant(rules: &[Rule], exchange: &Exchange) -> u64 {
    let is_meant = |rule: &Rule| rule.when.as_ref().is_none_or(|when| when.may_hold(exchange));
    rules.iter().enumerate().fold(0, |meant, (number, rule)| meant | u64::from(is_meant(rule)) << number)
}

/// One of those that are meant is against it.
pub fn is_denied(rules: &[Rule], meant: u64, response: &Response) -> bool {
    rules.iter().enumerate().any(|(number, rule)| meant >> number & 1 == 1 && rule.is_against(response))
}
