//! The log as its readers find it: real files, real pipes.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    exchange::{Authority, Client, Exchange},
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, StatusCode, Version, downstream::Peer},
    settings::telemetry::RedactIp,
};

const CLIENT: &str = "192.0.2.77:40000";

/// A log in a folder of its own.
struct Book {
    log: AccessLog,
    path: PathBuf,
    folder: TempDir,
}

impl Book {
    fn new(format: &str) -> Self {
        Self::with(format, |_| {})
    }

    fn with(format: &str, change: impl FnOnce(&mut AccessLogSettings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let mut settings = settings(&path, format);
        change(&mut settings);
        Self { log: open(&settings), path, folder }
    }

    fn write(&self, exchange: &Exchange) {
        self.log.write(&Record { exchange, status: StatusCode::OK, bytes_out: 7 });
    }

    fn text(&self) -> String {
        self.log.flush();
        fs::read_to_string(&self.path).expect("the log")
    }

    /// The one line of one exchange.
    fn line(&self, exchange: &Exchange) -> String {
        self.write(exchange);
        let text = self.text();
        let line = text.strip_suffix('\n').expect("a whole line");
        assert!(!line.contains('\n'), "more than one line: {text}");
        line.to_owned()
    }
}

fn settings(path: &Path, format: &str) -> AccessLogSettings {
    AccessLogSettings {
        path: path.to_str().expect("a path in UTF-8").into(),
        format: format.into(),
        ..AccessLogSettings::default()
    }
}

fn open(settings: &AccessLogSettings) -> AccessLog {
    AccessLog::open(settings).expect("a log that opens").expect("it is on")
}

fn get(target: &str, fields: &[(&str, &[u8])]) -> Exchange {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_bytes(value).expect("a value"));
    }
    let peer = Peer::Tcp(CLIENT.parse::<SocketAddr>().expect("an address"));
    let uri = target.parse().expect("a target");
    let client = Client::at(peer, false);
    let mut exchange = Exchange::new(Method::GET, uri, Version::HTTP_11, headers, RequestBody::empty(), client);
    exchange.authority = Authority::new("shop.example:8080".into(), 12);
    // As a log does that shows them all.
    let fields = exchange.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    exchange.facts.fields = fields.collect();
    exchange
}

#[test]
fn lines_of_many_threads_are_whole_and_each_thread_finds_its_own_in_order() {
    let book = Book::new("${header.thread} ${path}");

    thread::scope(|scope| {
        for number in ["0", "1", "2", "3"] {
            let log = book.log.clone();
            scope.spawn(move || {
                for line in 0..1000 {
                    let exchange = get(&format!("/{line}"), &[("thread", number.as_bytes())]);
                    log.write(&Record { exchange: &exchange, status: StatusCode::OK, bytes_out: 0 });
                }
            });
        }
    });

    let text = book.text();
    assert_eq!((text.lines().count(), book.log.dropped()), (4000, 0));
    for number in 0..4 {
        let start = format!("{number} ");
        let own: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(&start)).collect();
        let expected: Vec<_> = (0..1000).map(|line| format!("/{line}")).collect();
        assert_eq!(own, expected);
    }
}

#[test]
fn after_the_file_was_moved_away_reopening_begins_a_new_one() {
    let book = Book::new("${path}");
    let old = book.folder.path().join("access.log.1");
    book.write(&get("/before", &[]));
    book.log.flush();
    fs::rename(&book.path, &old).expect("a file moved");
    book.write(&get("/moved", &[]));

    book.log.reopen();
    book.write(&get("/after", &[]));

    assert_eq!(book.text(), "/after\n");
    assert_eq!(fs::read_to_string(old).expect("the old file"), "/before\n/moved\n");
}

#[test]
fn a_file_that_cannot_be_opened_again_is_written_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).expect("a folder");
    let log = open(&settings(&logs.join("log"), "${path}"));
    let moved = folder.path().join("moved");
    fs::rename(&logs, &moved).expect("a folder moved");

    log.reopen();
    log.write(&Record { exchange: &get("/a", &[]), status: StatusCode::OK, bytes_out: 0 });
    log.flush();

    assert_eq!(fs::read_to_string(moved.join("log")).expect("the log"), "/a\n");
}

#[test]
fn a_log_is_appended_to() {
    let book = Book::new("${path}");
    book.write(&get("/one", &[]));
    book.log.flush();

    let second = open(&settings(&book.path, "${path}"));
    second.write(&Record { exchange: &get("/two", &[]), status: StatusCode::OK, bytes_out: 0 });
    second.flush();

    assert_eq!(book.text(), "/one\n/two\n");
}

fn long_target(number: usize) -> String {
    format!("/{number:0>200}")
}

/// A log whose writer is stuck, and how many lines it took before it dropped one.
fn stuck(pipe: &Path) -> (AccessLog, usize) {
    assert!(Command::new("mkfifo").arg(pipe).status().expect("mkfifo").success());
    let log = open(&settings(pipe, "${path}"));
    // A full queue alone is more than a pipe holds, so the writer cannot get through it; and all of them hold far less.
    let taken = (0..1_000_000).find(|number| {
        let exchange = get(&long_target(*number), &[]);
        log.write(&Record { exchange: &exchange, status: StatusCode::OK, bytes_out: 0 });
        log.dropped() > 0
    });
    (log, taken.expect("a line dropped"))
}

