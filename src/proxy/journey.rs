//! One request, from the door to its last byte. Start reading here.

use super::{
    decision,
    dispatch::{self, Dispatch, Nowhere},
    intake,
    worker::Worker,
};
use crate::{
    exchange::Exchange,
    filters,
    http::{Response, StatusCode},
};

/// Carries the exchange to whoever answers it, and brings the answer back: its head, and a body that is still open.
/// What fails on the way is an answer too.
pub async fn serve(worker: &Worker, exchange: &mut Exchange) -> Response {
    // One snapshot for the whole journey: a reload meanwhile changes nothing for this request.
    let active = worker.snapshot();
    if let Err(error) = intake::check(exchange, &active.limits) {
        return active.refuse(error, exchange);
    }
    if let Some(answer) = active.challenges.answer(&exchange.path) {
        return answer;
    }
    if let Some((_, location)) = decision::to_https(&active.plan, exchange) {
        return dispatch::redirect(StatusCode::PERMANENT_REDIRECT, &location)
            .unwrap_or_else(|error| active.refuse(error, exchange));
    }
    let Some(matched) = decision::route(&active.plan, exchange) else {
        return filters::pass(&active.plan.fallback.steps, exchange, &Nowhere(&active)).await;
    };
    let route = &matched.entry.value;
    exchange.taken = matched.prefix_len;
    exchange.facts.subject = route.subjects.own;
    if active.wants_names() {
        exchange.facts.route = Some(route.name.clone());
    }
    let end = Dispatch { active: &active, matched: &matched, worker };
    filters::pass(&route.filters, exchange, &end).await
}
