//! Endpoints that an operator drains and revives while several workers carry requests.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    net::SocketAddr,
    ops::Range,
    path::Path,
    rc::Rc,
};

use actix_rt::task::JoinHandle;
use futures_util::future::join_all;
use tokio::sync::Notify;

use super::support::{
    binary::{Binary, write},
    client::{self, Client, Response},
    origin::Origin,
    wire::patiently,
};

const ROUNDS: usize = 10;

/// Clients that go on asking, each request with a number of its own.
struct Crowd {
    talk: Rc<Talk>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Talk {
    next: Cell<usize>,
    /// Those that are not answered yet.
    under_way: RefCell<BTreeSet<usize>>,
    /// One more was answered.
    news: Notify,
    failures: RefCell<Vec<String>>,
    is_over: Cell<bool>,
}

/// What clients do with a cookie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Memory {
    Keeps,
    Forgets,
}

impl Crowd {
    /// Clients, each with the cookie that it comes with.
    fn of(clients: &[(Memory, &str)], proxy: SocketAddr) -> Self {
        let talk = Rc::new(Talk::default());
        let begin = |(memory, cookie): &(Memory, &str)| {
            actix_rt::spawn(ask(proxy, *memory, (*cookie).to_owned(), Rc::clone(&talk)))
        };
        Self { tasks: clients.iter().map(begin).collect(), talk }
    }

    /// The number of the request that comes next.
    fn next(&self) -> usize {
        self.talk.next.get()
    }

    /// Until so many more were asked, and all before them answered.
    async fn another(&self, requests: usize) {
        let wanted = self.next() + requests;
        let is_answered = || self.talk.under_way.borrow().first().is_some_and(|oldest| *oldest >= wanted);
        patiently("requests", async {
            while !is_answered() {
                self.talk.news.notified().await;
            }
        })
        .await;
    }

    /// What has failed of all that was asked.
    async fn end(self) -> Vec<String> {
        self.talk.is_over.set(true);
        for ended in join_all(self.tasks).await {
            ended.expect("clients do not panic");
        }
        self.talk.failures.take()
    }
}

/// Half of them GET and half POST. Who keeps its cookie must be answered by the same one each time.
async fn ask(proxy: SocketAddr, memory: Memory, mut cookie: String, talk: Rc<Talk>) {
    let (mut client, mut home) = (Client::connect(proxy).await, None);
    while !talk.is_over.get() {
        let number = talk.next.replace(talk.next.get() + 1);
        talk.under_way.borrow_mut().insert(number);
        let (method, body) = [("GET", "\r\n"), ("POST", "Content-Length: 2\r\n\r\nhi")][number % 2];
        client.send(format!("{method} /{memory:?}/{number} HTTP/1.1\r\nHost: a\r\n{cookie}{body}")).await;
        let response = client.read_response().await;
        let is_elsewhere = memory == Memory::Keeps && *home.get_or_insert_with(|| response.text()) != response.text();
        if response.status != 200 || is_elsewhere {
            talk.failures.borrow_mut().push(format!("{method} {number}: {}{}", response.head, response.text()));
        }
        if let (Memory::Keeps, Some(set)) = (memory, set_by(&response)) {
            cookie = set;
        }
        talk.under_way.borrow_mut().remove(&number);
        talk.news.notify_one();
    }
}

/// The cookie that it sets, as the field of a request.
fn set_by(response: &Response) -> Option<String> {
    Some(format!("Cookie: {}\r\n", response.header("set-cookie")?.split(';').next()?))
}

/// The cookie of who is at home there.
async fn cookie_of(home: &str, proxy: SocketAddr) -> String {
    let mut client = Client::connect(proxy).await;
    let cookie = async {
        loop {
            client.send("GET /Keeps/0 HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let response = client.read_response().await;
            if response.text() == home {
                return set_by(&response).expect("who is new is told where it is at home");
            }
        }
    };
    patiently("a home", cookie).await
}

async fn shop(folder: &Path, origins: [&Origin; 2], sticky: &str) -> (Binary, SocketAddr) {
    let [one, other] = origins.map(Origin::url);
    let common =
        "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver = { watch = false, workers = 4 }\n";
    let shop = format!("[upstreams.shop]\nservers = [{one:?}, {other:?}]\n{sticky}\n");
    write(folder, "edge.toml", format!("{common}routes.\"/\" = \"shop\"\n{shop}"));
    Binary::with_operators(folder).await
}

async fn order(operators: SocketAddr, what: &str, origin: &Origin) -> Response {
    let body = format!("{{\"endpoint\":\"{}\"}}", origin.address());
    let fields = format!(
        "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    client::request(operators, format!("POST /upstreams/shop/{what} HTTP/1.1\r\n{fields}\r\n\r\n{body}")).await
}

/// Drains it and revives it, again and again; says which requests were asked while it was drained.
async fn drained_again_and_again(crowd: &Crowd, operators: SocketAddr, origin: &Origin) -> Vec<Range<usize>> {
    let mut drained = Vec::new();
    for _ in 0..ROUNDS {
        assert_eq!(order(operators, "drain", origin).await.status, 200);
        let first = crowd.next();
        crowd.another(100).await;
        drained.push(first..first + 100);
        assert_eq!(order(operators, "revive", origin).await.status, 200);
        origin.wait_for_requests(origin.requests_seen() + 20).await;
    }
    drained
}

/// Of these requests those that have come here: who asked, and with which number.
fn come_to(origin: &Origin, asked: &[Range<usize>]) -> Vec<(String, usize)> {
    let parse = |request: &String| {
        let mut parts = request.split(' ').nth(1).expect("a path").split('/').skip(1);
        let memory = parts.next().expect("who asks").to_owned();
        (memory, parts.next().and_then(|number| number.parse().ok()).expect("a number"))
    };
    let all = origin.requests();
    all.iter().map(parse).filter(|(_, number)| asked.iter().any(|asked| asked.contains(number))).collect()
}

#[actix_rt::test]
async fn no_request_fails_for_a_drain_and_none_comes_after_it_until_the_endpoint_is_revived() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (Origin::answering("one").start().await, Origin::answering("other").start().await);
    let (proxy, operators) = shop(folder.path(), [&one, &other], "").await;
    let crowd = Crowd::of(&[(Memory::Forgets, ""); 12], proxy.address);
    one.wait_for_requests(20).await;

    let drained = drained_again_and_again(&crowd, operators, &one).await;

    assert_eq!(crowd.end().await, Vec::<String>::new());
    assert_eq!(come_to(&one, &drained), []);
}

#[actix_rt::test]
async fn clients_who_are_at_home_at_a_drained_endpoint_stay_and_others_do_not_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (Origin::answering("one").start().await, Origin::answering("other").start().await);
    let (proxy, operators) = shop(folder.path(), [&one, &other], "sticky = { cookie = \"at\" }").await;
    let at_one = cookie_of("one", proxy.address).await;
    let clients =
        [(Memory::Keeps, &*at_one), (Memory::Forgets, ""), (Memory::Keeps, ""), (Memory::Forgets, "")].repeat(4);
    let crowd = Crowd::of(&clients, proxy.address);
    one.wait_for_requests(20).await;

    let drained = drained_again_and_again(&crowd, operators, &one).await;

    assert_eq!(crowd.end().await, Vec::<String>::new());
    let came = come_to(&one, &drained);
    let (kept, others): (Vec<_>, Vec<_>) = came.iter().partition(|(memory, _)| memory == "Keeps");
    assert!(!kept.is_empty(), "nobody was at home there");
    assert_eq!(others, Vec::<&(String, usize)>::new());
}
