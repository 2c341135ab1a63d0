//! Never more than there are places for, and nobody is forgotten.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    task::Wake,
    thread,
};

use proptest::prelude::*;

use super::*;
use crate::{
    chance,
    exchange::Client,
    http::{HeaderMap, Method, RequestBody, Uri, Version, downstream::Peer},
    settings::upstream::PoolSettings,
    transport::Address,
    upstream::{
        Endpoint, Members, Upstream,
        balancers::{Kind, Nothing, RoundRobin},
        lineup,
        tests::at_home::{affinity, remind},
    },
};

fn upstream(endpoints: u32, rules: Rules) -> Upstream {
    let made = (1..=endpoints).map(|number| {
        let address = Address::Tcp { host: format!("10.0.0.{number}").into(), port: 80 };
        Arc::new(Endpoint::new(address, "endpoint", 1, &PoolSettings::default()))
    });
    let endpoints: Vec<_> = made.collect();
    let balancer = RoundRobin::build(Nothing {}, &endpoints).unwrap_or_else(|wrong| panic!("{wrong}"));
    let mut upstream = Upstream::new("test", Members::new(endpoints, balancer, lineup::Rules::default()));
    upstream.limit = Some(Box::new(Limit { rules, gate: Arc::default(), adaptive: None }));
    upstream
}

fn rules(requests: u32, per_endpoint: u32) -> Rules {
    let patience = Duration::from_secs(60);
    Rules { requests, least: 1, per_endpoint, sheddable: 0.5, class_field: None, queue: 10_000, patience }
}

fn exchange() -> Exchange {
    let client = Client::at(Peer::Unix, false);
    let body = RequestBody::empty();
    Exchange::new(Method::GET, Uri::from_static("/"), Version::HTTP_11, HeaderMap::new(), body, client)
}

/// What the endpoints see, counted apart from the limit.
#[derive(Default)]
struct Seen {
    now: AtomicU32,
    most: AtomicU32,
    of_each: [AtomicU32; 4],
    most_of_one: AtomicU32,
}

