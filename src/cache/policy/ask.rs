//! What the rules look at in a request.

use super::{Rules, directives};
use crate::{
    cache::key::Target,
    http::{HeaderMap, Method, header},
};

/// A request, as the rules see it. Made once, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'r> {
    /// Its method.
    pub method: &'r Method,
    /// What it asks for.
    pub target: Target<'r>,
    /// Its fields.
    pub headers: &'r HeaderMap,
    /// What it wishes of caches.
    pub wishes: Wishes,
    /// Who asks is known, or says who he is: what he gets is for him, unless it says that it is for all (RFC 9111, 3.5).
    pub is_personal: bool,
}

/// What a client wishes of caches (RFC 9111, 5.2.1), in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Nothing that the endpoint was not asked about.
    pub no_cache: bool,
    /// Nothing of it is to be stored. What is stored may answer it.
    pub no_store: bool,
    /// Nothing for which the endpoint would have to be asked: 504 then.
    pub only_if_cached: bool,
    /// Nothing older.
    pub max_age: Option<u32>,
    /// Nothing that is not fresh for so long yet.
    pub min_fresh: Option<u32>,
    /// So stale it may be; [`u32::MAX`] is however stale.
    pub max_stale: Option<u32>,
    /// So stale it may be if the endpoint fails (RFC 5861, 4).
    pub stale_if_error: Option<u32>,
}

/// Why a request can only be sent on, whatever is stored. Its answer may still invalidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyPass {
    /// Its method.
    Method,
    /// It has a condition that only the endpoint can judge (RFC 9111, 4.3.2).
    Precondition,
}

impl<'r> Ask<'r> {
    /// This request. `is_identified`: filters know who asks.
    pub fn of(
        method: &'r Method,
        target: Target<'r>,
        headers: &'r HeaderMap,
        is_identified: bool,
        rules: &Rules,
    ) -> Self {
        let mut wishes = Wishes::of(headers);
        if !rules.obeys_clients {
            let Wishes { no_store, only_if_cached, .. } = wishes;
            wishes = Wishes { no_store, only_if_cached, ..Wishes::default() };
        }
        let is_personal = is_identified || headers.contains_key(header::AUTHORIZATION);
        Self { method, target, headers, wishes, is_personal }
    }

    /// Why it can only be sent on; `None`: the cache may answer it.
    pub fn passes(&self, rules: &Rules) -> Option<WhyPass> {
        let is_stored = matches!(*self.method, Method::GET | Method::HEAD) || self.is_stored_query(rules);
        if !is_stored {
            return Some(WhyPass::Method);
        }
        let judged_there = [header::IF_MATCH, header::IF_UNMODIFIED_SINCE];
        judged_there.iter().any(|name| self.headers.contains_key(name)).then_some(WhyPass::Precondition)
    }

    /// It is a QUERY, whose answers are stored: its body is part of its key.
    pub fn is_stored_query(&self, rules: &Rules) -> bool {
        rules.stores_query && self.method.as_str() == QUERY
    }
}

/// The safe method with a body (RFC 10008).
pub(super) const QUERY: &str = "QUERY";

impl Wishes {
    fn of(headers: &HeaderMap) -> Self {
        let mut wishes = Self::default();
        if !headers.contains_key(header::CACHE_CONTROL) {
            // RFC 9111, 5.4.
            wishes.no_cache = crate::http::headers::has_token(headers, &header::PRAGMA, "no-cache");
            return wishes;
        }
        for member in directives::members(headers.get_all(header::CACHE_CONTROL)) {
            let is = |name: &str| member.name.eq_ignore_ascii_case(name.as_bytes());
            let seconds = member.argument.seconds();
            if is("no-cache") {
                wishes.no_cache = true;
            } else if is("no-store") {
                wishes.no_store = true;
            } else if is("only-if-cached") {
                wishes.only_if_cached = true;
            } else if is("max-age") {
                lower(&mut wishes.max_age, seconds.unwrap_or(0));
            } else if is("min-fresh") {
                wishes.min_fresh = wishes.min_fresh.max(seconds);
            } else if is("max-stale") {
                let any = member.argument.is_none().then_some(u32::MAX);
                seconds.or(any).into_iter().for_each(|seconds| lower(&mut wishes.max_stale, seconds));
            } else if is("stale-if-error") {
                seconds.into_iter().for_each(|seconds| lower(&mut wishes.stale_if_error, seconds));
            }
        }
        wishes
    }
}

/// Of two values of one directive the one counts that allows less.
pub(super) fn lower(value: &mut Option<u32>, other: u32) {
    *value = Some(value.map_or(other, |value| value.min(other)));
}