#[test]
fn lines_for_a_pipe_nobody_reads_are_dropped_and_counted_and_the_rest_arrives() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let (log, taken) = stuck(&pipe);
    assert_eq!(log.dropped(), 1);

    let reader = BufReader::new(File::open(&pipe).expect("the pipe"));
    drop(log);

    let lines: Vec<_> = reader.lines().map(|line| line.expect("a line")).collect();
    let expected: Vec<_> = (0..taken).map(long_target).collect();
    assert_eq!(lines, expected);
}

#[test]
fn waiting_for_a_pipe_nobody_reads_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _) = stuck(&folder.path().join("pipe"));

    // Hangs, if it does not end.
    log.0.lines.flush(Duration::from_millis(20));
}

#[test]
fn reopening_and_waiting_find_their_place_once_a_full_queue_moves() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pipe, old) = (folder.path().join("pipe"), folder.path().join("old"));
    let (log, taken) = stuck(&pipe);
    fs::rename(&pipe, &old).expect("a pipe moved");
    log.reopen();

    let reader = BufReader::new(File::open(&old).expect("the pipe"));
    let reading = thread::spawn(move || reader.lines().collect::<Result<Vec<_>, _>>().expect("lines"));
    log.0.lines.flush(Duration::from_secs(60));

    let new = fs::read_to_string(&pipe).expect("a file where the pipe was");
    let mut lines = reading.join().expect("the old one ended");
    lines.extend(new.lines().map(String::from));
    let expected: Vec<_> = (0..taken).map(long_target).collect();
    assert_eq!(lines, expected);
}

