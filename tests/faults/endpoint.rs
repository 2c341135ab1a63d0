//! An endpoint that can be made to fail in every way there is, and well again.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime,
    sync::watch,
    task::{self, LocalSet},
    time::sleep,
};

use super::{
    answer,
    support::{
        client::loopback,
        wire::{Extent, Socket, Wire, content_length, fill, patiently},
    },
};

/// What an endpoint does to whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Nobody listens, and what was open is closed: the process has ended.
    Refuses,
    /// Connections are never made, and what was open is closed: the process has stopped.
    TakesNoConnection,
    /// Reads a request and breaks the connection off.
    Resets,
    /// Reads a request and closes in order, without a byte.
    SaysNothing,
    /// Breaks the connection off within the answer.
    CutsShort,
    /// Reads a request and does nothing.
    Hangs,
    /// Answers 503.
    IsOverloaded,
    /// Takes this long for each answer.
    IsSlow(Duration),
    /// Answers, and closes the connection just as the next request comes.
    Leaves,
}

/// How often each request has come, at whatever endpoint.
pub type Ledger = Arc<Mutex<HashMap<String, usize>>>;

/// An endpoint in a thread of its own, for as long as the tests run.
pub struct Endpoint {
    pub address: SocketAddr,
    /// How often its mood was met, unless it lets nobody in.
    met: Arc<AtomicUsize>,
    wanted: watch::Sender<Mood>,
    is: watch::Receiver<Mood>,
}

/// What its connections know.
#[derive(Clone)]
struct Post {
    name: &'static str,
    ledger: Ledger,
    met: Arc<AtomicUsize>,
    is: watch::Receiver<Mood>,
}

impl Endpoint {
    /// A well one of this name.
    pub fn start(name: &'static str, ledger: &Ledger) -> Self {
        // An address of its own: nobody takes its port while it does not listen.
        let listener = std::net::TcpListener::bind((loopback(), 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (wanted, moods) = watch::channel(Mood::Well);
        let (becomes, is) = watch::channel(Mood::Well);
        let post = Post { name, ledger: Arc::clone(ledger), met: Arc::default(), is: is.clone() };
        let met = Arc::clone(&post.met);
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, live(listener, moods, becomes, post));
        });
        Self { address, met, wanted, is }
    }

    /// It is so from now on.
    pub async fn becomes(&self, mood: Mood) {
        self.met.store(0, Ordering::SeqCst);
        self.wanted.send_replace(mood);
        let mut is = self.is.clone();
        patiently("its mood", is.wait_for(|now| *now == mood)).await.expect("it lives");
    }

    /// How many requests have met its mood.
    pub fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }
}

impl Post {
    /// A request has come.
    fn note(&self, path: &str) {
        *self.ledger.lock().expect("nobody panics").entry(path.to_owned()).or_default() += 1;
    }
}

/// What a request asks for.
fn path(head: &str) -> &str {
    head.split(' ').nth(1).expect("a path")
}

async fn live(
    listener: std::net::TcpListener,
    mut moods: watch::Receiver<Mood>,
    becomes: watch::Sender<Mood>,
    post: Post,
) {
    let address = listener.local_addr().expect("it is bound");
    let mut listener = Some(listening(listener));
    let mut crowd = Vec::new();
    loop {
        let mood = *moods.borrow_and_update();
        match mood {
            Mood::Refuses => listener = None,
            Mood::TakesNoConnection => {
                crowd = fill(listener.as_ref().expect("it listens"), address).await;
            }
            _ => {
                crowd.clear();
                let listener = listener
                    .get_or_insert_with(|| listening(std::net::TcpListener::bind(address).expect("its port is free")));
                rustix::net::listen(&*listener, 1024).expect("it listens with more room");
            }
        }
        becomes.send_replace(mood);
        match &listener {
            Some(listener) if mood != Mood::TakesNoConnection => tokio::select! {
                () = accept(listener, &post) => {}
                _ = moods.changed() => {}
            },
            _ => drop(moods.changed().await),
        }
    }
}

fn listening(listener: std::net::TcpListener) -> TcpListener {
    listener.set_nonblocking(true).expect("a listener can be made non-blocking");
    TcpListener::from_std(listener).expect("it is non-blocking")
}

async fn accept(listener: &TcpListener, post: &Post) {
    loop {
        let (socket, _) = listener.accept().await.expect("accepting works");
        task::spawn_local(serve(Wire::new(Socket::Tcp(socket)), post.clone()));
    }
}

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3600);

async fn serve(mut wire: Wire, mut post: Post) {
    loop {
        let head = tokio::select! {
            head = wire.next_head_within(FOR_EVER) => head,
            _ = post.is.wait_for(|mood| matches!(mood, Mood::Refuses | Mood::TakesNoConnection)) => return,
        };
        let Some(head) = head else { return };
        let path = path(&head);
        wire.read_body(content_length(&head).map_or(Extent::Nothing, Extent::Exactly)).await;
        post.note(path);
        let mood = *post.is.borrow();
        let answer = answer::to(path, post.name);
        if mood != Mood::Leaves {
            post.met.fetch_add(1, Ordering::SeqCst);
        }
        match mood {
            Mood::Refuses | Mood::TakesNoConnection | Mood::SaysNothing => return,
            Mood::Resets => return wire.reset(),
            Mood::CutsShort => {
                let _ = wire.write(&answer[..answer.len() - answer::CONTENT_AT_LEAST / 2]).await;
                return wire.reset();
            }
            Mood::Hangs => {
                while wire.fill().await {}
                return;
            }
            Mood::IsOverloaded => {
                let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
                if wire.write(answer).await.is_err() {
                    return;
                }
                continue;
            }
            Mood::IsSlow(time) => sleep(time).await,
            Mood::Well | Mood::Leaves => {}
        }
        if wire.write(&answer).await.is_err() || answer::ends_its_connection(path) {
            return;
        }
        if mood == Mood::Leaves {
            return leave(wire, &post).await;
        }
    }
}

/// Closes when another request is on its way, has come, or was read.
async fn leave(mut wire: Wire, post: &Post) {
    let so_far = post.ledger.lock().expect("nobody panics").len();
    match so_far % 3 {
        0 => {
            wire.half_close().await;
            if !wire.fill().await {
                return;
            }
        }
        1 if !wire.fill().await => return,
        1 => wire.reset(),
        _ => match wire.next_head_within(FOR_EVER).await {
            Some(head) => post.note(path(&head)),
            None => return,
        },
    }
    post.met.fetch_add(1, Ordering::SeqCst);
}
