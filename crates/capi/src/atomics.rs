//! Counters that threads share.
