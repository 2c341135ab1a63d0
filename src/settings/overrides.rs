//! What a route says otherwise than `[defaults]`.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::LazyLock,
};

use super::RouteDefaults;

/// It. Most routes say nothing, and there may be a hundred thousand of them: nothing takes no room.
#[derive(Clone, Default)]
pub struct Overrides(Option<Box<RouteDefaults>>);

static NOTHING: LazyLock<RouteDefaults> = LazyLock::new(RouteDefaults::default);

impl Deref for Overrides {
    type Target = RouteDefaults;

    fn deref(&self) -> &RouteDefaults {
        self.0.as_deref().unwrap_or_else(|| &NOTHING)
    }
}

impl DerefMut for Overrides {
    fn deref_mut(&mut self) -> &mut RouteDefaults {
        self.0.get_or_insert_default()
    }
}

impl From<RouteDefaults> for Overrides {
    fn from(said: RouteDefaults) -> Self {
        Self((said != *NOTHING).then(|| Box::new(said)))
    }
}

impl PartialEq for Overrides {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RouteSettings;

    #[test]
    fn a_route_that_says_nothing_more_is_small() {
        assert!(size_of::<RouteSettings>() <= 232, "{}", size_of::<RouteSettings>());
    }

    #[test]
    fn to_say_nothing_is_the_same_in_all_ways() {
        let mut touched = Overrides(None);
        touched.host = None;

        assert_eq!((touched, Overrides::from(RouteDefaults::default())), (Overrides::default(), Overrides::default()));
    }
}
