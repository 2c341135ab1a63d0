//! All routes, and the one that takes a request.
//!
//! Two trees: hosts by label from the right, and per host the paths by segment from the left. A lookup goes down one
//! child a label and one a segment, and stops where the tree ends: what it costs depends on how deep the routes reach
//! into this request's path, not on how many there are. Regular expressions are found by the text they begin with.

use std::{collections::HashMap, fmt, ops::Range};

use super::{
    matcher::{Lookup, stem, without_root},
    pattern::{Host, Path, Pattern},
    regexes::Regexes,
};
use crate::http::Method;

#[cfg(not(test))]
pub(super) type Hashing = foldhash::fast::RandomState;
#[cfg(test)]
pub(super) type Hashing = counting::Hashing;

/// A pattern and what it leads to.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// The condition.
    pub pattern: Pattern,
    /// Among regular expressions on the same host the higher goes first.
    pub priority: i64,
    /// What the route does.
    pub value: T,
}

/// Two routes that could take the same request, and neither is the more specific.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{first}` and `{second}` can take the same request, and neither is more specific")]
pub struct Tie {
    /// The pattern written first.
    pub first: String,
    /// The one written later.
    pub second: String,
    /// They are regular expressions: different priorities would order them.
    pub regex: bool,
}

/// Routes, ready to be looked up.
pub struct Table<T> {
    entries: Box<[Entry<T>]>,
    named: Hosts,
    anywhere: Site,
}

/// The route that takes a request.
pub struct Match<'t, T> {
    /// The route.
    pub entry: &'t Entry<T>,
    /// Its place in the order the table was built from.
    pub index: usize,
    /// How much of the path it takes. For a prefix without its trailing slash: what follows begins with `/` or is
    /// empty. For a regular expression up to the end of what was found.
    pub prefix_len: usize,
}

/// Hosts by label, from the right.
#[derive(Default)]
struct Hosts {
    children: HashMap<Box<str>, Hosts, Hashing>,
    /// Routes of the host that ends here. In a box, as few places among the labels have some.
    exact: Option<Box<Site>>,
    /// Routes of the hosts below.
    below: Option<Box<Site>>,
}

/// The routes of one host.
#[derive(Default)]
struct Site {
    paths: Node,
    /// In a box: few hosts have some, and there may be many hosts.
    regexes: Option<Box<Regexes>>,
}

/// Paths by segment.
#[derive(Default)]
struct Node {
    children: HashMap<Box<str>, Node, Hashing>,
    /// `=/a` at the node of `/a`.
    exact: Choice,
    /// `/a`
    here: Choice,
    /// `/a/`
    below: Choice,
}

/// The routes with one pattern, by method. There are three at each place of a tree: they are to be small.
#[derive(Default)]
struct Choice {
    methods: Option<Box<Methods>>,
    any: Option<u32>,
}

#[derive(Default)]
struct Methods(Vec<(Method, u32)>);

/// A route that takes the request, and how much of the path.
#[derive(Clone, Copy)]
struct Found {
    route: usize,
    taken: usize,
}

impl<T> Table<T> {
    /// Orders the routes, or says which cannot be ordered.
    pub fn build(entries: Vec<Entry<T>>) -> Result<Self, Vec<Tie>> {
        let mut table = Self { entries: entries.into(), named: Hosts::default(), anywhere: Site::default() };
        let mut ties = Vec::new();
        for (route, entry) in table.entries.iter().enumerate() {
            let site = match &entry.pattern.host {
                Host::Any => &mut table.anywhere,
                Host::Exactly(name) => table.named.at(name).exact.get_or_insert_default(),
                Host::Below(name) => table.named.at(name).below.get_or_insert_default(),
            };
            if let Some(other) = site.add(&table.entries, route) {
                ties.push(Tie::between(&table.entries[other].pattern, &entry.pattern));
            }
        }
        if ties.is_empty() { Ok(table) } else { Err(ties) }
    }

    /// The most specific route that takes the request. Allocates nothing, unless a regular expression is tried for the
    /// first time on this thread.
    pub fn find(&self, lookup: &Lookup<'_>) -> Option<Match<'_, T>> {
        let find = |site: &Site| site.find(&self.entries, lookup);
        let named = if self.named.children.is_empty() {
            None
        } else {
            self.named.search(without_root(lookup.host).rsplit('.'), &find)
        };
        let Found { route, taken } = named.or_else(|| find(&self.anywhere))?;
        Some(Match { entry: &self.entries[route], index: route, prefix_len: taken })
    }

    /// All routes, in the order they were given.
    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Box::default(), named: Hosts::default(), anywhere: Site::default() }
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.pattern.as_str())).finish()
    }
}

