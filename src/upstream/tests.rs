//! Who is picked when not all are well.

use std::time::Duration;

use proptest::prelude::*;

use self::at_home::{remind, sticky};
use super::{
    balancers::{Kind, Nothing, RoundRobin},
    lineup::Rules,
    outlier::Report,
    selection::Selection,
    *,
};
use crate::{
    chance, clock,
    exchange::{BodyEnd, Client, Exchange, Trials},
    http::{HeaderMap, Method, RequestBody, Uri, Version, downstream::Peer},
    settings::upstream::PoolSettings,
    transport::Address,
};

pub(super) mod at_home;

const OUTLIER: Outlier = Outlier {
    consecutive: Some(3),
    error_rate: None,
    latency_factor: None,
    eject: Duration::from_secs(3600),
    longest: Duration::from_secs(7200),
    most: 0.5,
};

fn upstream(backups: &[bool], rules: Rules, outlier: Outlier) -> Upstream {
    let mut upstream = Upstream::new("test", members(backups, rules));
    (upstream.outlier, upstream.retry.attempts) = (Some(outlier), 9);
    upstream
}

fn members(backups: &[bool], rules: Rules) -> Members {
    let pool = PoolSettings::default();
    let made = (1..).zip(backups).map(|(number, is_backup)| {
        let address = Address::Tcp { host: format!("10.0.0.{number}").into(), port: 80 };
        Arc::new(Endpoint::new(address, "endpoint", 1, &pool).as_backup(*is_backup))
    });
    let endpoints: Vec<_> = made.collect();
    let balancer = RoundRobin::build(Nothing {}, &endpoints).unwrap_or_else(|wrong| panic!("{wrong}"));
    Members::new(endpoints, balancer, rules)
}

fn exchange() -> Exchange {
    let client = Client::at(Peer::Unix, false);
    let body = RequestBody::empty();
    Exchange::new(Method::GET, Uri::from_static("/"), Version::HTTP_11, HeaderMap::new(), body, client)
}

fn place(upstream: &Upstream, endpoint: &Arc<Endpoint>) -> usize {
    upstream.members().endpoints.iter().position(|one| Arc::ptr_eq(one, endpoint)).expect("it is one of them")
}

/// How many of so many requests each gets.
fn shares(upstream: &Upstream, requests: usize) -> Vec<usize> {
    let mut counts = vec![0; upstream.members().endpoints.len()];
    let members = upstream.members();
    for _ in 0..requests {
        let pick = Selection::of(upstream, &members).pick(&exchange(), false).expect("somebody");
        counts[place(upstream, pick.endpoint)] += 1;
    }
    counts
}

fn fail(upstream: &Upstream, place: usize, times: usize) {
    for _ in 0..times {
        upstream.heed(&upstream.members(), &upstream.members().endpoints[place], Report::Failed, None, clock::coarse);
    }
}

#[test]
fn who_failed_so_often_in_a_row_is_left_alone() {
    let upstream = upstream(&[false; 4], Rules::default(), OUTLIER);
    fail(&upstream, 1, 2);
    upstream.heed(&upstream.members(), &upstream.members().endpoints[1], Report::Well, None, clock::coarse);
    fail(&upstream, 1, 2);
    assert_eq!(shares(&upstream, 40), [10; 4], "never three in a row");

    fail(&upstream, 1, 1);

    let counts = shares(&upstream, 30);
    assert_eq!((counts[1], counts.iter().sum::<usize>()), (0, 30));
}

#[test]
fn who_breaks_off_its_answers_is_left_alone() {
    let upstream = upstream(&[false; 4], Rules::default(), OUTLIER);
    let (members, cut) = (upstream.members(), BodyEnd::Cut(Trials::default()));
    let endpoint = &members.endpoints[1];
    for end in [cut, cut, BodyEnd::Whole, cut, cut] {
        upstream.heed_body(endpoint, end, clock::coarse);
    }
    assert_eq!(shares(&upstream, 40), [10; 4], "never three in a row");

    upstream.heed_body(endpoint, cut, clock::coarse);

    assert_eq!(shares(&upstream, 30)[1], 0);
}

