//! The real binary: flags, exit codes, signals.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn aqueduct(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = aqueduct(folder, arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it was not killed"), text(output.stdout), text(output.stderr))
}

/// A server that was started and has said where it listens.
struct Server {
    child: Child,
    /// The first of those it listens at.
    address: SocketAddr,
    log: mpsc::Receiver<String>,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_as(aqueduct(folder, arguments))
    }

    fn start_as(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let (told, log) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        let address = next_address(&log);
        Self { child, address, log }
    }

    /// The next line on stderr that has this in it.
    fn says(&self, text: &str) -> String {
        next_with(&self.log, text)
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process was started here and not waited for yet, so the id is its own.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }

    fn wait(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            thread::yield_now();
        }
    }

    fn ask(&self, path: &str) -> String {
        self.send(&get(path))
    }

    fn send(&self, request: &str) -> String {
        Self::send_to(self.address, request)
    }

    fn send_to(address: SocketAddr, request: &str) -> String {
        let mut client = TcpStream::connect(address).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

fn next_address(log: &mpsc::Receiver<String>) -> SocketAddr {
    let line = next_with(log, "listening on ");
    let (_, address) = line.split_once("listening on ").expect("it is in it");
    address.trim().parse().expect("an address")
}

fn next_with(log: &mpsc::Receiver<String>, text: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let line = log.recv_timeout(left).unwrap_or_else(|_| panic!("nothing is said of {text}"));
        if line.contains(text) {
            return line;
        }
    }
}

/// An origin that answers when it is told to.
fn held_origin() -> (SocketAddr, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (asked, was_asked) = mpsc::channel();
    let (answer, may_answer) = mpsc::channel::<()>();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut head = [0; 4096];
        let _ = socket.read(&mut head);
        let _ = asked.send(());
        if may_answer.recv().is_ok() {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        }
    });
    (address, was_asked, answer)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_variable_that_is_not_utf_8_is_told_and_check_fails() {
    let folder = folder();
    let mut command = aqueduct(folder.path(), &["check"]);
    command.env("AQUEDUCT__SERVER__WORKERS", std::ffi::OsStr::from_bytes(b"2\xff"));

    let output = command.output().expect("the binary runs");

    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("AQUEDUCT__SERVER__WORKERS"));
}

#[test]
fn one_route_twice_on_the_command_line_is_a_problem() {
    let folder = folder();

    let (code, _, told) = run(folder.path(), &["check", "--route", "/api=http://x", "--route", "/api=http://y"]);

    assert_eq!(code, 2);
    assert!(told.contains("--route") && told.contains("/api"), "{told}");
}

#[test]
fn a_proxy_needs_no_file() {
    let folder = folder();
    let (origin, _, answer) = held_origin();
    answer.send(()).expect("it waits");
    let route = format!("/api=http://{origin}");

    let server = Server::start(folder.path(), &["run", "--listen", "127.0.0.1:0", "--route", &route]);

    assert!(server.ask("/api").ends_with("done"));
    assert!(server.ask("/else").starts_with("HTTP/1.1 404 "));
}

