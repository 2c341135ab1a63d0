//! A filter for those requests alone for which a condition holds.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use super::{Admission, Around, Filter, Gate, Next, Step};
use crate::{exchange::Exchange, http::Response, language::Condition};

/// So many of a route's filters can have a condition.
pub const MOST: u32 = u64::BITS;

struct ConditionalFilter {
    condition: Arc<Condition>,
    filter: Arc<dyn Filter>,
    /// The one that it sets in [`Exchange::skipped`].
    bit: u64,
}

struct ConditionalGate {
    condition: Arc<Condition>,
    gate: Arc<dyn Gate>,
}

struct ConditionalAround {
    condition: Arc<Condition>,
    around: Arc<dyn Around>,
}

impl Step {
    /// The same for requests of which the condition holds, or would if the right one of several fields of one name were taken: a
    /// filter is there to protect. What is decided on the way in is so on the way out. `number` is its own among those
    /// of its route, less than [`MOST`].
    #[must_use]
    pub fn when(self, condition: &Arc<Condition>, number: u32) -> Self {
        let condition = Arc::clone(condition);
        match self {
            Self::Plain(filter) => Self::Plain(Arc::new(ConditionalFilter { condition, filter, bit: 1 << number })),
            Self::Gate(gate) => Self::Gate(Arc::new(ConditionalGate { condition, gate })),
            Self::Around(around) => Self::Around(Arc::new(ConditionalAround { condition, around })),
        }
    }
}

impl Filter for ConditionalFilter {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        if self.condition.may_hold(exchange) {
            return self.filter.on_request(exchange);
        }
        exchange.skipped |= self.bit;
        None
    }

    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        if exchange.skipped & self.bit == 0 {
            self.filter.on_response(exchange, response);
        }
    }
}

impl Gate for ConditionalGate {
    fn admit<'e>(&'e self, exchange: &'e mut Exchange) -> Admission<'e> {
        if self.condition.may_hold(exchange) { self.gate.admit(exchange) } else { Admission::Granted }
    }
}

impl Around for ConditionalAround {
    fn at_once(&self, exchange: &mut Exchange) -> Option<Response> {
        if self.condition.may_hold(exchange) { self.around.at_once(exchange) } else { None }
    }

    fn explain(&self, exchange: &Exchange) -> Vec<String> {
        if self.condition.may_hold(exchange) { self.around.explain(exchange) } else { Vec::new() }
    }

    fn pass<'e>(&'e self, exchange: &'e mut Exchange, next: Next<'e>) -> LocalBoxFuture<'e, Response> {
        if self.condition.may_hold(exchange) {
            return self.around.pass(exchange, next);
        }
        Box::pin(next.run(exchange))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        filters::testing::{passed, request},
        http::{HeaderName, HeaderValue, StatusCode},
    };

    struct Marking;

    const MARK: HeaderName = HeaderName::from_static("x-mark");

    impl Filter for Marking {
        fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
            // What it asks for is not what it leaves.
            exchange.path = "/changed".into();
            None
        }

        fn on_response(&self, _: &Exchange, response: &mut Response) {
            response.headers.append(MARK, HeaderValue::from_static("seen"));
        }
    }

    struct Refusing;

    impl Around for Refusing {
        fn pass<'e>(&'e self, _: &'e mut Exchange, _: Next<'e>) -> LocalBoxFuture<'e, Response> {
            Box::pin(async { Response::new(StatusCode::FORBIDDEN) })
        }
    }

    fn when(step: Step, text: &str, number: u32) -> Step {
        step.when(&Arc::new(Condition::parse(text).expect("a condition")), number)
    }

    #[actix_rt::test]
    async fn a_filter_sees_both_ways_or_none() {
        let steps = [
            when(Step::Plain(Arc::new(Marking)), "path == '/never'", 0),
            when(Step::Plain(Arc::new(Marking)), "path == '/a'", 1),
            when(Step::Plain(Arc::new(Marking)), "path == '/a'", 2),
        ];
        for (path, marks) in [("GET /a", 1), ("GET /b", 0), ("GET /changed", 0)] {
            let response = passed(&steps, &mut request(path, &[])).await;
            assert_eq!(response.headers.get_all(MARK).count(), marks, "{path}");
        }
    }

    #[actix_rt::test]
    async fn one_that_waits_is_passed_by_or_asked() {
        let steps = [when(Step::Around(Arc::new(Refusing)), "header('x-a') == '1'", 0)];
        for (fields, expected) in [(&[("x-a", "1")][..], 403), (&[], 200), (&[("x-a", "2"), ("x-a", "1")], 403)] {
            let response = passed(&steps, &mut request("GET /", fields)).await;
            assert_eq!(response.status.as_u16(), expected, "{fields:?}");
        }
    }
}
