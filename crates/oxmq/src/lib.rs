//! ØMQ in Rust.

mod message;
mod pipe;
pub(crate) mod sys;

pub use message::{INLINE_BYTES_MAX, Message};
