//! `bascule key rotation`: how a rotation stands, and what ends it.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{Context, Why, doubts};
use crate::{
    clock, duration,
    error::{Error, Kind},
    output::{
        document,
        table::{Cell, Facts, Table},
        text::{BAD, DIM, GOOD, NEXT, WARN, escape, styled},
        time::{ago, human, parsed},
    },
};

/// Show which key of a rotation is still used, and when the old one dies
///
/// Examples:
///   bascule key rotation BSC…
///   bascule key rotation BSC… --end
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Either key: its access key id, BSC…, or CONNECTION/LABEL
    #[arg(value_name = "KEY_ID")]
    id: String,
    #[command(flatten)]
    wish: Wish,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Wish {
    /// Kill the old key now
    #[arg(long)]
    end: bool,
    /// Call it off: the new key dies, if nobody has used it, and the old one is as it was
    #[arg(long)]
    cancel: bool,
    /// The clock is right: go on with a rotation that is parked
    #[arg(long)]
    go_on: bool,
}

#[derive(Serialize)]
struct Document {
    rotation: document::Rotation,
    in_doubt: Vec<document::DoubtfulChange>,
}

#[derive(Serialize)]
struct CancelDocument {
    key: document::Key,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let (access_key_id, reason) = (arguments.id, arguments.why.text());
    let Wish { end, cancel, go_on } = arguments.wish;
    if !(reason.is_empty() || end || cancel || go_on) {
        return Err(Error::new(
            Kind::Invalid,
            "--reason is for --end, --cancel or --go-on",
        ));
    }
    let client = context.client().await?;
    let mut rotations = client.rotations();
    let (rotation, doubtful) = if end {
        let request = v1::EndRotationRequest {
            access_key_id,
            reason,
        };
        let response = rotations.end(request).await?.into_inner();
        (response.rotation, response.in_doubt)
    } else if cancel {
        let request = v1::CancelRotationRequest {
            access_key_id,
            reason,
        };
        let key = rotations.cancel(request).await?.into_inner().key;
        return cancelled(&key.unwrap_or_default(), context);
    } else if go_on {
        let request = v1::GoOnRequest {
            access_key_id,
            reason,
        };
        (
            rotations.go_on(request).await?.into_inner().rotation,
            vec![],
        )
    } else {
        // A tool that was moved a moment ago is not told with what it had before.
        client.findings().look(v1::LookRequest::default()).await?;
        let request = v1::ShowRotationRequest { access_key_id };
        (rotations.show(request).await?.into_inner().rotation, vec![])
    };
    let rotation = rotation.unwrap_or_default();
    let document = Document {
        rotation: (&rotation).into(),
        in_doubt: doubtful.iter().map(Into::into).collect(),
    };
    context.output.result(&document, || {
        let mut text = render(&rotation, clock::now());
        text.push_str(&doubts(&doubtful));
        text
    })
}

fn cancelled(key: &v1::Key, context: &Context) -> Result<(), Error> {
    let document = CancelDocument { key: key.into() };
    context.output.result(&document, || {
        format!(
            "{} {} ({}, {}) is {} again; the new key is dead, as nobody had used it\n",
            styled(GOOD, "called off"),
            escape(&key.access_key_id),
            escape(&key.label),
            escape(&key.connection),
            document::key_state(key.state()),
        )
    })
}

/// What becomes of the old key, in a line or two.
pub(super) fn outlook(rotation: &v1::Rotation, now: Timestamp) -> String {
    let old = rotation.old.clone().unwrap_or_default();
    let id = escape(&old.access_key_id);
    if !rotation.ended.is_empty() {
        return format!(
            "{id} ({}) is dead since {}: {}\n",
            escape(&old.label),
            human(old.died_at.as_ref(), now),
            escape(&rotation.ended)
        );
    }
    let mut text = format!(
        "{id} ({}) works on until {}",
        escape(&old.label),
        human(rotation.deadline.as_ref(), now)
    );
    if let Some(silence) = &rotation.until_silent {
        text.push_str(&format!(
            ", or until nobody has used it for {}",
            duration::words(silence)
        ));
    }
    text.push('\n');
    if let Some(grace) = &rotation.grace {
        text.push_str(&format!(
            "Grace {}: {}\n",
            duration::words(grace),
            escape(&rotation.grace_because)
        ));
    }
    if !rotation.parked.is_empty() {
        text.push_str(&format!(
            "{} {}; nothing dies by the clock until it is right\n",
            styled(WARN, "parked:"),
            escape(&rotation.parked)
        ));
    }
    text.push_str(&format!(
        "{} bascule key rotation {id}\n",
        styled(DIM, "who has moved:")
    ));
    text
}

