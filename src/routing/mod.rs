//! Which route takes a request. Pure: no I/O, no clock, no allocation on the way of a request.
//!
//! A [`Pattern`] is what the operator wrote, a [`Table`] finds the one route for a [`Lookup`], and [`explain()`] says why
//! the others lost. What beats what is written down once, in [`Precedence`].

pub mod explain;
pub mod matcher;
pub mod pattern;
mod regexes;
pub mod table;

pub use self::{
    explain::{Explanation, Reason, explain},
    matcher::{Lookup, Miss, Precedence},
    pattern::{Pattern, PatternError},
    table::{Entry, Match, Table, Tie},
};