#[test]
fn it_listens_wherever_it_is_told_to() {
    let folder = folder();
    let arguments = ["run", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--route", "/=http://127.0.0.1:9"];

    let server = Server::start(folder.path(), &arguments);
    let second = next_address(&server.log);

    assert_ne!(server.address, second);
    for address in [server.address, second] {
        let answer = Server::send_to(address, &get("/"));
        assert!(answer.starts_with("HTTP/1.1 502 "), "{address}: {answer}");
    }
}

#[test]
fn help_says_what_there_is() {
    let folder = folder();
    for (name, arguments) in [("help", &["--help"][..]), ("help_of_run", &["run", "--help"])] {
        let (code, said, told) = run(folder.path(), arguments);

        assert_eq!((code, told.as_str()), (0, ""));
        insta::assert_snapshot!(name, said);
    }
}

#[test]
fn a_listener_with_certificates_speaks_tls_and_what_is_risky_is_said() {
    let folder = folder();
    let issued = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).expect("a certificate");
    fs::write(folder.path().join("a.pem"), issued.cert.pem()).expect("a file");
    fs::write(folder.path().join("a.key"), issued.signing_key.serialize_pem()).expect("a file");
    let settings = "listen = [{ addr = \"127.0.0.1:0\", tls = \"main\" }]\n\
        tls.main.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n\
        routes.\"/\" = \"a\"\n[upstreams.a]\nservers = [\"https://localhost\"]\ntls.insecure = true\n";
    fs::write(folder.path().join("a.toml"), settings).expect("a file");

    let server = Server::start(folder.path(), &["run", "--settings", "a.toml"]);

    server.says("upstreams.a.tls.insecure");
    let told = server.ask("/");
    assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("https://"), "{told}");
}

#[test]
fn an_endpoint_is_believed_by_the_roots_of_the_machine_unless_more_is_said() {
    let folder = folder();
    let origin = secured_origin(&folder.path().join("known.pem"));
    let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    fs::write(folder.path().join("stranger.pem"), stranger.cert.pem()).expect("a file");
    fs::write(folder.path().join("none.pem"), "").expect("a file");
    let route = format!("/=https://{origin}");
    let command = |roots: &str, arguments: &[&str]| {
        let mut command = aqueduct(folder.path(), arguments);
        command.env("SSL_CERT_FILE", folder.path().join(roots));
        command
    };
    let ask =
        |roots: &str| Server::start_as(command(roots, &["run", "--listen", "127.0.0.1:0", "--route", &route])).ask("/");

    let (believed, unknown) = (ask("known.pem"), ask("stranger.pem"));
    let nobody = command("none.pem", &["check", "--route", &route]).output().expect("the binary runs");

    assert!(believed.ends_with("done"), "{believed}");
    assert!(unknown.starts_with("HTTP/1.1 502 ") && unknown.contains("tls_certificate_error"), "{unknown}");
    let told = String::from_utf8_lossy(&nobody.stderr);
    assert!(told.contains("no root certificates") && told.contains("ca-certificates"), "{told}");
    assert_eq!(nobody.status.code(), Some(2));
}

/// An origin that answers everybody who believes the certificate that is written to this file.
fn secured_origin(file: &Path) -> SocketAddr {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    fs::write(file, issued.cert.pem()).expect("a file");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).expect("a key");
    let config = builder.expect("it speaks both").with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![issued.cert.der().clone()], key).expect("a pair"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = StreamOwned::new(connection, socket.expect("accepting works"));
            // Who does not believe us says nothing more.
            if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
            }
        }
    });
    address
}

#[test]
fn every_problem_is_told_at_its_place_and_check_fails() {
    let folder = folder();
    fs::create_dir(folder.path().join("settings")).expect("a folder");
    fs::write(folder.path().join("settings/local.toml"), "[routes]\n\"/a\" = \"nobody\"\n[server]\nworkerz = 2\n")
        .expect("a file");

    let (code, _, told) = run(folder.path(), &["check"]);

    assert_eq!(code, 2);
    assert!(told.contains("local.toml:2:8") && told.contains("unknown upstream `nobody`"), "{told}");
    assert!(told.contains("local.toml:4:1") && told.contains("workers"), "{told}");
}

