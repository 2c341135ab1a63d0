//! Clients by the names they give themselves.

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::AgentSettings;
use crate::{
    exchange::Exchange,
    http::header,
    settings::{Problem, Problems},
};

/// Bytes that the compiled patterns of one list may take.
const MAX_PATTERNS: usize = 8 << 20;

/// Who may come, and who may not.
pub struct Agents {
    deny: RegexSet,
    allow: Option<RegexSet>,
}

impl Agents {
    /// `None` if nothing is said of anybody, or what is said is wrong.
    pub fn new(settings: &AgentSettings, problems: &mut Problems) -> Option<Self> {
        let AgentSettings { deny, allow } = settings;
        if deny.is_empty() && allow.is_empty() {
            return None;
        }
        let denied = patterns("deny", deny, problems);
        let allowed = patterns("allow", allow, problems);
        Some(Self { deny: denied?, allow: if allow.is_empty() { None } else { Some(allowed?) } })
    }

    pub fn may_come(&self, exchange: &Exchange) -> bool {
        let mut names = exchange.headers.get_all(header::USER_AGENT).map(|name| name.as_bytes()).peekable();
        if names.peek().is_none() {
            return self.allow.is_none();
        }
        let is_allowed = |name: &[u8]| self.allow.as_ref().is_none_or(|allow| allow.is_match(name));
        names.all(|name| !self.deny.is_match(name) && is_allowed(name))
    }
}

fn patterns(key: &str, written: &[String], problems: &mut Problems) -> Option<RegexSet> {
    // Bytes, not letters: a name need not be UTF-8, and the time is linear in its length.
    let regexes = written.iter().map(|pattern| format!("(?is-u)^{}$", regex::escape(pattern).replace(r"\*", ".*")));
    let built = RegexSetBuilder::new(regexes).size_limit(MAX_PATTERNS).build();
    built
        .map_err(|_| {
            problems.push(
                Problem::at(["user_agents", key], "the list takes too much memory").help("fewer or shorter names"),
            )
        })
        .ok()
}
