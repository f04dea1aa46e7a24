//! ØMQ in Rust.

mod drive;
mod message;
mod park;
mod pipe;
mod sync;
pub(crate) mod sys;

pub use message::{INLINE_BYTES_MAX, Message};
