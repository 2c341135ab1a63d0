//! What happens at the last byte.
