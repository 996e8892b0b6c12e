//! `bascule key restrict`: changes what a living key may do.

use bascule_proto::v1::{self, restrict_key_request::Expiry};
use clap::Args;

use super::{
    Context, KeyName, Why, named, report,
    rights::{self, Limits, PERMISSIONS, permission, wire_time},
};
use crate::{
    clock,
    error::Error,
    output::{
        table::Facts,
        text::{GOOD, styled},
    },
};

/// Change what a living key may do, at once
///
/// Each part that is given replaces what the key had; the rest stays. In force for the very next
/// request, also on open connections. If something is taken away, what the key has open is cut;
/// else it goes on.
///
/// Examples:
///   bascule key restrict photos/viewer --permission read --prefix 2026/
///   bascule key restrict BSC… --bucket photos --expires 30d
///   bascule key restrict BSC… --any-bucket --any-prefix --loopback-only --never-expires
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    key: KeyName,
    #[command(flatten)]
    why: Why,
    /// What it is called from now on
    #[arg(long)]
    label: Option<String>,
    /// What it may do with objects
    #[arg(long, value_parser = PERMISSIONS)]
    permission: Option<String>,
    #[command(flatten)]
    limits: Limits,
    /// Every bucket of the connection
    #[arg(long, conflicts_with = "buckets")]
    any_bucket: bool,
    /// Every object
    #[arg(long, conflicts_with = "prefixes")]
    any_prefix: bool,
    /// Only from this machine
    #[arg(long, conflicts_with = "addresses")]
    loopback_only: bool,
    /// Until it is revoked
    #[arg(long, conflicts_with = "expires")]
    never_expires: bool,
}

/// Absent is unchanged, empty is unlimited.
fn names(names: Vec<String>, any: bool) -> Option<v1::Names> {
    (any || !names.is_empty()).then_some(v1::Names { names })
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let limits = arguments.limits;
    let given = arguments.permission.as_deref();
    let expires = limits.expires.map(wire_time).map(Expiry::ExpiresAt);
    let request = v1::RestrictKeyRequest {
        key: arguments.key.id,
        label: arguments.label.unwrap_or_default(),
        permission: given.map_or(v1::Permission::Unspecified, permission).into(),
        buckets: names(limits.buckets, arguments.any_bucket),
        prefixes: names(limits.prefixes, arguments.any_prefix),
        addresses: names(limits.addresses, arguments.loopback_only),
        expiry: expires.or(arguments
            .never_expires
            .then_some(Expiry::NeverExpires(true))),
        reason: arguments.why.text(),
    };
    let mut keys = context.client().await?.keys();
    let response = keys.restrict(request).await?.into_inner();
    let key = response.key.unwrap_or_default();
    report(&key, &response.in_doubt, context, || {
        let mut facts = Facts::default();
        rights::facts(&mut facts, &key, clock::now());
        format!(
            "{} {}\n{}",
            styled(GOOD, "changed"),
            named(&key),
            facts.render()
        )
    })
}
