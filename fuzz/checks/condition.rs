//! Whatever text is given for a condition, it is refused with a place, or can be asked of any request, printed, and read
//! again as the same. The text's first line is the condition, the second a target, the rest are fields.

use std::net::Ipv4Addr;

use aqueduct::{
    Exchange,
    exchange::Client,
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, Uri, Version, downstream::Peer},
    language::Condition,
};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, request) = text.split_once('\n').unwrap_or((text, ""));
    let condition = match Condition::parse(text) {
        Ok(condition) => condition,
        Err(fault) => {
            assert!(text.get(fault.at.clone()).is_some(), "{fault:?}");
            assert!(!fault.what.contains(char::is_control), "{fault:?}");
            return;
        }
    };
    let exchange = exchange(request);
    let (holds, may_hold) = (condition.holds(&exchange), condition.may_hold(&exchange));
    assert!(may_hold || !holds);

    let printed = condition.to_string();
    let again = Condition::parse(&printed).unwrap_or_else(|fault| panic!("{printed}: {fault}"));
    assert_eq!(again.to_string(), printed);
    assert_eq!((again.holds(&exchange), again.may_hold(&exchange)), (holds, may_hold));
    if let Ok(negated) = Condition::parse(&format!("not ({printed})")) {
        assert_eq!((negated.holds(&exchange), negated.may_hold(&exchange)), (!may_hold, !holds));
    }
}

fn exchange(text: &str) -> Exchange {
    let (target, fields) = text.split_once('\n').unwrap_or((text, ""));
    let mut headers = HeaderMap::new();
    for field in fields.lines() {
        let (name, value) = field.split_once(':').unwrap_or((field, ""));
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let uri = Uri::try_from(target).unwrap_or_else(|_| Uri::from_static("/"));
    let client = Client::at(Peer::Tcp((Ipv4Addr::new(10, 0, 0, 1), 1).into()), false);
    let mut exchange = Exchange::new(Method::GET, uri, Version::HTTP_11, headers, RequestBody::empty(), client);
    exchange.path = exchange.uri.path().to_owned();
    exchange
}
