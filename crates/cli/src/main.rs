//! The `oxmq` command.
fn main() {}
