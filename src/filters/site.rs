//! Where a filter is built, and what it can have there.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use futures_util::future::LocalBoxFuture;
use indexmap::IndexMap;

use crate::{
    cache::key::KeyRules,
    language::Difference,
    settings::{Problem, Problems, StoreSettings, did_you_mean},
    telemetry::metrics::{Event, Ledger},
};

/// Where a filter is built. What is had here lasts as long as the plan, and what is kept goes on in the next.
pub struct Site<'s> {
    at: &'s [String],
    filter: &'static str,
    before: Option<&'s Belongings>,
    ledger: &'s Ledger,
    stores: Option<&'s IndexMap<String, StoreSettings>>,
    shared: Option<&'s Shared>,
    methods: Option<&'s [String]>,
    belongings: Mutex<Belongings>,
}

/// What a filter has besides itself.
#[derive(Default, Clone)]
pub struct Belongings {
    kept: HashMap<&'static str, Arc<dyn Any + Send + Sync>>,
    /// Its work that is on no request's way.
    pub chores: Vec<Arc<dyn Chore>>,
    /// What can be done as it was written, and still should be known.
    pub warnings: Vec<String>,
    /// What the answers that it makes, or has made, depend on; `None`: it makes none.
    pub makes_by: Option<Vec<Difference>>,
    /// By which keys it keeps answers, if it does.
    pub keeps_by: Option<KeyRules>,
}

/// What filters of one proxy have in common, by name, over reloads, and as long as one of them has it.
#[derive(Default, Clone)]
pub struct Shared(Arc<Mutex<HashMap<String, Weak<dyn Any + Send + Sync>>>>);

impl Shared {
    /// All there is of this type.
    pub fn all<T: Any + Send + Sync>(&self) -> Vec<Arc<T>> {
        let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.values().filter_map(Weak::upgrade).filter_map(|one| one.downcast::<T>().ok()).collect()
    }
}

/// Work of a filter that is on no request's way, such as fetching keys. It is done on the thread of the actors as long as a
/// plan has it, and begun again if it panics: by `aqueduct run`, and in an application of one's own by
/// [`Actors::do_chores`](crate::actors::Actors::do_chores).
pub trait Chore: Send + Sync {
    /// For the log: what is being done.
    fn name(&self) -> &'static str;
    /// Does it, for ever or until nothing is left to do.
    fn work(self: Arc<Self>) -> LocalBoxFuture<'static, ()>;
}

impl<'s> Site<'s> {
    /// Where settings are written at this key, and what the filter there had before.
    pub fn new(filter: &'static str, at: &'s [String], before: Option<&'s Belongings>, ledger: &'s Ledger) -> Self {
        Self { at, filter, before, ledger, stores: None, shared: None, methods: None, belongings: Mutex::default() }
    }

    /// With what several processes share.
    #[must_use]
    pub fn with_stores(mut self, stores: &'s IndexMap<String, StoreSettings>) -> Self {
        self.stores = Some(stores);
        self
    }

    /// With what filters have in common.
    #[must_use]
    pub fn with_shared(mut self, shared: &'s Shared) -> Self {
        self.shared = Some(shared);
        self
    }

    /// With the methods that the server lets in (`server.http.methods`).
    #[must_use]
    pub fn with_methods(mut self, methods: &'s [String]) -> Self {
        self.methods = Some(methods);
        self
    }

    /// Requests of this method get as far as to a filter. Where nobody knows, they may.
    pub fn lets_in(&self, method: &str) -> bool {
        self.methods.is_none_or(|methods| methods.iter().any(|one| one == "*" || one == method))
    }

    /// Something that all filters have in common that ask for it by this name.
    pub fn share<T: Any + Send + Sync>(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let Some(Shared(shared)) = self.shared else { return Arc::new(make()) };
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.get(name).and_then(Weak::upgrade).and_then(|known| known.downcast::<T>().ok());
        known.unwrap_or_else(|| {
            let made = Arc::new(make());
            shared.retain(|_, one| one.strong_count() > 0);
            let weak: Weak<T> = Arc::downgrade(&made);
            shared.insert(name.to_owned(), weak);
            made
        })
    }

