//! `wayside`: what is near me, what can it do, how do I reach it, and how far may I trust the answer?

use std::process::ExitCode;

fn main() -> ExitCode {
    wayside::cli::main()
}
