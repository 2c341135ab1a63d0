//! Which answers may be stored (RFC 9111, 3).

use super::{
    Ask, Head, Rules, SetCookies, Terms, Times, Vary,
    directives::Directives,
    freshness::{Lifetime, Staleness},
    invalidate::is_same_place,
};
use crate::http::{HeaderMap, HeaderName, Method, StatusCode, header};

/// Why an answer is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Answers to this method are not.
    Method,
    /// Answers of this status are not, or only if they say for how long.
    Status,
    /// `no-store` in the request.
    RequestNoStore,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// It is for somebody who is known, and does not say that it is for others.
    Personal,
    /// It sets a cookie.
    SetCookie,
    /// It depends on more than can be told (`Vary: *`).
    Vary,
    /// Its `Cache-Control` cannot be read, and may forbid it.
    Unreadable,
    /// `must-understand`, and its status is not.
    NotUnderstood,
    /// It would be of no use: it is never fresh, and there is nothing to validate it by.
    Useless,
}

impl WhyNot {
    /// In a word, for `Cache-Status`.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Personal => "personal",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::Unreadable => "unreadable",
            Self::NotUnderstood => "not-understood",
            Self::Useless => "no-freshness",
        }
    }
}

/// The head of an answer as it is stored, once the whole body has come.
///
/// # Errors
/// It may not be stored, or is not worth it.
pub fn store(
    ask: &Ask<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    times: Times,
    rules: &Rules,
) -> Result<Head, WhyNot> {
    if ask.wishes.no_store {
        return Err(WhyNot::RequestNoStore);
    }
    let is_asked_for = *ask.method == Method::GET || ask.is_stored_query(rules);
    // RFC 9110, 9.3.3: what the answer is of is what was asked for.
    let is_posted = *ask.method == Method::POST && is_same_place(ask.target, headers, &header::CONTENT_LOCATION);
    if !is_asked_for && !is_posted {
        return Err(WhyNot::Method);
    }
    let (findings, lifetime) = examine(ask, status, headers, times, rules)?;
    if is_posted && !matches!(lifetime, Some(Lifetime::Said(_))) {
        return Err(WhyNot::Method);
    }
    Ok(findings.into_head(status, headers))
}

/// What an answer that may be stored was found to be.
pub(super) struct Findings {
    withheld: Vec<HeaderName>,
    terms: Terms,
    vary: Vary,
}

impl Findings {
    pub fn into_head(self, status: StatusCode, headers: &HeaderMap) -> Head {
        Head::new(status, headers, &self.withheld, self.terms, self.vary)
    }
}

/// All but the request's method and wishes.
pub(super) fn examine(
    ask: &Ask<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    times: Times,
    rules: &Rules,
) -> Result<(Findings, Option<Lifetime>), WhyNot> {
    if !status_may_be_stored(status) {
        return Err(WhyNot::Status);
    }
    let mut directives = Directives::of(headers);
    check_prohibitions(ask, status, &directives)?;
    if sets_cookies(headers) && !directives.withheld.contains(&header::SET_COOKIE) {
        match rules.cookies {
            SetCookies::Kept => {}
            SetCookies::Refused if !directives.public && directives.s_maxage.is_none() => {
                return Err(WhyNot::SetCookie);
            }
            SetCookies::Refused | SetCookies::Dropped => directives.withheld.extend(SETS_COOKIES),
        }
    }
    let vary = Vary::of(headers, ask.headers).ok_or(WhyNot::Vary)?;
    let (terms, lifetime) = Terms::of(&directives, status, headers, times, rules);
    if lifetime.is_none() && !is_heuristically_stored(status) && !directives.public {
        return Err(WhyNot::Status);
    }
    let has_validator = headers.contains_key(header::ETAG) || terms.modified.is_some();
    if !has_validator && !terms.is_of_use() {
        return Err(WhyNot::Useless);
    }
    Ok((Findings { withheld: directives.withheld, terms, vary }, lifetime))
}

/// What the answer itself forbids.
fn check_prohibitions(ask: &Ask<'_>, status: StatusCode, directives: &Directives) -> Result<(), WhyNot> {
    if directives.unreadable {
        return Err(WhyNot::Unreadable);
    }
    // RFC 9111, 5.2.2.3: who understands the status ignores `no-store` beside it.
    if directives.must_understand && !is_understood(status) {
        return Err(WhyNot::NotUnderstood);
    }
    if directives.no_store && !directives.must_understand {
        return Err(WhyNot::NoStore);
    }
    if directives.private {
        return Err(WhyNot::Private);
    }
    if ask.is_personal && !directives.is_for_all() {
        return Err(WhyNot::Personal);
    }
    Ok(())
}

const SETS_COOKIES: [HeaderName; 2] = [header::SET_COOKIE, HeaderName::from_static("set-cookie2")];

fn sets_cookies(headers: &HeaderMap) -> bool {
    SETS_COOKIES.iter().any(|name| headers.contains_key(name))
}

/// A final one of a whole answer: parts are not put together here, and a 304 is none of its own.
fn status_may_be_stored(status: StatusCode) -> bool {
    status.as_u16() >= 200 && status != StatusCode::PARTIAL_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Those that may be fresh without saying it (RFC 9110, 15.1), but for 206.
pub(super) fn is_heuristically_stored(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Those whose caching RFC 9110 says all of that there is to say.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

impl Terms {
    /// Those of one that answers once, and is not used again.
    pub(super) fn spent(self) -> Self {
        Self {
            lifetime: 0,
            while_revalidating: 0,
            if_error: 0,
            is_always_validated: true,
            stale: Staleness::Forbidden,
            ..self
        }
    }
}
