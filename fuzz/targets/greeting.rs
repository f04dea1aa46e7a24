//! Feeds [`oxmq_fuzz::greeting`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oxmq_fuzz::greeting(data));
