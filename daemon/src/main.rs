//! `basculed`: the Bascule daemon.

mod alarm;
mod alerts;
mod app;
mod bridge;
mod clock;
mod config;
mod crash;
mod gateway_port;
mod keychain;
mod listeners;
mod logging;
mod manager;
mod metrics;
mod not_opened;
mod passed;
mod random;
mod rpc;
mod run;
mod session_bus;
mod sweeping;
mod watching;
mod whereabouts;

use std::{
    io::{Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
use zeroize::Zeroizing;

/// Nothing that was freed can be read from memory: libraries copy credentials and buffer requests.
#[global_allocator]
static ALLOCATOR: bascule_os::WipingAllocator = bascule_os::WipingAllocator;

/// Exit code for a bad configuration (`EX_CONFIG` of sysexits).
const EXIT_CONFIGURATION: u8 = 78;

/// Exit code where the keychain does not give the root key now (`EX_TEMPFAIL`): whoever started the daemon
/// may try again.
const EXIT_KEYCHAIN: u8 = 75;

/// Exit code of a restore that needs the passphrase.
const EXIT_PASSPHRASE: u8 = 3;

/// The Bascule daemon: keeps storage connections, serves the S3 gateway, and deletes connections
/// safely. `bascule` is the command line that talks to it.
#[derive(Parser)]
#[command(
    name = "basculed",
    version,
    after_help = "Exit codes: 0 stopped; 1 could not start or failed; 2 usage; 3 the backup needs its passphrase; 75 the keychain is locked or absent, try again; 78 configuration."
)]
struct Arguments {
    /// Configuration file (TOML); the default is looked for, this one must exist
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for what must survive: connections, keys, journal
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// Folder for the control socket
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Where the S3 gateway listens, https://ADDR:PORT for TLS; repeatable, the first is the one
    /// tools are given; port 0 lets the system choose once
    #[arg(long, value_name = "ADDR:PORT")]
    gateway: Vec<String>,
    /// Certificate chain (PEM) for https addresses; read again when it changes
    #[arg(long, value_name = "FILE")]
    gateway_tls_certificate: Option<PathBuf>,
    /// Private key (PEM) of that certificate, mode 0600
    #[arg(long, value_name = "FILE")]
    gateway_tls_key: Option<PathBuf>,
    /// Allow addresses beyond loopback without TLS: everybody on the way can read what passes
    #[arg(long)]
    allow_plain_http: bool,
    /// Folder to search for ids of dead keys, instead of homes, /etc, /opt and /srv; repeatable
    #[arg(long, value_name = "DIR")]
    sweep_root: Vec<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check the configuration and say what it sets, without starting anything
    CheckConfig,
    /// Print a configuration file with every setting, its default and its meaning
    ExampleConfig,
    /// Print the manual page
    Man,
    /// Destroy everything Bascule keeps: connections, keys, tombstones, receipts
    Reset {
        /// Every key stops working, and dead keys are forgotten
        #[arg(long)]
        yes_lose_everything: bool,
    },
    /// Print as JSON which folders, socket and address this daemon would use, and whether one runs
    Whereabouts,
    /// Put a backup back; prints what came of it as JSON
    Restore {
        /// The backup
        file: PathBuf,
        /// Read its passphrase from stdin
        #[arg(long)]
        passphrase_stdin: bool,
    },
}

/// The longest passphrase, in bytes.
const LONGEST_PASSPHRASE: usize = 1024;

/// Reads a passphrase; one line end is not part of it.
fn read_passphrase() -> anyhow::Result<Zeroizing<Vec<u8>>> {
    // Allocated once, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST_PASSPHRASE + 3));
    std::io::stdin()
        .take(LONGEST_PASSPHRASE as u64 + 2)
        .read_to_end(&mut text)?;
    for end in [b'\n', b'\r'] {
        if text.last() == Some(&end) {
            text.pop();
        }
    }
    anyhow::ensure!(!text.is_empty(), "the passphrase is empty");
    anyhow::ensure!(
        text.len() <= LONGEST_PASSPHRASE,
        "the passphrase is too long"
    );
    Ok(text)
}

/// The manual page, made of what `--help` is made of.
fn manual() -> String {
    let page = clap_mangen::Man::new(Arguments::command())
        .section("8")
        .manual("Bascule");
    let mut text = Vec::new();
    // Nothing fails to be written to memory.
    page.render(&mut text).ok();
    String::from_utf8_lossy(&text).into_owned()
}

/// Prints what was asked for; a reader that has gone has seen enough.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

#[expect(
    clippy::print_stderr,
    reason = "before logging is installed, and for the person who started it"
)]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let flags = config::Flags {
        config: arguments.config,
        state_dir: arguments.state_dir,
        runtime_dir: arguments.runtime_dir,
        gateway: arguments.gateway,
        tls_certificate: arguments.gateway_tls_certificate,
        tls_key: arguments.gateway_tls_key,
        allow_plain_http: arguments.allow_plain_http,
        sweep_roots: arguments.sweep_root,
    };
    match arguments.command {
        Some(Command::ExampleConfig) => return print(&config::schema::example()),
        Some(Command::Man) => return print(&manual()),
        _ => {}
    }
    let config = match config::load(&flags) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!(
                "basculed: {} in the configuration:",
                if problems.len() == 1 {
                    "a mistake"
                } else {
                    "mistakes"
                }
            );
            for problem in &problems {
                eprintln!("  {problem}");
            }
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let outcome = match arguments.command {
        Some(Command::ExampleConfig | Command::Man) => Ok(()),
        Some(Command::CheckConfig) => return print(&config::schema::told(&config)),
        Some(Command::Reset {
            yes_lose_everything,
        }) => run::reset(&config, yes_lose_everything),
        Some(Command::Whereabouts) => whereabouts::print(&config),
        Some(Command::Restore {
            file,
            passphrase_stdin,
        }) => passphrase_stdin
            .then(read_passphrase)
            .transpose()
            .and_then(|passphrase| {
                run::restore(
                    &config,
                    &file,
                    passphrase.as_ref().map(|text| text.as_slice()),
                )
            }),
        None => {
            logging::install(&config);
            run::run(config)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("basculed: {error:#}");
            let not_opened: Option<&not_opened::NotOpened> = error.downcast_ref();
            if let Some(way_on) = not_opened.and_then(|told| told.way_on.as_deref()) {
                eprintln!("basculed: {way_on}");
            }
            if matches!(
                error.downcast_ref(),
                Some(bascule_store::OpenError::Keychain(_))
            ) {
                return ExitCode::from(EXIT_KEYCHAIN);
            }
            match error.downcast_ref() {
                Some(bascule_store::RestoreError::PassphraseNeeded) => {
                    ExitCode::from(EXIT_PASSPHRASE)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}
