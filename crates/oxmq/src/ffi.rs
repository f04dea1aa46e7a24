//! What the C library needs of this one beyond its public face. Not for other callers: it may
//! change with every version.

pub use crate::claim::{Claim, is_claimed};

/// A number that is different in a forked child than in its parent.
pub fn fork_generation() -> u64 {
    crate::sys::fork_generation()
}
