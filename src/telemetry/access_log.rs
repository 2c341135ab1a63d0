//! One line a request, written off the workers.
