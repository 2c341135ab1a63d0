//! A scripted raw-TCP origin: it plays what real servers do wrong.
