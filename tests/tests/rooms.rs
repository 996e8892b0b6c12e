//! Who may know whom. Each rule stands with its reason; `ARCHITECTURE.md` tells the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use bascule_tests::{sources::sources, tools};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// What a room may name of our own, besides itself.
const ROOMS: [(&str, &[&str], &str); 12] = [
    (
        "bascule-domain",
        &[],
        "the rules are decided without anybody's help, so they can be tested whole",
    ),
    ("bascule-os", &[], "system calls need no rules"),
    (
        "bascule-proto",
        &[],
        "the contract stands for itself, so that either end can be replaced",
    ),
    (
        "bascule-sigv4",
        &["bascule-domain"],
        "pure: the same answer on every machine at any time",
    ),
    (
        "bascule-formats",
        &["bascule-domain"],
        "pure: bytes in, spans and edits out",
    ),
    (
        "bascule-adapters",
        BASE,
        "a provider must not reach the store or the gateway",
    ),
    (
        "bascule-store",
        BASE,
        "what is kept does not depend on who asks",
    ),
    (
        "bascule-gateway",
        BASE,
        "a key is checked without the store in between: invariant 2",
    ),
    (
        "bascule-watch",
        BASE,
        "it works without a daemon, for `scan` and `check`",
    ),
    (
        "basculed",
        &[
            "bascule-adapters",
            "bascule-domain",
            "bascule-formats",
            "bascule-gateway",
            "bascule-os",
            "bascule-proto",
            "bascule-sigv4",
            "bascule-store",
            "bascule-watch",
        ],
        "the one place where the rooms meet",
    ),
    (
        "bascule",
        &[
            "bascule-adapters",
            "bascule-domain",
            "bascule-formats",
            "bascule-os",
            "bascule-proto",
            "bascule-sigv4",
            "bascule-watch",
        ],
        "the client talks to the daemon and never opens its store; it replaces files of the user's, which is a system call; `check` asks servers without a daemon",
    ),
    (
        "bascule-tests",
        &["bascule-domain", "bascule-sigv4"],
        "the tests know the programs from outside; they take phases and a signer, nothing else",
    ),
];

const BASE: &[&str] = &[
    "bascule-domain",
    "bascule-formats",
    "bascule-os",
    "bascule-sigv4",
];

/// Crates that only some rooms may name, and why.
const NAMED_BY: [(&str, &[&str], &str); 11] = [
    (
        "redb",
        &["bascule-store"],
        "one place decides what is durable",
    ),
    (
        "rusqlite",
        &["bascule-store", "bascule-watch"],
        "the ledger is the store's, and evidence only; the watcher reads databases of other tools",
    ),
    (
        "tonic",
        &["basculed", "bascule", "bascule-proto"],
        "gRPC is an edge; rooms behind it have errors of their own",
    ),
    ("tonic-health", &["basculed"], "part of that edge"),
    ("tonic-reflection", &["basculed"], "part of that edge"),
    (
        "s3s",
        &["bascule-adapters"],
        "the embedded provider is an adapter like any other",
    ),
    (
        "s3s-fs",
        &["bascule-adapters"],
        "it can remove a whole folder and must stay wrapped",
    ),
    (
        "rustix",
        &["bascule-os", "bascule", "bascule-tests"],
        "system calls have one room; the demo and the tests send signals to what they started",
    ),
    (
        "libc",
        &["bascule-os"],
        "for the few calls that rustix does not have",
    ),
    (
        "sd-notify",
        &["bascule-os"],
        "what a service manager passes are descriptors, and taking them is a system call",
    ),
    (
        "rpassword",
        &["bascule"],
        "the daemon never asks on a terminal",
    ),
];

/// What pure rooms never reach, not even through others.
const IMPURE: [&str; 12] = [
    "tokio",
    "redb",
    "rusqlite",
    "hyper",
    "tonic",
    "rustix",
    "tempfile",
    "rustls",
    "mio",
    "socket2",
    "rpassword",
    "tracing-subscriber",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(tools::workspace().join("Cargo.toml"))
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .expect("cargo metadata")
}

fn members(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.as_str(), package))
        .collect()
}

/// What a package names for its programs and libraries, tests left out.
fn named(package: &Package) -> impl Iterator<Item = &cargo_metadata::Dependency> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
}