    /// The one of `[stores]` that is called so, or what was likely meant; its key begins at the filter's.
    pub fn store(&self, name: &str, at: &str) -> Result<&'s StoreSettings, Problems> {
        let stores = self.stores.into_iter().flatten();
        let known = stores.clone().find(|(known, _)| *known == name).map(|(_, store)| store);
        known.ok_or_else(|| {
            let hint = did_you_mean(name, stores.map(|(known, _)| known));
            let help = hint.unwrap_or_else(|| format!("no [stores.{}]", name.escape_debug()));
            Problem::at([at], format!("unknown store `{}`", name.escape_debug())).help(help).into()
        })
    }

    /// The key of its settings: `["routes", "/api", "jwt"]`, `["policies", "staff", "jwt"]` or `["defaults", "jwt"]`.
    pub fn key(&self) -> &[String] {
        self.at
    }

    /// Something that the filter of other settings at the same place goes on with, if it fits them: the state of limits, what
    /// was fetched. Under unchanged settings the whole filter stays as it is, unless it reads files.
    pub fn keep<T: Any + Send + Sync>(
        &self,
        name: &'static str,
        fits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        // It may stand here twice, within another one.
        let own = self.belongings().kept.get(name).cloned();
        let known = own.or_else(|| self.before.and_then(|before| before.kept.get(name)).cloned());
        let known = known.and_then(|known| known.downcast::<T>().ok()).filter(|known| fits(known));
        let kept = known.unwrap_or_else(|| Arc::new(make()));
        self.belongings().kept.insert(name, Arc::clone(&kept) as _);
        kept
    }

    /// Has this done as long as the filter is there. One that is [kept](Self::keep) goes on over a reload.
    pub fn chore(&self, chore: Arc<dyn Chore>) {
        self.belongings().chores.push(chore);
    }

    /// What can be done as it is written, and still should be known.
    pub fn warn(&self, warning: impl Into<String>) {
        let place = crate::settings::problem::name(self.at);
        self.belongings().warnings.push(format!("{place}: {}", warning.into()));
    }

    /// Answers are other ones for it, and they depend on this: it should be known where one of them is kept for all.
    pub fn makes_by(&self, differences: impl IntoIterator<Item = Difference>) {
        self.belongings().makes_by.get_or_insert_default().extend(differences);
    }

    /// Answers are kept by these keys.
    pub fn keeps_by(&self, keys: &KeyRules) {
        self.belongings().keeps_by = Some(keys.clone());
    }

    /// Counts something that happens to this kind of filter: `aqueduct_filter_events_total{filter="..", event=".."}`.
    /// What it refuses is counted without it.
    pub fn event(&self, event: &'static str) -> Event {
        self.ledger.event(self.filter, event)
    }

    /// What was had here.
    pub fn into_belongings(self) -> Belongings {
        self.belongings.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn belongings(&self) -> std::sync::MutexGuard<'_, Belongings> {
        self.belongings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_one_for_all_as_long_as_somebody_has_it() {
        let (ledger, shared) = (Ledger::default(), Shared::default());
        let site = || Site::new("cache", &[], None, &ledger).with_shared(&shared);
        let first = site().share("a", || 1_u32);

        assert!(Arc::ptr_eq(&first, &site().share("a", || 2_u32)));
        assert_eq!(*site().share("b", || 3_u32), 3);
        drop(first);
        assert_eq!(*site().share("a", || 4_u32), 4);
    }

    #[test]
    fn what_is_kept_goes_on_if_it_fits() {
        let ledger = Ledger::default();
        let at = ["routes", "/", "rate_limit"].map(String::from);
        let first = Site::new("rate_limit", &at, None, &ledger);
        let kept = first.keep("buckets", |_| true, || 7_u32);
        let before = first.into_belongings();

        let again =
            |fits: bool| Site::new("rate_limit", &at, Some(&before), &ledger).keep("buckets", |_| fits, || 8_u32);

        assert!(Arc::ptr_eq(&again(true), &kept));
        assert_eq!(*again(false), 8);
        let other = Site::new("rate_limit", &at, Some(&before), &ledger).keep("others", |_| true, || 9_u32);
        assert_eq!(*other, 9);
    }
}
