//! Connections with clients: how long they last, and who else may have them.
