//! What a value can be compared with: told when a condition is read.

use std::{net::IpAddr, ops::Range};

use ipnet::{IpNet, Ipv4Net};
use regex::bytes::RegexBuilder;

use super::{
    check::{Check, Literal},
    fault::Fault,
    value::{Kind, Share, Value},
};

/// Bytes that a compiled expression may take.
const MAX_REGEX: usize = 1 << 20;

type OfText = fn(&Value, String, &Range<usize>, &Range<usize>) -> Result<Check, Fault>;

/// The comparisons of texts, by name: with the value, the string, where the operator and where the string stands.
pub(super) fn of_text(operator: &str) -> Option<OfText> {
    Some(match operator {
        "contains" => |value, text, operator, at| {
            needs_text(value, operator)?;
            value.check(&text, Share::Part).map_err(|refusal| refusal.at(at))?;
            Ok(Check::Contains(text.into()))
        },
        "starts_with" => |value, text, operator, at| {
            needs_text(value, operator)?;
            value.check(&text, Share::Beginning).map_err(|refusal| refusal.at(at))?;
            Ok(Check::StartsWith(text.into()))
        },
        "ends_with" => |value, text, operator, at| {
            needs_text(value, operator)?;
            value.check(&text, Share::Part).map_err(|refusal| refusal.at(at))?;
            Ok(Check::EndsWith(text.into()))
        },
        "matches" => |value, text, operator, at| {
            needs_text(value, operator)?;
            let regex = RegexBuilder::new(&text).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build();
            regex.map(Check::Matches).map_err(|error| wrong_regex(&error, at))
        },
        _ => return None,
    })
}

/// A literal that the value can be equal to.
pub(super) fn equal(value: &Value, literal: Literal, at: &Range<usize>) -> Result<Literal, Fault> {
    let wrong = |what: &str, help: &str| Err(Fault::new(at.clone(), format!("`{value}` {what}")).help(help));
    match (value.kind(), literal) {
        (Kind::Text, Literal::Text(text)) => {
            value.check(&text, Share::Whole).map_err(|refusal| refusal.at(at))?;
            Ok(Literal::Text(text))
        }
        (Kind::Text, _) => wrong("is a text", "a string in quotes"),
        (Kind::Number, literal @ Literal::Number(_)) | (Kind::Any, literal) => Ok(literal),
        (Kind::Number, _) => wrong("is a number", "digits, such as 1_048_576"),
        (Kind::Address, Literal::Text(text)) => match text.parse::<IpAddr>() {
            Ok(address) => Ok(Literal::Address(address.to_canonical())),
            Err(_) if text.parse::<IpNet>().is_ok() => {
                wrong("is not a network", "networks are asked for with `in cidr(..)`")
            }
            Err(_) => wrong("is an address", "such as '192.0.2.1' or '2001:db8::1'"),
        },
        (Kind::Address, _) => wrong("is an address", "such as '192.0.2.1' or '2001:db8::1'"),
    }
}

/// A network that the value can be in.
pub(super) fn network(value: &Value, text: &str, at: &Range<usize>) -> Result<IpNet, Fault> {
    if value.kind() != Kind::Address {
        let what = format!("`{value}` is not an address, and only those are in networks");
        return Err(Fault::new(at.clone(), what).help("`client.ip` is one"));
    }
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        let what = format!("`{}` is not a network", text.escape_debug());
        Fault::new(at.clone(), what).help("such as '10.0.0.0/8', '2001:db8::/32', or an address")
    })?;
    if network.trunc() != network {
        let fault = Fault::new(at.clone(), "the address has more bits than its network");
        return Err(fault.help(format!("did you mean '{}'?", network.trunc())));
    }
    Ok(canonical(network))
}

/// An IPv4 network that is written as one of IPv6 is that of IPv4: so are the addresses of clients.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let length = mapped.prefix_len().checked_sub(96);
    let inner = mapped.addr().to_ipv4_mapped().zip(length);
    inner.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}

pub(super) fn needs_number(value: &Value, operator: &Range<usize>) -> Result<(), Fault> {
    match value.kind() {
        Kind::Number | Kind::Any => Ok(()),
        Kind::Text | Kind::Address => {
            let fault =
                Fault::new(operator.clone(), format!("`{value}` is not a number, and only those are less or more"));
            Err(fault.help("`content_length` is one"))
        }
    }
}

fn needs_text(value: &Value, operator: &Range<usize>) -> Result<(), Fault> {
    let help = match value.kind() {
        Kind::Text | Kind::Any => return Ok(()),
        Kind::Address => "`client.ip in cidr('10.0.0.0/8')`, or `== '10.0.0.1'`",
        Kind::Number => "==, !=, <, <=, > or >=",
    };
    Err(Fault::new(operator.clone(), format!("`{value}` is not a text")).help(help))
}

fn wrong_regex(error: &regex::Error, at: &Range<usize>) -> Fault {
    let why = match error {
        regex::Error::CompiledTooBig(_) => "it would take too much memory".to_owned(),
        // The last line says what is wrong, those before draw a picture of it.
        error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    };
    Fault::new(at.clone(), format!("not a regular expression: {why}"))
        .help("the syntax of the regex crate: https://docs.rs/regex")
}
