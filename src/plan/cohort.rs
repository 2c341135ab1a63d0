//! Cohorts: a client keeps its side of a split, by a number of its own in a cookie.

use std::time::Duration;

use crate::{
    chance,
    http::{
        HeaderMap,
        cookies::{self, Lasting, OwnCookie},
    },
};

/// How clients keep their numbers. They are not signed: whoever wants another side could throw cookies away until it comes to it.
pub struct Cohort(OwnCookie);

/// A client with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// It decides which side is the client's.
    pub number: u32,
    /// The client knows it, and for a while yet.
    is_known: bool,
}

impl Cohort {
    /// With this cookie.
    pub fn new(cookie: OwnCookie) -> Self {
        Self(cookie)
    }

    /// Who asks at this time (since 1970): the number it has, or a new one. Takes the cookie out: it is none of the
    /// endpoint's business.
    pub fn recognise(&self, headers: &mut HeaderMap, now: Duration) -> Member {
        let known = cookies::values(headers, &self.0.name).find_map(|value| self.read(value, now));
        cookies::remove(headers, &self.0.name);
        known.unwrap_or_else(|| Member { number: chance::half(), is_known: false })
    }

    /// Tells the client its number, unless it knows.
    pub fn remind(&self, member: Member, now: Duration, secure: bool, answer: &mut HeaderMap) {
        if !member.is_known {
            let value = [self.0.until(now), member.number.to_be_bytes()].concat();
            self.0.set(&value, secure, answer);
        }
    }

    fn read(&self, value: &[u8], now: Duration) -> Option<Member> {
        let value = cookies::bytes::<8>(value)?;
        let (until, number) = value.split_first_chunk()?;
        let is_known = self.0.lasting(*until, now)? == Lasting::Long;
        Some(Member { number: u32::from_be_bytes(number.try_into().ok()?), is_known })
    }
}
