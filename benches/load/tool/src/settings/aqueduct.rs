//! Aqueduct as it is, with one worker.

use super::Wanted;

pub fn aqueduct(wanted: &Wanted) -> String {
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
workers = 1

[routes]
\"/\" = \"{to}\"
{upstream}{tls}"
    )
}
