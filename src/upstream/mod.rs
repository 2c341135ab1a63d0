//! Who can take a request.
