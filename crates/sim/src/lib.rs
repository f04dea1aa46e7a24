//! The deterministic simulator of oxmq.
//!
//! Real sockets of every type, devices, sessions and codec run on one thread over the simulated face
//! of `oxmq`'s system calls. One seed decides the nodes, the sockets and their options and names, the
//! messages, and everything that happens to them: delays, split and short reads and writes, resets,
//! refused, hanging and silent connections, missing descriptors, interrupted waits, stalls, jumps of
//! the clock, killed processes. The `oracle` knows what may and what must have come of it.
//!
//! All of this exists only under `--cfg oxmq_sim`:
//!
//! ```text
//! RUSTFLAGS="--cfg oxmq_sim" cargo test -p oxmq-sim --release
//! OXMQ_SIM_SEEDS=10000 …     so many seeds rather than a few hundred
//! OXMQ_SIM_SEED=1234 …       this one, with every system call printed
//! ```
//!
//! `cargo xtask mutants sim` plants the defects listed in `mutations.txt`, each of which must be found.
//!
//! A seed that fails prints itself and what was wrong; run alone, it fails in the same way.
#![cfg(oxmq_sim)]

pub mod actor;
pub mod content;
pub mod costs;
pub mod executor;
pub mod member;
pub mod oracle;
pub mod plan;
pub mod run;