fn render(rotation: &v1::Rotation, now: Timestamp) -> String {
    let old = rotation.old.clone().unwrap_or_default();
    let mut facts = Facts::default();
    facts
        .add("Label", old.label.as_str())
        .add("Connection", old.connection.as_str())
        .add("Began", human(rotation.began_at.as_ref(), now))
        .add("Old key dies", human(rotation.deadline.as_ref(), now));
    if let Some(grace) = &rotation.grace {
        facts.add(
            "Grace",
            format!("{}: {}", duration::words(grace), rotation.grace_because),
        );
    }
    if let Some(silence) = &rotation.until_silent {
        facts.add(
            "Or once silent",
            format!(
                "for {}; silent since {}",
                duration::words(silence),
                human(rotation.silent_since.as_ref(), now)
            ),
        );
    }
    if !rotation.parked.is_empty() {
        facts.add("Parked", Cell::new(&rotation.parked).style(WARN));
    }
    if !rotation.ended.is_empty() {
        let ended = format!("{}: {}", human(old.died_at.as_ref(), now), rotation.ended);
        facts.add("Old key died", ended);
    }
    let mut text = facts.render();
    let mut table = Table::new(["KEY ID", "", "STATE", "USES", "LAST USED", "OPEN"]);
    let keys = [
        (Some(&old), "old", rotation.old_use.as_ref()),
        (
            rotation.successor.as_ref(),
            "new",
            rotation.successor_use.as_ref(),
        ),
    ];
    for (key, role, usage) in keys {
        let Some(key) = key else { continue };
        let style = match key.state() {
            v1::KeyState::Active => GOOD,
            v1::KeyState::Dead => BAD,
            _ => WARN,
        };
        let dead = key.state() == v1::KeyState::Dead;
        let usage = usage.copied().unwrap_or_default();
        let last = ago(usage.last_at.as_ref(), now);
        table.row([
            Cell::new(&key.access_key_id),
            role.into(),
            Cell::new(document::key_state(key.state())).style(style),
            Cell::new(if dead {
                String::new()
            } else {
                usage.requests.to_string()
            }),
            Cell::new(if last.is_empty() && !dead {
                "not yet"
            } else {
                &last
            }),
            Cell::new(if dead {
                String::new()
            } else {
                usage.open.to_string()
            }),
        ]);
    }
    text.push_str(&format!("\n{}", table.render()));
    if let Some(since) = &rotation.counted_since {
        text.push_str(&format!(
            "{}\n",
            styled(DIM, &format!("uses since {}", human(Some(since), now)))
        ));
    }
    if !rotation.consumers.is_empty() {
        let mut table = Table::new(["WHO", "", "LAST WITH OLD", "LAST WITH NEW"]);
        for consumer in &rotation.consumers {
            let (old, new) = (
                parsed(consumer.last_with_old.as_ref()),
                parsed(consumer.last_with_successor.as_ref()),
            );
            let first_new = parsed(consumer.first_with_successor.as_ref());
            // Several may hide behind one name: all have moved only if none came back.
            let moved = if new.is_none() {
                Cell::new("not moved").style(WARN)
            } else if old < first_new {
                Cell::new("moved").style(GOOD)
            } else {
                Cell::new("both").style(WARN)
            };
            table.row([
                Cell::new(&consumer.name),
                moved,
                Cell::new(ago(consumer.last_with_old.as_ref(), now)),
                Cell::new(ago(consumer.last_with_successor.as_ref(), now)),
            ]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text.push_str(&holders(rotation, now));
    for gap in &rotation.not_known {
        text.push_str(&format!("{} {}\n", styled(WARN, "not known:"), escape(gap)));
    }
    for next in &rotation.next {
        text.push_str(&format!("{} {}\n", styled(NEXT, "next:"), escape(next)));
    }
    text
}

/// What leads to either key on this machine, used or not.
fn holders(rotation: &v1::Rotation, now: Timestamp) -> String {
    let Some(looked_at) = &rotation.looked_at else {
        return String::new();
    };
    let mut text = format!(
        "\n{}\n",
        styled(
            DIM,
            &format!("seen on this machine {}", human(Some(looked_at), now))
        )
    );
    if rotation.holders.is_empty() {
        text.push_str("nothing leads to either key\n");
    }
    for holder in &rotation.holders {
        let key = if holder.old {
            styled(WARN, "old")
        } else {
            styled(GOOD, "new")
        };
        let rank = styled(DIM, &escape(&holder.rank));
        let chain = holder.chain.join(" → ");
        text.push_str(&format!("  {key}  {rank}  {}\n", escape(&chain)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_says_who_has_moved_and_why_it_waits() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| {
            Some(prost_types::Timestamp {
                seconds: 1_800_000_000 + seconds,
                nanos: 0,
            })
        };
        let key = |id: &str, state: v1::KeyState| v1::Key {
            access_key_id: id.into(),
            label: "nightly".into(),
            connection: "photos".into(),
            state: state.into(),
            ..v1::Key::default()
        };
        let rotation = v1::Rotation {
            old: Some(key("BSCOLD", v1::KeyState::Retiring)),
            successor: Some(key("BSCNEW", v1::KeyState::Active)),
            began_at: at(-3600),
            deadline: at(86_400 * 2),
            grace: Some(prost_types::Duration {
                seconds: 86_400,
                nanos: 0,
            }),
            grace_because: "the key was seen too briefly to tell".into(),
            parked: "the clock jumped by +1 d".into(),
            old_use: Some(v1::KeyUse {
                requests: 12,
                last_at: at(-60),
                open: 0,
            }),
            consumers: vec![
                v1::RotationConsumer {
                    name: "rclone/v1".into(),
                    last_with_old: at(-600),
                    last_with_successor: at(-60),
                    first_with_successor: at(-300),
                },
                v1::RotationConsumer {
                    name: "127.0.0.1".into(),
                    last_with_old: at(-60),
                    last_with_successor: at(-10),
                    first_with_successor: at(-300),
                },
                v1::RotationConsumer {
                    name: "restic".into(),
                    last_with_old: at(-60),
                    last_with_successor: None,
                    first_with_successor: None,
                },
            ],
            holders: vec![
                v1::RotationHolder {
                    old: true,
                    rank: "scheduled".into(),
                    chain: vec!["backup.timer".into(), "rclone.conf:4".into()],
                    ..v1::RotationHolder::default()
                },
                v1::RotationHolder {
                    rank: "process".into(),
                    chain: vec!["rclone\x1b[2J mount".into()],
                    ..v1::RotationHolder::default()
                },
            ],
            looked_at: at(-60),
            next: vec!["once the clock is right: bascule key rotation BSCOLD --go-on".into()],
            ..v1::Rotation::default()
        };
        let text = anstream::adapter::strip_str(&render(&rotation, now)).to_string();
        for expected in [
            "(in 2 days)",
            "1 d: the key was seen too briefly",
            "the clock jumped by +1 d",
            "BSCOLD  old  retiring  12    60 s ago",
            "BSCNEW  new  active    0     not yet",
            "--go-on",
            "127.0.0.1  both       60 s ago",
            "rclone/v1  moved      10 min ago",
            "restic     not moved  60 s ago",
            "old  scheduled  backup.timer → rclone.conf:4",
            "new  process  rclone\\u{1b}[2J mount",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        let told = anstream::adapter::strip_str(&outlook(&rotation, now)).to_string();
        assert!(told.contains("works on until"), "{told}");
    }
}
