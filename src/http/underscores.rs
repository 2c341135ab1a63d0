//! Fields of requests that have `_` in their names. Gateway interfaces make `_` of every `-` (RFC 3875, 4.1.18): an endpoint behind
//! one reads `X_Role` as `X-Role`, and whoever looked at that on the way has not seen it.

use super::{BodyError, Error, HeaderMap, HeaderName};

/// What becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Underscores {
    /// They are left out.
    #[default]
    Drop,
    /// The request is refused.
    Refuse,
    /// They go on, and are others than those with `-`.
    Pass,
}

impl Underscores {
    /// Has fields as they may be. Most have no such name: whoever knows that does not ask.
    ///
    /// # Errors
    /// They are refused.
    #[cold]
    pub fn settle(self, fields: &mut HeaderMap) -> Result<(), Error> {
        if self == Self::Pass || !fields.keys().any(has_one) {
            return Ok(());
        }
        if self == Self::Refuse {
            return Err(Error::Malformed { what: "a field name with an underscore" });
        }
        fields.retain(|name, _| {
            let goes_on = !has_one(name);
            if !goes_on {
                log::debug!("a field is left out, for it has an underscore in its name: {name}");
            }
            goes_on
        });
        Ok(())
    }

    /// The same for trailers.
    ///
    /// # Errors
    /// They are refused, and the body with them.
    pub fn settle_trailers(self, trailers: Option<HeaderMap>) -> Result<Option<HeaderMap>, BodyError> {
        let Some(mut trailers) = trailers else { return Ok(None) };
        self.settle(&mut trailers).map_err(|_| BodyError::Malformed)?;
        Ok((!trailers.is_empty()).then_some(trailers))
    }
}

fn has_one(name: &HeaderName) -> bool {
    name.as_str().contains('_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderValue;

    fn fields(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|&name| (HeaderName::from_static(name), HeaderValue::from_static("1"))).collect()
    }

    #[test]
    fn fields_with_an_underscore_are_as_is_said() {
        const NAMES: [&str; 4] = ["x-role", "x_role", "_", "accept"];
        for (what, expected) in [
            (Underscores::Drop, Some(&["accept", "x-role"][..])),
            (Underscores::Refuse, None),
            (Underscores::Pass, Some(&["_", "accept", "x-role", "x_role"])),
        ] {
            let mut settled = fields(&NAMES);
            let outcome = what.settle(&mut settled);

            let mut left: Vec<_> = settled.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(outcome.is_ok().then_some(&left[..]), expected, "{what:?}");
            assert!(what.settle(&mut fields(&["x-role"])).is_ok(), "{what:?}");
        }
    }

    #[test]
    fn trailers_of_which_nothing_is_left_are_none() {
        let left = Underscores::Drop.settle_trailers(Some(fields(&["x_role"])));
        assert!(left.is_ok_and(|left| left.is_none()));
        assert!(Underscores::Refuse.settle_trailers(Some(fields(&["x_role"]))).is_err());
        assert!(Underscores::Refuse.settle_trailers(None).is_ok());
    }
}
