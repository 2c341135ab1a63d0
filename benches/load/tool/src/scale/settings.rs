//! Settings with many routes and endpoints.

use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::Range;

/// How many of everything there are.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Size {
    pub routes: usize,
    pub endpoints: usize,
    /// So many groups share the endpoints.
    pub upstreams: usize,
}

/// What a program is told that listens there, with `workers`, in front of an endpoint that answers at all of `127.0.0.0/8`. Another
/// `edition` leads one route elsewhere.
pub fn settings(size: Size, listen: SocketAddr, endpoint: SocketAddr, workers: usize, edition: usize) -> String {
    let mut text = format!(
        "listen = [\"{listen}\"]\nserver.workers = {workers}\nserver.watch = false\n\n[routes]\n\"=/up\" = {{ respond = {{ status = 200 }} }}\n\
         \"/bytes\" = \"up0\"\n"
    );
    for route in 2..size.routes {
        let to = if route == 2 { edition } else { route } % size.upstreams;
        // As people write them: most by path, some by host, and a few with more to say.
        let _ = match route % 10 {
            0 => writeln!(text, "\"/shop/area{route}\" = {{ to = \"up{to}\", strip = true }}"),
            1..=3 => writeln!(text, "\"site{route}.example/\" = \"up{to}\""),
            4 => writeln!(text, "\"GET /api/v1/things{route}\" = \"up{to}\""),
            _ => writeln!(text, "\"/service{route}/api\" = \"up{to}\""),
        };
    }
    for upstream in 0..size.upstreams {
        let servers: Vec<String> = group(size, upstream).map(|number| address(number, endpoint.port())).collect();
        let _ = writeln!(text, "\n[upstreams.up{upstream}]\nservers = [{}]", servers.join(", "));
    }
    text
}

fn group(size: Size, upstream: usize) -> Range<usize> {
    let share = |upstream: usize| size.endpoints * upstream / size.upstreams;
    share(upstream)..share(upstream + 1)
}

/// Each an address of its own.
fn address(number: usize, port: u16) -> String {
    format!("\"http://127.{}.{}.{}:{port}\"", number / 62_500, number / 250 % 250, 1 + number % 250)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::loopback;

    #[test]
    fn there_are_as_many_as_asked_for_and_one_differs_in_the_next_edition() {
        let size = Size { routes: 50, endpoints: 21, upstreams: 4 };
        let text = |edition| settings(size, loopback(1), loopback(2), 1, edition);

        assert_eq!(text(0).matches("http://").count(), 21);
        assert_eq!(text(0).lines().filter(|line| line.starts_with('"')).count(), 50);
        assert_eq!(text(0).lines().zip(text(1).lines()).filter(|(one, other)| one != other).count(), 1);
    }
}
