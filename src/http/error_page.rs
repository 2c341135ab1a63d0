//! Our own refusals, as a client can read them (RFC 9457, RFC 9209).
