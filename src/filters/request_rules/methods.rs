//! The methods that may come.

use crate::{
    exchange::Exchange,
    http::{HeaderName, HeaderValue, Method, Refusal, StatusCode, header},
    settings::{Problem, Problems},
};

/// Those that may come, and no other.
pub struct Methods {
    listed: Vec<Method>,
    allow: HeaderValue,
}

impl Methods {
    pub fn new(written: &[String], problems: &mut Problems) -> Option<Self> {
        let mut listed = Vec::with_capacity(written.len());
        for (index, text) in written.iter().enumerate() {
            match Method::from_bytes(text.as_bytes()) {
                Ok(method) if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => listed.push(method),
                _ => {
                    let what = format!("`{}` is not a method", text.escape_debug());
                    let problem = Problem::at(["methods", &index.to_string()], what);
                    problems.push(problem.help("methods are written in capitals, such as \"GET\""));
                }
            }
        }
        if listed.contains(&Method::GET) && !listed.contains(&Method::HEAD) {
            listed.push(Method::HEAD);
        }
        let names: Vec<_> = listed.iter().map(Method::as_str).collect();
        let allow = HeaderValue::from_str(&names.join(", ")).ok()?;
        Some(Self { listed, allow })
    }

    pub fn check(&self, exchange: &Exchange) -> Result<(), Refusal> {
        let refused = |reason| {
            Err(super::refusal(StatusCode::METHOD_NOT_ALLOWED, reason).with(header::ALLOW, self.allow.clone()))
        };
        if !self.listed.contains(&exchange.method) {
            return refused("this method is not for what is here");
        }
        let asked_for = exchange.headers.iter().filter(|(name, _)| overrides(name)).map(|(_, value)| value.as_bytes());
        let is_listed = |asked: &[u8]| {
            self.listed.iter().any(|method| method.as_str().as_bytes().eq_ignore_ascii_case(asked.trim_ascii()))
        };
        if !asked_for.into_iter().all(is_listed) {
            return refused("the method that a field asks for is not for what is here");
        }
        Ok(())
    }
}

/// Fields by which some endpoints let a client have another method than the one it has sent; underscores are hyphens to
/// those behind gateway interfaces.
fn overrides(name: &HeaderName) -> bool {
    const NAMES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];
    let same = |known: &str| {
        let letters = name.as_str().bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
        known.len() == name.as_str().len() && letters.eq(known.bytes())
    };
    NAMES.into_iter().any(same)
}