#[test]
fn check_warns_of_certificates_that_end_soon_and_is_content() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut params = rcgen::CertificateParams::new(["shop.example".to_owned()]).expect("names");
    let (now, day) = (std::time::SystemTime::now(), Duration::from_secs(86_400));
    (params.not_before, params.not_after) = ((now - 80 * day).into(), (now + 5 * day).into());
    let key = rcgen::KeyPair::generate().expect("a key");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("shop.pem", &params.self_signed(&key).expect("a certificate").pem());
    write("shop.key", &key.serialize_pem());
    write("a.toml", "[tls.main]\ncertificates = [{ cert = \"shop.pem\", key = \"shop.key\" }]\n");

    let (code, said, warned) = run(folder.path(), &["check", "--settings", "a.toml"]);

    assert_eq!(code, 0, "{warned}");
    assert!(said.starts_with("the settings are good"), "{said}");
    assert!(warned.starts_with("warning: tls.main: the certificate in `shop.pem` expires on "), "{warned}");
    assert!(warned.ends_with(" GMT, in less than 7d\n"), "{warned}");
}

#[test]
fn check_reads_the_files_that_name_endpoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "routes.\"/\" = \"app\"\nroutes.\"/b\" = \"blog\"\n\
        [upstreams.app]\ndiscover = { file = \"app.toml\" }\n[upstreams.blog]\ndiscover = { file = \"no/blog.toml\" }\n";
    fs::write(folder.path().join("a.toml"), settings).expect("a file");
    let check = |file: &str| {
        fs::write(folder.path().join("app.toml"), file).expect("a file");
        run(folder.path(), &["check", "--settings", "a.toml"])
    };

    let (good, _, warned) = check("servers = [\"http://127.0.0.1:8000\"]\n");
    let (bad, _, told) = check("servers = [\n  \"http://127.0.0.1:8000\",\n  \"http://127.0.0.1:8000\",\n]\n");

    assert_eq!((good, bad), (0, 2), "{warned}{told}");
    assert!(warned.contains("upstream blog has no endpoints yet: there is no folder `no`"), "{warned}");
    assert!(told.contains("app.toml:3:3") && told.contains("listed twice"), "{told}");
}

#[test]
fn check_runs_the_tests_of_the_settings() {
    let folder = folder();
    let settings = |expected: &str| {
        format!(
            "[routes]\n\"/a\" = \"http://x\"\n[[tests]]\nrequest = \"GET /a/b\"\nexpect = {{ route = \"{expected}\" }}\n"
        )
    };
    let file = folder.path().join("a.toml");
    let check = || run(folder.path(), &["check", "--settings", "a.toml"]);

    fs::write(&file, settings("/a")).expect("a file");
    let (good, said, _) = check();
    fs::write(&file, settings("/b")).expect("a file");
    let (bad, _, told) = check();

    assert_eq!((good, bad), (0, 2));
    assert!(said.contains("1 test passed"), "{said}");
    assert!(told.contains("a.toml:5") && told.contains("expected route `/b`, but it is `/a`"), "{told}");
}

#[test]
fn explain_says_which_route_and_why_not_the_others() {
    let folder = folder();
    let arguments =
        ["explain", "GET", "/api/x?y", "--route", "/api=http://x/v1", "--route", "/=http://y", "-H", "Host: a"];

    let (code, said, _) = run(folder.path(), &arguments);

    assert_eq!(code, 0);
    assert!(said.contains("route `/api`"), "{said}");
    assert!(said.contains("not `/`") && said.contains("a longer prefix goes first"), "{said}");
    assert!(said.contains("gets /v1/api/x?y"), "{said}");
}

#[test]
fn settings_show_says_where_each_value_comes_from() {
    let folder = folder();
    let mut command = aqueduct(folder.path(), &["settings", "show", "--origin", "--listen", "127.0.0.1:1"]);

    let output = command.env("AQUEDUCT__SERVER__WORKERS", "3").output().expect("the binary runs");

    let said = String::from_utf8(output.stdout).expect("text");
    let line = |key: &str| said.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("workers = 3").contains("AQUEDUCT__SERVER__WORKERS"), "{said}");
    assert!(line("listen = ").contains("--listen"), "{said}");
}

