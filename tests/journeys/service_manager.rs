//! What a service manager (systemd) is told, and the sockets that it has opened before.

use std::{
    fs,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener},
    },
    process::Stdio,
};

use tempfile::TempDir;
use tokio::process::Command;

use super::support::{
    binary::{Binary, write},
    client::Client,
    wire::patiently,
};

/// What is at the other end of `NOTIFY_SOCKET`.
struct Manager(tokio::net::UnixDatagram);

impl Manager {
    fn of(socket: UnixDatagram) -> Self {
        socket.set_nonblocking(true).expect("it can be");
        Self(tokio::net::UnixDatagram::from_std(socket).expect("a runtime"))
    }

    /// The next thing that is said to it.
    async fn hears(&self) -> String {
        let mut said = [0; 4096];
        let count = patiently("something that is said", self.0.recv(&mut said)).await.expect("a datagram");
        String::from_utf8(said[..count].to_vec()).expect("text")
    }

    /// The next that begins so.
    async fn hears_of(&self, what: &str) {
        patiently(what, async { while !self.hears().await.starts_with(what) {} }).await;
    }

    /// Nothing more has been said.
    fn has_heard_all(&self) -> bool {
        self.0.try_recv(&mut [0; 1]).is_err()
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn answering(listen: &str) -> String {
    format!("listen = [{listen}]\nserver.watch = false\nroutes.\"/\" = {{ respond = {{ body = \"here\" }} }}\n")
}

/// The program, in a shell that does this first.
fn aqueduct(folder: &TempDir, first: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    let program = env!("CARGO_BIN_EXE_aqueduct");
    command.args(["-c", &format!("{first}\nexec {program} run --settings a.toml")]);
    command.current_dir(folder.path()).env_clear();
    command
}

async fn run(folder: &TempDir) -> (Manager, Binary) {
    let path = folder.path().join("notify");
    let manager = Manager::of(UnixDatagram::bind(&path).expect("a socket"));
    write(folder.path(), "a.toml", answering("\"127.0.0.1:0\""));
    let mut command = aqueduct(folder, "");
    (manager, Binary::start(command.env("NOTIFY_SOCKET", path)).await)
}

#[actix_rt::test]
async fn readiness_reloads_and_the_end_are_said() {
    let folder = folder();
    let (manager, mut server) = run(&folder).await;

    let first = manager.hears().await;
    let answer = server.get("/").await;
    server.reload().await;
    let during = [manager.hears().await, manager.hears().await];
    write(folder.path(), "a.toml", "listne = []");
    server.signal(libc::SIGHUP);
    let refused = [manager.hears().await, manager.hears().await];
    server.signal(libc::SIGTERM);
    let last = manager.hears().await;

    assert_eq!((first.as_str(), answer.status), ("READY=1\nSTATUS=generation 1 is in force", 200));
    for [reloading, _] in [&during, &refused] {
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it says since when");
        assert!(since.parse::<u64>().is_ok_and(|since| since > 0), "{since}");
    }
    assert_eq!(during[1], "READY=1\nSTATUS=generation 2 is in force");
    assert!(refused[1].starts_with("READY=1\nSTATUS=generation 2 is in force; "), "{}", refused[1]);
    assert!(last.starts_with("STOPPING=1\n"), "{last}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[actix_rt::test]
async fn a_hand_off_says_which_process_is_the_service_now() {
    let folder = folder();
    let (manager, mut server) = run(&folder).await;
    assert!(manager.hears().await.starts_with("READY=1\n"));

    server.hand_over().await;
    let said = [manager.hears().await, manager.hears().await];
    server.ended().await;
    server.signal(libc::SIGTERM);
    let last = manager.hears().await;

    // Each is believed of the process that is the service by then, so their order matters.
    assert_eq!(said[0], format!("MAINPID={}", server.processes()[1]));
    assert!(said[1].starts_with("READY=1\n"), "{}", said[1]);
    assert!(last.starts_with("STOPPING=1\n") && manager.has_heard_all(), "{last}");
}

#[actix_rt::test]
async fn a_failed_hand_off_says_nothing() {
    let folder = folder();
    let (manager, mut server) = run(&folder).await;
    assert!(manager.hears().await.starts_with("READY=1\n"));

    write(folder.path(), "a.toml", "listne = []");
    server.signal(libc::SIGUSR2);
    server.says("no process has taken over").await;

    assert!(manager.has_heard_all());
}

#[actix_rt::test]
async fn signs_of_life_are_given_at_a_name_in_no_folder_also_by_whoever_takes_over() {
    let folder = folder();
    let name = format!("aqueduct-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = Manager::of(UnixDatagram::bind_addr(&address).expect("a socket"));
    write(folder.path(), "a.toml", answering("\"127.0.0.1:0\""));
    let mut command = aqueduct(&folder, "export WATCHDOG_PID=$$");
    command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "100000");
    let mut server = Binary::start(&mut command).await;

    manager.hears_of("WATCHDOG=1").await;
    manager.hears_of("WATCHDOG=1").await;
    server.hand_over().await;
    server.ended().await;
    manager.hears_of("READY=1").await;
    manager.hears_of("WATCHDOG=1").await;
    manager.hears_of("WATCHDOG=1").await;
}

/// As a service manager does it: from the third descriptor on, and the process is told.
const PASSED: &str = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web";

/// This socket was opened before the program was started.
fn passing(folder: &TempDir, first: &str, socket: impl Into<OwnedFd>) -> Command {
    let mut command = aqueduct(folder, first);
    command.stdin(Stdio::from(socket.into()));
    command
}

#[actix_rt::test]
async fn a_socket_that_was_opened_before_is_listened_on_and_handed_on() {
    let folder = folder();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    write(folder.path(), "a.toml", answering(&format!("\"{address}\"")));
    // Whoever comes before there is a process waits.
    let mut early = Client::connect(address).await;
    early.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;

    let mut server = Binary::start_with(&mut passing(&folder, PASSED, socket)).await;

    assert_eq!(server.address, address);
    assert_eq!(early.read_response().await.text(), "here");
    server.hand_over().await;
    server.ended().await;
    assert_eq!(server.get("/").await.text(), "here");
}

#[actix_rt::test]
async fn the_file_of_a_socket_that_was_opened_before_is_not_ours() {
    let folder = folder();
    let path = folder.path().join("in.sock");
    let socket = UnixListener::bind(&path).expect("a free path");
    write(folder.path(), "a.toml", answering(&format!("\"127.0.0.1:0\", \"unix:{}\"", path.display())));
    let mut server = Binary::start_with(&mut passing(&folder, PASSED, socket)).await;
    server.hand_over().await;
    server.ended().await;
    let mut client = Client::connect_unix(&path).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;

    let answer = client.read_response().await;
    server.signal(libc::SIGTERM);
    server.says_nothing_more().await;

    assert_eq!(answer.text(), "here");
    assert!(path.exists());
}

#[actix_rt::test]
async fn a_socket_that_is_in_no_settings_is_told_of_and_closed() {
    let folder = folder();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    write(folder.path(), "a.toml", answering("\"127.0.0.1:0\""));

    let mut server = Binary::start_with(&mut passing(&folder, PASSED, socket)).await;

    server.says(&format!("{address} was handed over, but it is not in the settings")).await;
    // A process that another test is about to start may have a copy for a moment.
    let refused = async { while tokio::net::TcpStream::connect(address).await.is_ok() {} };
    patiently("nobody listens", refused).await;
}

#[actix_rt::test]
async fn a_socket_that_is_meant_for_another_process_is_left_alone() {
    let folder = folder();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    write(folder.path(), "a.toml", answering(&format!("\"{address}\"")));

    for meant in ["LISTEN_PID=1 LISTEN_FDS=1", "LISTEN_FDS=1", "LISTEN_PID=$$ LISTEN_FDS=5000"] {
        let first = format!("exec 3<&0 0</dev/null; export {meant}");
        let socket = socket.try_clone().expect("a descriptor");
        let output = passing(&folder, &first, socket).output().await.expect("it runs");

        assert_eq!(output.status.code(), Some(1), "{meant}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(&format!("cannot listen on {address}")), "{meant}: {told}");
    }
}

#[actix_rt::test]
async fn what_nobody_can_listen_on_is_refused() {
    let folder = folder();
    write(folder.path(), "a.toml", answering("\"127.0.0.1:0\""));
    let datagrams = OwnedFd::from(UnixDatagram::unbound().expect("a socket"));
    let file = OwnedFd::from(fs::File::open("/dev/null").expect("it is there"));
    let (pair, _other) = std::os::unix::net::UnixStream::pair().expect("descriptors");
    let unbound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");

    for (socket, expected) in [
        (datagrams, "descriptor 3 is no stream socket of TCP or unix"),
        (file, "descriptor 3 is no stream socket of TCP or unix"),
        (pair.into(), "descriptor 3 is a unix socket without a path"),
        (unbound.into(), "nothing listens on 0.0.0.0:0"),
    ] {
        let output = passing(&folder, PASSED, socket).output().await.expect("it runs");

        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(expected), "{expected}: {told}");
        assert_eq!(output.status.code(), Some(1), "{expected}");
    }
}