#[test]
fn the_combined_format_is_what_readers_of_logs_know() {
    let book = Book::new("combined");
    let fields: [(&str, &[u8]); 2] = [("referer", b"http://a.example/?x=1"), ("user-agent", b"curl/8.0 \"x\"")];

    let line = book.line(&get("/shop?id=1&token=t", &fields));

    let (start, rest) = line.split_once('[').expect("a time");
    let (time, rest) = rest.split_once(']').expect("its end");
    assert_eq!(start, "192.0.2.77 - - ");
    assert_eq!(time.len(), "28/Feb/2026:12:34:56 +0000".len(), "{time}");
    assert_eq!(rest, r#" "GET /shop?id=1&token=*** HTTP/1.1" 200 7 "http://a.example/?x=1" "curl/8.0 \x22x\x22""#);
}

#[test]
fn what_is_not_there_is_a_dash() {
    let book = Book::new("${referer}|${header.x-a}|${route}|${upstream}|${endpoint}|${error}|${detail}|${first_byte}");

    assert_eq!(book.line(&get("/", &[("referer", b"")])), "-|-|-|-|-|-|-|-");
}

#[test]
fn json_has_every_field_with_its_type() {
    let book = Book::new("json");
    let mut exchange = get("/a?b=c", &[("user-agent", b"curl")]);
    exchange.facts.route = Some("/a".into());
    exchange.facts.upstream = Some("api".into());
    exchange.facts.endpoint = Some("http://10.0.0.1".into());
    exchange.facts.attempts = 2;
    exchange.facts.hedged = true;
    exchange.facts.reused = true;
    exchange.facts.first_byte = Some(Duration::from_micros(1_234_056));
    exchange.facts.error = Some("http_response_incomplete");
    exchange.facts.detail = Some("it \"ended\"".into());
    let id = exchange.id().as_str().to_owned();

    let line = book.line(&exchange);

    assert!(line.contains("\"first_byte\":1234.056,"), "{line}");
    let mut read: Value = serde_json::from_str(&line).expect("JSON");
    let time = read["time"].take();
    assert_eq!(time.as_str().map(str::len), Some("2026-02-28T12:34:56.789Z".len()));
    assert!(read["duration"].take().as_f64().is_some_and(|duration| duration >= 0.0));
    let expected = json!({
        "time": null, "client": "192.0.2.77", "peer": "192.0.2.77", "method": "GET", "path": "/a?b=c",
        "protocol": "HTTP/1.1", "host": "shop.example:8080", "status": 200, "bytes_out": 7, "duration": null,
        "first_byte": 1234.056, "route": "/a", "upstream": "api", "endpoint": "http://10.0.0.1", "attempts": 2,
        "hedged": true, "reused": true, "error": "http_response_incomplete", "detail": "it \"ended\"", "request_id": id,
        "referer": null, "user_agent": "curl",
    });
    assert_eq!(read, expected);
}

#[test]
fn listed_fields_and_parameters_are_not_shown() {
    let book = Book::with("${path} ${referer} ${header.cookie} ${header.authorization} ${user_agent}", |settings| {
        settings.redact.headers.push("User-Agent".into());
    });
    let fields: [(&str, &[u8]); 3] =
        [("cookie", b"hunter2"), ("referer", b"https://a/?Code=hunter2&b"), ("user-agent", b"hunter2")];

    let line = book.line(&get("/a?PassWord=hunter2", &fields));

    assert_eq!(line, "/a?PassWord=*** https://a/?Code=***&b *** - ***");
}

#[test]
fn parameters_are_hidden_in_every_referer_of_several() {
    let fields: [(&str, &[u8]); 2] =
        [("referer", b"http://a/?x=1&token=hunter2"), ("referer", b"http://b/?code=hunter2&y")];

    for format in ["${referer}", "${header.referer}", "json"] {
        let line = Book::new(format).line(&get("/", &fields));

        assert!(!line.contains("hunter2"), "{line}");
        assert!(line.contains("http://a/?x=1&token=***, http://b/?code=***&y"), "{line}");
    }
}

#[test]
fn addresses_are_shown_as_the_settings_say() {
    for (ip, shown) in [
        (RedactIp::Keep, "192.0.2.77 192.0.2.77 198.51.100.1"),
        (RedactIp::Truncate, "192.0.2.0 192.0.2.0 ***"),
        (RedactIp::Off, "- - ***"),
    ] {
        let book = Book::with("${client} ${peer} ${header.x-forwarded-for}", |settings| settings.redact.ip = ip);

        assert_eq!(book.line(&get("/", &[("x-forwarded-for", b"198.51.100.1")])), shown);
    }
}

#[test]
fn what_a_line_shows_is_kept_as_it_came_and_nothing_else() {
    for (format, kept) in [
        ("${status} ${request_id}", &[][..]),
        ("combined", &["https://a/", "curl"]),
        ("json", &["https://a/", "curl"]),
        ("${header.x-a} ${header.X-A} ${user_agent} ${header.user-agent}", &["1", "2", "curl"]),
    ] {
        let fields: [(&str, &[u8]); 5] =
            [("x-a", b"1"), ("x-a", b"2"), ("x-b", b"3"), ("user-agent", b"curl"), ("referer", b"https://a/")];
        let mut exchange = get("/", &fields);
        exchange.facts.fields.clear();

        Book::new(format).log.begin(&mut exchange);

        let values: Vec<_> = exchange.facts.fields.iter().map(|(_, value)| value.to_str().expect("ASCII")).collect();
        assert_eq!(values, kept, "{format}");
    }
}

#[test]
fn a_field_sent_twice_is_shown_whole() {
    let book = Book::new("${header.x-a}");

    assert_eq!(book.line(&get("/", &[("x-a", b"1"), ("x-b", b"2"), ("X-A", b"3"), ("x-a", b"4")])), "1, 3, 4");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_clients_send_a_line_is_one_line(
        agent in proptest::collection::vec(any::<u8>(), 0..40),
        detail in any::<String>(),
    ) {
        let mut exchange = get("/", &[]);
        if let Ok(value) = HeaderValue::from_bytes(&agent) {
            exchange.facts.fields.append(crate::http::header::USER_AGENT, value);
        }
        exchange.facts.detail = Some(detail.clone() + "\r\n\" evil");
        let record = Record { exchange: &exchange, status: StatusCode::OK, bytes_out: 0 };
        let redaction = Redaction::new(&settings(Path::new("x"), "json").redact).expect("valid");
        let lines = ["json", "\"${user_agent}\" \"${detail}\""].map(|format| {
            let mut line = Vec::new();
            line::push(&mut line, &Format::parse(format).expect("a format"), &redaction, &record);
            String::from_utf8(line).expect("text")
        });

        for line in &lines {
            prop_assert_eq!(line.lines().count(), 1);
            let body = line.strip_suffix('\n').expect("an end");
            prop_assert!(!body.contains(|letter: char| letter.is_control()));
        }
        let read: Value = serde_json::from_str(&lines[0]).expect("JSON");
        prop_assert_eq!(read["detail"].as_str(), exchange.facts.detail.as_deref());
        prop_assert_eq!(lines[1].matches('"').count(), 4);
    }
}

#[test]
fn a_log_that_is_off_is_none() {
    let log = AccessLog::open(&AccessLogSettings::default()).expect("no problem");

    assert!(log.is_none());
}

#[test]
fn what_cannot_be_opened_is_a_problem_with_the_path() {
    let folder = tempfile::tempdir().expect("a folder");

    for path in [folder.path().to_owned(), folder.path().join("none/log")] {
        let problem = AccessLog::open(&settings(&path, "json")).expect_err("no file");

        assert_eq!(problem.key, ["log", "access", "path"], "{}", path.display());
    }
}

#[test]
fn a_bad_template_is_a_problem_with_the_format_and_opens_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");

    let problem = AccessLog::open(&settings(&path, "${methd}")).expect_err("a bad template");

    assert_eq!(problem.key, ["log", "access", "format"]);
    assert_eq!(problem.help.as_deref(), Some("did you mean `method`?"));
    assert_eq!(AccessLog::check(&settings(&path, "${methd}")), [problem]);
    assert!(!path.exists());
}
