//! Bandwidth: so many bytes of answers in so much time for each key.

use std::{
    convert::Infallible,
    hash::BuildHasher,
    mem,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;

use super::{
    Filter, JsonSchema, Kind, Schema, Site, Step, WhoAsks,
    keys::{self, Key, KeySettings, Stage},
    schemars,
    table::{self, Rule, Table},
};
use crate::{
    clock::{self, Deadline},
    exchange::{Exchange, Note},
    http::{
        BodyError, Response, ResponseBody,
        body::{Body, BodySize, Frame},
    },
    settings::{Pace, Problem, Problems, Size},
    telemetry::metrics::Event,
};

const ABOUT: &str = r#"
```toml
[routes."/downloads"]
to = "http://127.0.0.1:8000"
bandwidth = { pace = "2MiB/s", burst = "8MiB", key = "ip" }
```

All answers of a key have this pace together: what is sent faster waits, and the endpoint with it, for nothing is read that cannot be sent. `burst` goes out
at once, to begin with and after a rest; without it, what goes in a second. It is content that is counted, as it is sent, so compressed if it is; not heads, and not what
goes through a WebSocket or another tunnel. Keys are those of [`rate_limit`](rate_limit.md) and [`quota`](quota.md); answers to clients that have proved nothing are, to `identity` and
`claim:NAME`, those of one.

An answer that waits takes no task and no thread. It is sent on in pieces of a tenth of a second, or of a KiB if that is more. It waits up to 40 ms too long, never too
short, and what is late is made up for.

Events: `slowed`, of an answer that has had to wait.
"#;

/// So many bytes of answers in so much time for each key.
pub struct Bandwidth {
    /// What is known on the way in. Fields may be others later.
    key: Key,
    /// What is proved of the client, which is known on the way out.
    proofs: Option<Key>,
    paces: Arc<Paces>,
}

/// What is written under `bandwidth`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BandwidthSettings {
    /// How much in how much time.
    pub pace: Pace,
    /// So much goes out at once; without it, what goes in a second.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub burst: Option<Size>,
    /// Whose answers have it together: see `rate_limit` and `quota`.
    #[serde(default)]
    pub key: KeySettings,
    /// So many bits of an IPv6 address are one client: 16 to 128.
    #[serde(default = "keys::a_clients_network")]
    pub ipv6_prefix: u8,
    /// So many keys have a pace of their own.
    #[serde(default = "table::a_hundred_thousand")]
    pub max_keys: u32,
}

impl Kind for Bandwidth {
    const NAME: &'static str = "bandwidth";
    const SUMMARY: &'static str = "sends each key, such as an address, so many bytes of answers in so much time";
    const ABOUT: &'static str = ABOUT;
    type Settings = BandwidthSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(BandwidthSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let BandwidthSettings { pace, burst, key, ipv6_prefix, max_keys } = settings;
        let key = Key::new(key, ipv6_prefix, Stage::BehindAuthentication);
        let mut problems = key.as_ref().err().cloned().unwrap_or_default();
        let depth = burst.map_or(Duration::from_secs(1), |burst| pace.time_for(burst.0));
        if depth > Duration::from_secs(86_400) {
            problems
                .push(Problem::at(["burst"], "more than a day's worth").help("what may go out at once, after a rest"));
        }
        problems.0.extend(table::check_room(max_keys));
        let key = problems.none_or(key)??;
        let table = site.keep(
            "paces",
            |known: &Known| known.key == key && known.table.has_room_for(max_keys),
            || Known { table: Table::with_room_for(max_keys), key: key.clone() },
        );
        let piece = usize::try_from(pace.bytes_in(A_PIECE)).unwrap_or(usize::MAX).max(1024);
        let (key, proofs) = key.parted();
        let slowed = site.event("slowed");
        Ok(Step::Plain(Arc::new(Self { key, proofs, paces: Arc::new(Paces { pace, depth, piece, table, slowed }) })))
    }

    fn who_asks(settings: &Self::Settings) -> WhoAsks {
        if settings.key.is_proved() { WhoAsks::OnTheWayOut } else { WhoAsks::Unasked }
    }
}

/// What is sent on at once takes about so long.
const A_PIECE: Duration = Duration::from_millis(100);

impl Filter for Bandwidth {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        let number = self.key.of(exchange, self.paces.table.table.seed());
        exchange.notes.push(Note::of(self, number));
        None
    }

    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        let note = exchange.notes.iter().find(|note| note.is_of(self));
        if let (Some(note), ResponseBody::Bytes(_) | ResponseBody::Stream(_)) = (note, &response.body) {
            let (body, number) = (mem::take(&mut response.body), self.number(note, exchange));
            response.body = ResponseBody::Stream(Box::new(Paced::new(body, number, Arc::clone(&self.paces))));
        }
    }
}

impl Bandwidth {
    /// Of what was noted on the way in, and what was proved since.
    fn number(&self, note: &Note, exchange: &Exchange) -> u64 {
        let seed = self.paces.table.table.seed();
        self.proofs.as_ref().map_or(note.number, |proofs| seed.hash_one((note.number, proofs.of(exchange, seed))))
    }
}

struct Paces {
    pace: Pace,
    depth: Duration,
    piece: usize,
    table: Arc<Known>,
    slowed: Event,
}

/// When everything will have been sent that each key was given, at its pace; outlives settings that change the pace.
struct Known {
    table: Table,
    key: Key,
}