#[test]
fn a_trial_whose_body_is_cut_has_not_shown_that_the_endpoint_has_recovered() {
    let s = Duration::from_secs;
    for (after, is_ejected) in [(1, true), (3601, false)] {
        let upstream = upstream(&[false; 2], Rules::default(), OUTLIER);
        let members = upstream.members();
        let health = &members.endpoints[0].health;
        assert!(health.eject(OUTLIER.eject, OUTLIER.longest, s(100)).is_some());
        health.begin_trial(s(5000)).expect("nobody else does").succeeded(s(5000));

        let cut = BodyEnd::Cut(Trials { of_endpoint: true, of_upstream: false });
        upstream.heed_body(&members.endpoints[0], cut, || s(5000 + after));

        assert_eq!(health.ejected_until().is_some(), is_ejected, "after {after} s");
    }
}

#[test]
fn a_trial_that_takes_long_to_fail_has_the_next_one_wait_longer() {
    let s = Duration::from_secs;
    for (took, expected) in [(0, OUTLIER.eject), (3599, OUTLIER.eject), (3601, OUTLIER.eject * 2)] {
        let upstream = upstream(&[false; 2], Rules::default(), OUTLIER);
        let members = upstream.members();
        let endpoint = &members.endpoints[0];
        endpoint.health.eject(OUTLIER.eject, OUTLIER.longest, s(100));
        let (begins, ends) = (s(4000), s(4000 + took));
        let trial = endpoint.health.begin_trial(begins);

        upstream.heed(&members, endpoint, Report::Failed, trial, || ends);

        assert_eq!(endpoint.health.ejected_until(), Some(ends + expected), "it took {took} s");
    }
}

#[test]
fn no_more_are_left_alone_than_may_be() {
    let upstream = upstream(&[false; 4], Rules::default(), OUTLIER);
    for place in 0..3 {
        fail(&upstream, place, 3);
    }

    let counts = shares(&upstream, 30);

    assert_eq!(counts.iter().filter(|count| **count == 0).count(), 2, "{counts:?}");
}

#[test]
fn a_part_of_failures_is_enough_once_there_are_many() {
    let outlier = Outlier { consecutive: None, error_rate: Some(0.5), ..OUTLIER };
    let upstream = upstream(&[false; 2], Rules::default(), outlier);
    for request in 0..19 {
        let report = if request % 2 == 0 { Report::Failed } else { Report::Well };
        upstream.heed(&upstream.members(), &upstream.members().endpoints[0], report, None, || Duration::from_secs(100));
    }
    assert!(shares(&upstream, 10)[0] > 0, "fewer tell nothing");

    upstream
        .heed(&upstream.members(), &upstream.members().endpoints[0], Report::Failed, None, || Duration::from_secs(100));

    assert!(upstream.members().endpoints[0].health.ejected_until().is_some());
}

#[test]
fn who_takes_much_longer_than_the_others_is_left_alone() {
    let outlier = Outlier { consecutive: None, latency_factor: Some(4.0), ..OUTLIER };
    let upstream = upstream(&[false; 5], Rules::default(), outlier);
    let now = clock::coarse();
    for (endpoint, milliseconds) in upstream.members().endpoints.iter().zip([20, 25, 30, 35, 200]) {
        endpoint.latency.observe(Duration::from_millis(milliseconds), now);
    }
    for endpoint in &upstream.members().endpoints {
        for _ in 0..64 {
            upstream.heed(&upstream.members(), endpoint, Report::Well, None, || now);
        }
    }

    let ejected: Vec<bool> =
        upstream.members().endpoints.iter().map(|endpoint| endpoint.health.ejected_until().is_some()).collect();
    assert_eq!(ejected, [false, false, false, false, true]);
}

