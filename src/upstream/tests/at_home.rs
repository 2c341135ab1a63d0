//! Clients that stay with an endpoint.

use std::thread::{self, ScopedJoinHandle};

use super::*;
use crate::{
    http::{HeaderValue, cookies::OwnCookie, header},
    upstream::{affinity::Token, health::Health},
};

/// By a cookie of an hour.
pub fn affinity() -> Box<Affinity> {
    Box::new(Affinity::new("test", OwnCookie { name: "srv".into(), ttl: Duration::from_secs(3600) }, None))
}

pub fn sticky(backups: &[bool], rules: Rules) -> Upstream {
    let mut upstream = upstream(backups, rules, OUTLIER);
    upstream.affinity = Some(affinity());
    upstream
}

/// Gives a client the cookie for an endpoint.
pub fn remind(upstream: &Upstream, token: Token, cookies: &mut HeaderMap) {
    let affinity = upstream.affinity.as_ref().expect("it is sticky");
    let mut answer = HeaderMap::new();
    affinity.remind(None, token, clock::unix_coarse(), false, &mut answer);
    keep(&answer, cookies);
}

/// Keeps the cookie of an answer.
fn keep(answer: &HeaderMap, cookies: &mut HeaderMap) {
    if let Some(cookie) = answer.get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok()) {
        let pair = cookie.split(';').next().expect("a split has a first part");
        cookies.insert(header::COOKIE, HeaderValue::from_str(pair).expect("it was one"));
    }
}

/// Where a client comes to that keeps its cookies, and whether that is a trial.
fn visit(upstream: &Upstream, cookies: &mut HeaderMap, may_try: bool) -> (usize, bool) {
    let members = upstream.members();
    let mut selection = Selection::of(upstream, &members);
    selection.recognise(&mut cookies.clone());
    let pick = selection.pick(&exchange(), may_try).expect("somebody");
    let mut answer = HeaderMap::new();
    selection.remind(pick.endpoint, &exchange(), &mut answer);
    keep(&answer, cookies);
    (place(upstream, pick.endpoint), pick.trial.is_some())
}

#[test]
fn who_is_unwell_keeps_nobody_and_who_has_moved_stays_where_it_is() {
    let upstream = sticky(&[false; 3], Rules::default());
    let mut client = HeaderMap::new();
    let (home, _) = visit(&upstream, &mut client, false);
    assert!((0..10).all(|_| visit(&upstream, &mut client, false).0 == home));

    fail(&upstream, home, 3);
    let (other, _) = visit(&upstream, &mut client, false);
    assert_ne!(other, home);

    let (health, now) = (&upstream.members().endpoints[home].health, clock::coarse());
    health.begin_trial(now).expect("nobody else does").succeeded(now);
    assert!((0..10).all(|_| visit(&upstream, &mut client, false).0 == other));
}

#[test]
fn when_nobody_is_well_clients_stay_where_they_are() {
    let upstream = sticky(&[false; 3], Rules::default());
    let mut client = HeaderMap::new();
    let (home, _) = visit(&upstream, &mut client, false);

    for endpoint in &upstream.members().endpoints {
        endpoint.health.checked(false, clock::coarse());
    }

    assert!((0..10).all(|_| visit(&upstream, &mut client, false).0 == home));
}

#[test]
fn a_backup_keeps_its_clients_while_it_is_used_and_no_longer() {
    let upstream = sticky(&[false, true], Rules::default());
    let mut client = HeaderMap::new();
    upstream.members().endpoints[0].health.checked(false, clock::coarse());
    assert_eq!([visit(&upstream, &mut client, false).0, visit(&upstream, &mut client, false).0], [1, 1]);

    upstream.members().endpoints[0].health.checked(true, clock::coarse());

    assert_eq!([visit(&upstream, &mut client, false).0, visit(&upstream, &mut client, false).0], [0, 0]);
}

#[test]
fn who_has_a_home_is_no_trial_and_who_is_new_is() {
    let upstream = sticky(&[false; 2], Rules::default());
    let mut client = HeaderMap::new();
    let (home, _) = visit(&upstream, &mut client, false);
    let other = 1 - home;
    upstream.members().endpoints[other].health.eject(Duration::ZERO, Duration::ZERO, clock::coarse());

    assert_eq!(visit(&upstream, &mut client, true), (home, false));
    assert_eq!(visit(&upstream, &mut HeaderMap::new(), true), (other, true));
}

