//! RFC 9111, 4.2.

use std::time::Duration;

use super::super::{
    Rules, Times, store,
    testing::{ask, at, fields, status, stored, stored_for, times},
};

/// How long an answer is fresh that could be validated.
fn ttl(answer: &str) -> i64 {
    stored(&format!("etag: \"a\" | {answer}")).ttl(at(0))
}

#[test]
fn an_answer_is_fresh_for_as_long_as_it_says() {
    for (answer, expected) in [
        ("cache-control: max-age=60", 60),
        ("cache-control: MaX-aGe=60", 60),
        ("cache-control: max-age=0060", 60),
        ("cache-control: max-age=\"60\"", 60),
        ("cache-control: foobar, max-age=60", 60),
        ("cache-control: a=\"b,c\\\"d\", max-age=60", 60),
        ("cache-control: max-age=60, s-maxage=5", 5),
        ("cache-control: s-maxage=60 | cache-control: max-age=5", 60),
        ("cache-control: max-age=0, s-maxage=60 | expires: @-10", 60),
        ("cache-control: max-age=2147483647", 2_147_483_647),
        ("cache-control: max-age=2147483648", 2_147_483_648),
        ("cache-control: max-age=99999999999999999999999", 2_147_483_648),
        ("cache-control: max-age=60 | expires: 0", 60),
        ("cache-control: max-age=60 | expires: @-7200 | date: @0", 60),
        ("expires: @60 | date: @0", 60),
        ("expires: @60", 60),
        ("expires: @60 | date: foo", 60),
        ("expires: @60 | date: @10", 50),
    ] {
        assert_eq!(ttl(answer), expected, "{answer}");
    }
}

#[test]
fn what_cannot_be_read_or_is_said_twice_is_as_short_as_it_may_mean() {
    for (answer, expected) in [
        ("cache-control: max-age=0 | expires: @60", 0),
        ("cache-control: max-age=-60", 0),
        ("cache-control: max-age='60'", 0),
        ("cache-control: max-age=60.0", 0),
        ("cache-control: max-age=60a", 0),
        ("cache-control: max-age = 60", 0),
        ("cache-control: max-age =60", 0),
        ("cache-control: max-age= 60", 0),
        ("cache-control: max-age", 0),
        ("cache-control: max-age=", 0),
        ("cache-control: max-age=60, max-age=1", 1),
        ("cache-control: max-age=1 | cache-control: max-age=60", 1),
        ("cache-control: a=\"max-age=60\", max-age=1", 1),
        ("cache-control: max-age=1, a=\"max-age=60\"", 1),
        ("cache-control: a=\", max-age=60, \", max-age=1", 1),
        ("expires: 0", 0),
        ("expires: @0 | date: @0", 0),
        ("expires: @-60 | date: @0", 0),
        ("expires: @300 | date: @400", 0),
        ("expires: @60 | expires: @5", 5),
        ("expires: @60 | expires: foo", 0),
        ("expires: Thu, 18 Aug 50 02:01:18 GMT", 0),
        ("expires: Thu 18 Aug 2050 02:01:18 GMT", 0),
        ("expires: Thu, 18-Aug-2050 02:01:18 GMT", 0),
        ("expires: Thu, 18 Aug 2050 02.01.18 GMT", 0),
        ("expires: Thu, 18 Aug 2050 2:01:18 GMT", 0),
        ("expires: Thu, 18 Aug 2050 02:01:18 UTC", 0),
    ] {
        assert_eq!(ttl(answer), expected, "{answer}");
    }
}

#[test]
fn fields_for_some_caches_count_instead_of_the_one_for_all() {
    for (answer, expected) in [
        ("cdn-cache-control: max-age=60", 60),
        ("cdn-cache-control: max-age=60 | cache-control: max-age=1", 60),
        ("cdn-cache-control: max-age=1 | cache-control: max-age=60 | expires: @60", 1),
        ("cdn-cache-control: max-age=60 | cache-control: no-store", 60),
        ("cdn-cache-control: max-age=60 | expires: 0", 60),
        ("cdn-cache-control: foobar, max-age=60", 60),
        ("cdn-cache-control: foobar | cache-control: max-age=60 | expires: @60", 0),
        ("cdn-cache-control: max-age=99999999999", 2_147_483_648),
        ("cdn-cache-control: max-age=-5 | cache-control: max-age=60", 0),
        ("aqueduct-cache-control: max-age=5 | cdn-cache-control: max-age=60", 5),
        ("aqueduct-cache-control: &&& | cdn-cache-control: max-age=60", 60),
        // What is no structured field is not there.
        ("cdn-cache-control: max-age=60, &&&&& | cache-control: max-age=5", 5),
        ("cdn-cache-control: max-age=\"60\" | cache-control: max-age=5", 5),
        ("cdn-cache-control: MaX-aGe=60 | cache-control: max-age=5", 5),
        ("cdn-cache-control: max-age =60 | cache-control: max-age=5", 5),
        ("cdn-cache-control: no-store=1 | cache-control: max-age=5", 5),
        ("cdn-cache-control: private=1 | cache-control: max-age=5", 5),
        ("cdn-cache-control:  | cache-control: max-age=5", 5),
        ("cdn-cache-control: no-store=?0, max-age=60", 60),
    ] {
        assert_eq!(ttl(answer), expected, "{answer}");
    }
}