#[test]
fn one_request_shows_whether_an_endpoint_has_recovered() {
    let upstream = upstream(&[false; 2], Rules::default(), OUTLIER);
    upstream.members().endpoints[0].health.eject(Duration::ZERO, Duration::ZERO, clock::coarse());
    assert_eq!(shares(&upstream, 10), [0, 10], "a request that cannot be sent again is none to try with");

    let members = upstream.members();
    let selection = Selection::of(&upstream, &members);
    let first = selection.pick(&exchange(), true).expect("somebody");
    let second = selection.pick(&exchange(), true).expect("somebody");
    assert_eq!((place(&upstream, first.endpoint), first.trial.is_some()), (0, true));
    assert_eq!((place(&upstream, second.endpoint), second.trial.is_some()), (1, false), "one is enough");

    upstream.heed(&upstream.members(), first.endpoint, Report::Well, first.trial, clock::coarse);

    assert_eq!(shares(&upstream, 10), [5, 5]);
}

#[test]
fn where_no_request_can_be_sent_again_any_shows_it_after_a_while() {
    let outlier = Outlier { eject: Duration::ZERO, longest: Duration::ZERO, ..OUTLIER };
    let upstream = upstream(&[false; 2], Rules::default(), outlier);
    fail(&upstream, 0, 3);

    let members = upstream.members();
    let pick = Selection::of(&upstream, &members).pick(&exchange(), false).expect("somebody");

    assert_eq!((place(&upstream, pick.endpoint), pick.trial.is_some()), (0, true));
}

#[test]
fn backups_come_in_when_too_few_of_the_others_are_well_and_go_when_they_are() {
    let upstream = upstream(&[false, false, true], Rules { panic: 0.6, slow_start: None }, OUTLIER);
    assert_eq!(shares(&upstream, 60), [30, 30, 0]);

    upstream.members().endpoints[0].health.checked(false, clock::coarse());
    assert_eq!(shares(&upstream, 10), [0, 0, 10]);

    upstream.members().endpoints[0].health.checked(true, clock::coarse());
    assert_eq!(shares(&upstream, 60), [30, 30, 0]);
}

#[test]
fn when_nobody_is_well_everybody_is_asked_but_the_backups() {
    let upstream = upstream(&[false, false, true], Rules { panic: 0.3, slow_start: None }, OUTLIER);
    for endpoint in &upstream.members().endpoints {
        endpoint.health.checked(false, clock::coarse());
    }

    assert_eq!(shares(&upstream, 60), [30, 30, 0]);
}

#[test]
fn who_has_failed_is_not_asked_again_and_at_last_even_the_unwell_are() {
    let upstream = upstream(&[false, false, true], Rules::default(), OUTLIER);
    upstream.members().endpoints[1].health.checked(false, clock::coarse());
    let members = upstream.members();
    let mut selection = Selection::of(&upstream, &members);
    let mut asked = Vec::new();
    while let Some(pick) = selection.pick(&exchange(), false) {
        asked.push(place(&upstream, pick.endpoint));
        selection.note(pick.endpoint);
    }

    assert_eq!(asked[0], 0, "the only one that is well and no backup");
    asked.sort_unstable();
    assert_eq!(asked, [0, 1, 2], "each once");
}

#[test]
fn who_is_new_gets_more_with_time() {
    chance::seed(7);
    let rules = Rules { panic: 0.0, slow_start: Some(Duration::from_secs(100)) };
    let upstream = upstream(&[false; 2], rules, OUTLIER);
    let health = &upstream.members().endpoints[0].health;
    for (for_so_long, expected) in [(0, 50..150), (50, 430..570), (100, 1000..1001), (1000, 1000..1001)] {
        health.is_well_since(clock::coarse().saturating_sub(Duration::from_secs(for_so_long)));
        let got = shares(&upstream, 2000)[0];
        assert!(expected.contains(&got), "after {for_so_long} s: {got} of 1000");
    }
}