#[test]
fn a_wrong_command_line_is_told_apart_from_a_failure() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();

    let (unknown, ..) = run(folder.path(), &["serve"]);
    let (no_route, ..) = run(folder.path(), &["run", "--route", "nonsense"]);
    let (in_use, _, told) = run(folder.path(), &["run", "--listen", &address]);

    assert_eq!((unknown, no_route, in_use), (2, 2, 1));
    assert!(told.contains(&format!("cannot listen on {address}")), "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_connection_does_not_use_of_its_buffers_takes_no_memory() {
    let folder = folder();
    let server = Server::start(folder.path(), &["run", "--listen", "127.0.0.1:0", "--route", "/=http://127.0.0.1:9"]);

    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("it runs");

    let huge_pages = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
    assert_ne!(huge_pages.map(str::trim), Some("1"));
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_exits_with_success() {
    let folder = folder();
    let (origin, asked, answer) = held_origin();
    let route = format!("/=http://{origin}");
    let server = Server::start(folder.path(), &["run", "--listen", "127.0.0.1:0", "--route", &route]);
    let address = server.address;
    let mut client = TcpStream::connect(address).expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    asked.recv_timeout(PATIENCE).expect("the request arrives");

    server.signal(libc::SIGTERM);
    let started = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(started.elapsed() < PATIENCE, "it goes on listening");
    }
    answer.send(()).expect("it waits");
    let mut text = String::new();
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.read_to_string(&mut text).expect("the answer, and the end");

    assert!(text.ends_with("done") && text.to_ascii_lowercase().contains("connection: close"), "{text}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = folder();
    let (origin, asked, _answer) = held_origin();
    let route = format!("/=http://{origin}");
    let server = Server::start(folder.path(), &["run", "--listen", "127.0.0.1:0", "--route", &route]);
    let address = server.address;
    let mut client = TcpStream::connect(address).expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    asked.recv_timeout(PATIENCE).expect("the request arrives");

    server.signal(libc::SIGTERM);
    let started = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(started.elapsed() < PATIENCE, "it goes on listening");
    }
    server.signal(libc::SIGINT);

    assert_eq!(server.wait().code(), Some(3));
}

#[test]
fn what_does_not_finish_within_the_grace_is_dropped_and_told() {
    let folder = folder();
    let (origin, asked, _answer) = held_origin();
    let settings = format!(
        "listen = [\"127.0.0.1:0\"]\n[server.drain]\ngrace = \"100ms\"\n[routes]\n\"/\" = \"http://{origin}\"\n"
    );
    fs::write(folder.path().join("a.toml"), settings).expect("a file");
    let server = Server::start(folder.path(), &["run", "--settings", "a.toml"]);
    let mut client = TcpStream::connect(server.address).expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    asked.recv_timeout(PATIENCE).expect("the request arrives");

    server.signal(libc::SIGTERM);

    assert_eq!(server.wait().code(), Some(4));
}

#[test]
fn sigusr1_reopens_the_access_log() {
    let folder = folder();
    let (log, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let settings = format!(
        "listen = [\"127.0.0.1:0\"]\n[log.access]\npath = {:?}\nformat = \"${{path}}\"\n",
        log.display().to_string()
    );
    fs::write(folder.path().join("a.toml"), settings).expect("a file");
    let server = Server::start(folder.path(), &["run", "--settings", "a.toml"]);

    server.ask("/first");
    // The answer is there before its line is.
    let started = Instant::now();
    while fs::read_to_string(&log).expect("it is there") != "/first\n" {
        assert!(started.elapsed() < PATIENCE, "it has no line");
    }
    fs::rename(&log, &old).expect("it can be moved");
    server.signal(libc::SIGUSR1);
    let started = Instant::now();
    while !log.exists() {
        assert!(started.elapsed() < PATIENCE, "it is not opened again");
    }
    server.ask("/second");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));

    assert_eq!(fs::read_to_string(&old).expect("it is there"), "/first\n");
    assert_eq!(fs::read_to_string(&log).expect("it is there"), "/second\n");
}

