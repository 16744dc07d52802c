//! The program that the tests of this crate start as a supervisor.

fn main() -> std::process::ExitCode {
    runner::supervise()
}
