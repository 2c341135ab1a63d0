//! Affinity: a client stays with its endpoint, by a cookie that tells nothing but us.
//!
//! Its value is, in hexadecimal digits, which endpoint (16 bytes), until when (4 bytes: seconds since 1970), and a signature
//! over both (16 bytes). Which endpoint is an HMAC of its name: nobody reads an address off it, nor makes one up.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use aws_lc_rs::{constant_time, hmac, rand};

use super::Endpoint;
use crate::http::{HeaderMap, HeaderValue, cookies, header};

/// How the clients of an upstream are kept with their endpoints.
pub struct Affinity {
    upstream: Arc<str>,
    cookie: String,
    ttl: Duration,
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
    /// Its cookie lasts for a while yet.
    is_fresh: bool,
}

/// What an endpoint is called in cookies.
pub type Token = [u8; 16];

const EXPIRY: usize = 4;
/// Token, expiry and signature, two digits for a byte.
const DIGITS: usize = 2 * (16 + EXPIRY + 16);
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
    pub fn new(upstream: &str, cookie: &str, secret: Option<&[u8]>, ttl: Duration) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.unwrap_or(&*MADE_UP));
        Self { upstream: upstream.into(), cookie: cookie.into(), ttl, key }
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
        let guest = cookies::values(headers, &self.cookie).take(MOST_COOKIES).find_map(|value| self.read(value, now));
        cookies::remove(headers, &self.cookie);
        guest
    }

    /// Tells the client whom to stay with, unless it knows. The answer is for it alone then: a cache that others are
    /// answered from must not keep it.
    pub fn remind(&self, guest: Option<Guest>, token: Token, now: Duration, secure: bool, answer: &mut HeaderMap) {
        if guest.is_some_and(|guest| guest.is_fresh && guest.token == token) {
            return;
        }
        let value = self.write(token, now + self.ttl);
        if let Some(cookie) = cookies::set(&self.cookie, &value, self.ttl, secure) {
            answer.append(header::SET_COOKIE, cookie);
            answer.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
        }
    }

    /// What an endpoint of this name is called.
    pub fn token(&self, endpoint: &str) -> Token {
        self.sign(&[b"endpoint\0", self.upstream.as_bytes(), b"\0", endpoint.as_bytes()])
    }

    fn write(&self, token: Token, until: Duration) -> String {
        let until = u32::try_from(until.as_secs()).unwrap_or(u32::MAX).to_be_bytes();
        let signature = self.sign(&[b"cookie\0", &token, &until]);
        let bytes = token.iter().chain(&until).chain(&signature);
        bytes.flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(HEXADECIMAL[usize::from(digit)])).collect()
    }

    fn read(&self, value: &[u8], now: Duration) -> Option<Guest> {
        let digits: &[u8; DIGITS] = value.try_into().ok()?;
        let mut bytes = [0; DIGITS / 2];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        let (token, rest) = bytes.split_first_chunk::<16>()?;
        let (until, signature) = rest.split_first_chunk::<EXPIRY>()?;
        let expected = self.sign(&[b"cookie\0", token, until]);
        constant_time::verify_slices_are_equal(&expected, signature).ok()?;
        let left = Duration::from_secs(u32::from_be_bytes(*until).into()).checked_sub(now)?;
        // One that lasts for longer than they do now is replaced, too.
        let is_fresh = (self.ttl / 2..=self.ttl).contains(&left);
        (!left.is_zero()).then_some(Guest { token: *token, is_fresh })
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

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// Only as they are written: one cookie has one value.
fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{settings::upstream::PoolSettings, transport::Address};

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn affinity(upstream: &str, secret: &[u8]) -> Affinity {
        Affinity::new(upstream, "srv", Some(secret), HOUR)
    }

    fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
        let pool = PoolSettings::default();
        let address = |number: u16| Address::Tcp { host: "10.0.0.1".into(), port: number };
        (1..=count).map(|number| Arc::new(Endpoint::new(address(number), "endpoint", 1, &pool))).collect()
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
            broken in prop::option::of((0..DIGITS, 0u8..128)), secret in prop::collection::vec(any::<u8>(), 16..40),
        ) {
            let affinity = affinity("shop", &secret);
            let all = endpoints(count);
            let made_for = &all[made_for.index(all.len())];
            let cookie = affinity.write(affinity.token(&made_for.name), NOW + HOUR);
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
            let cookie = other.write(other.token(&all[0].name), NOW + HOUR);
            assert_eq!(led(&ours, &cookie, &all, NOW).is_some(), leads);
        }
    }

    #[test]
    fn a_client_is_told_again_past_half_of_its_time_or_when_it_moves() {
        let affinity = affinity("shop", b"0123456789abcdef");
        let [here, there] = ["here", "there"].map(|name| affinity.token(name));
        for (left, token, told) in
            [(3600, here, false), (1801, here, false), (1799, here, true), (3600, there, true), (9999, here, true)]
        {
            let guest = affinity.read(affinity.write(here, NOW + Duration::from_secs(left)).as_bytes(), NOW);
            assert!(guest.is_some());
            let mut answer = HeaderMap::new();

            affinity.remind(guest, token, NOW, false, &mut answer);

            assert_eq!(answer.contains_key(header::SET_COOKIE), told, "{left}");
        }
    }

    #[test]
    fn with_a_thousand_endpoints_no_two_are_called_alike() {
        let all = endpoints(1000);

        assert_eq!(affinity("shop", b"0123456789abcdef").tokens(&all).places.len(), 1000);
    }
}
