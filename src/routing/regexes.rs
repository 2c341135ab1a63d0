//! The regular expressions of one host, found by the literal text that all they take begins with: `/v` of `^/v[0-9]+/`.
//!
//! A lookup asks once for each length that such a text has, however many expressions there are, and tries those that
//! are found. Only expressions without such a text are all tried.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::{
    matcher::{Lookup, regex_order},
    table::{Entry, Hashing},
};
use crate::http::Method;

/// Routes of regular expressions, by number.
#[derive(Default)]
pub(super) struct Regexes {
    /// In the order in which they are tried.
    by_beginning: HashMap<Box<str>, Vec<usize>, Hashing>,
    /// Of the beginnings, the shortest first.
    lengths: Vec<usize>,
    /// Those that may tie: of one priority and method.
    peers: HashMap<(i64, Option<Method>), BTreeMap<Box<str>, usize>>,
}

impl Regexes {
    /// Adds a route, or says with which one it ties.
    pub(super) fn add<T>(&mut self, entries: &[Entry<T>], route: usize, regex: &str) -> Option<usize> {
        let beginning = literal_beginning(regex);
        let Entry { pattern, priority, .. } = &entries[route];
        let peers = self.peers.entry((*priority, pattern.method.clone())).or_default();
        if let Some(other) = overlapping(peers, beginning) {
            return Some(other);
        }
        peers.insert(beginning.into(), route);
        let bucket = self.by_beginning.entry(beginning.into()).or_default();
        let place = bucket.partition_point(|other| order(entries, *other) <= order(entries, route));
        bucket.insert(place, route);
        if let Err(place) = self.lengths.binary_search(&beginning.len()) {
            self.lengths.insert(place, beginning.len());
        }
        None
    }

    /// The first in order that takes the request, and how much of the path it takes.
    pub(super) fn find<T>(&self, entries: &[Entry<T>], lookup: &Lookup<'_>) -> Option<(usize, usize)> {
        let mut best: Option<(usize, usize)> = None;
        for length in &self.lengths {
            let Some(beginning) = lookup.path.get(..*length) else { continue };
            for route in self.by_beginning.get(beginning).into_iter().flatten() {
                if best.is_some_and(|(best, _)| order(entries, best) <= order(entries, *route)) {
                    break;
                }
                if let Ok(taken) = entries[*route].pattern.matches_on_its_host(lookup) {
                    best = Some((*route, taken));
                    break;
                }
            }
        }
        best
    }
}

/// By precedence; those that cannot take the same request as they were given.
fn order<T>(entries: &[Entry<T>], route: usize) -> impl Ord + use<T> {
    let Entry { pattern, priority, .. } = &entries[route];
    (regex_order(pattern, *priority), route)
}

/// One whose paths may begin like this, too: its beginning begins with this one, or the other way round.
fn overlapping(peers: &BTreeMap<Box<str>, usize>, beginning: &str) -> Option<usize> {
    let longer = peers.range::<str, _>((Bound::Included(beginning), Bound::Unbounded)).next();
    let longer = longer.filter(|(other, _)| other.starts_with(beginning)).map(|(_, route)| *route);
    let mut shorter = beginning.char_indices().filter_map(|(end, _)| peers.get(&beginning[..end]).copied());
    longer.or_else(|| shorter.next())
}

/// The text every match begins with, at the path's beginning: `/v` of `^/v(?<major>[0-9]+)/`. Empty when in doubt.
fn literal_beginning(regex: &str) -> &str {
    let Some(anchored) = regex.strip_prefix('^') else { return "" };
    // An alternative need not begin like the first one. Inside groups it would be fine, but this is not worth a parser.
    if anchored.contains('|') {
        return "";
    }
    let end = anchored.find(|c: char| r"\.+*?()[]{}^$".contains(c)).unwrap_or(anchored.len());
    let literal = &anchored[..end];
    // The letter before these may be missing.
    let optional = anchored[end..].starts_with(['?', '*', '{']);
    if optional { literal.char_indices().last().map_or("", |(at, _)| &literal[..at]) } else { literal }
}
