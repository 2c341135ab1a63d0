//! Making what is below memory ready before somebody asks for it.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use crate::{cache::store::Shelf, filters::site::Chore};

/// Done once.
pub struct Opening(pub Arc<Shelf>);

impl Chore for Opening {
    fn name(&self) -> &'static str {
        "opening of a cache"
    }

    fn work(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        Box::pin(async move { self.0.lower().iter().for_each(|lower| lower.wake()) })
    }
}
