//! Where operators are answered.

use super::{ListenAddress, Listener};
use crate::settings::{Problem, Settings, admin::AdminListener};

/// What could be guessed protects nothing.
const SHORTEST_TOKEN: usize = 32;

/// `None` if nowhere, or if that is a problem.
pub fn address(settings: &Settings, listeners: &[Listener], problems: &mut Vec<Problem>) -> Option<ListenAddress> {
    if settings.admin.token.as_ref().is_some_and(|token| token.expose().len() < SHORTEST_TOKEN) {
        let problem = Problem::at(["admin", "token"], "a token that can be guessed");
        problems.push(problem.help(format!("{SHORTEST_TOKEN} bytes or more, such as `openssl rand -hex 32` prints")));
    }
    listen(settings, listeners, problems)
}

fn listen(settings: &Settings, listeners: &[Listener], problems: &mut Vec<Problem>) -> Option<ListenAddress> {
    let AdminListener::At(written) = &settings.admin.listen else { return None };
    let problem = |what: String, help: &str| Problem::at(["admin", "listen"], what).help(help);
    let found = match ListenAddress::parse(written) {
        None => problem(
            format!("`{written}` is not an address to listen on"),
            "\"127.0.0.1:9901\", \"unix:/path/to/socket\", or \"off\"",
        ),
        // Whoever can ask may learn every name and address in the settings.
        Some(ListenAddress::Tcp(address)) if !address.ip().is_loopback() && settings.admin.token.is_none() => problem(
            format!("`{written}` can be reached from other machines"),
            "\"127.0.0.1:9901\", \"[::1]:9901\" or \"unix:/path/to/socket\"; or admin.token = { file = \"..\" }, which operators then have to show",
        ),
        Some(address) if !address.is_any_port() && listeners.iter().any(|known| known.address == address) => {
            problem(format!("clients are accepted at `{written}`"), "an address of its own")
        }
        Some(address) => return Some(address),
    };
    problems.push(found);
    None
}
