//! Two byte streams, after `101 Switching Protocols`.
