//! Which layer wins, and that nothing is turned into what it is not.

use std::fs;

use aqueduct::settings::{Layers, Listener, Place, Settings, Size, Time, layers::BUILT_IN, server::Workers};

fn key(path: &[&str]) -> Vec<String> {
    path.iter().map(|segment| (*segment).to_owned()).collect()
}

fn variables(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_file_of_defaults_says_what_the_types_say() {
    let built_in = Layers::new().load().expect("the built-in settings are good").settings;

    assert_eq!(built_in, Settings::default());
    assert_eq!(toml::from_str::<Settings>(BUILT_IN).expect("they are TOML"), Settings::default());
}

#[test]
fn the_file_of_defaults_has_every_key_with_a_comment() {
    let all = toml::Value::try_from(Settings::default()).expect("settings are TOML");
    let lines: Vec<&str> = BUILT_IN.lines().collect();

    let mut missing = Vec::new();
    visit(&all, &mut |key, value| {
        let is_there = value.is_table() && BUILT_IN.contains(&format!("{key}]\n"));
        let line = lines.iter().position(|line| line.starts_with(&format!("{key} = ")));
        if !is_there && !line.is_some_and(|line| lines[line - 1].starts_with("# ")) {
            missing.push(key.to_owned());
        }
    });

    assert_eq!(missing, ["tests"], "tests alone have no default to show");
}

fn visit(value: &toml::Value, each: &mut impl FnMut(&str, &toml::Value)) {
    for (key, value) in value.as_table().into_iter().flatten() {
        each(key, value);
        visit(value, each);
    }
}

#[test]
fn later_layers_win_key_by_key() {
    // Arrange
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("default.toml", "server_name = \"default\"\n[server]\nbacklog = 1\nmax_connections = 1\nworkers = 1\n");
    write("staging.toml", "server_name = \"staging\"\n[server]\nbacklog = 2\nmax_connections = 2\n");
    write("local.toml", "server_name = \"local\"\n[server]\nbacklog = 3\n");
    write("other.toml", "this is not read");

    // Act
    let loaded = Layers::new()
        .directory(folder.path())
        .environment(variables(&[("AQUEDUCT_ENV", "staging"), ("AQUEDUCT__SERVER_NAME", "environment")]))
        .flag(["listen"], vec!["127.0.0.1:1"], "--listen")
        .load()
        .expect("they are good");

    // Assert
    let Settings { server, server_name, listen, .. } = loaded.settings;
    assert_eq!((server.workers, server.max_connections, server.backlog), (Workers::Exactly(1), 2, 3));
    assert_eq!((server_name.as_str(), listen), ("environment", vec![Listener::address("127.0.0.1:1")]));
    assert_eq!(server.max_connections_per_ip, 0);

    let origin =
        |path: &[&str]| loaded.origins.origin(&key(path)).to_string().replace(folder.path().to_str().unwrap(), "");
    assert_eq!(origin(&["server", "workers"]), "/default.toml:5");
    assert_eq!(origin(&["server", "max_connections"]), "/staging.toml:4");
    assert_eq!(origin(&["server", "backlog"]), "/local.toml:3");
    assert_eq!(origin(&["server_name"]), "environment variable AQUEDUCT__SERVER_NAME");
    assert_eq!(origin(&["listen"]), "flag --listen");
    assert_eq!(origin(&["server", "max_connections_per_ip"]), "built in");
}

#[test]
fn an_environment_without_a_file_is_a_problem_that_names_the_likely_one() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("production.toml"), "").expect("a file");

    let layers = Layers::new().directory(folder.path());
    let problems = layers.environment(variables(&[("AQUEDUCT_ENV", "prodution")])).load().expect_err("a slip");

    assert_eq!(problems.0.len(), 1);
    assert_eq!(problems.0[0].help.as_deref(), Some("did you mean `production`?"));
    assert_eq!(problems.0[0].place, Some(Place::Environment("AQUEDUCT_ENV".into())));
}

