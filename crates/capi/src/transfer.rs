//! Sending and receiving.
