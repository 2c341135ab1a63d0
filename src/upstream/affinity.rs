//! Affinity: a client stays with its endpoint, by a cookie that tells nothing but us.
//!
//! Its value is until when it lasts (4 bytes), which endpoint (16 bytes), and a signature over both (16 bytes). Which endpoint
//! is an HMAC of its name: nobody reads an address off it, nor makes one up.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use aws_lc_rs::{constant_time, hmac, rand};

use super::Endpoint;
use crate::http::{
    HeaderMap,
    cookies::{self, Lasting, OwnCookie},
};

/// How the clients of an upstream are kept with their endpoints.
pub struct Affinity {
    upstream: Arc<str>,
    cookie: OwnCookie,
    key: hmac::Key,
}

/// What endpoints are called in cookies, each by its place.
pub struct Tokens {
    by_place: Box<[Token]>,
    places: HashMap<Token, usize>,
}

/// A client that has been here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    token: Token,
    lasting: Lasting,
}

/// What an endpoint is called in cookies.
pub type Token = [u8; 16];

const SIZE: usize = 4 + 16 + 16;
/// Cookies of our name that are looked at in one request: each is a signature to verify.
const MOST_COOKIES: usize = 4;

/// For those who name no secret: it stays as long as the process.
static MADE_UP: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut secret = [0; 32];
    rand::fill(&mut secret).expect("a system without randomness has no TLS either");
    secret
});

impl Affinity {
    /// For an upstream of this name; without a secret one is made up, once in a process.
    pub fn new(upstream: &str, cookie: OwnCookie, secret: Option<&[u8]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.unwrap_or(&*MADE_UP));
        Self { upstream: upstream.into(), cookie, key }
    }

    /// What these endpoints are called.
    pub fn tokens(&self, endpoints: &[Arc<Endpoint>]) -> Tokens {
        let by_place: Box<[Token]> = endpoints.iter().map(|endpoint| self.token(&endpoint.name)).collect();
        let places = by_place.iter().enumerate().map(|(place, token)| (*token, place)).collect();
        Tokens { by_place, places }
    }

    /// Who asks, if it has a cookie of ours that holds at this time (since 1970). Takes the cookie out: it is none of the
    /// endpoint's business.
    pub fn recognise(&self, headers: &mut HeaderMap, now: Duration) -> Option<Guest> {
        let name = &self.cookie.name;
        let guest = cookies::values(headers, name).take(MOST_COOKIES).find_map(|value| self.read(value, now));
        cookies::remove(headers, name);
        guest
    }

    /// Tells the client whom to stay with, unless it knows.
    pub fn remind(&self, guest: Option<Guest>, token: Token, now: Duration, secure: bool, answer: &mut HeaderMap) {
        if guest != Some(Guest { token, lasting: Lasting::Long }) {
            self.cookie.set(&self.value(token, now), secure, answer);
        }
    }

    /// What an endpoint of this name is called.
    pub fn token(&self, endpoint: &str) -> Token {
        self.sign(&[b"endpoint\0", self.upstream.as_bytes(), b"\0", endpoint.as_bytes()])
    }

    fn value(&self, token: Token, now: Duration) -> [u8; SIZE] {
        let until = self.cookie.until(now);
        let signature = self.sign(&[b"cookie\0", &until, &token]);
        let mut value = [0; SIZE];
        value[..4].copy_from_slice(&until);
        value[4..20].copy_from_slice(&token);
        value[20..].copy_from_slice(&signature);
        value
    }

    fn read(&self, value: &[u8], now: Duration) -> Option<Guest> {
        let value = cookies::bytes::<SIZE>(value)?;
        let (until, rest) = value.split_first_chunk()?;
        let (token, signature) = rest.split_first_chunk()?;
        let expected = self.sign(&[b"cookie\0", until, token]);
        constant_time::verify_slices_are_equal(&expected, signature).ok()?;
        Some(Guest { token: *token, lasting: self.cookie.lasting(*until, now)? })
    }

    /// Half of the HMAC: as hard to guess as a key of 128 bits.
    fn sign(&self, parts: &[&[u8]]) -> Token {
        let mut signing = hmac::Context::with_key(&self.key);
        parts.iter().for_each(|part| signing.update(part));
        let whole = signing.sign();
        *whole.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}

impl Tokens {
    /// What the endpoint at this place is called.
    pub fn of(&self, place: usize) -> Token {
        self.by_place[place]
    }