impl Paces {
    /// So many bytes are sent now. How long to wait before the next ones.
    fn pay(&self, hash: u64, bytes: usize) -> Option<Duration> {
        let now = clock::nanoseconds();
        let cost = self.pace.time_for(bytes as u64).as_nanos() as u64;
        let (_, Ok(until)) = self.table.table.change(hash, &Paying { cost, now });
        Duration::from_nanos(until - now).checked_sub(self.depth).filter(|wait| !wait.is_zero())
    }
}

/// So much is sent now. Numbers are times at which all is sent.
struct Paying {
    cost: u64,
    now: u64,
}

impl Rule for Paying {
    type No = Infallible;

    fn is_idle(&self, until: u64) -> bool {
        until < self.now
    }

    /// Later than `now`: such a time the place has not had.
    fn first(&self, _: u64, shared: u64) -> Result<u64, Infallible> {
        self.next(shared, 0)
    }

    fn next(&self, until: u64, _: u64) -> Result<u64, Infallible> {
        Ok(until.max(self.now) + self.cost)
    }
}

/// A body that is sent no faster than its key's pace.
struct Paced {
    body: ResponseBody,
    size: BodySize,
    hash: u64,
    paces: Arc<Paces>,
    /// What came and is not sent on yet.
    rest: Bytes,
    wait: Option<Deadline>,
    was_slowed: bool,
}

impl Paced {
    fn new(body: ResponseBody, hash: u64, paces: Arc<Paces>) -> Self {
        let size = body.size();
        Self { body, size, hash, paces, rest: Bytes::new(), wait: None, was_slowed: false }
    }
}

impl Body for Paced {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Some(wait) = &self.wait {
            ready!(wait.poll(cx));
            self.wait = None;
        }
        if self.rest.is_empty() {
            match ready!(self.body.poll_frame(cx)) {
                Some(Ok(Frame::Data(bytes))) => self.rest = bytes,
                other => return Poll::Ready(other),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(self.paces.piece));
        if let Some(wait) = self.paces.pay(self.hash, piece.len()) {
            let deadline = Deadline::new();
            deadline.arm(wait);
            self.wait = Some(deadline);
            if !mem::replace(&mut self.was_slowed, true) {
                self.paces.slowed.happened();
            }
        }
        Poll::Ready(Some(Ok(Frame::Data(piece))))
    }

    fn size(&self) -> BodySize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Instant};

    use serde_json::json;

    use super::*;
    use crate::filters::{
        Next,
        testing::{self, passed, request},
    };

    #[test]
    fn what_is_late_is_made_up_for() {
        let paid = |now| Paying { cost: 100, now }.next(1_000, 0);

        assert_eq!(paid(900), paid(990), "all is sent at the same time, however late this came");
        assert_eq!(paid(1_500), Ok(1_600), "but nothing is saved up");
    }

    #[test]
    fn what_is_wrong_is_told_at_its_key() {
        let written = json!({ "pace": "1KiB/s", "burst": "1GiB", "ipv6_prefix": 1, "max_keys": 0 });

        let told: Vec<_> =
            testing::problems::<Bandwidth>(written).iter().map(|problem| problem.key.join(".")).collect();

        assert_eq!(told, ["ipv6_prefix", "burst", "max_keys"]);
    }

    /// Answers with so many bytes.
    struct Long(usize);

    impl crate::filters::Around for Long {
        fn pass<'e>(&'e self, _: &'e mut Exchange, _: Next<'e>) -> futures_util::future::LocalBoxFuture<'e, Response> {
            let body = ResponseBody::Bytes(vec![b'.'; self.0].into());
            Box::pin(async move { Response { body, ..Response::new(crate::http::StatusCode::OK) } })
        }
    }

    #[actix_rt::test]
    async fn of_two_filters_each_counts_by_its_own_key() {
        let pace = |key: &str| testing::built::<Bandwidth>(json!({ "pace": "1KiB/s", "burst": "2KiB", "key": key }));
        let steps = [pace("header:x-key"), pace("ip"), Step::Around(Arc::new(Long(10_000)))];
        let at_once = async |key| {
            let mut body = passed(&steps, &mut request("GET /", &[("x-key", key)])).await.body;
            let mut pieces = 0;
            poll_fn(|cx| {
                while body.poll_frame(cx).is_ready() {
                    pieces += 1;
                }
                std::task::Poll::Ready(pieces)
            })
            .await
        };

        let (first, second) = (at_once("a").await, at_once("b").await);

        assert!(second < first, "{first}, and {second} where his address has had all that it may have at once");
    }

    #[actix_rt::test]
    async fn what_goes_beyond_the_burst_takes_its_time_and_nobody_asks_in_vain() {
        let steps = [
            testing::built::<Bandwidth>(json!({ "pace": "100KB/s", "burst": "10KB" })),
            Step::Around(Arc::new(Long(40_000))),
        ];
        let began = Instant::now();
        let mut body = passed(&steps, &mut request("GET /", &[])).await.body;

        // A task of its own is woken for nothing else.
        let reading = actix_rt::spawn(async move {
            let (mut sent, mut asked, mut pieces) = (0, 0, 0);
            let mut next = async || {
                poll_fn(|cx| {
                    asked += 1;
                    body.poll_frame(cx)
                })
                .await
            };
            while let Some(frame) = next().await {
                let Ok(Frame::Data(bytes)) = frame else { panic!("content") };
                assert!(bytes.len() <= 10_000, "a tenth of a second");
                sent += bytes.len();
                pieces += 1;
            }
            (sent, asked, pieces)
        });
        let (sent, asked, pieces) = reading.await.expect("no panic");

        assert_eq!((sent, pieces), (40_000, 4));
        // The last piece is sent when what was sent before is at most a burst ahead.
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
        assert!(asked <= 2 * (pieces + 1), "asked {asked} times");
    }
}
