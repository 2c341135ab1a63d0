//! Whoever is to check tokens must refuse those that are no good, before it is measured how fast it lets others pass.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::settings::{EXPIRED, FORGED};

const PATIENCE: Duration = Duration::from_secs(10);

/// Asks twice with each: what was checked once may be remembered.
pub fn check(peer: SocketAddr) -> io::Result<()> {
    let wrong = [("a token with a wrong signature", FORGED), ("a token that has expired", EXPIRED)];
    for (what, token) in wrong.into_iter().flat_map(|one| [one, one]) {
        let told = answer(peer, token)?;
        if !told.starts_with("HTTP/1.1 401 ") {
            return Err(io::Error::other(format!("to {what} it says {told:?}")));
        }
    }
    Ok(())
}

fn answer(peer: SocketAddr, token: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(peer)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head =
        format!("GET /bytes/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    // At once: who has read a part of it may answer that.
    stream.write_all(head.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Somebody who lets in whoever shows this token.
    fn letting_in(token: &'static str) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let mut lines = BufReader::new(&stream).lines().map(|line| line.expect("a request"));
                let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
                let shown = head.iter().any(|line| line.ends_with(&format!("Bearer {token}")));
                let status = if shown { "200 OK" } else { "401 Unauthorized" };
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").expect("an answer");
            }
        });
        address
    }

    #[test]
    fn who_refuses_what_is_no_good_passes() {
        check(letting_in("another")).expect("it refuses both");
    }

    #[test]
    fn who_lets_in_what_is_no_good_fails() {
        for (token, what) in [(FORGED, "wrong signature"), (EXPIRED, "expired")] {
            let error = check(letting_in(token)).expect_err("it lets it in").to_string();
            assert!(error.contains(what) && error.contains("200 OK"), "{error}");
        }
    }
}
