//! What the answer to a POST tells of what is there now (RFC 9110, 9.3.3).

use super::{Desk, asked::Asked, fetch::Came};
use crate::{
    cache::{policy, status::CacheStatus},
    exchange::Exchange,
    http::Response,
};

impl Desk {
    /// It is stored for those who GET it, if it says that it is that. What was stored before is gone already.
    pub fn posted(&self, exchange: &mut Exchange, asked: &Asked, came: Came, told: &mut CacheStatus) -> Response {
        let (ask, response) = (asked.ask(&self.rules), &came.response);
        let is_stored = response.cause.is_none()
            && policy::store(&ask, response.status, &response.headers, came.times, &self.rules).is_ok();
        // Whoever asks for it meanwhile stores what he gets.
        let lead = is_stored.then(|| self.shelf.flights.lead_alone(&asked.key)).flatten();
        match lead {
            Some(lead) => self.keep(exchange, asked, lead, came, told),
            None => came.response,
        }
    }
}
