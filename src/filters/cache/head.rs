//! What the answer to HEAD tells of what is stored (RFC 9111, 4.3.5).

use super::{Desk, asked::Asked, fetch::Came};
use crate::{
    cache::{
        entry::now,
        policy::{self, Refreshed, Use},
    },
    http::{HeaderValue, ResponseBody, header},
};

impl Desk {
    /// It is as new as this answer, or is to be asked for again.
    pub fn heed_head(&self, asked: &Asked, came: &Came) {
        let (ask, now) = (asked.ask(&self.rules), now());
        let Some(found) = self.find(&asked.key, &ask, now) else { return };
        let (entry, response) = (found.entry, &came.response);
        if matches!(found.usage, Use::OtherVariant | Use::Impersonal) || entry.head.status != response.status {
            return;
        }
        let mut headers = response.headers.clone();
        if let ResponseBody::Announced(length) = response.body {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let length = entry.length();
        let head = match policy::refresh_by_head(&ask, &entry.head, length, &headers, came.times, &self.rules) {
            Refreshed::Kept(head) => head,
            Refreshed::Aside(_) => return,
            Refreshed::Once(..) | Refreshed::Mismatch => {
                let mut head = entry.head.clone();
                head.expire(now);
                head
            }
        };
        self.shelf.put(&asked.key, &entry.with(head, came.since), None);
    }
}
