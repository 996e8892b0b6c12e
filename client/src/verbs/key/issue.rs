//! `bascule key issue`: makes a key and shows its secret, once.

use bascule_domain::names::{ConnectionName, Label, Prefix};
use bascule_formats::{Format, SectionName};
use bascule_proto::v1;
use clap::Args;

use super::{
    Context, Why,
    handed_out::{Issued, show, tell_secret},
    rights::{Limits, PERMISSIONS, permission, wire_time},
    write::{Plan, Writing},
};
use crate::{
    error::{Error, Kind},
    output::{
        table::{Cell, Facts},
        text::{GOOD, escape},
    },
};

/// Issue a key for one tool. Its secret is shown once.
///
/// With --write the key goes into the tool's own configuration, as a new section: nothing that is
/// there is replaced, and a copy of the file is kept beside it. Otherwise it goes to stdout, ready to
/// paste or to append to a file; everything else goes to stderr.
///
/// Examples:
///   bascule key issue photos --label nightly --format rclone --write
///   bascule key issue photos --label viewer --permission read --format aws --write --as viewer
///   bascule key issue photos --label backup --format env --write --file ~/backup.env
///   bascule key issue photos --label laptop --format mc | mc alias import photos
///   bascule key issue photos --label desk --format cyberduck > photos.duck
///   bascule key issue photos --label ci --prefix builds/ --allow-ip 192.0.2.0/24 --expires 30d
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The connection
    pub(crate) name: String,
    /// What the key is for: usually the tool's name
    #[arg(long)]
    pub(crate) label: String,
    /// What it may do with objects
    #[arg(long, default_value = "read-write", value_parser = PERMISSIONS)]
    pub(crate) permission: String,
    /// The form in which it is handed out; a readable block if left out
    #[arg(long, value_parser = Format::ALL.map(Format::as_str))]
    pub(crate) format: Option<String>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) writing: Writing,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let format: Option<Format> = arguments.format.and_then(|name| name.parse().ok());
    let request = v1::IssueKeyRequest {
        connection: arguments.name,
        label: arguments.label,
        permission: permission(&arguments.permission).into(),
        buckets: arguments.limits.buckets,
        prefixes: arguments.limits.prefixes,
        addresses: arguments.limits.addresses,
        expires_at: arguments.limits.expires.map(wire_time),
        reason: arguments.why.text(),
    };
    let draft = format.map(|format| Draft::of(&request, format, &arguments.writing));
    let draft = draft.transpose()?;
    let mut issued = Issued::from(
        context
            .client()
            .await?
            .keys()
            .issue(request)
            .await?
            .into_inner(),
    );
    let id = issued.key.access_key_id.clone();
    if let Some(draft) = draft {
        issued.name = Some(draft.name);
        if let Some(plan) = draft.plan {
            return write(&issued, &plan, context);
        }
    }
    show(&issued, format, context).map_err(|error| {
        // The secret is lost, so the key is of no use to anybody.
        let closed = Error::new(
            Kind::Failed,
            format!("the key {id} was issued, but it could not be shown: {error}"),
        );
        closed.next(format!("bascule key revoke {id}"))
    })
}

/// What is decided about a hand-out before there is a key.
struct Draft {
    name: SectionName,
    plan: Option<Plan>,
}

impl Draft {
    /// Everything that can stand in the way is found here: a key is issued for nothing otherwise.
    fn of(request: &v1::IssueKeyRequest, format: Format, writing: &Writing) -> Result<Self, Error> {
        let invalid = |error: String| Error::new(Kind::Invalid, error);
        let connection: ConnectionName = request
            .connection
            .parse()
            .map_err(|error| invalid(format!("{error}")))?;
        let label: Label = request
            .label
            .parse()
            .map_err(|error| invalid(format!("{error}")))?;
        let prefixes = request.prefixes.iter().map(|text| text.parse());
        let prefixes = prefixes
            .collect::<Result<Vec<Prefix>, _>>()
            .map_err(|error| invalid(format!("{error}")))?;
        let name = writing
            .alias
            .clone()
            .unwrap_or_else(|| SectionName::of(&connection, &label));
        format
            .takes(&prefixes)
            .map_err(|error| invalid(error.to_string()))?;
        let plan = writing.plan(format, &name)?;
        Ok(Self { name, plan })
    }
}

/// Writes the key where it was planned. If that fails after all, the key is not lost: it is shown.
fn write(issued: &Issued, plan: &Plan, context: &Context) -> Result<(), Error> {
    let output = context.output;
    let done = issued.with_hand_out(|key| (plan.carry_out(key), plan.command(key)))?;
    let (written, command) = match done {
        (Ok(written), command) => (written, command),
        (Err((written, error)), _) => {
            let id = &issued.key.access_key_id;
            let mut message = format!("the key {id} was issued, but it could not be written: ");
            message.push_str(&error.message);
            for one in &written {
                message.push_str(&format!("; {} was written", one.path.display()));
            }
            show(issued, Some(plan.format()), context)?;
            return Err(Error::new(Kind::Failed, message).next(format!(
                "use what was printed, or take it back: bascule key revoke {id}"
            )));
        }
    };
    // Cyberduck keeps the secret by itself, and asks for it.
    let secret = plan
        .format()
        .asks_for_secret()
        .then_some(issued.secret.as_str());
    if output.is_json() {
        let mut document = issued.document(secret);
        document.written = &written;
        document.command = Some(&command);
        return output.document(&document);
    }
    let mut facts = Facts::default();
    facts.add("Issued", issued.key.access_key_id.as_str());
    facts.add("As", plan.what());
    for one in &written {
        facts.add("Written", one.path.display().to_string());
        if let Some(backup) = &one.backup {
            facts.add("Backup", backup.display().to_string());
        }
    }
    facts.add("Try", Cell::new(&command).style(GOOD));
    output.raw(&facts.render())?;
    for (path, mode) in written.iter().filter_map(|w| Some((&w.path, w.narrowed?))) {
        output.status(&format!(
            "{} had mode {mode:04o} and has 0600 now, since it holds a key.",
            escape(&path.display().to_string())
        ));
    }
    if let Some(secret) = secret {
        tell_secret(secret, output);
    }
    Ok(())
}
