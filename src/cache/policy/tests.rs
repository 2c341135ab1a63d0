//! Tables of the rules, by sections of RFC 9111, and what must hold for any answer.

mod answering;
mod freshness;
mod invalidating;
mod properties;
mod reuse;
mod storing;
mod validating;
