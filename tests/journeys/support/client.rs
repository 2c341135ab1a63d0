//! A raw client: it sends exactly these bytes and shows exactly what came back.
