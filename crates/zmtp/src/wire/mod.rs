//! The formats on the wire.
//!
//! Every module has the same shape: where the fields lie, a checked view or a typed value, `parse`
//! and `emit` as each other's inverse, and `Display`. `parse` never panics, whatever the bytes.

pub mod command;
pub mod frame;
pub mod frame_v1;
pub mod greeting;
pub mod metadata;
