//! The fields of a stored answer, in as little memory as they can be in: a map of them takes several times that.

use bytes::BytesMut;

use crate::http::{HeaderMap, HeaderName, HeaderValue, scratch};

/// Fields, one after the other; lines of one name are in their order.
#[derive(Debug, Clone, Default)]
pub struct Fields(Box<[(HeaderName, HeaderValue)]>);

impl Fields {
    /// Those of a map that are to stay, in memory of their own: fields that came from a connection hold what that had read.
    pub fn of(headers: &HeaderMap, stays: impl Fn(&HeaderName) -> bool) -> Self {
        let kept = || headers.iter().filter(|(name, _)| stays(name));
        let mut values = BytesMut::with_capacity(kept().map(|(_, value)| value.len()).sum());
        kept().for_each(|(_, value)| values.extend_from_slice(value.as_bytes()));
        let mut values = values.freeze();
        let own = |(name, value): (&HeaderName, &HeaderValue)| {
            let name = HeaderName::from_bytes(name.as_ref()).expect("it is one already");
            let value = HeaderValue::from_maybe_shared(values.split_to(value.len())).expect("it is one already");
            (name, value)
        };
        kept().map(own).collect()
    }

    /// One more.
    pub(super) fn add(&mut self, name: HeaderName, value: HeaderValue) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        all.push((name, value));
        self.0 = all.into();
    }

    /// Each, with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> + Clone {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of this name.
    pub fn get(&self, name: impl PartialEq<HeaderName>) -> Option<&HeaderValue> {
        self.get_all(name).next()
    }

    /// All of this name.
    pub fn get_all(&self, name: impl PartialEq<HeaderName>) -> impl Iterator<Item = &HeaderValue> {
        self.iter().filter(move |(own, _)| name == **own).map(|(_, value)| value)
    }

    /// There is one of this name.
    pub fn has(&self, name: impl PartialEq<HeaderName>) -> bool {
        self.get(name).is_some()
    }

    /// As a map, without these; there is room in it for more.
    pub fn to_map(&self, without: &[HeaderName]) -> HeaderMap {
        let mut map = scratch::map();
        for (name, value) in self.iter().filter(|(name, _)| !without.contains(name)) {
            map.append(name.clone(), value.clone());
        }
        map
    }

    /// About so many bytes of memory.
    pub fn weight(&self) -> usize {
        let texts: usize = self.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        size_of_val(&*self.0) + texts
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::header;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn what_was_kept_of_a_map_is_what_it_becomes_again() {
        let all = map(&[("link", "<a>"), ("x-own", "1"), ("link", "<b>"), ("age", "3"), ("etag", "")]);

        let fields = Fields::of(&all, |name| *name != header::AGE);

        assert_eq!((fields.len(), fields.has(header::AGE), fields.has(header::ETAG)), (4, false, true));
        assert_eq!(fields.get_all(header::LINK).collect::<Vec<_>>(), ["<a>", "<b>"]);
        let again = fields.to_map(&[header::ETAG]);
        assert_eq!(again.get_all(header::LINK).collect::<Vec<_>>(), ["<a>", "<b>"]);
        assert_eq!((again.len(), again.get("x-own").map(HeaderValue::as_bytes)), (3, Some(&b"1"[..])));
    }
}
