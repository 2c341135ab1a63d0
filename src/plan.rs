//! Settings become a plan, or every problem is told at once.
