//! Who the client is, and what endpoints are told of it (RFC 7239).
