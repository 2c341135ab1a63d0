//! What settings can ask of a request, `path starts_with '/internal' and not client.ip in cidr('10.0.0.0/8')`, and make of
//! it, `user=${claim.sub}`.
//!
//! A [`Condition`] is read once, when settings are; what is wrong with it is told then, with its place. Asking it never
//! fails and never waits. A [`Template`] is the same for texts.
//!
//! A client can write a field twice, and who reads it may take the first, the last, or all of them. A condition that lets
//! in must hold for whatever is taken ([`Condition::holds`]); one that refuses, or protects, must hold if it does for
//! anything that can be taken ([`Condition::may_hold`]).
//!
//! Values and functions stand in two tables in `value`: what another part of the house finds out about a request, such as
//! the score of a set of rules, becomes one more line there.

mod check;
mod condition;
mod difference;
mod fault;
mod operand;
mod parser;
mod template;
mod token;
mod value;
mod variable;
pub mod view;

pub use self::{
    condition::Condition, difference::Difference, fault::Fault, template::Template, value::host, view::path,
};

#[cfg(test)]
mod tests;