#[test]
fn who_may_have_recovered_is_better_than_a_home_that_is_unwell() {
    let upstream = sticky(&[false; 2], Rules::default());
    let mut client = HeaderMap::new();
    let (home, _) = visit(&upstream, &mut client, false);
    let other = 1 - home;
    upstream.members().endpoints[home].health.checked(false, clock::coarse());
    upstream.members().endpoints[other].health.eject(Duration::ZERO, Duration::ZERO, clock::coarse());

    assert_eq!(visit(&upstream, &mut client.clone(), false), (home, false), "a request that cannot be sent again");
    assert_eq!(visit(&upstream, &mut client, true), (other, true));
}

#[test]
fn who_warms_up_keeps_its_clients() {
    let rules = Rules { panic: 0.0, slow_start: Some(Duration::from_secs(1000)) };
    let upstream = sticky(&[false; 4], rules);
    let mut client = HeaderMap::new();
    let (home, _) = visit(&upstream, &mut client, false);

    upstream.members().endpoints[home].health.is_well_since(clock::coarse());

    assert!((0..50).all(|_| visit(&upstream, &mut client, false).0 == home));
}

/// Goes on until the visits have ended.
fn drain_and_revive(health: &Health, visits: &ScopedJoinHandle<'_, ()>) {
    for turn in (0..).take_while(|_| !visits.is_finished()) {
        health.drain(turn % 2 == 0);
    }
}

#[test]
fn a_client_stays_whatever_an_operator_does_to_its_endpoint_just_then() {
    for endpoints in [1, 2] {
        let upstream = sticky(&vec![false; endpoints], Rules::default());
        let mut client = HeaderMap::new();
        let (home, _) = visit(&upstream, &mut client, false);
        let members = upstream.members();

        thread::scope(|threads| {
            let visits = threads.spawn(|| {
                for _ in 0..30_000 {
                    assert_eq!(visit(&upstream, &mut client.clone(), false).0, home, "of {endpoints}");
                }
            });
            drain_and_revive(&members.endpoints[home].health, &visits);
        });
    }
}

#[test]
fn a_client_whose_endpoint_fails_has_another_also_where_it_is_drained_and_ejected() {
    let upstream = sticky(&[false; 2], Rules::default());
    let mut client = HeaderMap::new();
    let (home, _) = visit(&upstream, &mut client, false);
    let members = upstream.members();
    let mut selection = Selection::of(&upstream, &members);
    selection.recognise(&mut client);
    members.endpoints[home].health.drain(true);
    let picked = selection.pick(&exchange(), true).expect("its home").endpoint;

    picked.health.eject(OUTLIER.eject, OUTLIER.longest, clock::coarse());

    assert!(selection.may_have_another(picked));
    selection.note(picked);
    let other = selection.pick(&exchange(), true).expect("the other").endpoint;
    assert!(!Arc::ptr_eq(picked, other) && !selection.may_have_another(other), "and no third one");
}

#[test]
fn a_client_that_came_before_its_endpoint_was_drained_is_at_home_there() {
    let upstream = sticky(&[false; 2], Rules::default());
    let members = upstream.members();
    let selection = Selection::of(&upstream, &members);
    let home = selection.pick(&exchange(), false).expect("somebody").endpoint;
    home.health.drain(true);

    let (mut answer, mut client) = (HeaderMap::new(), HeaderMap::new());
    selection.remind(home, &exchange(), &mut answer);
    keep(&answer, &mut client);

    assert!((0..10).all(|_| visit(&upstream, &mut client, false).0 == place(&upstream, home)));
}

#[test]
fn a_client_finds_its_endpoint_among_others_that_took_the_place_of_its_members() {
    let mut upstream = Upstream::changing("test", members(&[false; 3], Rules::default()));
    upstream.affinity = Some(affinity());
    let mut client = HeaderMap::new();
    visit(&upstream, &mut client, false);
    let (home, _) = visit(&upstream, &mut client, false);
    let name = Arc::clone(&upstream.members().endpoints[home].name);

    assert!(upstream.replace(members(&[false; 5], Rules::default())));

    for _ in 0..10 {
        let (place, _) = visit(&upstream, &mut client, false);
        assert_eq!(upstream.members().endpoints[place].name, name);
    }
}
