//! A connection that could not be made, as it is told to all who waited for it.

use std::{error::Error, fmt, io, sync::Arc};

use crate::transport::Cause;

/// Why there is no connection.
#[derive(Debug, Clone)]
pub enum Failure {
    /// It failed.
    Io(Arc<io::Error>),
    /// What is spoken is no HTTP/2.
    Malformed(&'static str),
    /// The endpoint has closed it.
    Closed,
}

impl Failure {
    /// As the cause of one attempt's end.
    pub fn told(self) -> Cause {
        match self {
            Self::Io(error) => Cause::Io(Arc::try_unwrap(error).unwrap_or_else(Shared::as_error)),
            Self::Malformed(what) => Cause::Malformed(what),
            Self::Closed => Cause::Closed,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Io(error) => error.into(),
            Cause::Malformed(what) => Self::Malformed(what),
            _ => Self::Closed,
        }
    }
}

/// An error that others have as well; what lies below it is still found.
#[derive(Debug)]
struct Shared(Arc<io::Error>);

impl Shared {
    fn as_error(error: Arc<io::Error>) -> io::Error {
        error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), Self(error)), io::Error::from_raw_os_error)
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.get_ref().map(|below| below as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it is not who it must be")]
    struct Below;

    #[test]
    fn what_lies_below_is_found_however_many_are_told() {
        let failure = Failure::from(io::Error::other(Below));
        for told in [failure.clone().told(), failure.told()] {
            let Cause::Io(error) = told else { panic!("{told:?}") };
            let below = error.get_ref().expect("it has a cause");
            assert!(below.is::<Below>() || below.source().is_some_and(|below| below.is::<Below>()), "{error:?}");
            assert_eq!(error.to_string(), Below.to_string());
        }
    }
}
