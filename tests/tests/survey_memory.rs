//! The surveys of a deletion are streams: the daemon's memory does not grow with the bucket. The
//! provider is a fake, because a real one would need hours to be filled; see
//! [`bascule_tests::generated`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, or that it was skipped"
)]

use bascule_tests::{
    Cli, Daemon, Home,
    generated::{BUCKET, Generated},
    measure, scale,
};

const MIB: u64 = 1 << 20;

/// By how much the daemon's peak grows while it deletes a connection to a bucket of so many
/// objects. `None` where a peak can't be read.
fn growth(objects: u64) -> Option<u64> {
    let provider = Generated::start(objects);
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let endpoint = provider.endpoint();
    let connect = ["connect", "photos", "--provider", "minio", "--bucket"];
    let at = [BUCKET, "--endpoint", &endpoint];
    let how = ["--allow-http", "--credentials-stdin"];
    let (id, secret) = provider.credentials();
    cli.run_with(
        &[&connect[..], &at, &how].concat(),
        &format!("{id}\n{secret}\n"),
    )
    .ok();
    let before = measure::held(daemon.pid())?;
    let seen = provider.listed();

    let deletion = cli.delete("photos", &[]).verdict("intact");

    let after = measure::held(daemon.pid())?;
    let id = deletion["id"].as_str().unwrap();
    let receipt = cli.run(&["receipt", "show", id]).ok();
    for survey in ["before", "after"] {
        let counted = &receipt["surveys"][survey][0]["objects"];
        assert_eq!(counted, objects, "{survey}: {receipt}");
    }
    assert!(
        provider.listed() - seen >= 2 * objects,
        "both surveys have asked for every object"
    );
    Some(after.peak - before.peak)
}

#[test]
fn memory_does_not_grow_with_the_bucket() {
    let many = 200_000 * scale() as u64;
    // Enough for as many pages at once as there will ever be.
    let (Some(small), Some(large)) = (growth(40_000), growth(many)) else {
        eprintln!("skipped: no /proc tells a process's peak here");
        return;
    };
    // Keys and ETags of one survey alone are far more than this.
    let bound = small + 8 * MIB;
    assert!(
        large <= bound,
        "the peak grew by {large} bytes with {many} objects, and by {small} with 40,000"
    );
}
