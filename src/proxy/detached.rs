//! The rest of a passage for exchanges of its own, in tasks of their own: that of the client may have been answered meanwhile.

use std::rc::Rc;

use super::{decision, dispatch::Dispatch};
use crate::{
    filters::{self, Detached},
    http::Error,
};

/// The way from so many filters before `dispatch` on, under the same plan and on the same worker.
pub fn detach(dispatch: &Dispatch<'_>, steps: usize) -> Detached {
    let (worker, active) = (dispatch.worker.shared(), Rc::clone(dispatch.active));
    let index = dispatch.matched.index;
    Box::new(move |mut exchange| {
        let (worker, active) = (Rc::clone(&worker), Rc::clone(&active));
        Box::pin(async move {
            let matched = decision::route(&active.plan, &exchange).filter(|matched| matched.index == index);
            let Some(matched) = matched else {
                let what = "an exchange went on where it did not come from";
                let response = active.refuse(Error::Internal { what }, &mut exchange);
                return (exchange, response);
            };
            let route = &matched.entry.value;
            exchange.facts.subject = route.subjects.own;
            let first = route.filters.len().saturating_sub(steps);
            let end = Dispatch { active: &active, matched: &matched, worker: &worker };
            let response = filters::pass(&route.filters[first..], &mut exchange, &end).await;
            (exchange, response)
        })
    })
}
