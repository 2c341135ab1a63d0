//! Bad settings and every word said about them. A test's name is its snapshot's.

use aqueduct::settings::Layers;
use serde_json::json;

/// What `check` prints of one bad file.
fn told(text: &str) -> String {
    Layers::new().text("settings/default.toml", text).load().expect_err("these are bad settings").render(false)
}

macro_rules! bad {
    ($($name:ident: $text:expr;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(told($text));
        })*
    };
}

bad! {
    a_syntax_error: "listen = [\"127.0.0.1:80\"\n\n[routes]\n";
    two_syntax_errors: "[server]\nbacklog = \n\n[log]\nlevel = \"info\n";
    an_unclosed_array: "listen = [ \"127.0.0.1:80\"\nserver_name = \"a\"\n\n[sever]\nbacklog = 5\n[routes]\n\"/\" = 5\n";
    an_unclosed_inline_table: "[routes]\n\"/a\" = { to = \"x\", strip = 1\n\"/b\" = 5\n[server]\nbacklog = 5\n";
    an_unclosed_head: "server_name = 5\n[routes\n\"/api\" = 5\n";
    two_missing_commas: "listen = [\"127.0.0.1:80\" \"127.0.0.1:81\"]\ntrusted_proxies = [\"10.0.0.1\" \"10.0.0.2\"]\n";
    no_quotes: "[routes]\n/api = \"http://a\"\n\"/web\" = http://b\n";
    a_key_twice: "server_name = \"a\"\nserver_name = \"b\"\n";
    an_unknown_section: "[sever]\nworkers = 2\n";
    an_unknown_key: "[server.timeouts]\nkeep_alive = \"5s\"\nkeepalive = \"5s\"\n";
    an_unknown_key_like_no_other: "[server]\nbanana = 1\n";
    a_string_for_a_number: "[server]\nbacklog = \"80\"\n";
    a_fraction_for_a_number: "[server]\nbacklog = 80.6\n";
    a_negative_number: "[server]\nbacklog = -1\n";
    a_number_beyond_its_range: "[server]\nbacklog = 99999999999\n";
    a_number_beyond_all_ranges: "[server]\nbacklog = 99999999999999999999\n";
    a_number_that_is_none: "[server]\nbacklog = nan\n";
    a_number_for_a_boolean: "[routes]\n\"/api\" = { to = \"http://localhost\", strip = 1 }\n";
    a_word_for_a_boolean: "[routes.\"/api\"]\nto = \"http://localhost\"\nstrip = \"yes\"\n";
    a_number_for_a_string: "server_name = 7\n";
    a_date_for_a_string: "server_name = 2026-11-24\n";
    a_string_for_an_array: "listen = \"127.0.0.1:80\"\n";
    a_string_for_a_table: "server = \"fast\"\n";
    an_array_for_a_table: "[[routes]]\npath = \"/api\"\n";
    a_table_for_an_array: "[tests]\nrequest = \"GET /\"\n";
    a_time_without_a_unit: "[server.timeouts]\nkeep_alive = 30\n";
    a_time_in_words: "[defaults]\ntimeout = { connect = \"5 minutes\" }\n";
    a_fraction_of_a_time: "[defaults]\ntimeout.connect = 0.4\n";
    a_size_without_a_unit_we_know: "[server.http]\nmax_body = \"16mb\"\n";
    a_negative_size: "[server.http]\nmax_body = -5\n";
    a_word_that_is_no_choice: "[server.errors]\nformat = \"jsn\"\n";
    another_word_for_fields_with_underscores: "[server.http]\nunderscores = \"allow\"\n";
    a_table_for_a_choice: "[defaults]\nforwarded = [\"both\"]\n";
    no_workers: "[server]\nworkers = 0\n";
    workers_in_a_word: "[server]\nworkers = \"all\"\n";
    an_address_without_a_port: "listen = [\"127.0.0.1\", \"127.0.0.1:80\", \"localhost:80\", 80]\n";
    a_listener_without_an_address: "listen = [{ address = \"127.0.0.1:80\" }]\n";
    a_listener_that_may_be_speaks_http_2: "listen = [{ addr = \"127.0.0.1:80\", h2 = \"maybe\" }, { addr = \"127.0.0.1:81\", http2 = true }]\n";
    an_unknown_timeout_of_a_listener: "listen = [{ addr = \"127.0.0.1:80\", timeouts = { keep_alife = \"5s\", idle_tunnel = \"1h\" } }]\n";
    a_mode_of_a_socket_that_is_none: "listen = [{ addr = \"unix:a\", mode = 432 }, { addr = \"unix:b\", mode = \"0668\" }, { addr = \"unix:c\", mode = \"rw\" }]\n";
    a_sender_of_proxy_headers_that_is_none: "listen = [{ addr = \"127.0.0.1:80\", proxy_protocol = { from = [\"lan\", \"unix\"], timeout = 5 } }, { addr = \"127.0.0.1:81\", proxy_protocol = { form = [] } }, { addr = \"127.0.0.1:82\", proxy_protocol = true }]\n";
    an_unknown_limit_of_http_2: "[server.http.h2]\nmax_stream = 5\nping = 30\n";
    a_version_of_tls_that_is_none: "[tls.main]\nmin_version = \"1.1\"\n";
    a_certificate_without_a_key: "[tls.main]\ncertificates = [{ cert = \"a.pem\" }]\n";
    clients_without_an_authority: "[tls.main]\nclient = { mode = \"required\" }\n";
    a_challenge_that_is_none: "[tls.main.acme]\nchallenge = \"dns-01\"\n";
    a_mode_of_clients_that_is_none: "[tls.main.client]\nca = \"a.pem\"\nmode = \"request\"\n";
    an_unknown_key_of_tls: "[tls.main]\ncertificate = []\n\n[upstreams.a]\nservers = []\ntls.insecur = true\n";
    a_network_that_is_none: "trusted_proxies = [\"10.0.0.0/8\", \"10.0.0.1\", \"10.0.0.0/33\", \"lan\"]\n";
    a_route_that_is_a_number: "[routes]\n\"/api\" = 8000\n";
    a_route_with_a_list_of_targets: "[routes]\n\"/api\" = { to = [\"a\", \"b\"] }\n";
    a_hedge_that_is_none:
        "[defaults]\nhedge = \"on\"\n[routes]\n\"/\" = { to = \"http://a\", hedge = { at = \"p100\", budget = 5 } }\n\"/b\" = { to = \"http://a\", hedge = { after = \"50ms\" } }\n";
    a_mirror_that_is_none:
        "[routes]\n\"/\" = { to = \"http://a\", mirror = [\"http://b\"] }\n\"/b\" = { to = \"http://a\", mirror = { sample = \"1%\" } }\n\"/c\" = { to = \"http://a\", mirror = { to = \"http://b\", sampel = \"1%\" } }\n";
    a_split_of_what_is_no_weight: "[routes]\n\"/\" = { to = { web = 0.9, web_next = -1, web_last = \"10%\" } }\n";
    a_cohort_with_a_secret: "[routes]\n\"/\" = { to = { a = 1, b = 1 }, sticky = { cookie = \"cohort\", secret = \"hunter2\" } }\n";
    a_status_that_does_not_fit: "[routes]\n\"/old\" = { redirect = \"/new\", status = 70000 }\n";
    an_unknown_key_in_a_fixed_answer: "[routes]\n\"/ping\" = { respond = { sttaus = 200 } }\n";
    an_unknown_timeout_of_a_route: "[routes]\n\"/api\" = { to = \"http://a\", timeout = { first_bite = \"1s\" } }\n";
    an_affinity_without_a_cookie: "[upstreams.api]\nservers = [\"http://a\"]\nsticky = { secret = { env = \"AQUEDUCT_TEST_NO_SUCH_VARIABLE\" }, tll = \"1h\" }\n\n[upstreams.web]\nsticky = true\n";
    a_server_without_a_url: "[upstreams.api]\nservers = [{ weight = 2 }, \"http://b\", { url = \"http://c\", wieght = 1 }]\n";
    a_server_that_is_a_number: "[upstreams.api]\nservers = [8000]\n";
    an_unknown_key_of_an_upstream: "[upstreams.api]\nserver = [\"http://a\"]\n";
    a_discovery_by_what_is_unknown: "[upstreams.api.discover]\ndsn = \"a\"\nrecord = \"a\"\nport = 70000\nmin_ttl = 5\nscheme = \"h2\"\n";
    an_unknown_transport: "[upstreams.api]\nservers = [\"http://a\"]\ntransport = \"h2\"\n";
    a_proxy_header_of_no_version: "[upstreams.api]\nservers = [\"http://a\"]\nproxy_protocol = \"v3\"\n";
    an_unknown_protocol: "[upstreams.api]\nservers = [\"http://a\"]\nprotocol = \"h3\"\nh2 = { max_stream = 5 }\n";
    a_test_without_an_expectation: "[[tests]]\nrequest = \"GET /\"\n";
    a_test_that_asks_nothing: "[[tests]]\nrequest = \"/api\"\nexpect = { status = 200 }\n";
    a_test_from_nowhere: "[[tests]]\nrequest = { url = \"/\", from = \"here\" }\nexpect = { sttus = \"ok\" }\n";
    a_setting_too_deep: "[routes.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q]\nr = 1\n";
    a_secret_beside_a_mistake:
        "[routes]\n\"/api\" = { to = \"http://me:hunter2@a\", token = \"hunter2\", strip = \"yes\", key = \"k\" }\n";
    a_secret_of_an_affinity_beside_a_mistake:
        "[upstreams.api]\nsticky = { cookie = \"srv\", secret = \"hunter2hunter2hunter2\", ttl = 5 }\n";
    a_secret_in_a_syntax_error: "[routes.\"/api\"]\nadmin_token = \"hunter2\nstrip = true\n";
    a_secret_over_several_lines: "[log]\npassword = \"\"\"\nhunter\"\"\"2\n";
    a_password_in_a_wrong_place: "server_password = { secret = [\"hunter2\"] }\n";
    letters_of_all_kinds: "[routes]\n\"/größe/日本\" = { \"to\" = \"http://a\", \"strip\"\t= \"ja\u{202e}\" }\r\n";
    many_at_once: "\
listen = [\"127.0.0.1\"]
colour = \"blue\"

[server]
workers = -3
backlog = \"many\"
drain = { grace = 5, patience = 7 }

[routes]
\"/a\" = 1
\"/b\" = { to = 2, strip = 3, timeout = { connect = 4, idle = \"5\" } }

[upstreams.api]
servers = [1, 2]
pool = { idle = 3, max_idel = 4 }

[[tests]]
request = \"GET /\"
expect = { status = \"ok\", rout = \"/\" }
";
}

#[test]
fn two_bad_files_are_told_in_one_run() {
    let problems = Layers::new()
        .text("settings/default.toml", "[server]\nbacklog = \"a\"\n\n[routes\n")
        .text("settings/local.toml", "[server]\nworkers = \"b\"\n\nlisten = [\n")
        .load()
        .expect_err("both are bad");

    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn a_bad_variable_is_named() {
    let variables = [
        ("AQUEDUCT__SERVER__BACKLOG", "many"),
        ("AQUEDUCT__SERVER__WORKRS", "2"),
        ("AQUEDUCT__SERVER_NAME", "7"),
        ("AQUEDUCT____X", "1"),
        ("AQUEDUCT__LOG__TOKEN", "hunter2"),
        ("AQUEDUCT__LOG__ACCESS", "{ path = 5 }"),
    ];

    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let problems = Layers::new().environment(variables).load().expect_err("they are bad");

    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn a_route_that_two_flags_set_is_a_problem() {
    let layers = Layers::new().flag(["routes", "/api"], "http://x", "--route");
    let layers = layers.flag(["routes", "/web"], "http://x", "--route").flag(["routes", "/api"], "http://y", "--route");

    insta::assert_snapshot!(layers.load().expect_err("which of them?").render(false));
}

#[test]
fn a_file_that_is_not_utf_8_is_told_by_line_and_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("local.toml");
    std::fs::write(&path, b"server_name = \"a\"\n[server] # gr\xf6\xdfe\nworkers = 2\n").expect("a file");
    let hidden = folder.path().join("hidden.toml");
    std::fs::write(&hidden, b"[log]\ntoken = \"hunter2\xff\"\n").expect("a file");

    let problems = Layers::new().file(path).file(hidden).load().expect_err("they are Latin-1");

    let told = problems.render(false).replace(folder.path().to_str().expect("text"), "");
    insta::assert_snapshot!(told);
}

#[test]
fn a_bad_flag_is_named() {
    let layers = Layers::new().flag(["listen"], vec![json!("127.0.0.1:80"), json!(80)], "--listen");

    insta::assert_snapshot!(layers.load().expect_err("80 is no address").render(false));
}

#[test]
fn a_settings_directory_that_is_not_there_is_a_problem_if_it_was_asked_for() {
    insta::assert_snapshot!(Layers::new().path("no/such/place").load().expect_err("nothing there").render(false));
    assert!(Layers::new().directory_if_there("no/such/place").load().is_ok());
}

#[test]
fn problems_on_a_terminal_are_coloured() {
    let problems = Layers::new().text("a.toml", "x = 1").load().expect_err("`x` is unknown");

    assert!(problems.render(true).contains("\u{1b}["));
    assert!(!problems.render(false).contains("\u{1b}["));
}
