//! Where each value of a file stands in it. There may be hundreds of thousands of them, and they are kept as long as what the
//! file says is in force: small, and nothing more than once.

use std::ops::Range;

use serde_json::Value;

/// Where a value stands in its file, and its key; and the same of what it holds.
#[derive(Debug, Default)]
pub(super) struct Trace {
    key: Span,
    value: Span,
    /// Entries of a table by key, elements of an array by number; in the order of the names.
    inner: Box<[(Box<str>, Trace)]>,
    shape: Shape,
}

/// What kind of value it is, where different layers may have different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shape {
    /// Layers are merged into it key by key.
    Table,
    /// It is as the strongest layer has it.
    Array,
    /// The same.
    #[default]
    Scalar,
}

/// No file of settings is larger than 4 GiB: who writes one is told where in its first part something is wrong.
#[derive(Debug, Default, Clone, Copy)]
struct Span(u32, u32);

impl Shape {
    /// Of a value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Object(_) => Self::Table,
            Value::Array(_) => Self::Array,
            _ => Self::Scalar,
        }
    }
}

impl Trace {
    /// A value that stands there and holds these, by any order.
    pub fn of(shape: Shape, value: Range<usize>, mut inner: Vec<(Box<str>, Self)>) -> Self {
        inner.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self { value: value.into(), inner: inner.into(), shape, ..Self::default() }
    }

    /// The same with its key.
    pub fn under(self, key: Range<usize>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// Where the key is.
    pub fn key(&self) -> Range<usize> {
        self.key.into()
    }

    /// Where the value is.
    pub fn value(&self) -> Range<usize> {
        self.value.into()
    }

    /// What it is.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What it holds at this path.
    pub fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |trace, key| {
            let place = trace.inner.binary_search_by(|(name, _)| (**name).cmp(key)).ok()?;
            Some(&trace.inner[place].1)
        })
    }

    /// Where the outermost array or inline table begins that goes on to `at`.
    pub fn around(&self, at: usize) -> Option<usize> {
        self.inner.iter().find_map(|(_, inner)| {
            let value = inner.value();
            let goes_on = !inner.inner.is_empty() && value.start < at && at <= value.end;
            if goes_on { Some(value.start) } else { inner.around(at) }
        })
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self(short(range.start), short(range.end))
    }
}

impl From<Span> for Range<usize> {
    fn from(Span(start, end): Span) -> Self {
        start as usize..end as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_value_is_small() {
        assert!(size_of::<(Box<str>, Trace)>() <= 56, "{}", size_of::<(Box<str>, Trace)>());
    }

    #[test]
    fn what_a_value_holds_is_found_by_its_path() {
        let scalar = |at: usize| Trace::of(Shape::Scalar, at..at + 1, Vec::new()).under(at - 1..at);
        let array = Trace::of(Shape::Array, 5..9, (0..12).map(|at| (at.to_string().into(), scalar(10 + at))).collect());
        let all = Trace::of(Shape::Table, 0..30, vec![("b".into(), array), ("a".into(), scalar(1))]);

        let at = |path: &[&str]| all.at(&path.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());

        for number in 0..12 {
            assert_eq!(at(&["b", &number.to_string()]).map(Trace::value), Some(10 + number..11 + number));
        }
        assert_eq!(at(&["a"]).map(|trace| (trace.key(), trace.shape())), Some((0..1, Shape::Scalar)));
        assert!(at(&["a", "b"]).is_none() && at(&["c"]).is_none());
        assert_eq!(all.around(7), Some(5));
    }
}
