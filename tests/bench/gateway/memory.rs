//! How much the daemon holds: at rest right after its start, and with 32 uploads of 64 MiB at once.

use std::time::Duration;

use bascule_tests::{Daemon, Home, measure};

use crate::{
    contenders::Field,
    load,
    requests::{Kind, MIB, Operation},
};

const UPLOADS: Operation = Operation {
    name: "PUT 64 MiB c=32",
    kind: Kind::PutUnsigned,
    bytes: 64 * MIB,
    at_once: 32,
    goal: 0.0,
};

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

/// Measures and prints.
pub(crate) fn run(field: &Field) {
    println!("\n### Memory of the daemon\n");
    let home = Home::new();
    let idle = Daemon::start(&home);
    let held = measure::held(idle.pid()).expect("the daemon's /proc");
    println!(
        "- idle, just started, {} threads: {:.1} MiB resident (goal 12)",
        held.threads,
        mebibytes(held.resident)
    );
    drop(idle);
    for upstream in &field.upstreams {
        let ours = upstream
            .contenders
            .iter()
            .find(|contender| contender.name == "bascule")
            .expect("the gateway");
        ours.forget_peak();
        let before = measure::held(field.daemon.pid()).expect("the daemon's /proc");
        match load::run(&ours.target, &UPLOADS, Duration::ZERO) {
            Ok(_) => println!(
                "- {} to {}: {:.1} MiB at most (goal 48), {:.1} before",
                UPLOADS.name,
                upstream.name,
                mebibytes(ours.peak()),
                mebibytes(before.resident)
            ),
            Err(error) => println!("- {} to {}: {error:#}", UPLOADS.name, upstream.name),
        }
    }
}
