//! The program `gatehouse`: hands its arguments to the library and returns its exit code.
//!
//! Why here: nothing else; whatever can be tested lives in the library.

fn main() -> std::process::ExitCode {
    gatehouse::main(std::env::args_os())
}
