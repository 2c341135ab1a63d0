//! What two settings differ in, in short.

use std::fmt;

use indexmap::IndexMap;

use crate::settings::Settings;

/// So many names are told; of more, how many there are.
const MOST_NAMES: usize = 5;

/// What is otherwise after a reload; for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    routes: Names,
    upstreams: Names,
    listeners: Names,
    /// Sections of the settings.
    sections: Vec<&'static str>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl Changes {
    /// From one to the other.
    pub fn between(before: &Settings, after: &Settings) -> Self {
        let listens = |settings: &Settings| {
            settings.listen.iter().map(|listener| (listener.addr.clone(), listener.clone())).collect::<IndexMap<_, _>>()
        };
        let sections = [
            ("trusted_proxies", before.trusted_proxies != after.trusted_proxies),
            ("server_name", before.server_name != after.server_name),
            ("admin", before.admin != after.admin),
            ("server", before.server != after.server),
            ("defaults", before.defaults != after.defaults),
            ("policies", before.policies != after.policies),
            ("log", before.log != after.log),
        ];
        Self {
            routes: Names::between(&before.routes, &after.routes),
            upstreams: Names::between(&before.upstreams, &after.upstreams),
            listeners: Names::between(&listens(before), &listens(after)),
            sections: sections.into_iter().filter_map(|(section, differs)| differs.then_some(section)).collect(),
        }
    }
}

impl Names {
    fn between<T: PartialEq>(before: &IndexMap<String, T>, after: &IndexMap<String, T>) -> Self {
        let missing_in = |other: &IndexMap<String, T>, one: &IndexMap<String, T>| {
            one.keys().filter(|name| !other.contains_key(*name)).cloned().collect()
        };
        let differs = |(name, now): (&String, &T)| before.get(name).is_some_and(|then| then != now);
        Self {
            added: missing_in(before, after),
            removed: missing_in(after, before),
            changed: after.iter().filter(|(name, now)| differs((*name, *now))).map(|(name, _)| name.clone()).collect(),
        }
    }

    fn told(&self, what: &str) -> Option<String> {
        let parts = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(how, names)| format!("{} {how} ({})", names.len(), listed(names)))
            .collect();
        (!parts.is_empty()).then(|| format!("{what} {}", parts.join(", ")))
    }
}

fn listed(names: &[String]) -> String {
    let mut listed: Vec<_> = names.iter().take(MOST_NAMES).map(|name| name.escape_debug().to_string()).collect();
    if names.len() > MOST_NAMES {
        listed.push("..".into());
    }
    listed.join(", ")
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told: Vec<_> =
            [("routes", &self.routes), ("upstreams", &self.upstreams), ("listeners", &self.listeners)]
                .into_iter()
                .filter_map(|(what, names)| names.told(what))
                .collect();
        told.extend(self.sections.iter().map(|section| format!("{section} changed")));
        if told.is_empty() {
            return f.write_str("nothing is otherwise");
        }
        f.write_str(&told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Listener;

    #[test]
    fn what_changed_is_said_in_short() {
        let mut before = Settings::default();
        before.routes.insert("/a".into(), "http://a".into());
        before.routes.insert("/b".into(), "http://b".into());
        let mut after = before.clone();
        after.routes.shift_remove("/a");
        after.routes.insert("/b".into(), "http://c".into());
        after.routes.extend((0..7).map(|number| (format!("/{number}\n"), "http://n".into())));
        after.listen.push(Listener::address("[::1]:80"));
        after.server_name = "other".into();

        assert_eq!(
            Changes::between(&before, &after).to_string(),
            "routes 7 added (/0\\n, /1\\n, /2\\n, /3\\n, /4\\n, ..), 1 removed (/a), 1 changed (/b); \
             listeners 1 added ([::1]:80); server_name changed"
        );
        assert_eq!(Changes::between(&before, &before).to_string(), "nothing is otherwise");
    }
}
