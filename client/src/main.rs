//! `bascule`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    bascule_client::run(std::env::args_os())
}
