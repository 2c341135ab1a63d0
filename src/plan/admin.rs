//! Where operators are answered.

use super::{ListenAddress, Listener};
use crate::settings::{Problem, Settings, admin::AdminListener};

/// `None` if nowhere, or if that is a problem.
pub fn address(settings: &Settings, listeners: &[Listener], problems: &mut Vec<Problem>) -> Option<ListenAddress> {
    let AdminListener::At(written) = &settings.admin.listen else { return None };
    let problem = |what: String, help: &str| Problem::at(["admin", "listen"], what).help(help);
    let found = match ListenAddress::parse(written) {
        None => problem(
            format!("`{written}` is not an address to listen on"),
            "\"127.0.0.1:9901\", \"unix:/path/to/socket\", or \"off\"",
        ),
        // Whoever can ask may learn every name and address in the settings.
        Some(ListenAddress::Tcp(address)) if !address.ip().is_loopback() => problem(
            format!("`{written}` can be reached from other machines"),
            "an address of this machine alone: \"127.0.0.1:9901\", \"[::1]:9901\" or \"unix:/path/to/socket\"",
        ),
        Some(address) if !address.is_any_port() && listeners.iter().any(|known| known.address == address) => {
            problem(format!("clients are accepted at `{written}`"), "an address of its own")
        }
        Some(address) => return Some(address),
    };
    problems.push(found);
    None
}
