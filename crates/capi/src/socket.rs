//! Sockets: making, plugging in, closing.
