//! Asking whether what is stored has changed, and what the answer makes of it (RFC 9111, 4.3).

use super::{
    Ask, Head, Rules, Times, WhyNot,
    freshness::{Terms, date, http_date, since_1970},
    head::date_of,
    store::examine,
    tags,
};
use crate::{
    cache::policy::directives::Directives,
    http::{HeaderMap, HeaderName, header, headers},
};

/// Fields with which a client asks for a part, or under a condition.
const CONDITIONS: [HeaderName; 6] = [
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// Makes it a request for what is stored: for all of it, without conditions of the client's.
pub fn unconditional(headers: &mut HeaderMap) {
    for name in CONDITIONS {
        headers.remove(name);
    }
}

/// The same, under the condition that the stored answer is no longer good (4.3.1). False: there is none, and it asks for another one.
pub fn validate(headers: &mut HeaderMap, head: &Head) -> bool {
    unconditional(headers);
    if let Some(tag) = &head.tag {
        headers.insert(header::IF_NONE_MATCH, tag.clone());
    }
    if let Some(modified) = head.fields.get(header::LAST_MODIFIED).filter(|value| http_date(value).is_some()) {
        headers.insert(header::IF_MODIFIED_SINCE, modified.clone());
    }
    head.has_validator()
}

/// What an answer without a body makes of a stored one.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// This takes its place.
    Kept(Head),
    /// This answers the request, and what is stored stays as it is: the request may not be stored anything of.
    Aside(Head),
    /// This answers the request, and what is stored is to be forgotten: it may no longer be.
    Once(Head, WhyNot),
    /// It is about something else: what is stored is to be forgotten, and the endpoint asked without conditions.
    Mismatch,
}

/// What a 304 to [`validate`] makes of the stored answer (4.3.4).
pub fn refresh(ask: &Ask<'_>, head: &Head, headers: &HeaderMap, times: Times, rules: &Rules) -> Refreshed {
    if !is_about(head, headers) {
        return Refreshed::Mismatch;
    }
    let mut updated = updated(head, headers);
    if date(headers, &header::DATE).is_none() {
        updated.insert(header::DATE, date_of(since_1970(times.answered)));
    }
    let once = |head: &Head| {
        let directives = Directives::of(&updated);
        let (terms, _) = Terms::of(&directives, head.status, &updated, times, rules);
        Head::new(head.status, &updated, &[], terms.spent(), head.vary.clone())
    };
    if ask.wishes.no_store {
        return Refreshed::Aside(once(head));
    }
    match examine(ask, head.status, &updated, times, rules) {
        Ok((findings, _)) => Refreshed::Kept(findings.into_head(head.status, &updated)),
        Err(why) => Refreshed::Once(once(head), why),
    }
}

/// What an answer to HEAD of the same status makes of the stored one (4.3.5), of which the body has this length. `Mismatch`: it has changed.
pub fn refresh_by_head(
    ask: &Ask<'_>,
    head: &Head,
    length: Option<u64>,
    headers: &HeaderMap,
    times: Times,
    rules: &Rules,
) -> Refreshed {
    let announced = headers.get(header::CONTENT_LENGTH).map(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced.is_none() || announced != length) {
        return Refreshed::Mismatch;
    }
    refresh(ask, head, headers, times, rules)
}

/// What it names is what is stored; one that names nothing is about what was asked for.
fn is_about(head: &Head, headers: &HeaderMap) -> bool {
    if let Some(tag) = headers.get(header::ETAG) {
        let (tag, own) = (tag.as_bytes(), head.tag.as_ref().map(|own| own.as_bytes()));
        let is_same = if tags::is_strong(tag) { tags::is_strongly_same } else { tags::is_weakly_same };
        // Without one, it has got one since: only a date can tell.
        if let Some(own) = own {
            return is_same(tag, own);
        }
    }
    date(headers, &header::LAST_MODIFIED).is_none_or(|modified| head.terms.modified == Some(modified))
}

/// What an answer without a body says of one that it does not have (RFC 9111, 3.2).
pub(super) const OF_BODIES: [HeaderName; 3] = [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE];

/// The stored fields, each that the answer has replaced by all its lines.
fn updated(head: &Head, headers: &HeaderMap) -> HeaderMap {
    let mut updated = head.fields.to_map(&[]);
    let stays = |name: &HeaderName| OF_BODIES.contains(name) || headers::is_hop_by_hop(name);
    updated.retain(|name, _| stays(name) || !headers.contains_key(name));
    updated.extend(headers.iter().filter(|(name, _)| !stays(name)).map(|(name, value)| (name.clone(), value.clone())));
    updated
}
