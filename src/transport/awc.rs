//! The design card's client, awc, behind the same trait.
