//! Measurements, printed: `cargo test --release -p oxmq --lib measure -- --ignored --nocapture
//! --test-threads 1`.