#[test]
fn every_room_is_known_here_and_no_other() {
    let metadata = metadata();
    let found: BTreeSet<_> = members(&metadata).into_keys().collect();
    let known: BTreeSet<_> = ROOMS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(found, known, "a room that is new needs its rule");
}

#[test]
fn rooms_know_only_whom_they_may() {
    let metadata = metadata();
    let members = members(&metadata);
    let mut wrong = Vec::new();
    for (room, may, why) in ROOMS {
        for dependency in named(members[room]) {
            let name = dependency.name.as_str();
            if members.contains_key(name) && !may.contains(&name) {
                wrong.push(format!("{room} names {name}, but {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_with_one_home_are_named_nowhere_else() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for (room, package) in members(&metadata) {
        for dependency in named(package) {
            for (name, rooms, why) in NAMED_BY {
                if dependency.name == name && !rooms.contains(&room) {
                    wrong.push(format!("{room} names {name}, but {why}"));
                }
            }
            let serves = dependency
                .features
                .iter()
                .any(|feature| feature.starts_with("server"));
            if dependency.name.starts_with("hyper")
                && serves
                && !["bascule-gateway", "bascule-tests"].contains(&room)
            {
                wrong.push(format!(
                    "{room} makes {} a server, but only the gateway is one",
                    dependency.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Everything that a package is built with, with one way to it.
fn reached(metadata: &Metadata, from: &PackageId) -> BTreeMap<String, String> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut reached = BTreeMap::new();
    let mut open = vec![(from, metadata[from].name.to_string())];
    while let Some((id, way)) = open.pop() {
        for dependency in &nodes[id].deps {
            let normal = |kind: &cargo_metadata::DepKindInfo| kind.kind == DependencyKind::Normal;
            let name = metadata[&dependency.pkg].name.to_string();
            if dependency.dep_kinds.iter().any(normal) && !reached.contains_key(&name) {
                let way = format!("{way} -> {name}");
                reached.insert(name, way.clone());
                open.push((&dependency.pkg, way));
            }
        }
    }
    reached
}

#[test]
fn pure_rooms_reach_no_io_clock_or_runtime() {
    let metadata = metadata();
    let members = members(&metadata);
    let mut wrong = Vec::new();
    for room in ["bascule-domain", "bascule-sigv4", "bascule-formats"] {
        let reached = reached(&metadata, &members[room].id);
        wrong.extend(IMPURE.iter().filter_map(|name| reached.get(*name)).cloned());
    }
    assert!(
        wrong.is_empty(),
        "a decision must be the same before and after a crash, and testable without a world:\n{}",
        wrong.join("\n")
    );
}

/// The sources outside `homes` that hold one of the texts; this file is left out.
fn outside(homes: &[&str], texts: &[&str]) -> Vec<PathBuf> {
    sources()
        .into_iter()
        .filter(|(path, text)| {
            !path.ends_with("tests/tests/rooms.rs")
                && !homes.iter().any(|home| path.starts_with(home))
                && texts.iter().any(|wanted| text.contains(wanted))
        })
        .map(|(path, _)| path)
        .collect()
}

#[test]
fn only_the_verifier_attests_an_identity() {
    // The domain's own tests make identities to decide about.
    let elsewhere = outside(&["daemon/sigv4", "daemon/domain"], &["Verified::attest"]);
    assert!(
        elsewhere.is_empty(),
        "a permit needs a signature that was verified: {elsewhere:?}"
    );
}

#[test]
fn only_the_edge_of_the_daemon_names_grpc() {
    let elsewhere = outside(
        &["daemon/src/rpc", "client", "proto"],
        // Not a clock that is monotonic.
        &["tonic::", "tonic_health", "tonic_reflection", "tonic_types"],
    );
    assert!(
        elsewhere.is_empty(),
        "errors are mapped once, in daemon/src/rpc: {elsewhere:?}"
    );
}

#[test]
fn unsafe_code_has_one_room() {
    let elsewhere = outside(
        &["daemon/os"],
        &["unsafe {", "unsafe fn", "allow(unsafe_code"],
    );
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn nothing_asks_a_provider_to_remove_a_bucket() {
    let texts = [
        "fn delete_bucket",
        "fn remove_bucket",
        "fn empty_bucket",
        ".delete_bucket(",
    ];
    let elsewhere = outside(&["adapters/src/local"], &texts);
    assert!(
        elsewhere.is_empty(),
        "no code can delete or empty a bucket: {elsewhere:?}"
    );
}