/// A server that writes its access log to stdout, and where that can be read.
fn telling_at_stdout(folder: &Path) -> (Server, impl Iterator<Item = String> + use<>) {
    let settings = "listen = [\"127.0.0.1:0\"]\nroutes.\"/\".respond = { status = 204 }\n\
        [log.access]\npath = \"stdout\"\nformat = \"${method} ${path} ${status}\"\n";
    fs::write(folder.join("a.toml"), settings).expect("a file");
    let mut command = aqueduct(folder, &["run", "--settings", "a.toml"]);
    command.stdout(Stdio::piped());
    let mut server = Server::start_as(command);
    let lines = BufReader::new(server.child.stdout.take().expect("it is piped")).lines();
    (server, lines.map_while(Result::ok))
}

#[test]
fn the_access_log_can_be_written_to_stdout() {
    let folder = folder();
    let (server, mut lines) = telling_at_stdout(folder.path());

    let answer = server.ask("/orders?id=7");

    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(lines.next().as_deref(), Some("GET /orders?id=7 204"));
}

#[test]
fn where_nobody_reads_the_access_log_clients_are_answered() {
    // Many times what a pipe holds, and less than the queue before it.
    const REQUESTS: usize = 5_000;
    let folder = folder();
    let path = format!("/{}", "a".repeat(200));
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let (server, lines) = telling_at_stdout(folder.path());
    let mut client = BufReader::new(TcpStream::connect(server.address).expect("it listens"));
    client.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");

    for _ in 0..REQUESTS {
        client.get_mut().write_all(request.as_bytes()).expect("it reads");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(client.read_line(&mut head).expect("it answers") > 0, "it has left");
        }
        assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
    }

    let line = format!("GET {path} 204");
    assert!(lines.take(REQUESTS).all(|told| told == line), "and who reads it in the end misses nothing");
}

#[test]
fn the_id_of_a_refusal_leads_to_a_line_of_the_log() {
    let folder = folder();
    let server = Server::start(folder.path(), &["run", "--listen", "127.0.0.1:0", "--route", "/a=http://127.0.0.1:9"]);

    for (request, status, level, told) in [
        (&*get("/nowhere?a=secret"), 404, "INFO", "GET /nowhere: no route matches"),
        (
            "GET /a?b=secret HTTP/1.1\r\na b: c\r\n\r\n",
            400,
            "INFO",
            "GET /a: malformed request: a malformed field name",
        ),
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "INFO", "GET /: malformed request: a line that ends in LF alone"),
        ("GET /\u{e4} HTTP/1.1\r\n\r\n", 400, "INFO", "GET -: malformed request"),
        ("\x16\x03\x01", 400, "INFO", "- -: malformed request: no method"),
        // The operator's to look at.
        (&*get("/a?b=secret"), 502, "WARN", "GET /a to 127.0.0.1:9: "),
    ] {
        let answer = server.send(request);

        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id");
        let line = server.says(id);
        assert!(line.contains(level) && line.contains(told) && !line.contains("secret"), "{request:?}: {line}");
    }
}

#[test]
fn the_demo_shows_both_routes_and_stops_on_ctrl_c() {
    let folder = folder();
    let mut child =
        aqueduct(folder.path(), &["demo", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let first = said.next().expect("a line").expect("text");
    let address = first.rsplit(' ').next().expect("an address").parse().expect("an address");
    let server = Server { child, address, log: mpsc::channel().1 };

    let (api, web) = (server.ask("/api/orders?page=2"), server.ask("/web"));
    server.signal(libc::SIGINT);

    assert!(api.contains("\"path\": \"/api/orders?page=2\""), "{api}");
    assert!(web.contains("<h1>"), "{web}");
    assert_eq!(server.wait().code(), Some(0));
    assert!(said.map_while(Result::ok).any(|line| line.contains("curl")), "it says what to try");
}