#[test]
fn without_a_word_it_is_guessed_from_the_last_change() {
    let guess = |code, answer, rules: &Rules| stored_for("", code, answer, rules).map(|head| head.ttl(at(0)));
    let rules = Rules::default();
    for (code, answer, expected) in [
        (200, "last-modified: @-1000 | date: @0", 100),
        (200, "last-modified: @-99999999", 86_400),
        (200, "last-modified: @10", 0),
        (404, "last-modified: @-1000", 100),
        (599, "last-modified: @-1000 | cache-control: public", 100),
        (200, "last-modified: @-1000 | cache-control: max-age=5", 5),
    ] {
        assert_eq!(guess(code, answer, &rules), Ok(expected), "{code} {answer}");
    }
    for code in [201, 202, 403, 502, 503, 504, 599] {
        assert!(guess(code, "last-modified: @-1000", &rules).is_err(), "{code}");
    }
}

#[test]
fn operators_fill_in_what_is_not_said_and_set_a_limit() {
    let seconds = |seconds| Duration::from_secs(seconds);
    let rules = Rules {
        default_ttl: Some(seconds(30)),
        status_ttl: vec![(status(404), seconds(10)), (status(500), seconds(2))],
        max_ttl: Some(seconds(100)),
        ..Rules::default()
    };
    for (code, answer, expected) in [
        (200, "", 30),
        (200, "last-modified: @-5000", 30),
        (404, "", 10),
        (500, "", 2),
        (200, "cache-control: max-age=5", 5),
        (200, "cache-control: max-age=500", 100),
        (404, "expires: @20", 20),
    ] {
        let head = stored_for("", code, answer, &rules).unwrap_or_else(|why| panic!("{code} {answer}: {why:?}"));
        assert_eq!(head.ttl(at(0)), expected, "{code} {answer}");
    }
}

#[test]
fn age_is_what_has_passed_since_the_origin_made_it() {
    for (answer, expected) in [
        ("", 0),
        ("age: 5", 5),
        ("date: @-7", 7),
        ("date: @-7 | age: 5", 7),
        ("date: @-7 | age: 50", 50),
        ("date: @7", 0),
        ("date: @7 | age: 5", 5),
        // One that cannot be read is not there, and of several the first counts (5.1).
        ("age: abc", 0),
        ("age: -5", 0),
        ("age: 5.0", 0),
        ("age: 5, 0", 5),
        ("age: 0 | age: 5", 0),
        ("age: 99999999999999999999", 2_147_483_648),
    ] {
        let head = stored(&format!("etag: \"a\" | cache-control: max-age=100 | {answer}"));
        assert_eq!(head.age(at(0)).as_secs(), expected, "{answer}");
        assert_eq!(head.age(at(30)).as_secs(), expected + 30, "{answer}, later");
    }
}

#[test]
fn the_time_that_the_answer_took_is_part_of_its_age() {
    let (rules, request, answer) = (Rules::default(), fields(""), fields("cache-control: max-age=60 | age: 5"));
    let slow = Times { asked: at(0), answered: at(3) };

    let head = store(&ask(&request, &rules), status(200), &answer, slow, &rules).expect("stored");

    assert_eq!((head.age(at(3)).as_secs(), head.ttl(at(4))), (8, 51));
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_young() {
    let (rules, request, answer) = (Rules::default(), fields(""), fields("cache-control: max-age=60 | age: 5"));
    let head = store(&ask(&request, &rules), status(200), &answer, times(1000), &rules).expect("stored");

    assert_eq!(head.age(at(0)).as_secs(), 5);
    assert!(head.ttl(at(0)) < 0, "nobody knows how old it is");
    assert_eq!(head.ttl(at(999)), 55, "clocks are kept in step");
}