impl Seen {
    fn enter(&self, place: usize) {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        self.most_of_one.fetch_max(self.of_each[place].fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    fn leave(&self, place: usize) {
        self.of_each[place].fetch_sub(1, Ordering::SeqCst);
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One request: it goes in, is carried for a moment, at times asks a second endpoint, at times leaves while it waits.
async fn request(upstream: &Upstream, seen: &Seen, class: Class) {
    let (members, mut exchange) = (upstream.members(), exchange());
    let limit = upstream.limit.as_ref().expect("it is limited");
    let mut selection = Selection::of(upstream, &members);
    for attempt in 0..2 {
        let admitted = limit.admit(&selection, &mut exchange, false, class);
        let leaves = chance::happens(0.2);
        let admitted = tokio::select! {
            biased;
            admitted = admitted => admitted,
            () = tokio::task::yield_now(), if leaves => return,
        };
        let endpoint = admitted.expect("there is room in the queue, and time").endpoint;
        let place = members.endpoints.iter().position(|one| Arc::ptr_eq(one, endpoint)).expect("it is one of them");
        seen.enter(place);
        tokio::task::yield_now().await;
        seen.leave(place);
        if attempt == 1 || members.endpoints.len() == 1 || chance::happens(0.7) {
            return;
        }
        selection.note(endpoint);
    }
}

/// Each thread is a worker; all requests of one are under way at once.
fn stress(upstream: &Upstream, workers: usize, requests: usize) -> Seen {
    let seen = Seen::default();
    thread::scope(|scope| {
        for worker in 0..workers {
            let seen = &seen;
            scope.spawn(move || {
                chance::seed(worker as u64);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
                let classes = [Class::Critical, Class::Normal, Class::Sheddable];
                let all = (0..requests).map(|number| request(upstream, seen, classes[number % 3]));
                runtime.block_on(futures_util::future::join_all(all));
            });
        }
    });
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn there_are_never_more_than_may_be_and_all_have_their_turn(
        (endpoints, requests, per_endpoint) in (1u32..5, 1u32..9, 1u32..4),
        (workers, each) in (1usize..5, 1usize..60),
    ) {
        let upstream = upstream(endpoints, rules(requests, per_endpoint));

        let seen = stress(&upstream, workers, each);

        prop_assert!(seen.most.load(Ordering::SeqCst) <= requests.min(endpoints * per_endpoint));
        prop_assert!(seen.most_of_one.load(Ordering::SeqCst) <= per_endpoint);
        let gate = &upstream.limit.as_ref().expect("it is limited").gate;
        prop_assert_eq!((gate.in_flight(), gate.waiting(), gate.refused.sum()), (0, 0, 0));
        for endpoint in &upstream.members().endpoints {
            prop_assert_eq!((endpoint.slots.load(Ordering::SeqCst), endpoint.in_flight()), (0, 0));
        }
    }
}

/// Counts how often somebody is called.
#[derive(Default)]
struct Called(AtomicU32);

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn who_is_called_and_leaves_calls_the_next() {
    let gate = Arc::new(Gate::default());
    let place = gate.enter(1).expect("it is free");
    let queue_up = || gate.queue_up(Class::Normal, true, 9).expect("there is room");
    let (first, second) = (queue_up(), queue_up());
    let calls = [Arc::new(Called::default()), Arc::new(Called::default())];
    for (waiting, called) in [&first, &second].into_iter().zip(&calls) {
        let _ = waiting.poll_first(&Context::from_waker(&Arc::clone(called).into()));
    }
    let counts = || calls.each_ref().map(|called| called.0.load(Ordering::SeqCst));
    assert_eq!(counts(), [0, 0]);

    drop(place);
    assert_eq!(counts(), [1, 0], "who is first");

    drop(first);
    assert_eq!(counts(), [1, 1]);
    assert!(gate.enter(1).is_none(), "somebody waits");
    drop(second);
    assert!(gate.enter(1).is_some());
}

#[test]
fn the_lowest_class_gets_a_part_and_at_least_one() {
    let limit = |requests| Limit { rules: rules(requests, 9), gate: Arc::default(), adaptive: None };
    let ten = limit(10);
    assert_eq!([Class::Critical, Class::Normal, Class::Sheddable].map(|class| ten.most(class)), [10, 10, 5]);
    assert_eq!(limit(1).most(Class::Sheddable), 1);
}

/// A client that is at home at the first endpoint of these, which is drained.
fn guest<'u>(upstream: &'u Upstream, members: &'u Members) -> Selection<'u> {
    let mut cookies = HeaderMap::new();
    let token = upstream.affinity.as_ref().expect("it is sticky").token(&members.endpoints[0].name);
    remind(upstream, token, &mut cookies);
    let mut selection = Selection::of(upstream, members);
    selection.recognise(&mut cookies);
    members.endpoints[0].health.drain(true);
    selection
}

fn slot_at(upstream: &Upstream) -> Slot {
    upstream.limit.as_ref().and_then(|limit| limit.gate.enter(10)).expect("there is room")
}

fn sticky(endpoints: u32) -> Upstream {
    let mut upstream = upstream(endpoints, rules(10, 1));
    upstream.affinity = Some(affinity());
    upstream
}

#[test]
fn there_is_room_where_the_client_is_at_home_also_if_that_is_drained() {
    let upstream = sticky(2);
    let members = upstream.members();
    let selection = guest(&upstream, &members);
    let mut slot = slot_at(&upstream);
    assert!(slot.enter(&members.endpoints[1].slots, 1));

    assert!(selection.has_room(1));
}

#[test]
fn who_is_at_home_where_there_is_no_room_waits_if_all_others_are_drained() {
    let upstream = sticky(2);
    let members = upstream.members();
    let selection = guest(&upstream, &members);
    members.endpoints[1].health.drain(true);
    let mut held = slot_at(&upstream);
    assert!(held.enter(&members.endpoints[0].slots, 1));

    let picked = selection.pick_with_room(&exchange(), true, 1, &mut slot_at(&upstream));

    assert_eq!(picked.map(|pick| Arc::clone(&pick.endpoint.name)), Err(Unasked::Full));
    assert!(!selection.has_room(1));
    drop(held);
    assert!(selection.has_room(1));
}
