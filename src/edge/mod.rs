//! The server: any actix `App`, served well.