#[test]
fn a_request_keeps_to_the_members_it_began_with_and_the_next_one_has_the_new() {
    let upstream = Upstream::changing("test", members(&[], Rules::default()));
    assert!(Selection::of(&upstream, &upstream.members()).pick(&exchange(), true).is_none(), "nobody is known yet");
    let first = members(&[false; 2], Rules::default());
    let gone: Vec<_> = first.endpoints.iter().map(Arc::downgrade).collect();

    assert!(upstream.replace(first));
    let held = upstream.members();
    let selection = Selection::of(&upstream, &held);
    assert!(upstream.replace(members(&[false; 3], Rules::default())));

    let picked = Arc::downgrade(selection.pick(&exchange(), true).expect("somebody").endpoint);
    assert!(gone.iter().any(|one| one.ptr_eq(&picked)));
    assert_eq!(shares(&upstream, 30), [10; 3]);
    drop(held);
    assert!(gone.iter().all(|one| one.strong_count() == 0), "nobody has to do with them any more");
}

#[test]
fn members_that_are_written_stay() {
    let upstream = upstream(&[false; 2], Rules::default(), OUTLIER);

    assert!(!upstream.replace(members(&[false; 3], Rules::default())));

    assert_eq!(upstream.members().endpoints.len(), 2);
}

#[test]
fn who_was_drained_meanwhile_is_not_counted_twice() {
    let upstream = upstream(&[false; 2], Rules::default(), OUTLIER);
    let members = upstream.members();
    let selection = Selection::of(&upstream, &members);
    let picked = selection.pick(&exchange(), true).expect("somebody").endpoint;

    picked.health.drain(true);

    assert!(selection.may_have_another(picked));
}

#[test]
fn of_those_who_are_all_drained_none_may_be_picked() {
    let upstream = upstream(&[false; 2], Rules::default(), OUTLIER);
    let members = upstream.members();
    assert_eq!([0, 1].map(|place| members.lineup().has(place)), [true, true]);

    for (endpoint, left) in members.endpoints.iter().zip([[false, true], [false, false]]) {
        endpoint.health.drain(true);

        assert_eq!([0, 1].map(|place| members.lineup().has(place)), left);
    }
    assert!(Selection::of(&upstream, &members).pick(&exchange(), true).is_none());
}

proptest! {
    #[test]
    fn nobody_is_asked_who_is_unwell_while_enough_are_well_and_nobody_twice(
        unwell in prop::collection::vec(any::<bool>(), 2..12), ejected: bool, was_at: prop::sample::Index, may_try: bool,
    ) {
        let upstream = sticky(&vec![false; unwell.len()], Rules { panic: 0.0, slow_start: None });
        let members = upstream.members();
        let home = &members.endpoints[was_at.index(unwell.len())];
        let mut cookies = HeaderMap::new();
        let token = upstream.affinity.as_ref().expect("it is sticky").token(&home.name);
        remind(&upstream, token, &mut cookies);
        for (endpoint, unwell) in members.endpoints.iter().zip(&unwell) {
            match (unwell, ejected) {
                (false, _) => {}
                (true, true) => drop(endpoint.health.eject(OUTLIER.eject, OUTLIER.longest, clock::coarse())),
                (true, false) => drop(endpoint.health.checked(false, clock::coarse())),
            }
        }
        let well = unwell.iter().filter(|unwell| !**unwell).count();

        let mut selection = Selection::of(&upstream, &members);
        selection.recognise(&mut cookies);
        let mut asked = Vec::new();
        while let Some(pick) = selection.pick(&exchange(), may_try) {
            asked.push(place(&upstream, pick.endpoint));
            selection.note(pick.endpoint);
        }

        // Those that are well go first, and of them the one where the client is at home.
        prop_assert!(asked.iter().take(well).all(|place| !unwell[*place]), "{:?} of {:?}", asked, unwell);
        let home = place(&upstream, home);
        prop_assert!(unwell[home] && well > 0 || asked[0] == home, "{:?}", asked);
        asked.sort_unstable();
        prop_assert_eq!(asked, (0..unwell.len()).collect::<Vec<_>>());
    }
}
