//! What peers are told, each in its own words: one worker, kept connections to the endpoint, no access log.

mod aqueduct;
mod caddy;
mod haproxy;
mod nginx;
mod traffic_server;
mod varnish;

use std::net::SocketAddr;
use std::path::Path;

use crate::cases::Case;
use crate::tls::Certificate;

pub use aqueduct::{Variant, aqueduct};
pub use caddy::caddy;
pub use haproxy::haproxy;
pub use nginx::{Tells, nginx};
pub use traffic_server::traffic_server;
pub use varnish::varnish;

/// What all of them are to do in a case.
pub struct Wanted<'w> {
    pub case: &'w Case,
    pub listen: SocketAddr,
    pub endpoint: SocketAddr,
    /// The peer's own, for whatever it must write.
    pub directory: &'w Path,
    pub certificate: &'w Certificate,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::socket::loopback;

    /// What all peers are told in a case, with their names.
    fn told(case: &Case) -> [(&'static str, String); 5] {
        let directory = Path::new("/x");
        let certificate = Certificate::at(directory);
        let wanted = Wanted { case, listen: loopback(1), endpoint: loopback(2), directory, certificate: &certificate };
        [
            ("nginx", nginx(&wanted, Tells::ForwardedFor)),
            ("haproxy", haproxy(&wanted)),
            ("caddy", caddy(&wanted)),
            ("aqueduct", aqueduct(&wanted, Variant::Usual)),
            ("aqueduct-counted", aqueduct(&wanted, Variant::Counted)),
        ]
    }

    #[test]
    fn only_large_bodies_get_large_buffers_from_nginx() {
        for case in cases::ALL {
            let [(_, nginx), ..] = told(&case);
            assert_eq!(nginx.contains("64k"), case.has_large_bodies(), "{}", case.name);
        }
    }

    #[test]
    fn all_peers_of_a_secure_case_are_given_the_same_certificate() {
        for case in cases::ALL.into_iter().filter(Case::is_secure) {
            for (peer, settings) in told(&case) {
                assert!(settings.contains("/x/load."), "{peer} in {}", case.name);
            }
        }
    }

    #[test]
    fn all_peers_speak_http_2_with_the_endpoint_of_a_call_and_only_with_that() {
        let words = ["grpc_pass", "proto h2", "versions h2c", "h2c"];
        for case in cases::ALL.into_iter().filter(Case::is_secure) {
            for ((peer, settings), word) in told(&case).iter().zip(words) {
                assert_eq!(settings.contains(word), case.is_grpc(), "{peer} in {}", case.name);
            }
        }
    }
}
