//! What was asked of the cache, kept while the request is on its way: filters further in change its fields.

use bytes::Bytes;

use crate::{
    cache::{
        key::{Key, KeyRules, Target},
        policy::{Ask, Rules},
    },
    exchange::Exchange,
    http::{HeaderMap, Method, RequestBody},
};

/// A request as it came here.
#[derive(Clone)]
pub struct Asked {
    pub method: Method,
    pub headers: HeaderMap,
    pub key: Key,
    /// What a QUERY asks with.
    question: Option<Bytes>,
    authority: String,
    path: String,
    query: Option<String>,
    is_secure: bool,
    is_identified: bool,
}

impl Asked {
    /// A copy.
    pub fn of(exchange: &Exchange, keys: &KeyRules) -> Self {
        let target = target(exchange);
        Self {
            method: exchange.method.clone(),
            headers: exchange.headers.clone(),
            key: Key::of(keys, target, &exchange.headers),
            question: None,
            authority: target.authority.to_owned(),
            path: target.path.to_owned(),
            query: target.query.map(str::to_owned),
            is_secure: target.secure,
            is_identified: is_identified(exchange),
        }
    }

    /// A copy of a QUERY with this body.
    pub fn with(exchange: &Exchange, keys: &KeyRules, question: Bytes) -> Self {
        let plain = Self::of(exchange, keys);
        let key = plain.key.with_query(&plain.headers, &question);
        Self { key, question: Some(question), ..plain }
    }

    /// What comes of it may be for others that ask the same.
    pub fn is_shared(&self) -> bool {
        self.method == Method::GET || self.question.is_some()
    }

    /// Its body once more.
    pub fn body(&self) -> RequestBody {
        self.question.clone().filter(|bytes| !bytes.is_empty()).map(RequestBody::buffered).unwrap_or_default()
    }

    /// What the rules look at.
    pub fn ask(&self, rules: &Rules) -> Ask<'_> {
        let (authority, path, query) = (&*self.authority, &*self.path, self.query.as_deref());
        let target = Target { secure: self.is_secure, authority, path, query };
        Ask::of(&self.method, target, &self.headers, self.is_identified, rules)
    }
}

/// What the rules look at, of a request that is here.
pub fn ask<'x>(exchange: &'x Exchange, rules: &Rules) -> Ask<'x> {
    Ask::of(&exchange.method, target(exchange), &exchange.headers, is_identified(exchange), rules)
}

/// A certificate is told to endpoints, whether a filter asks for it or not.
fn is_identified(exchange: &Exchange) -> bool {
    !exchange.identities.is_empty() || exchange.client_certificate().is_some()
}

/// What its answer is stored under.
pub fn key(exchange: &Exchange, rules: &KeyRules) -> Key {
    Key::of(rules, target(exchange), &exchange.headers)
}

/// Where it goes.
pub fn target(exchange: &Exchange) -> Target<'_> {
    Target {
        secure: exchange.client.secure,
        authority: exchange.authority.as_str(),
        path: &exchange.path,
        query: exchange.query().strip_prefix('?'),
    }
}
