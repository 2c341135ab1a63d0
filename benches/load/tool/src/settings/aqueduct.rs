//! Aqueduct as it is, with one worker; and with two, to see what it costs that they share a socket.

use super::Wanted;

/// Which workers accept, and where.
#[derive(Clone, Copy)]
pub enum Accepting {
    One,
    TwoAtOneSocket,
    TwoAtOneEach,
}

pub fn aqueduct(wanted: &Wanted, accepting: Accepting) -> String {
    let (workers, reuse_port) = match accepting {
        Accepting::One => (1, false),
        Accepting::TwoAtOneSocket => (2, false),
        Accepting::TwoAtOneEach => (2, true),
    };
    let Wanted { case, listen, endpoint, certificate, .. } = wanted;
    let (listen, tls) = match case.is_secure() {
        true => {
            let (chain, key) = (certificate.chain.display(), certificate.key.display());
            let tls = format!(
                "
[tls.main]
certificates = [{{ cert = \"{chain}\", key = \"{key}\" }}]
min_version = \"1.3\"
"
            );
            (format!("{{ addr = \"{listen}\", tls = \"main\" }}"), tls)
        }
        false => (format!("\"{listen}\""), String::new()),
    };
    let (to, upstream) = match case.is_grpc() {
        true => {
            let upstream = format!(
                "
[upstreams.echo]
servers = [\"http://{endpoint}\"]
protocol = \"h2c\"
"
            );
            ("echo".to_owned(), upstream)
        }
        false => (format!("http://{endpoint}"), String::new()),
    };
    format!(
        "\
listen = [{listen}]

[server]
workers = {workers}
reuse_port = {reuse_port}

[routes]
\"/\" = \"{to}\"
{upstream}{tls}"
    )
}
