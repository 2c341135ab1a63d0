//! What has become old, by numbers that all who share a store know it by.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::cache::{policy::Head, purge::What};

/// What was heard of it.
#[derive(Default)]
pub struct Known {
    /// The number of the last one.
    pub count: u64,
    /// The last one that was dropped from memory, and with all before it is not taken there any more.
    pub settled: u64,
    /// The newest, with their numbers, one after the other.
    newest: VecDeque<(u64, Purge)>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Purge {
    pub what: What,
    pub is_soft: bool,
    /// Who has purged it.
    pub process: u64,
}

/// What was heard since the last time.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// These, and there were no others.
    All(Vec<Purge>),
    /// It may have been anything.
    TooLate,
}

/// So many are remembered, here and there.
pub const MOST: usize = 512;

impl Known {
    /// Of this number of the last one, and of those since the one that was known, as they are remembered.
    pub fn hear(&mut self, count: u64, lines: &[String]) -> Heard {
        if count == self.count {
            return Heard::All(Vec::new());
        }
        let known = std::mem::replace(&mut self.count, count);
        let mut new = VecDeque::new();
        // As far back as there is one for each number.
        for line in lines.iter().rev().take(MOST) {
            match read(line) {
                Some((number, purge)) if number.checked_add(new.len() as u64) == Some(count) => {
                    new.push_front((number, purge));
                }
                _ => break,
            }
        }
        if known > count || new.front().is_none_or(|(oldest, _)| *oldest > known + 1) {
            self.newest = new;
            return Heard::TooLate;
        }
        new.retain(|(number, _)| *number > known);
        let heard = new.iter().map(|(_, purge)| purge.clone()).collect();
        self.newest.append(&mut new);
        self.newest.drain(..self.newest.len().saturating_sub(MOST));
        Heard::All(heard)
    }

    /// All that was heard until this one is done. If more was heard meanwhile, that is yet to be.
    pub fn is_through(&mut self, count: u64) {
        if self.count == count {
            self.settled = count;
        }
    }

    /// What was put when this was the last one was purged since, or may have been.
    pub fn has_purged(&self, since: u64, target: &[u8], head: &Head) -> bool {
        let is_remembered = self.newest.front().is_some_and(|(oldest, _)| *oldest <= since + 1);
        since > self.count
            || (since < self.count && !is_remembered)
            || self.newest.iter().any(|(number, purge)| *number > since && purge.what.holds(target, head))
    }
}

/// As it is remembered there, behind its number.
pub fn written(what: &What, is_soft: bool, process: u64) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let (kind, names) = match what {
        What::Url(targets) => ("url", targets.iter().map(text).collect()),
        What::Prefix(targets) => ("prefix", targets.iter().map(text).collect()),
        What::Tag(tag) => ("tag", vec![text(tag)]),
        What::Group(group) => ("group", vec![text(group)]),
        What::Everything => ("everything", Vec::new()),
    };
    serde_json::json!([process, is_soft, kind, names]).to_string()
}

fn read(line: &str) -> Option<(u64, Purge)> {
    let (number, text) = line.split_once(' ')?;
    let (process, is_soft, kind, names): (u64, bool, String, Vec<String>) = serde_json::from_str(text).ok()?;
    let mut names = names.into_iter().map(Bytes::from);
    let what = match &*kind {
        "url" => What::Url(names.collect()),
        "prefix" => What::Prefix(names.collect()),
        "tag" => What::Tag(names.next()?),
        "group" => What::Group(names.next()?),
        "everything" => What::Everything,
        _ => return None,
    };
    Some((number.parse().ok()?, Purge { what, is_soft, process }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::entry;

    fn line(number: u64, tag: &str) -> String {
        format!("{number} {}", written(&What::tag(tag).expect("a tag"), false, 7))
    }

    fn tags(heard: &Heard) -> Vec<&What> {
        let Heard::All(purges) = heard else { panic!("{heard:?}") };
        purges.iter().map(|purge| &purge.what).collect()
    }

    #[test]
    fn each_is_heard_of_once_and_where_one_may_be_missing_all_are() {
        let mut known = Known::default();
        assert_eq!(known.hear(1000, &[]), Heard::TooLate, "nobody knows what was before");
        assert_eq!(known.hear(1000, &[]), Heard::All(Vec::new()));

        let lines = [line(1001, "a"), line(1002, "b")];
        assert_eq!(tags(&known.hear(1002, &lines)), [&What::tag("a").expect("a tag"), &What::tag("b").expect("a tag")]);
        let lines = [line(1002, "b"), line(1003, "c")];
        assert_eq!(tags(&known.hear(1003, &lines)), [&What::tag("c").expect("a tag")]);

        for (count, lines) in [
            (1005, vec![line(1005, "e")]),
            (1007, vec![]),
            (1008, vec!["1008 junk".to_owned()]),
            (5, vec![line(5, "a")]),
        ] {
            assert_eq!(known.hear(count, &lines), Heard::TooLate, "{count}");
            assert_eq!(known.hear(count, &lines), Heard::All(Vec::new()));
        }
    }

    #[test]
    fn what_is_remembered_goes_on_when_more_is_heard_and_no_further_back_than_it_does_there() {
        let (mut known, plain) = (Known::default(), entry(1, "a"));
        known.hear(1, &[line(1, "other")]);
        for number in 2..=MOST as u64 + 1 {
            known.hear(number, &[line(number, "other")]);
        }
        assert!(!known.has_purged(1, b"http://a.example/a", &plain.head));
        assert!(known.has_purged(0, b"http://a.example/a", &plain.head), "the first one is forgotten");
        assert_eq!(known.newest.len(), MOST);
    }

    #[test]
    fn nothing_is_settled_before_all_that_was_heard_is_done() {
        let mut known = Known::default();
        known.hear(5, &[]);
        assert_eq!(known.settled, 0);
        known.hear(6, &[line(6, "a")]);

        known.is_through(5);
        assert_eq!(known.settled, 0);
        known.is_through(6);

        assert_eq!(known.settled, 6);
    }

    #[test]
    fn what_was_put_before_a_purge_or_before_all_that_is_known_is_purged() {
        let (mut known, plain) = (Known::default(), entry(1, "a"));
        let url =
            |number: u64| format!("{number} {}", written(&What::url("http://a.example/a").expect("a URL"), false, 7));
        known.hear(12, &[url(11), line(12, "other")]);
        for (since, target, expected) in [
            (9, "http://a.example/b", true),
            (10, "http://a.example/b", false),
            (10, "http://a.example/a", true),
            (11, "http://a.example/a", false),
            (12, "http://a.example/a", false),
            (13, "http://a.example/a", true),
        ] {
            assert_eq!(known.has_purged(since, target.as_bytes(), &plain.head), expected, "{since} {target}");
        }
    }

    #[test]
    fn what_is_written_of_a_purge_can_be_read() {
        for what in [
            What::url("https://a.example/a?b").expect("a URL"),
            What::prefix("https://a.example").expect("a prefix"),
            What::tag("a b").expect("a tag"),
            What::Group("g\"\u{e9}".into()),
            What::Everything,
        ] {
            let line = format!("5 {}", written(&what, true, u64::MAX));
            assert_eq!(read(&line), Some((5, Purge { what, is_soft: true, process: u64::MAX })), "{line}");
        }
    }
}
