//! Targeted fields (RFC 9213): `Cache-Control` for some caches, instead of the one for all, as a structured field.

use super::{
    ask::lower,
    directives::{Directives, MOST_SECONDS, fields},
};
use crate::{
    cache::structured::{self, Item},
    http::{HeaderMap, HeaderName},
};

/// Our own, and that of caches in front of the origin; the first one that is there and can be read is taken.
const TARGETED: [HeaderName; 2] =
    [HeaderName::from_static("aqueduct-cache-control"), HeaderName::from_static("cdn-cache-control")];

/// What the first of them says; one that is empty, or cannot be read as a whole, is not there.
pub(super) fn directives(headers: &HeaderMap) -> Option<Directives> {
    TARGETED.iter().filter(|name| headers.contains_key(*name)).find_map(|name| {
        let members = structured::dictionary(headers.get_all(name))?;
        read(&members)
    })
}

fn read(members: &[(String, Item)]) -> Option<Directives> {
    let mut directives = Directives { targeted: true, ..Directives::default() };
    for (name, item) in members {
        if let Some(number) = directives.number(name.as_bytes()) {
            let Item::Integer(seconds) = item else { return None };
            // A negative one is over before it has begun.
            lower(number, u32::try_from((*seconds).max(0)).unwrap_or(MOST_SECONDS).min(MOST_SECONDS));
        } else if matches!(name.as_str(), "no-cache" | "private") {
            let named = match item {
                Item::Boolean(false) => continue,
                Item::Boolean(true) => None,
                Item::String(list) => fields(list.as_bytes()),
                _ => return None,
            };
            directives.restrict(name == "private", named);
        } else if let Some(flag) = directives.flag(name.as_bytes()) {
            let Item::Boolean(is_set) = item else { return None };
            *flag = *is_set;
        }
    }
    (!members.is_empty()).then_some(directives)
}
