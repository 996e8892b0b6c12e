//! What a key may do, as arguments and in words.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::Args;
use prost_types::Timestamp as WireTime;

use crate::{
    moment,
    output::{table::Facts, time::human},
};

/// What a permission may be.
pub(super) const PERMISSIONS: [&str; 5] = [
    "read",
    "append",
    "write",
    "read-write",
    "read-write-no-delete",
];

/// What a key is limited to.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Only this bucket; may be given several times
    #[arg(long = "bucket", value_name = "BUCKET")]
    pub(super) buckets: Vec<String>,
    /// Only objects whose keys begin so, such as backups/laptop/; may be given several times
    #[arg(long = "prefix", value_name = "PREFIX")]
    pub(super) prefixes: Vec<String>,
    /// Only from these addresses, such as 192.0.2.0/24; may be given several times. This machine
    /// is then refused too, unless 127.0.0.0/8 is among them
    #[arg(long = "allow-ip", value_name = "CIDR")]
    pub(super) addresses: Vec<String>,
    /// Refuse it from then on: 30d, 12h, 2027-01-01 (local time) or RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = moment::ahead)]
    pub(super) expires: Option<Timestamp>,
}

pub(super) fn permission(name: &str) -> v1::Permission {
    match name {
        "read" => v1::Permission::Read,
        "append" => v1::Permission::Append,
        "write" => v1::Permission::Write,
        "read-write" => v1::Permission::ReadWrite,
        "read-write-no-delete" => v1::Permission::ReadWriteNoDelete,
        // The daemon refuses what it does not know.
        _ => v1::Permission::Unspecified,
    }
}

pub(super) fn wire_time(time: Timestamp) -> WireTime {
    WireTime {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// What a living key may do, in words.
pub(super) fn facts(facts: &mut Facts, key: &v1::Key, now: Timestamp) {
    let or = |names: &[String], none: &str| {
        if names.is_empty() {
            none.to_owned()
        } else {
            names.join(", ")
        }
    };
    let expires = match &key.expires_at {
        None => "never".to_owned(),
        end => human(end.as_ref(), now),
    };
    facts
        .add("May", may(key.permission()))
        .add("Buckets", or(&key.buckets, "all of the connection"))
        .add("Objects", or(&key.prefixes, "all"))
        .add("From", or(&key.addresses, "this machine only"))
        .add("Expires", expires)
        .add("Overwriting", overwriting(key.conditional_writes()));
}

const fn may(permission: v1::Permission) -> &'static str {
    match permission {
        v1::Permission::Read => "read: list and read objects, change nothing",
        v1::Permission::Append => {
            "append: list, read and add objects, overwrite and delete none but locks"
        }
        v1::Permission::Write => "write: add objects, neither read, overwrite nor delete any",
        v1::Permission::ReadWrite => "read-write: list, read, write and delete objects",
        v1::Permission::ReadWriteNoDelete => {
            "read-write-no-delete: list, read and write objects, delete none"
        }
        v1::Permission::Unspecified => "",
    }
}

const fn overwriting(writes: v1::ConditionalWrites) -> &'static str {
    match writes {
        v1::ConditionalWrites::NotKnown => {
            "not known yet whether the provider itself refuses it (conditional writes)"
        }
        v1::ConditionalWrites::Proven => {
            "refused by the provider itself (conditional writes, proven)"
        }
        v1::ConditionalWrites::Absent => {
            "refused by the gateway, which holds against its own writers only: the provider proved no conditional writes"
        }
        v1::ConditionalWrites::Unspecified => "",
    }
}
