//! Says which version of the library it was built with.

fn main() {
    // The programs have the version of the workspace, and so of the library.
    println!("This is oxmq {}, which speaks ZMTP 3.1", env!("CARGO_PKG_VERSION"));
}
