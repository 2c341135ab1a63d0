//! What peers are told, each in its own words: one worker, kept connections to the endpoint, no access log but where a case is
//! about what is done besides.

mod aqueduct;
mod caddy;
mod guard;
mod haproxy;
mod nginx;
mod pingora;
mod traffic_server;
mod varnish;

use std::net::SocketAddr;
use std::path::Path;

use crate::cases::Case;
use crate::tls::Certificate;

pub use aqueduct::{Variant, aqueduct};
pub use caddy::caddy;
pub use guard::{EXPIRED, FORGED, TOKEN};
pub use haproxy::haproxy;
pub use nginx::{Tells, nginx, nginx_with_lua};
pub use pingora::pingora;
pub use traffic_server::traffic_server;
pub use varnish::varnish;

/// What all of them are to do in a case.
pub struct Wanted<'w> {
    pub case: &'w Case,
    pub listen: SocketAddr,
    pub endpoint: SocketAddr,
    /// Where a Redis is, if there is one.
    pub redis: Option<SocketAddr>,
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
        let (listen, endpoint, certificate) = (loopback(1), loopback(2), &certificate);
        let wanted = Wanted { case, listen, endpoint, redis: None, directory, certificate };
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
            assert_eq!(nginx.contains("proxy_buffer_size 64k"), case.has_large_bodies(), "{}", case.name);
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
        let words = ["grpc_pass", "server backend 127.0.0.1:2 proto h2", "versions h2c", "h2c"];
        for case in cases::ALL {
            for ((peer, settings), word) in told(&case).iter().zip(words) {
                assert_eq!(settings.contains(word), case.is_grpc(), "{peer} in {}", case.name);
            }
        }
    }

    #[test]
    fn peers_that_must_be_told_so_speak_http_2_in_the_clear_where_clients_do() {
        for case in cases::ALL.into_iter().filter(|case| !case.is_secure()) {
            let [(_, nginx), (_, haproxy), ..] = told(&case);
            assert_eq!(nginx.contains(" http2 "), case.is_h2c(), "nginx in {}", case.name);
            assert_eq!(haproxy.contains("backlog 4096 proto h2"), case.is_h2c(), "haproxy in {}", case.name);
        }
    }

    #[test]
    fn nginx_with_lua_does_what_nginx_does_and_checks_tokens() {
        let directory = Path::new("/x");
        let certificate = Certificate::at(directory);
        let (listen, endpoint, certificate) = (loopback(1), loopback(2), &certificate);
        for case in cases::ALL.iter().filter(|case| case.is_guarded()) {
            let wanted = Wanted { case, listen, endpoint, redis: None, directory, certificate };
            let (without, with) = (nginx(&wanted, Tells::ForwardedFor), nginx_with_lua(&wanted));
            let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
            let with = lines(&with);
            assert!(lines(&without).iter().all(|line| with.contains(line)));
            let said = |words: &str| with.iter().any(|line| line.contains(words));
            assert!(said(guard::SECRET) && said("access_by_lua_block") && said("ngx_http_lua_module.so"));
        }
    }

    #[test]
    fn all_peers_of_a_guarded_case_do_what_they_can_of_the_bundle_and_no_other() {
        for case in cases::ALL {
            let [(_, nginx), (_, haproxy), _, (_, aqueduct), _] = told(&case);
            let done = |settings: &str, words: &[&str]| words.iter().filter(|word| settings.contains(**word)).count();
            let all = |of: usize| if case.is_guarded() { of } else { 0 };
            let words = ["add_header", "deny 10.66.1.0/24", "limit_req ", "/x/access.log"];
            assert_eq!(done(&nginx, &words), all(4), "nginx in {}", case.name);
            let words = ["set-header", "src 10.66.0.0/24 10.66.1.0/24", "sc_http_req_rate", "jwt_verify", "log stdout"];
            assert_eq!(done(&haproxy, &words), all(5), "haproxy in {}", case.name);
            let words = ["security_headers", "\"10.66.1.0/24\"", "rate_limit", "jwt", "/x/access.log"];
            assert_eq!(done(&aqueduct, &words), all(5), "aqueduct in {}", case.name);
        }
    }
}
