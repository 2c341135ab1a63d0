use std::fmt::Write;

use super::*;

fn table(patterns: &[&str]) -> Table<()> {
    with_priorities(&patterns.iter().map(|pattern| (*pattern, 0)).collect::<Vec<_>>()).expect("no ties")
}

fn with_priorities(patterns: &[(&str, i64)]) -> Result<Table<()>, Vec<Tie>> {
    let entry = |(pattern, priority): &(&str, i64)| Entry {
        pattern: pattern.parse().expect("a pattern"),
        priority: *priority,
        value: (),
    };
    Table::build(patterns.iter().map(entry).collect())
}

fn winner(table: &Table<()>, request: &str) -> Option<String> {
    let (method, target) = request.split_once(' ').expect("a method and a target");
    let (host, path) = target.split_at(target.find('/').expect("a path"));
    let method: Method = method.parse().expect("a method");
    table.find(&Lookup { method: &method, host, path }).map(|found| found.entry.pattern.to_string())
}

fn assert_routes(patterns: &[&str], expected: &[(&str, &str)]) {
    let backwards: Vec<&str> = patterns.iter().rev().copied().collect();
    for table in [table(patterns), table(&backwards)] {
        for (request, pattern) in expected {
            let expected = Some(*pattern).filter(|pattern| !pattern.is_empty());
            assert_eq!(winner(&table, request).as_deref(), expected, "{request} in {table:?}");
        }
    }
}

#[test]
fn exact_beats_regex_and_regex_beats_prefix_whatever_the_order() {
    assert_routes(
        &["/", "/v1/users", "=/v1/users", "~^/v[0-9]+/"],
        &[("GET /v1/users", "=/v1/users"), ("GET /v1/users/7", "~^/v[0-9]+/"), ("GET /v1", "/"), ("GET /x", "/")],
    );
}

#[test]
fn the_longest_prefix_wins() {
    assert_routes(
        &["/", "/a", "/a/", "/a/b", "/a/b/c/d"],
        &[
            ("GET /a", "/a"),
            ("GET /a/", "/a/"),
            ("GET /a/x", "/a/"),
            ("GET /a/b/c", "/a/b"),
            ("GET /a/b/c/d/e", "/a/b/c/d"),
            ("GET /ab", "/"),
        ],
    );
}

#[test]
fn a_longer_prefix_beats_a_method_and_a_method_beats_none_at_the_same_prefix() {
    assert_routes(
        &["GET /", "/a", "GET /a", "POST /a/b"],
        &[
            ("GET /a", "GET /a"),
            ("HEAD /a", "GET /a"),
            ("PUT /a", "/a"),
            ("POST /a/b", "POST /a/b"),
            ("GET /a/b", "GET /a"),
            ("PUT /a/b", "/a"),
            ("PUT /x", ""),
        ],
    );
}

#[test]
fn head_has_its_own_route_if_it_wants_one() {
    assert_routes(&["GET /", "HEAD /"], &[("HEAD /x", "HEAD /"), ("GET /x", "GET /")]);
}

#[test]
fn an_exact_host_beats_a_longer_wildcard_beats_a_shorter_one_beats_none() {
    assert_routes(
        &["/", "*.example/", "*.a.example/", "x.a.example/"],
        &[
            ("GET x.a.example/", "x.a.example/"),
            ("GET x.a.example./", "x.a.example/"),
            ("GET y.a.example/", "*.a.example/"),
            ("GET z.x.a.example/", "*.a.example/"),
            ("GET a.example/", "*.example/"),
            ("GET example/", "/"),
            ("GET elsewhere/", "/"),
        ],
    );
}

#[test]
fn a_host_whose_routes_take_nothing_of_the_request_is_passed_over() {
    assert_routes(
        &["=/health", "*.example/web", "a.example/api"],
        &[
            ("GET a.example/api", "a.example/api"),
            ("GET a.example/web", "*.example/web"),
            ("GET a.example/health", "=/health"),
            ("GET a.example/x", ""),
        ],
    );
}

#[test]
fn the_regex_of_higher_priority_goes_first() {
    let table = with_priorities(&[("~^/a", 1), ("~^/a/b", 2), ("POST ~^/a/b", 1), ("~/c", 3)]).expect("no ties");

    assert_eq!(winner(&table, "GET /a/b").as_deref(), Some("~^/a/b"));
    assert_eq!(winner(&table, "GET /a/b/c").as_deref(), Some("~/c"));
    assert_eq!(winner(&table, "POST /a/x").as_deref(), Some("~^/a"));
}

#[test]
fn equal_specificity_is_a_tie_and_both_are_named() {
    for (first, second) in [
        ("/a", "/a"),
        ("A.example/a", "a.example./a"),
        ("=/a", "=/a"),
        ("GET /a", "GET /a"),
        ("*.a.example/", "*.A.example/"),
        ("~^/a", "~^/a"),
        ("~^/a", "~^/ab"),
        ("~a", "~^/b"),
        ("~^/a|^/b", "~^/c"),
        ("~^/ab?", "~^/ac"),
        ("~^/a.c", "~^/abc"),
    ] {
        let ties = with_priorities(&[(first, 0), ("/else", 0), (second, 0)]).expect_err(first);

        assert_eq!(ties.len(), 1, "{first} {second}");
        assert_eq!((ties[0].first.as_str(), ties[0].second.as_str()), (first, second));
        assert_eq!(ties[0].regex, first.contains('~'));
    }
}

