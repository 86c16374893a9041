//! CONTRACT STUB
fn main() {}
