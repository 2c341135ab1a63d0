//! The fields of a message, in the order in which they came.

use std::{slice, vec};

use actix_http::header;

use super::{HeaderName, HeaderValue};

/// Fields in a row: nothing is hashed, and eight of them are ten lines of memory where a table takes fifty. A message has
/// few enough that looking at each name is the fastest search there is; who reads messages bounds their number.
///
/// Names that are equal in all but case are the same; fields of the same name keep their order (RFC 9110, 5.3).
#[derive(Debug, Clone, Default)]
pub struct HeaderMap {
    row: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderMap {
    /// Without fields, and without memory.
    pub const fn new() -> Self {
        Self { row: Vec::new() }
    }

    /// With room for so many fields.
    pub fn with_capacity(fields: usize) -> Self {
        Self { row: Vec::with_capacity(fields) }
    }

    /// How many fields there is room for.
    pub fn capacity(&self) -> usize {
        self.row.capacity()
    }

    /// How many fields there are; those of one name count each.
    pub fn len(&self) -> usize {
        self.row.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.row.is_empty()
    }

    /// Takes all out; the memory stays.
    pub fn clear(&mut self) {
        self.row.clear();
    }

    /// The first of this name.
    pub fn get(&self, name: impl AsName) -> Option<&HeaderValue> {
        self.row.iter().find(|(known, _)| name.is(known)).map(|(_, value)| value)
    }

    /// The first of this name, to be changed.
    pub fn get_mut(&mut self, name: impl AsName) -> Option<&mut HeaderValue> {
        self.row.iter_mut().find(|(known, _)| name.is(known)).map(|(_, value)| value)
    }

    /// All of this name.
    pub fn get_all<N: AsName>(&self, name: N) -> Values<'_, N> {
        Values { row: self.row.iter(), name }
    }

    /// There is one of this name.
    pub fn contains_key(&self, name: impl AsName) -> bool {
        self.row.iter().any(|(known, _)| name.is(known))
    }

    /// One more, behind all others.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.row.push((name, value));
    }

    /// These more, behind all others.
    pub fn append_all(&mut self, fields: &[(HeaderName, HeaderValue)]) {
        self.row.extend_from_slice(fields);
    }

    /// The only one of this name from now on, where the first of them was.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        match self.row.iter().position(|(known, _)| *known == name) {
            Some(first) => {
                self.row[first].1 = value;
                let mut at = 0;
                self.row.retain(|(known, _)| {
                    at += 1;
                    at - 1 <= first || *known != name
                });
            }
            None => self.row.push((name, value)),
        }
    }

    /// Takes out all of this name; the first of them is returned.
    pub fn remove(&mut self, name: impl AsName) -> Option<HeaderValue> {
        let first = self.row.iter().position(|(known, _)| name.is(known))?;
        let (_, removed) = self.row.remove(first);
        self.row.retain(|(known, _)| !name.is(known));
        Some(removed)
    }

    /// Keeps those that `keeps` says so of.
    pub fn retain(&mut self, mut keeps: impl FnMut(&HeaderName, &mut HeaderValue) -> bool) {
        self.row.retain_mut(|(name, value)| keeps(name, value));
    }

    /// All, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.row.iter())
    }

    /// The name of each, in order: as often as there are fields of it.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &HeaderName> {
        self.row.iter().map(|(name, _)| name)
    }
}

/// What fields can be asked for by.
pub trait AsName {
    /// It is this name.
    fn is(&self, name: &HeaderName) -> bool;
}

impl AsName for HeaderName {
    fn is(&self, name: &HeaderName) -> bool {
        self == name
    }
}

impl AsName for &HeaderName {
    fn is(&self, name: &HeaderName) -> bool {
        *self == name
    }
}

impl AsName for &str {
    fn is(&self, name: &HeaderName) -> bool {
        name.as_str().eq_ignore_ascii_case(self)
    }
}

/// Each field of a map, in order.
#[derive(Debug, Clone)]
pub struct Iter<'m>(slice::Iter<'m, (HeaderName, HeaderValue)>);

impl<'m> Iterator for Iter<'m> {
    type Item = (&'m HeaderName, &'m HeaderValue);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Each field of one name, in order.
#[derive(Debug, Clone)]
pub struct Values<'m, N> {
    row: slice::Iter<'m, (HeaderName, HeaderValue)>,
    name: N,
}

impl<'m, N: AsName> Iterator for Values<'m, N> {
    type Item = &'m HeaderValue;

