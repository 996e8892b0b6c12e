//! The command line `bascule`, and the client library that its verbs and the demo share.
//!
//! It parses what the user says, calls the daemon over its socket and renders the answer. It must
//! never decide what a deletion may do (the daemon enforces the checklist), never take a secret
//! from argv, and never print text from elsewhere without escaping its control characters.

pub mod channel;
pub mod error;
pub mod exit;

mod cli;
mod clock;
mod complete;
mod credentials;
mod demo;
mod duration;
mod edit;
mod interruption;
mod moment;
mod moving;
mod output;
mod passphrase;
mod program;
mod start;
mod verbs;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

use crate::{
    cli::Arguments,
    error::{Error, Kind},
    exit::Exit,
    output::Output,
    verbs::Context,
};

/// Runs one command line, program name first, and says with which code to exit.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    complete::answer_a_shell();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(refusal) => return cli::refuse(&refusal, &arguments),
    };
    let output = Output::new(parsed.json);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let context = Context {
                socket: parsed.socket,
                output,
            };
            let outcome = runtime.block_on(verbs::run(parsed.verb, &context));
            // A prompt that still waits on a terminal must not hold the exit.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Error::new(
            Kind::Failed,
            format!("the runtime could not be started: {error}"),
        )),
    };
    match outcome {
        Ok(exit) => exit.into(),
        // The reader of a pipe has seen enough.
        Err(error) if error.kind == Kind::OutputClosed => Exit::Ok.into(),
        Err(error) => {
            output.error(&error);
            error.kind.exit().into()
        }
    }
}