impl<T> Match<'_, T> {
    /// What follows the part of the path the pattern took: `${rest}`.
    pub fn rest<'p>(&self, path: &'p str) -> &'p str {
        path.get(self.prefix_len..).unwrap_or_default()
    }

    /// What a named group of the regular expression took: `${name}`. Allocates.
    pub fn group<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        self.group_range(path, name).map(|range| &path[range])
    }

    fn group_range(&self, path: &str, name: &str) -> Option<Range<usize>> {
        let Path::Regex(regex) = &self.entry.pattern.path else { return None };
        regex.captures(path)?.name(name).map(|group| group.range())
    }
}

impl Tie {
    fn between(first: &Pattern, second: &Pattern) -> Self {
        Self { first: first.to_string(), second: second.to_string(), regex: first.is_regex() }
    }
}

impl Hosts {
    fn at(&mut self, name: &str) -> &mut Hosts {
        name.rsplit('.').fold(self, |hosts, label| hosts.children.entry(label.into()).or_default())
    }

    /// Asks the most specific host first, on the way back up the less specific ones.
    fn search<'h>(
        &self,
        mut labels: impl Iterator<Item = &'h str>,
        find: &impl Fn(&Site) -> Option<Found>,
    ) -> Option<Found> {
        let Some(label) = labels.next() else { return self.exact.as_deref().and_then(find) };
        let child = if self.children.is_empty() { None } else { self.children.get(label) };
        child.and_then(|child| child.search(labels, find)).or_else(|| self.below.as_deref().and_then(find))
    }
}

impl Site {
    /// Adds a route, or says with which one it ties.
    fn add<T>(&mut self, entries: &[Entry<T>], route: usize) -> Option<usize> {
        let Pattern { method, path, .. } = &entries[route].pattern;
        match path {
            Path::Exactly(path) => self.paths.at(path).exact.add(method.as_ref(), route),
            Path::Prefix(prefix) if prefix.ends_with('/') => {
                self.paths.at(stem(prefix)).below.add(method.as_ref(), route)
            }
            Path::Prefix(prefix) => self.paths.at(prefix).here.add(method.as_ref(), route),
            Path::Regex(regex) => self.regexes.get_or_insert_default().add(entries, route, regex.as_str()),
        }
    }

    fn find<T>(&self, entries: &[Entry<T>], lookup: &Lookup<'_>) -> Option<Found> {
        let (exact, prefix) = self.paths.walk(lookup);
        let regex = || self.regexes.as_ref()?.find(entries, lookup).map(|(route, taken)| Found { route, taken });
        exact.or_else(regex).or(prefix)
    }
}

impl Node {
    fn at(&mut self, path: &str) -> &mut Node {
        let Some(segments) = path.strip_prefix('/') else { return self };
        segments.split('/').fold(self, |node, segment| node.children.entry(segment.into()).or_default())
    }

    /// The exact route for the path, and the longest prefix of it.
    fn walk(&self, lookup: &Lookup<'_>) -> (Option<Found>, Option<Found>) {
        let found = |choice: &Choice, taken: usize| choice.pick(lookup.method).map(|route| Found { route, taken });
        let mut longest = found(&self.below, 0);
        let mut left = lookup.path.strip_prefix('/');
        if left.is_none() {
            return (None, longest);
        }
        let (mut node, mut taken) = (self, 0);
        while let Some(segments) = left {
            longest = found(&node.below, taken).or(longest);
            if node.children.is_empty() {
                return (None, longest);
            }
            let (segment, behind) = segments.split_once('/').map_or((segments, None), |(one, rest)| (one, Some(rest)));
            left = behind;
            let Some(child) = node.children.get(segment) else { return (None, longest) };
            taken += 1 + segment.len();
            longest = found(&child.here, taken).or(longest);
            node = child;
        }
        (found(&node.exact, taken), longest)
    }
}

impl Choice {
    /// Adds a route, or says which one is there already.
    fn add(&mut self, method: Option<&Method>, route: usize) -> Option<usize> {
        let number = u32::try_from(route).expect("fewer than 2^32 routes");
        let Some(method) = method else {
            let before = self.any();
            self.any.get_or_insert(number);
            return before;
        };
        let methods = self.methods.get_or_insert_default();
        let before = methods.named(method);
        if before.is_none() {
            methods.0.push((method.clone(), number));
        }
        before
    }

    /// The route for exactly this method, for HEAD else the one for GET, else the one for every method.
    fn pick(&self, method: &Method) -> Option<usize> {
        let Some(methods) = &self.methods else { return self.any() };
        let for_head = || if *method == Method::HEAD { methods.named(&Method::GET) } else { None };
        methods.named(method).or_else(for_head).or(self.any())
    }

    fn any(&self) -> Option<usize> {
        self.any.map(|route| route as usize)
    }
}

impl Methods {
    fn named(&self, method: &Method) -> Option<usize> {
        self.0.iter().find(|(own, _)| own == method).map(|(_, route)| *route as usize)
    }
}

#[cfg(test)]
mod counting;

#[cfg(test)]
mod tests;