    fn next(&mut self) -> Option<Self::Item> {
        self.row.find(|(known, _)| self.name.is(known)).map(|(_, value)| value)
    }
}

impl<N: AsName> DoubleEndedIterator for Values<'_, N> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.row.rfind(|(known, _)| self.name.is(known)).map(|(_, value)| value)
    }
}

impl<'m> IntoIterator for &'m HeaderMap {
    type Item = (&'m HeaderName, &'m HeaderValue);
    type IntoIter = Iter<'m>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for HeaderMap {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.row.into_iter()
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Self {
        Self { row: fields.into_iter().collect() }
    }
}

impl Extend<(HeaderName, HeaderValue)> for HeaderMap {
    fn extend<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(&mut self, fields: I) {
        self.row.extend(fields);
    }
}

impl HeaderMap {
    /// Moves all that actix holds here, behind what is here already; its table keeps its memory. In what order fields of different names
    /// came it does not know.
    pub fn take_from(&mut self, map: &mut header::HeaderMap) {
        let mut last = None;
        for (name, value) in map.drain() {
            // Only the first of a name says it.
            last = name.or(last);
            self.row.extend(last.clone().map(|name| (name, value)));
        }
    }

    /// Moves all to a map of actix's; the memory stays.
    pub fn give_to(&mut self, map: &mut header::HeaderMap) {
        self.row.drain(..).for_each(|(name, value)| map.append(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn shown(map: &HeaderMap) -> Vec<String> {
        let text = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().expect("text"));
        map.iter().map(text).collect()
    }

    #[test]
    fn fields_stay_in_the_order_in_which_they_came() {
        let mut map = map(&[("b", "1"), ("a", "2"), ("b", "3"), ("c", "4")]);
        map.append(header::VIA, HeaderValue::from_static("5"));

        assert_eq!(shown(&map), ["b: 1", "a: 2", "b: 3", "c: 4", "via: 5"]);
        assert_eq!((map.len(), map.keys().count()), (5, 5));
    }

    #[test]
    fn who_looks_for_a_name_finds_all_of_it_however_it_is_spelled() {
        let map = map(&[("b", "1"), ("via", "2"), ("b", "3")]);

        for name in ["b", "B"] {
            assert_eq!(map.get(name).map(HeaderValue::as_bytes), Some(&b"1"[..]));
            assert_eq!(map.get_all(name).map(HeaderValue::as_bytes).collect::<Vec<_>>(), [b"1", b"3"]);
        }
        assert!(map.contains_key(header::VIA) && map.contains_key("Via") && map.contains_key(&header::VIA));
        assert!(!map.contains_key("vi") && map.get("c").is_none() && map.get_all("c").next().is_none());
    }

    #[test]
    fn what_is_inserted_is_the_only_one_of_its_name() {
        let mut map = map(&[("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("a", "5")]);

        map.insert(HeaderName::from_static("a"), HeaderValue::from_static("6"));
        map.insert(HeaderName::from_static("d"), HeaderValue::from_static("7"));
        map.insert(HeaderName::from_static("c"), HeaderValue::from_static("8"));

        assert_eq!(shown(&map), ["a: 6", "b: 2", "c: 8", "d: 7"]);
    }

    #[test]
    fn what_is_removed_is_gone_with_all_of_its_name() {
        let mut map = map(&[("b", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("b", "5")]);

        assert_eq!(map.remove("b"), Some(HeaderValue::from_static("1")));
        assert_eq!(map.remove("b"), None);
        assert_eq!(shown(&map), ["a: 2", "c: 4"]);

        map.retain(|name, _| name != "a");
        assert_eq!(shown(&map), ["c: 4"]);
    }

    #[test]
    fn it_comes_from_actix_and_goes_there_whole() {
        let mut ours = map(&[("a", "1"), ("b", "2"), ("a", "3")]);
        let mut actix = header::HeaderMap::new();

        ours.give_to(&mut actix);
        assert!(ours.is_empty());
        assert_eq!((actix.len(), actix.get_all("a").count()), (3, 2));

        ours.take_from(&mut actix);
        let mut fields = shown(&ours);
        fields.sort();
        assert_eq!(fields, ["a: 1", "a: 3", "b: 2"]);
        assert_eq!(ours.get_all("a").next().map(HeaderValue::as_bytes), Some(&b"1"[..]), "those of a name in order");
        assert!(actix.is_empty());
    }
}
