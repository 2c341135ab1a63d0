//! Passwords are verified away from the workers, a few at once, and remembered once they were right.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use aws_lc_rs::{hmac, rand};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    BasicAuth,
    guesses::{Guesser, Guesses},
    htpasswd::Users,
    queue::Queue,
};
use crate::{
    exchange::{Exchange, Identity},
    filters::{
        Kind,
        authenticator::{Finding, Proof, Terms},
    },
    http::{HeaderValue, Refusal, Response, StatusCode, header},
    telemetry::metrics::Event,
};

/// So many passwords that were right are remembered. There are no more than users, and what users of bcrypt write behind the
/// 72 letters that it reads.
const MOST_KNOWN: usize = 4096;

/// One for each core: hashing is all that these threads do.
static PLACES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(thread::available_parallelism().map_or(1, usize::from))));
/// Those that wait for one, of the whole process.
static QUEUE: Queue = Queue::new();

/// Name and password together, unreadable.
type Digest = [u8; 32];

/// Knows the users, and whose password was right before.
pub struct Verifier {
    users: Users,
    terms: Terms,
    challenge: HeaderValue,
    key: hmac::Key,
    /// Read by all workers without a lock; who adds one writes it anew.
    known: ArcSwap<HashMap<Digest, Arc<Proof>>>,
    adding: Mutex<()>,
    /// `None` if anybody may guess as often as he likes.
    guesses: Option<Arc<Guesses>>,
    verified: Event,
    wrong: Event,
}

/// What a client has presented.
pub struct Credentials {
    pub name: String,
    pub password: Vec<u8>,
}

impl Verifier {
    /// Nobody is remembered yet. `None` if the machine has no randomness.
    pub fn new(
        users: Users,
        terms: Terms,
        challenge: HeaderValue,
        guesses: Option<Guesses>,
        [verified, wrong]: [Event; 2],
    ) -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok()?;
        let (known, adding, guesses) = (ArcSwap::default(), Mutex::new(()), guesses.map(Arc::new));
        Some(Self { users, terms, challenge, key, known, adding, guesses, verified, wrong })
    }

    /// How the client is told to prove itself.
    pub fn challenge(&self) -> &HeaderValue {
        &self.challenge
    }

    /// What holds for who has proved who he is.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Who this is, if it is known.
    pub fn known(&self, credentials: &Credentials) -> Option<Arc<Proof>> {
        self.known.load().get(&self.digest(credentials)).cloned()
    }

    /// Who this client is as one that may be wrong too often, if there is such a thing.
    pub fn guesser(&self, exchange: &Exchange) -> Option<Guesser> {
        self.guesses.as_ref().map(|guesses| guesses.guesser(exchange))
    }

    /// Finds out, when it is its turn.
    pub async fn verify(self: Arc<Self>, credentials: Credentials, guesser: Option<Guesser>) -> Finding {
        let Some(_waiting) = QUEUE.enter() else { return Finding::Bad(busy()) };
        let Ok(place) = Arc::clone(&PLACES).acquire_owned().await else { return Finding::Bad(busy()) };
        // Browsers come with several connections at once.
        if let Some(proof) = self.known(&credentials) {
            return Finding::Proved(proof);
        }
        // What it has sent before may have been wrong meanwhile.
        if let Some(wait) = guesser.as_ref().and_then(Guesser::has_to_wait) {
            return Finding::Bad(too_often(wait));
        }
        let challenge = self.challenge.clone();
        let hashing = spawn_blocking(move || {
            let _place = place;
            let proof = self.check(&credentials);
            if let (None, Some(guesser)) = (&proof, guesser) {
                guesser.was_wrong();
            }
            proof
        });
        match hashing.await {
            Ok(Some(proof)) => Finding::Proved(proof),
            Ok(None) => Finding::Bad(wrong(&challenge)),
            Err(_) => Finding::Bad(busy()),
        }
    }

    fn check(&self, credentials: &Credentials) -> Option<Arc<Proof>> {
        // Of an unknown name somebody's hash is computed, always the same one: nobody learns from the time it takes whether
        // a name is known.
        let name = credentials.name.as_bytes();
        let (hash, is_known) = match self.users.hash(&credentials.name) {
            Some(hash) => (hash, true),
            None => (self.users.any(usize::from(hmac::sign(&self.key, name).as_ref()[0]))?, false),
        };
        let is_right = hash.is_of(&credentials.password) && is_known;
        if !is_right {
            self.wrong.happened();
            return None;
        }
        self.verified.happened();
        let subject = Some(credentials.name.clone());
        let proof = self.terms.proof(Identity { scheme: "basic", subject, ..Identity::default() });
        self.remember(self.digest(credentials), &proof);
        Some(proof)
    }

    fn remember(&self, digest: Digest, proof: &Arc<Proof>) {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = HashMap::clone(&self.known.load());
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(digest, Arc::clone(proof));
        self.known.store(Arc::new(known));
    }

    fn digest(&self, Credentials { name, password }: &Credentials) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        // A name has no colon.
        for part in [name.as_bytes(), b":", password] {
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// The same for every name and every password.
pub fn wrong(challenge: &HeaderValue) -> Response {
    let refusal = Refusal::new(BasicAuth::NAME, StatusCode::UNAUTHORIZED, "wrong name or password");
    refusal.with(header::WWW_AUTHENTICATE, challenge.clone()).into()
}

/// Nobody looks at what comes so soon after so many that were wrong.
pub fn too_often(wait: Duration) -> Response {
    let refusal = Refusal::new(BasicAuth::NAME, StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords");
    refusal.after(wait).into()
}

fn busy() -> Response {
    let refusal = Refusal::new(BasicAuth::NAME, StatusCode::SERVICE_UNAVAILABLE, "too many passwords at once");
    refusal.after(Duration::from_secs(1)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_is_asked_to_come_back() {
        let Some(crate::http::Error::Refused(refusal)) = busy().cause else { panic!("it is a refusal") };

        assert_eq!(
            (refusal.status, refusal.retry_after),
            (StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(1)))
        );
    }
}
