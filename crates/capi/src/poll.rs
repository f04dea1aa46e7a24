//! Waiting for sockets and descriptors at once.
