//! What filters further in than `cache` make of one client is kept for all: that should be known.

use crate::{
    cache::key::KeyRules,
    language::{Condition, Difference},
};

/// A filter of a route, in the order in which requests pass.
pub struct Passed<'p> {
    /// Where its settings are written.
    pub place: String,
    /// The keys by which it keeps answers, if it does.
    pub keeps_by: Option<&'p KeyRules>,
    /// What the answers that it makes, or has made, depend on; `None`: it makes none.
    pub makes_by: Option<&'p [Difference]>,
    /// Which requests pass it.
    pub when: Option<&'p Condition>,
}

/// One for each filter that makes of an answer what is not for everybody who gets it.
pub fn warnings(passage: &[Passed<'_>]) -> Vec<String> {
    let Some((at, keys)) = passage.iter().enumerate().find_map(|(at, passed)| Some((at, passed.keeps_by?))) else {
        return Vec::new();
    };
    let further_in = passage[at + 1..].iter();
    further_in.filter_map(|passed| passed.warning(keys, &passage[at].place)).collect()
}

impl Passed<'_> {
    fn warning(&self, keys: &KeyRules, keeper: &str) -> Option<String> {
        let asked = self.when.map(Condition::differences).unwrap_or_default();
        let mut all: Vec<_> = self.makes_by?.iter().chain(&asked).filter(|one| !tells_apart(keys, one)).collect();
        all.sort();
        all.dedup();
        let names: Vec<_> = all.iter().map(|one| format!("`{one}`")).collect();
        (!names.is_empty()).then(|| {
            let (place, names) = (&self.place, names.join(", "));
            format!(
                "{place}: answers differ by {names}, and `{keeper}` keeps one of them for all: fields and cookies can be part of its `key`"
            )
        })
    }
}

/// Keys have it.
fn tells_apart(keys: &KeyRules, difference: &Difference) -> bool {
    match difference {
        Difference::Client(_) => false,
        Difference::Header(name) => keys.headers.iter().any(|own| own.as_str() == name),
        Difference::Cookie(name) => keys.cookies.contains(name),
        Difference::Parameter(name) => keys.query.has(name),
        Difference::Query => keys.query.has_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::key::{Parameter, QueryRule},
        http::HeaderName,
        language::Template,
    };

    fn told(keys: &KeyRules, text: &str, when: Option<&str>) -> Vec<String> {
        let made = Template::parse(text).expect("a template").differences();
        let when = when.map(|text| Condition::parse(text).expect("a condition"));
        let passed = |place: &str| Passed { place: place.into(), keeps_by: None, makes_by: None, when: None };
        let passage = [
            // Who is asked before has made nothing that is kept.
            Passed { makes_by: Some(&made), ..passed("compress") },
            Passed { keeps_by: Some(keys), ..passed("cache") },
            passed("other"),
            Passed { makes_by: Some(&made), when: when.as_ref(), ..passed("header_rules") },
        ];
        warnings(&passage)
    }

    #[test]
    fn what_is_of_one_client_is_told_and_what_is_in_the_key_is_not() {
        let plain = KeyRules::default();
        let rich = KeyRules {
            query: QueryRule::Only(vec![Parameter::Exactly("a".into())]),
            headers: vec![HeaderName::from_static("x-a")],
            cookies: vec!["b".into()],
            ..KeyRules::default()
        };
        for (keys, text, when, names) in [
            (&plain, "fixed ${host}${path}?${query} ${query.z}", None, None),
            (&plain, "${client.ip} ${header.x-a}", None, Some("`client.ip`, `header.x-a`")),
            (&rich, "${header.x-a} ${cookie.b} ${query.a}", None, None),
            (&rich, "${query} ${query.z} ${cookie.c}", None, Some("`cookie.c`, `query.z`, `query`")),
            (&plain, "fixed", Some("client.ip in cidr('10.0.0.0/8')"), Some("`client.ip`")),
            (&plain, "fixed", Some("path == '/a'"), None),
        ] {
            let told = told(keys, text, when);

            let expected = names
                .map(|names| format!("header_rules: answers differ by {names}, and `cache` keeps one of them for all"));
            assert_eq!(told.len(), usize::from(expected.is_some()), "{text}: {told:?}");
            assert!(told.iter().zip(&expected).all(|(told, expected)| told.starts_with(expected)), "{told:?}");
        }
    }
}
