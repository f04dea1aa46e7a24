//! Feeds [`oxmq_fuzz::security`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oxmq_fuzz::security(data));
