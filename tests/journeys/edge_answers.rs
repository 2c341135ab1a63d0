//! How answers of an `App` leave the edge.