#[test]
fn an_environment_without_a_directory_is_a_problem_and_beside_a_single_file_means_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxy.toml");
    fs::write(&file, "server_name = \"one\"\n").expect("a file");
    let named = |layers: Layers, name: &str| layers.environment(variables(&[("AQUEDUCT_ENV", name)])).load();

    let nowhere = || Layers::new().directory_if_there(folder.path().join("settings"));
    let problems = named(nowhere(), "production").expect_err("there is no such file");

    assert_eq!(problems.0[0].place, Some(Place::Environment("AQUEDUCT_ENV".into())));
    assert!(named(nowhere(), "").is_ok() && named(nowhere(), "local").is_ok());
    assert!(named(Layers::new().path(file), "production").is_ok());
}

#[test]
fn an_environment_cannot_leave_the_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("inner")).expect("a folder");
    fs::write(folder.path().join("outer.toml"), "").expect("a file");

    let layers = Layers::new().directory(folder.path().join("inner"));

    assert!(layers.environment(variables(&[("AQUEDUCT_ENV", "../outer")])).load().is_err());
}

#[test]
fn one_file_stands_for_the_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("proxy.toml");
    fs::write(&path, "server_name = \"one\"\n").expect("a file");

    assert_eq!(Layers::new().path(&path).load().expect("it is good").settings.server_name, "one");
}

#[test]
fn arrays_are_replaced_and_tests_are_appended() {
    let loaded = Layers::new()
        .text("a", "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n[[tests]]\nrequest = \"GET /1\"\nexpect = {}\n")
        .text("b", "listen = [\"127.0.0.1:3\"]\n\n[[tests]]\nrequest = \"GET /2\"\nexpect = {}\n")
        .load()
        .expect("they are good");

    assert_eq!(loaded.settings.listen, [Listener::address("127.0.0.1:3")]);
    let urls: Vec<_> = loaded.settings.tests.iter().map(|test| test.request.url.as_str()).collect();
    assert_eq!(urls, ["/1", "/2"]);
    assert_eq!(loaded.origins.place(&key(&["tests", "0", "request"])).to_string(), "a:3");
    assert_eq!(loaded.origins.place(&key(&["tests", "1", "request"])).to_string(), "b:4");
}

#[test]
fn a_route_may_become_a_table_or_a_string_in_a_later_layer() {
    let loaded = Layers::new()
        .text("a", "[routes]\n\"/a\" = \"http://a\"\n\"/b\" = { to = \"http://b\", strip = true }\n")
        .text("b", "[routes]\n\"/a\" = { strip = true, to = \"http://c\" }\n\"/b\" = \"http://d\"\n")
        .load()
        .expect("they are good");

    let routes = loaded.settings.routes;
    assert_eq!((routes["/a"].to.clone(), routes["/a"].strip), (Some("http://c".into()), true));
    assert_eq!((routes["/b"].to.clone(), routes["/b"].strip), (Some("http://d".into()), false));
    assert_eq!(loaded.origins.origin(&key(&["routes", "/b", "to"])).to_string(), "b:3");
}

