//! The `augur` binary.
fn main() {}
