//! Why a route took a request, and why the others did not.

use std::fmt;

use super::{
    matcher::{Lookup, Miss, PathRank, Precedence},
    pattern::Pattern,
    table::{Entry, Table},
};

/// A decision with its reasons. The winner is what [`Table::find`] says: there is no second opinion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The pattern that took the request, if any did.
    pub winner: Option<String>,
    /// All others, as they were written, with the reason.
    pub losers: Vec<(String, Reason)>,
}

/// Why a route did not take the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It does not match.
    Miss(Miss),
    /// The winner's host is more specific.
    LessSpecificHost,
    /// The winner is an exact path.
    ExactPathFirst,
    /// The winner is a regular expression, and these go before prefixes.
    RegexFirst,
    /// The winner is a longer prefix.
    ShorterPrefix,
    /// The winner is a regular expression of higher priority.
    LowerPriority,
    /// The winner asks for this very method.
    LessSpecificMethod,
}

/// Decides, and says why.
pub fn explain<T>(table: &Table<T>, lookup: &Lookup<'_>) -> Explanation {
    let winner = table.find(lookup);
    let won = winner.as_ref().map(|winner| winner.index);
    let others = table.entries().iter().enumerate().filter(|(index, _)| Some(*index) != won).map(|(_, entry)| entry);
    let reason = |loser: &Entry<T>| match (loser.pattern.matches(lookup), &winner) {
        (Err(miss), _) => Reason::Miss(miss),
        (Ok(_), Some(winner)) => Reason::between(winner.entry, loser),
        (Ok(_), None) => unreachable!("a route that matches is found"),
    };
    Explanation {
        winner: winner.as_ref().map(|winner| winner.entry.pattern.to_string()),
        losers: others.map(|loser| (loser.pattern.to_string(), reason(loser))).collect(),
    }
}

impl Reason {
    fn between<T>(winner: &Entry<T>, loser: &Entry<T>) -> Self {
        let precedence = |entry: &Entry<T>| -> Precedence { Pattern::precedence(&entry.pattern, entry.priority) };
        let (won, lost) = (precedence(winner), precedence(loser));
        match (won.path, lost.path) {
            _ if won.host != lost.host => Self::LessSpecificHost,
            _ if won.path == lost.path => Self::LessSpecificMethod,
            (PathRank::Exact, _) => Self::ExactPathFirst,
            (PathRank::Regex { .. }, PathRank::Regex { .. }) => Self::LowerPriority,
            (PathRank::Regex { .. }, _) => Self::RegexFirst,
            (PathRank::Prefix { .. }, _) => Self::ShorterPrefix,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Miss(Miss::OtherHost) => "is for another host",
            Self::Miss(Miss::OtherMethod) => "is for another method",
            Self::Miss(Miss::OtherPath) => "is for another path",
            Self::Miss(Miss::NotAtSegmentBoundary) => {
                "ends in the middle of a path segment: prefixes take whole segments"
            }
            Self::Miss(Miss::PathGoesOn) => "is exact, and the path goes on",
            Self::Miss(Miss::NotFound) => "is a regular expression that does not match the path",
            Self::LessSpecificHost => "matches, but the host of the winner is more specific",
            Self::ExactPathFirst => "matches, but an exact path goes first",
            Self::RegexFirst => "matches, but a regular expression goes before a prefix",
            Self::ShorterPrefix => "matches, but a longer prefix goes first",
            Self::LowerPriority => "matches, but a regular expression of higher priority goes first",
            Self::LessSpecificMethod => "matches, but a route for this very method goes first",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.winner {
            Some(winner) => writeln!(f, "route `{winner}`")?,
            None => writeln!(f, "no route")?,
        }
        let width = self.losers.iter().map(|(pattern, _)| pattern.chars().count()).max().unwrap_or(0) + 2;
        for (pattern, reason) in &self.losers {
            writeln!(f, "  not {:width$}  {reason}", format!("`{pattern}`"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