#[test]
fn patterns_survive_as_they_are_written() {
    let patterns = [
        "GET shop.example.com/API/v1.2",
        "=/a.b[0]",
        "~^/v(?<major>[0-9]+)/",
        "*.tenant.example/",
        "/with space",
        "/größe",
        "a.b.c",
        "[x]",
        "0",
        "",
    ];
    let text = patterns.map(|pattern| format!("'{pattern}' = 'http://a'\n")).concat();

    let settings = Layers::new().text("a", format!("[routes]\n{text}")).load().expect("they are good").settings;

    let mut expected = patterns.to_vec();
    let mut found: Vec<_> = settings.routes.keys().map(String::as_str).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn keys_at_the_top_that_look_like_paths_are_only_unknown_keys() {
    let problems = Layers::new().text("a", "\"server.workers\" = 3\n\"listen[0]\" = 'x'\n").load();

    let whats: Vec<_> = problems.expect_err("unknown").0.into_iter().map(|problem| problem.what).collect();
    assert_eq!(whats, ["unknown key `server.workers`", "unknown key `listen[0]`"]);
}

#[test]
fn variables_are_toml_or_else_strings() {
    let loaded = Layers::new()
        .environment(variables(&[
            ("AQUEDUCT__LISTEN", "[\"127.0.0.1:1\", \"[::1]:2\"]"),
            ("AQUEDUCT__SERVER__WORKERS", "4"),
            ("AQUEDUCT__SERVER__HTTP__MAX_BODY", "16MiB"),
            ("AQUEDUCT__SERVER__DRAIN", "{ grace = \"5s\" }"),
            ("AQUEDUCT__LOG__LEVEL", "off"),
            ("AQUEDUCT__SERVER_NAME", "\"7\""),
            ("AQUEDUCT__ROUTES", "{ \"/Api\" = \"http://a\" }"),
            ("AQUEDUCT__UPSTREAMS__API__SERVERS", "[\"http://b\"]"),
            ("AQUEDUCT_SERVICE_HOST", "what an orchestrator sets is not ours"),
            ("HOME", "/root"),
        ]))
        .load()
        .expect("they are good");

    let settings = loaded.settings;
    assert_eq!(settings.listen, [Listener::address("127.0.0.1:1"), Listener::address("[::1]:2")]);
    assert_eq!(settings.server.workers, Workers::Exactly(4));
    assert_eq!(settings.server.http.max_body, Size::mib(16));
    assert_eq!(settings.server.drain.grace, Time::secs(5));
    assert_eq!((settings.log.level.as_str(), settings.server_name.as_str()), ("off", "7"));
    assert_eq!(settings.routes["/Api"].to, Some("http://a".into()));
    assert_eq!(settings.upstreams["api"].servers[0].url, "http://b");
}

#[test]
fn the_more_exact_variable_wins() {
    let both = [("AQUEDUCT__LOG__LEVEL", "debug"), ("AQUEDUCT__LOG", "{ level = \"warn\", access.path = \"stdout\" }")];

    let log = Layers::new().environment(variables(&both)).load().expect("they are good").settings.log;

    assert_eq!((log.level.as_str(), log.access.path.as_str()), ("debug", "stdout"));
}

#[test]
fn what_is_wrong_is_left_out_and_the_rest_is_read() {
    let text =
        "server_name = 7\n[server]\nbacklog = 5\n[routes]\n\"/a\" = { to = \"http://a\", strip = 1 }\n\"/b\" = 1\n";

    let reading = Layers::new().text("a", text).read();

    assert_eq!(reading.problems.0.len(), 3);
    assert_eq!((reading.settings.server_name.as_str(), reading.settings.server.backlog), ("aqueduct", 5));
    assert_eq!(reading.settings.routes["/a"].to, Some("http://a".into()));
    assert!(reading.settings.routes.contains_key("/b"));
    assert!(reading.complete);
}

#[test]
fn a_missing_value_is_placed_where_it_should_be() {
    let loaded = Layers::new().text("a", "\n[upstreams.api]\nbalance = \"random\"\n").load().expect("it is good");

    assert_eq!(loaded.origins.place(&key(&["upstreams", "api", "servers", "0"])).to_string(), "a:2");
    assert_eq!(loaded.origins.origin(&key(&["upstreams", "api", "servers"])), Place::BuiltIn);
}

#[test]
fn deep_and_hostile_files_are_refused_without_harm() {
    let header = format!("[{}]\n", ["a"; 79].join("."));
    let dotted = format!("{} = 1\n", ["b"; 79].join("."));
    let nested = format!("{}1{}", "{ c = ".repeat(70), " }".repeat(70));
    for text in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("{} = 1", ["a"; 100_000].join(".")),
        format!("{header}{dotted}x = {nested}\n"),
        "\u{feff}server_name = \"\0\"".to_owned(),
    ] {
        assert!(Layers::new().text("a", text).load().is_err());
    }
}
