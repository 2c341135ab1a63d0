//! What is no longer to be believed once something was changed (RFC 9111, 4.4; RFC 9875, 3).

use std::borrow::Cow;

use super::{Ask, ask::QUERY, head::groups};
use crate::{
    cache::key::Target,
    http::{HeaderMap, HeaderName, StatusCode, header, path},
};

/// What is no longer to be believed; nothing, mostly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// What was asked for, and what the answer names at the same origin.
    pub places: Vec<Place>,
    /// All that is in these groups of that origin.
    pub groups: Vec<String>,
}

/// Something that can be asked for at an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Normalised, as keys have it.
    pub path: String,
    /// Without its question mark.
    pub query: Option<String>,
}

impl Place {
    /// It, at the origin of this target.
    pub fn at<'t>(&'t self, origin: Target<'t>) -> Target<'t> {
        Target { path: &self.path, query: self.query.as_deref(), ..origin }
    }
}

const GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// What the answer to this request has made doubtful.
pub fn invalidates(ask: &Ask<'_>, status: StatusCode, headers: &HeaderMap) -> Invalidated {
    if is_safe(ask.method.as_str()) {
        return Invalidated::default();
    }
    let mut places = Vec::new();
    if status.is_success() || status.is_redirection() {
        places.push(Place { path: ask.target.path.to_owned(), query: ask.target.query.map(str::to_owned) });
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let named = place(ask.target, headers, &name);
            places.extend(named.filter(|place| !places.contains(place)));
        }
    }
    Invalidated { places, groups: groups(headers.get_all(&GROUP_INVALIDATION)).collect() }
}

/// Those that are registered as safe and are used; whatever is not known may change something.
fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PROPFIND" | "REPORT" | "SEARCH" | QUERY)
}

/// A field names what was asked for.
pub(super) fn is_same_place(target: Target<'_>, headers: &HeaderMap, name: &HeaderName) -> bool {
    place(target, headers, name)
        .is_some_and(|place| place.path == target.path && place.query.as_deref() == target.query)
}

/// What a field names, if that is at the origin that was asked.
fn place(base: Target<'_>, headers: &HeaderMap, name: &HeaderName) -> Option<Place> {
    let mut lines = headers.get_all(name);
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let text = line.to_str().ok()?.trim();
    let text = text.split_once('#').map_or(text, |(text, _)| text);
    let local = at_origin(base, text)?;
    let (path, query) = match local.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*local, None),
    };
    let path = match path {
        "" if query.is_none() && text.is_empty() => return Some(own(base)),
        "" => Cow::Borrowed(base.path),
        _ if path.starts_with('/') => Cow::Borrowed(path),
        _ => Cow::Owned(format!("{}{path}", &base.path[..=base.path.rfind('/')?])),
    };
    let path = path::normalize(&path, &path::Policy { keep_encoded_slash: true, ..path::Policy::default() }).ok()?;
    let query = query.map(path::settle_query).transpose().ok()?;
    Some(Place { path: path.into_owned(), query: query.map(Cow::into_owned) })
}

fn own(base: Target<'_>) -> Place {
    Place { path: base.path.to_owned(), query: base.query.map(str::to_owned) }
}

/// What follows the authority, if that is the one that was asked; with a slash if there was one.
fn at_origin<'t>(base: Target<'_>, text: &'t str) -> Option<Cow<'t, str>> {
    let rest = match text.split_once(':') {
        // A scheme ends before the path begins.
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            if !scheme.eq_ignore_ascii_case(base.scheme()) {
                return None;
            }
            rest.strip_prefix("//")?
        }
        _ => match text.strip_prefix("//") {
            Some(rest) => rest,
            None => return Some(Cow::Borrowed(text)),
        },
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, local) = rest.split_at(end);
    let port = if base.secure { ":443" } else { ":80" };
    let bare = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    (bare(authority) == bare(base.authority)).then_some(())?;
    Some(if local.starts_with('/') { Cow::Borrowed(local) } else { Cow::Owned(format!("/{local}")) })
}
