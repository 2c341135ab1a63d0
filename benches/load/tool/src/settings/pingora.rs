//! The proxy of benches/load/pingora, which has one thread, keeps as many connections to the endpoint as nginx, and is told the rest.

use std::path::Path;
use std::process::Command;

use super::Wanted;

pub fn pingora(wanted: &Wanted, program: &Path) -> Command {
    let Wanted { case, listen, endpoint, certificate, .. } = wanted;
    let mut command = Command::new(program);
    command.arg("--listen").arg(listen.to_string()).arg("--to").arg(endpoint.to_string());
    if case.is_secure() {
        command.arg("--chain").arg(&certificate.chain).arg("--key").arg(&certificate.key);
    }
    if case.is_h2c() {
        command.arg("--h2c");
    }
    if case.is_grpc() {
        command.arg("--h2c-to");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::socket::loopback;
    use crate::tls::Certificate;

    #[test]
    fn it_is_told_of_tls_and_of_http_2_in_the_clear_only_where_they_are() {
        let directory = Path::new("/x");
        let certificate = &Certificate::at(directory);
        for case in &cases::ALL {
            let (listen, endpoint) = (loopback(1), loopback(2));
            let wanted = Wanted { case, listen, endpoint, redis: None, directory, certificate };
            let command = pingora(&wanted, Path::new("pingora"));
            let told = |word: &str| command.get_args().any(|told| told == word);
            assert!(told("127.0.0.1:1") && told("127.0.0.1:2"), "{}", case.name);
            assert_eq!(told("--chain"), case.is_secure(), "{}", case.name);
            assert_eq!(told("--h2c"), case.is_h2c(), "{}", case.name);
            assert_eq!(told("--h2c-to"), case.is_grpc(), "{}", case.name);
        }
    }
}
