//! Clients that come whether others were answered or not, each of which waits for so long and no longer.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use aqueduct::chance;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, LocalSet},
    time::{sleep_until, timeout},
};

/// Which part of the requests is of which class, by the paths of their routes.
pub const CLASSES: [(&str, f64); 3] = [("/critical", 0.2), ("/normal", 0.6), ("/sheddable", 0.2)];

/// How much is asked, and how long clients wait.
#[derive(Clone, Copy)]
pub struct Load {
    pub per_second: f64,
    pub deadline: Duration,
    /// What is asked first counts for nothing.
    pub warm_up: Duration,
    pub window: Duration,
}

/// What became of the requests of one class.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub asked: u32,
    /// 200 within the deadline.
    pub good: u32,
    /// 503 within the deadline.
    pub refused: u32,
}

struct Clients {
    proxy: SocketAddr,
    idle: RefCell<Vec<TcpStream>>,
    counts: RefCell<[Count; 3]>,
}

/// Asks this proxy; what became of each class.
pub async fn run(proxy: SocketAddr, load: Load) -> [Count; 3] {
    let clients = Rc::new(Clients { proxy, idle: RefCell::default(), counts: RefCell::default() });
    let local = LocalSet::new();
    local.run_until(clients.come(load)).await;
    *clients.counts.borrow()
}

impl Clients {
    async fn come(self: &Rc<Self>, load: Load) {
        let begin = Instant::now();
        let (counted, end) = (begin + load.warm_up, begin + load.warm_up + load.window);
        let (mut next, mut coming) = (begin, JoinSet::new());
        while next < end {
            sleep_until(next.into()).await;
            let (clients, counts) = (Rc::clone(self), next >= counted);
            coming.spawn_local(async move { clients.one(load.deadline, counts).await });
            // As those come who know nothing of each other.
            next += Duration::from_secs_f64(-(1.0 - chance::part()).ln() / load.per_second);
            while coming.try_join_next().is_some() {}
        }
        coming.join_all().await;
    }

    async fn one(&self, deadline: Duration, counts: bool) {
        let class = class();
        let answered = timeout(deadline, self.ask(CLASSES[class].0)).await;
        if !counts {
            return;
        }
        let count = &mut self.counts.borrow_mut()[class];
        count.asked += 1;
        match answered {
            Ok(Ok(200)) => count.good += 1,
            Ok(Ok(503)) => count.refused += 1,
            // Too late, or none.
            Ok(_) | Err(_) => {}
        }
    }

    /// On a connection that nobody uses, or a new one. One whose client has left is closed.
    async fn ask(&self, path: &str) -> std::io::Result<u16> {
        let idle = self.idle.borrow_mut().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(self.proxy).await?,
        };
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: overload\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        let status = loop {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = whole(&answer) {
                break status;
            }
        };
        self.idle.borrow_mut().push(stream);
        Ok(status)
    }
}

fn class() -> usize {
    let mut left = chance::part();
    for (index, (_, share)) in CLASSES.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return index;
        }
    }
    CLASSES.len() - 1
}

/// The status of an answer that is there to its last byte.
fn whole(answer: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    (body.len() >= length.unwrap_or(0)).then(|| head.get(9..12)?.parse().ok())?
}
