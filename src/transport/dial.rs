//! New connections to endpoints: names, TCP, unix sockets.
