//! Who may say in a PROXY header whose connection it is.

use super::ListenAddress;
use crate::settings::{Listener, Problem, Source, listener::ProxyProtocolSettings};

/// What a listener was told of it, with what is wrong and what should be known.
pub fn of_listener(
    index: usize,
    listener: &Listener,
    address: &ListenAddress,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Option<ProxyProtocolSettings> {
    let written = listener.proxy_protocol.clone()?;
    let is_unix = matches!(address, ListenAddress::Unix(_));
    if !written.from.iter().any(|source| (*source == Source::Unix) == is_unix) {
        let help = if is_unix {
            "from = [\"unix\"] for whoever can open the socket"
        } else {
            "from = [\"10.0.0.0/8\"], the networks of the load balancers in front"
        };
        let key = ["listen".to_owned(), index.to_string(), "proxy_protocol".into(), "from".into()];
        problems.push(Problem::at(key, "nobody who connects here may send a PROXY header").help(help));
    }
    if !is_unix && written.from.iter().any(is_everybody) {
        warnings.push(format!(
            "listen.{index}.proxy_protocol.from: whoever can connect to {address} can say that he is anybody else"
        ));
    }
    Some(written)
}

fn is_everybody(source: &Source) -> bool {
    matches!(source, Source::Network(network) if network.prefix_len() == 0)
}
