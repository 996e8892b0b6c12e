//! What a support person would ask for: each line, with the command that helps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{fs, os::unix::fs::PermissionsExt};

use bascule_tests::{Cli, Home, World, tools};
use serde_json::Value;

const CODES: [(&str, i32); 3] = [("problem", 9), ("warning", 9), ("not-checked", 10)];

/// The lines about an area, of an answer whose exit code says what they say.
fn lines(cli: &Cli, args: &[&str]) -> Vec<Value> {
    let answer = cli.run(&[&["doctor"], args].concat());
    let checks = answer.json["checks"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(!checks.is_empty(), "{answer}");
    let worst = CODES
        .iter()
        .find(|(standing, _)| checks.iter().any(|c| c["standing"] == *standing));
    assert_eq!(
        answer.code,
        Some(worst.map_or(0, |(_, code)| *code)),
        "{answer}"
    );
    checks
}

fn about(checks: &[Value], area: &str) -> Vec<Value> {
    let found: Vec<_> = checks
        .iter()
        .filter(|c| c["area"] == area)
        .cloned()
        .collect();
    assert!(!found.is_empty(), "nothing about {area}: {checks:#?}");
    found
}

fn only(checks: &[Value], area: &str) -> Value {
    let found = about(checks, area);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().unwrap()
}

#[test]
fn everything_is_looked_at_and_a_well_daemon_has_no_problem() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let checks = lines(&world.cli(), &[]);
    for area in [
        "client",
        "daemon",
        "socket",
        "config",
        "root-key",
        "files",
        "store",
        "space",
        "gateway",
        "memory",
        "ledger",
        "clock",
        "anchor",
        "provider",
        "watcher",
        "sweep",
        "findings",
        "alerts",
        "deletions",
        "rotations",
    ] {
        for line in about(&checks, area) {
            assert_ne!(line["standing"], "problem", "{line}");
        }
    }
    let provider = only(&checks, "provider");
    assert_eq!(provider["standing"], "ok", "{provider}");
    assert!(
        provider["told"].as_str().unwrap().contains("photos"),
        "{provider}"
    );
    let offline = lines(&world.cli(), &["--offline"]);
    assert!(!offline.iter().any(|c| c["area"] == "provider"));
}

#[test]
fn a_provider_that_is_away_a_key_it_refuses_and_an_open_file_are_told_with_what_helps() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    // A relay that ends is a provider that went away.
    let relay = bascule_tests::Relay::start(world.minio.endpoint().trim_start_matches("http://"));
    world.connect_at(
        "gone",
        &[&bucket],
        &relay.endpoint(),
        world.minio.credentials(),
    );
    drop(relay);
    let exposed = world.home.state().join("store.redb");
    fs::set_permissions(&exposed, PermissionsExt::from_mode(0o644)).unwrap();
    let checks = lines(&world.cli(), &[]);
    let providers = about(&checks, "provider");
    let gone = providers
        .iter()
        .find(|c| c["told"].as_str().unwrap().starts_with("gone"))
        .unwrap();
    assert_eq!(gone["standing"], "problem", "{gone}");
    assert!(gone["remedy"].is_string(), "{gone}");
    let files = about(&checks, "files");
    let said = |field: &str, part: &str| files[0][field].as_str().unwrap().contains(part);
    assert!(
        said("told", "0644") && said("remedy", "chmod"),
        "{files:#?}"
    );
    let remedy = files[0]["remedy"].as_str().unwrap();
    let done = std::process::Command::new("sh")
        .args(["-c", remedy])
        .status()
        .unwrap();
    assert!(done.success());
    assert_eq!(
        only(&lines(&world.cli(), &["--offline"]), "files")["standing"],
        "ok"
    );
    // For people, the remedy stands below what it is about.
    let shown = world.cli().say(&["doctor"]);
    assert!(
        shown.stdout.contains("problem") && shown.stdout.contains("gone: "),
        "{shown}"
    );
}

#[test]
fn without_a_daemon_it_looks_as_far_as_that_goes_and_says_what_it_could_not() {
    let home = Home::new();
    let cli = Cli::new(&home);
    let checks = lines(&cli, &[]);
    assert_eq!(about(&checks, "daemon")[0]["standing"], "problem");
    assert!(
        about(&checks, "daemon")[0]["remedy"]
            .as_str()
            .unwrap()
            .contains("basculed")
    );
    assert!(
        checks.iter().any(|c| c["standing"] == "not-checked"),
        "{checks:#?}"
    );
    assert_eq!(only(&checks, "config")["standing"], "ok");
    let config = home.path("home/.config/bascule");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "[gateway]\nlistn = 1\n").unwrap();
    let told = only(&lines(&cli, &[]), "config");
    assert_eq!(told["standing"], "problem");
    assert!(
        told["told"]
            .as_str()
            .unwrap()
            .contains("did you mean listen?"),
        "{told}"
    );
}

#[test]
fn the_example_configuration_is_one_that_the_daemon_takes() {
    let home = Home::new();
    let mut command = home.command(&tools::program("basculed"));
    command.arg("example-config");
    let example = bascule_tests::cli::finish(command, "", "example-config".into());
    let file = home.write("config.toml", &example.stdout);
    let mut command = home.command(&tools::program("basculed"));
    command.arg("--config").arg(file).arg("check-config");
    let checked = bascule_tests::cli::finish(command, "", "check-config".into());
    assert_eq!(checked.code, Some(0), "{checked}");
    assert!(checked.stdout.contains("is valid"), "{checked}");
}