#[test]
fn what_can_be_ordered_or_never_meets_is_no_tie() {
    for pair in [
        [("/a", 0), ("/a/", 0)],
        [("/a", 0), ("=/a", 0)],
        [("/a", 0), ("GET /a", 0)],
        [("GET /a", 0), ("HEAD /a", 0)],
        [("/a", 0), ("a.example/a", 0)],
        [("~^/v[0-9]+/", 0), ("~^/img/.*[.]png$", 0)],
        [("~^/a", 0), ("~^/a", 1)],
        [("~^/a", 0), ("GET ~^/a", 0)],
        [("~^/a", 0), ("a.example~^/a", 0)],
        [("/a", 0), ("/a/b", 0)],
    ] {
        assert!(with_priorities(&pair).is_ok(), "{pair:?}");
    }
}

#[test]
fn every_tie_is_told_at_once() {
    let ties = with_priorities(&[("/a", 0), ("/a", 0), ("/b", 0), ("/b", 0)]).expect_err("two ties");

    assert_eq!(ties.len(), 2);
    assert_eq!(ties[0].to_string(), "`/a` and `/a` can take the same request, and neither is more specific");
}

#[test]
fn a_match_knows_what_follows_and_what_its_groups_took() {
    let table = table(&["~^/v(?<major>[0-9]+)/", "/api/", "/"]);
    let found = |path| table.find(&Lookup { method: &Method::GET, host: "", path }).expect("`/` takes all");

    assert_eq!(found("/v12/users").group("/v12/users", "major"), Some("12"));
    assert_eq!(found("/v12/users").group("/v12/users", "minor"), None);
    assert_eq!(found("/v12/users").rest("/v12/users"), "users");
    assert_eq!(found("/api/users").rest("/api/users"), "/users");
    assert_eq!(found("/api/users").group("/api/users", "major"), None);
    assert_eq!(found("/x").rest("/x"), "/x");
}

#[test]
fn a_lookup_asks_as_often_among_100_000_routes_as_among_10() {
    let probes = |routes: usize| {
        let table = many(routes);
        counting::probes_of(|| {
            for host in ["", "h1.example", "x.t1.example", "unknown.example"] {
                for path in ["/area1/service1/r1/deep/down", "/area1/service1", "/nothing/here", "/"] {
                    std::hint::black_box(table.find(&Lookup { method: &Method::GET, host, path }));
                }
            }
        })
    };

    let few = probes(10);

    assert_eq!(probes(1_000), few);
    assert_eq!(probes(100_000), few);
    assert!(few > 16, "the counter counts: {few}");
}

#[test]
fn regular_expressions_are_found_by_what_they_begin_with() {
    let probes = |routes: usize| {
        let patterns: Vec<_> = (0..routes).map(|n| format!("~^/user{n:04}/(?<id>[0-9]+)$")).collect();
        let patterns: Vec<_> = patterns.iter().map(String::as_str).chain(["GET ~/x"]).collect();
        let table = table(&patterns);
        let find = |path| table.find(&Lookup { method: &Method::GET, host: "", path }).map(|found| found.index);
        counting::probes_of(|| {
            assert_eq!(find("/user0007/12"), Some(7));
            assert_eq!(find("/user0007/x"), Some(routes), "one without a beginning is tried everywhere");
            assert_eq!(find("/user0007/"), None);
            assert_eq!(find("/us"), None);
        })
    };

    assert_eq!(probes(10), probes(1_000));
}

#[test]
fn a_hostile_path_costs_no_more_than_the_depth_of_the_routes() {
    let table = table(&["/a/b", "=/a/b/c", "*.x.example/"]);
    let mut path = String::from("/a/b");
    (0..4_000).for_each(|n| write!(path, "/{n}").expect("memory"));
    let host = "a.".repeat(100) + "x.example";

    let probes = counting::probes_of(|| {
        table.find(&Lookup { method: &Method::GET, host: &host, path: &path });
    });

    assert!(probes <= 8, "{probes}");
}

/// Of each kind a tenth or more, spread over areas and services; `/area1/service1/r1` is always there.
fn many(routes: usize) -> Table<()> {
    let pattern = |n: usize| match n % 10 {
        0 => format!("h{n}.example/"),
        1 => format!("/area{}/service{}/r{n}", n % 7, n % 13),
        2 => format!("=/exact/{n}"),
        3 => format!("*.t{n}.example/area1"),
        _ => format!("/area{}/service{}/r{n}/x", n % 7, n % 13),
    };
    let always = ["/area1/service1/r1", "h1.example/area1", "*.t1.example/area1", "=/exact/1"].map(String::from);
    let text = always.into_iter().chain((2..).map(pattern)).take(routes);
    let entry = |text: String| Entry { pattern: text.parse().expect("a pattern"), priority: 0, value: () };
    Table::build(text.map(entry).collect()).expect("no ties")
}
