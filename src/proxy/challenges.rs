//! What a directory of certificates is told when it asks whether a domain is ours: http-01 (RFC 8555, 8.3).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    http::{HeaderValue, Response, ResponseBody, StatusCode, header},
    plan::https::ACME_CHALLENGES,
};

/// What is asked for just now, by its token. Whatever else is below that path is a matter of routes.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<RwLock<HashMap<String, String>>>);

/// One of them is answered until this is dropped.
#[derive(Debug)]
pub struct Answering {
    challenges: Challenges,
    token: String,
}

impl Challenges {
    /// Answers whoever asks for this token.
    pub fn begin(&self, token: &str, answer: &str) -> Answering {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), answer.to_owned());
        Answering { challenges: self.clone(), token: token.to_owned() }
    }

    /// What whoever asks for this path is told, if it is one of them.
    pub fn answer(&self, path: &str) -> Option<Response> {
        let token = path.strip_prefix(ACME_CHALLENGES)?;
        let answer = self.0.read().unwrap_or_else(PoisonError::into_inner).get(token)?.clone();
        let mut response = Response::new(StatusCode::OK);
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response.body = ResponseBody::Bytes(answer.into());
        Some(response)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.challenges.0.write().unwrap_or_else(PoisonError::into_inner).remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_while_it_is_one() {
        let challenges = Challenges::default();
        let path = format!("{ACME_CHALLENGES}token");

        let answering = challenges.begin("token", "token.print");
        let known = challenges.answer(&path).map(|response| response.status);
        let unknown = challenges.answer(&format!("{ACME_CHALLENGES}other"));
        drop(answering);

        assert_eq!(known, Some(StatusCode::OK));
        assert!(unknown.is_none() && challenges.answer(&path).is_none());
    }
}
