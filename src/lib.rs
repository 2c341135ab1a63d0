//! Aqueduct: an HTTP reverse proxy on actix.
