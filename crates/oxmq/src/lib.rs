//! ØMQ in Rust.
