//! `deny` and `allow`: conditions by which filters let requests pass.

use crate::{
    exchange::Exchange,
    language::Condition,
    settings::{Problem, Problems},
};

/// Conditions of which none may hold, and of which one must.
#[derive(Debug, Default)]
pub struct Conditions {
    deny: Vec<Condition>,
    allow: Vec<Condition>,
}

/// What a condition may ask where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// What the request tells.
    Requests,
    /// Also what was proved of the client.
    Proofs,
}

impl Conditions {
    /// Reads them; what is wrong is told at `deny` and `allow`.
    pub fn read(deny: &[String], allow: &[String], asks: Asks, problems: &mut Problems) -> Self {
        Self { deny: list("deny", deny, asks, problems), allow: list("allow", allow, asks, problems) }
    }

    /// Nothing is against the request; else what to tell the client.
    ///
    /// # Errors
    /// Which of the two it was.
    pub fn check(&self, exchange: &Exchange) -> Result<(), &'static str> {
        if self.deny.iter().any(|condition| condition.may_hold(exchange)) {
            return Err("a rule is against this request");
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|condition| condition.holds(exchange)) {
            return Err("no rule is for this request");
        }
        Ok(())
    }
}

fn list(key: &str, written: &[String], asks: Asks, problems: &mut Problems) -> Vec<Condition> {
    let mut conditions = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate() {
        let at = [key, &index.to_string()].map(String::from);
        match Condition::parse(text) {
            Ok(condition) if asks == Asks::Requests && condition.asks_for_claims() => {
                let problem = Problem::at(at, "nothing is proved of a client yet where this is asked");
                problems.push(problem.help("`authorize` asks behind those that prove it"));
            }
            Ok(condition) => conditions.push(condition),
            Err(fault) => problems.push(fault.problem(at)),
        }
    }
    conditions
}
