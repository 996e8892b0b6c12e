//! The contract only grows: what a released version has sent and understood keeps its number, name and
//! type, so that a client and a daemon of neighbouring versions understand each other.
//!
//! `contract-VERSION.txt` is the contract of a released version, one line for each part. It is written
//! when that version is released, and never changed after:
//!
//! ```sh
//! cargo test -p bascule-proto --test contract -- --ignored --exact write_the_contract_of_this_version
//! ```

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::{collections::BTreeSet, fs, path::PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

const RELEASED: [&str; 1] = ["0.1"];

fn file(version: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join(format!("tests/contract-{version}.txt"))
}

/// Today's contract.
fn lines() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for file in FileDescriptorSet::decode(bascule_proto::DESCRIPTORS)
        .unwrap()
        .file
    {
        let package = file.package().to_owned();
        if !package.starts_with("bascule.") {
            continue;
        }
        for message in &file.message_type {
            add_message(&mut lines, &package, message);
        }
        for values in &file.enum_type {
            add_enum(&mut lines, &package, values);
        }
        for service in &file.service {
            for call in &service.method {
                let stream = |streams: bool| if streams { "stream " } else { "" };
                lines.insert(format!(
                    "call {package}.{}/{}: {}{} -> {}{}",
                    service.name(),
                    call.name(),
                    stream(call.client_streaming()),
                    call.input_type(),
                    stream(call.server_streaming()),
                    call.output_type(),
                ));
            }
        }
    }
    lines
}

fn add_message(lines: &mut BTreeSet<String>, parent: &str, message: &DescriptorProto) {
    let name = format!("{parent}.{}", message.name());
    for field in &message.field {
        let kind = match field.type_name() {
            "" => field.r#type().as_str_name(),
            named => named,
        };
        let one_of = field
            .oneof_index
            .filter(|_| !field.proto3_optional())
            .map(|at| format!(" in {}", message.oneof_decl[at as usize].name()))
            .unwrap_or_default();
        lines.insert(format!(
            "field {name} {} {}: {} {kind}{one_of}",
            field.number(),
            field.name(),
            field.label().as_str_name(),
        ));
    }
    for inner in &message.nested_type {
        add_message(lines, &name, inner);
    }
    for values in &message.enum_type {
        add_enum(lines, &name, values);
    }
}

fn add_enum(lines: &mut BTreeSet<String>, parent: &str, values: &EnumDescriptorProto) {
    for value in &values.value {
        let name = values.name();
        lines.insert(format!(
            "value {parent}.{name} {} {}",
            value.number(),
            value.name()
        ));
    }
}

#[test]
#[ignore = "writes what the other one reads, when a version is released"]
fn write_the_contract_of_this_version() {
    let lines: Vec<_> = lines().into_iter().collect();
    let (version, _) = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap();
    fs::write(file(version), lines.join("\n") + "\n").unwrap();
}

#[test]
fn nothing_of_a_released_contract_is_gone_or_changed() {
    let now = lines();
    for version in RELEASED {
        let then = fs::read_to_string(file(version)).unwrap();
        let gone: Vec<_> = then.lines().filter(|line| !now.contains(*line)).collect();
        assert!(
            gone.is_empty(),
            "{version} would not understand this version. Bring back, or, as long as {version} is not \
             released, write its contract anew:\n{}",
            gone.join("\n")
        );
        assert!(then.lines().count() > 300, "{version} is cut");
    }
}