    /// Where the endpoint is that the client was with; `None` if it is gone.
    pub fn place_of(&self, guest: Guest) -> Option<usize> {
        self.places.get(&guest.token).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{http::header, settings::upstream::PoolSettings, transport::Address};

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn affinity(upstream: &str, secret: &[u8]) -> Affinity {
        Affinity::new(upstream, OwnCookie { name: "srv".into(), ttl: HOUR }, Some(secret))
    }

    fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
        let pool = PoolSettings::default();
        let address = |number: u16| Address::Tcp { host: "10.0.0.1".into(), port: number };
        (1..=count).map(|number| Arc::new(Endpoint::new(address(number), "endpoint", 1, &pool))).collect()
    }

    /// A cookie for this endpoint that was set now.
    fn cookie(affinity: &Affinity, endpoint: &str, now: Duration) -> String {
        let mut answer = HeaderMap::new();
        affinity.remind(None, affinity.token(endpoint), now, false, &mut answer);
        let cookie = answer.get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok()).expect("a cookie");
        cookie["srv=".len()..].split(';').next().expect("its value").to_owned()
    }

    /// Where a cookie that was made for one endpoint leads among others.
    fn led(affinity: &Affinity, cookie: &str, among: &[Arc<Endpoint>], now: Duration) -> Option<Arc<str>> {
        let guest = affinity.read(cookie.as_bytes(), now)?;
        affinity.tokens(among).place_of(guest).map(|place| Arc::clone(&among[place].name))
    }

    proptest! {
        #[test]
        fn a_cookie_leads_to_the_endpoint_it_was_made_for_and_to_no_other(
            count in 1u16..40, made_for: prop::sample::Index, gone in any::<u64>(), at in 0u64..7200,
            broken in prop::option::of((0..2 * SIZE, 0u8..128)), secret in prop::collection::vec(any::<u8>(), 16..40),
        ) {
            let affinity = affinity("shop", &secret);
            let all = endpoints(count);
            let made_for = &all[made_for.index(all.len())];
            let cookie = cookie(&affinity, &made_for.name, NOW);
            let mut shown = cookie.clone().into_bytes();
            if let Some((place, letter)) = broken {
                shown[place] = letter;
            }
            let is_whole = shown == cookie.as_bytes();
            let shown = String::from_utf8(shown).expect("ASCII");
            // Some are gone, and the others stand elsewhere.
            let mut left: Vec<_> = all.iter().filter(|one| gone >> (one.target.id % 64) & 1 == 0).cloned().collect();
            left.reverse();

            let led = led(&affinity, &shown, &left, NOW + Duration::from_secs(at));

            let is_there = left.iter().any(|one| Arc::ptr_eq(one, made_for));
            let expected = (is_whole && is_there && at < 3600).then(|| Arc::clone(&made_for.name));
            prop_assert_eq!(led, expected);
        }

        #[test]
        fn what_others_have_made_up_is_no_cookie(text in "[0-9a-f]{72}|.{0,80}|[0-9a-f]{0,100}") {
            prop_assert_eq!(affinity("shop", b"0123456789abcdef").read(text.as_bytes(), NOW), None);
        }
    }

    #[test]
    fn a_cookie_of_another_upstream_or_secret_is_none_of_ours() {
        let all = endpoints(3);
        let ours = affinity("shop", b"0123456789abcdef");
        for (other, leads) in [
            (affinity("shop", b"0123456789abcdef"), true),
            (affinity("blog", b"0123456789abcdef"), false),
            (affinity("shop", b"0123456789abcdeF"), false),
        ] {
            let cookie = cookie(&other, &all[0].name, NOW);
            assert_eq!(led(&ours, &cookie, &all, NOW).is_some(), leads);
        }
    }

    #[test]
    fn a_client_is_told_again_past_half_of_its_time_or_when_it_moves() {
        let affinity = affinity("shop", b"0123456789abcdef");
        let [here, there] = ["here", "there"].map(|name| affinity.token(name));
        for (ago, token, told) in [(0, here, false), (1799, here, false), (1801, here, true), (0, there, true)] {
            let guest = affinity.read(cookie(&affinity, "here", NOW - Duration::from_secs(ago)).as_bytes(), NOW);
            assert!(guest.is_some());
            let mut answer = HeaderMap::new();

            affinity.remind(guest, token, NOW, false, &mut answer);

            assert_eq!(answer.contains_key(header::SET_COOKIE), told, "{ago}");
        }
    }

    #[test]
    fn with_a_thousand_endpoints_no_two_are_called_alike() {
        let all = endpoints(1000);

        assert_eq!(affinity("shop", b"0123456789abcdef").tokens(&all).places.len(), 1000);
    }
}
