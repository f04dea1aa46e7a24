//! The options of sockets.
