//! A deletion's plan for people.

use bascule_domain::{
    Timestamp,
    plan::{CheckBox, Manner},
};
use bascule_proto::v1;

use crate::{
    duration,
    output::{
        document,
        table::{Cell, Table},
        text::{BAD, DIM, GOOD, HEAD, NEXT, WARN, count, escape, styled},
        time::human,
    },
    verbs::{findings, key, show},
};

/// Whether a box stands in the way unless somebody vouches for it.
fn stands_in_the_way(b: &v1::Box) -> bool {
    matches!(b.state(), v1::BoxState::Open | v1::BoxState::Unknown)
}

/// The boxes that somebody has to vouch for, besides the name that is about to be typed and the card
/// that is handed out with the deletion.
pub(super) fn to_vouch_for<'a>(
    plan: &'a v1::PlanResponse,
    acknowledged: &[String],
    manner: Manner,
) -> Vec<&'a v1::Box> {
    let by_itself = [CheckBox::NameTyped, CheckBox::CardExported];
    let asked_for = |name: &str| match name.parse::<CheckBox>() {
        Ok(name) => manner.asks_for(name) && !by_itself.contains(&name),
        // A box of a newer daemon.
        Err(_) => true,
    };
    plan.boxes
        .iter()
        .filter(|b| stands_in_the_way(b))
        .filter(|b| asked_for(&b.name) && !acknowledged.contains(&b.name))
        .collect()
}

/// What the wizard asks for one box. Anything but a yes leaves it.
pub(super) fn question(b: &v1::Box, number: usize, of: usize) -> String {
    format!(
        "\n{} {}\n  {}\n  to satisfy it: {}\nVouch for it all the same? [y/N] ",
        styled(DIM, &format!("{number}/{of}")),
        styled(HEAD, &escape(&b.name)),
        escape(&b.evidence),
        escape(&b.remedy)
    )
}

/// The whole plan.
pub(super) fn render(plan: &v1::PlanResponse, now: Timestamp) -> String {
    let connection = plan.connection.clone().unwrap_or_default();
    let name = escape(&connection.name);
    let mut text = format!(
        "{} {} ({}); nothing has been changed\n\n",
        styled(HEAD, "Plan to delete"),
        name,
        escape(&plan.plan_id)
    );
    text.push_str(&show::facts(&connection, now).render());

    heading(
        &mut text,
        &format!(
            "{} will die at once and for good",
            count(plan.keys.len() as u64, "key")
        ),
    );
    if !plan.keys.is_empty() {
        text.push_str(&key::table(&plan.keys, now));
    }
    if plan.open_transfers > 0 {
        text.push_str(&format!(
            "{}\n",
            styled(
                WARN,
                &format!(
                    "{} will be cut",
                    count(plan.open_transfers.into(), "open request")
                )
            )
        ));
    }
    text.push_str("The buckets are not touched.\n");

    clients(&mut text, &plan.clients, now);
    holders(
        &mut text,
        &match plan.consumers.len() {
            1 => "1 consumer on this machine holds such a key".to_owned(),
            n => format!("{n} consumers on this machine hold such a key"),
        },
        &plan.consumers,
        now,
    );
    holders(
        &mut text,
        &format!(
            "{} the buckets of {name} directly; deleting here will NOT stop {}",
            match plan.bypasses.len() {
                1 => "1 consumer reaches".to_owned(),
                n => format!("{n} consumers reach"),
            },
            if plan.bypasses.len() == 1 {
                "it"
            } else {
                "them"
            },
        ),
        &plan.bypasses,
        now,
    );
    if !plan.bypasses.is_empty() {
        text.push_str("  what would: revoke that key at the provider (bascule leak ACCESS_KEY_ID leads through it), or give each a key of its own\n");
    }

    uploads(&mut text, plan, now);

    heading(&mut text, "Checklist");
    for b in &plan.boxes {
        text.push_str(&checked(b));
    }

    list(
        &mut text,
        "Connections to the same buckets that go on working",
        &plan.siblings,
    );
    list(
        &mut text,
        "What stays valid at the provider",
        &plan.stays_valid,
    );
    list(&mut text, "Not checked", &plan.not_checked);
    let alternatives: Vec<_> = plan
        .alternatives
        .iter()
        .map(|alternative| format!("{}: {}", alternative.what, alternative.command))
        .collect();
    list(&mut text, "Alternatives", &alternatives);
    text
}

/// A box: evidence and remedy are sentences, too long for columns.
fn checked(b: &v1::Box) -> String {
    let style = match b.state() {
        v1::BoxState::Met => GOOD,
        v1::BoxState::Open => BAD,
        v1::BoxState::Unknown | v1::BoxState::Unspecified => WARN,
        v1::BoxState::NotApplicable => DIM,
    };
    let state = format!("{:<14}", document::box_state(b.state()));
    let mut text = format!(
        "  {} {:<21} {}\n",
        styled(style, &state),
        escape(&b.name),
        escape(&b.evidence)
    );
    if stands_in_the_way(b) && !b.remedy.is_empty() {
        text.push_str(&format!(
            "      {} {}\n",
            styled(NEXT, "→"),
            escape(&b.remedy)
        ));
    }
    text
}

fn clients(text: &mut String, clients: &[v1::PlanClient], now: Timestamp) {
    if clients.is_empty() {
        return;
    }
    heading(text, "Who used these keys");
    let mut table = Table::new([
        "KEY",
        "TOOL",
        "WHERE",
        "LAST USE",
        "REQUESTS",
        "AT LEAST EVERY",
    ]);
    for client in clients {
        let place = [&client.process, &client.address]
            .into_iter()
            .find(|place| !place.is_empty());
        table.row([
            Cell::new(&client.label),
            Cell::new(&client.tool),
            Cell::new(place.map_or("this machine, process not seen", String::as_str)),
            human(client.last_at.as_ref(), now).into(),
            client.requests.to_string().into(),
            client
                .longest_interval
                .as_ref()
                .map_or_else(String::new, duration::words)
                .into(),
        ]);
    }
    text.push_str(&table.render());
}

/// What each is, the way to the key, and what moves it.
fn holders(text: &mut String, title: &str, holders: &[v1::PlanHolder], now: Timestamp) {
    if holders.is_empty() {
        return;
    }
    heading(text, title);
    for held in holders {
        let mut about = vec![held.rank.clone()];
        about.extend(findings::next_run(held.next_run.as_ref(), now));
        if !held.user.is_empty() {
            about.push(format!("of user {}", held.user));
        }
        if !held.adopted.is_empty() {
            about.push(format!("adopted as {}", held.adopted));
        }
        text.push_str(&format!(
            "  {} {}  {}\n      {}\n",
            escape(&held.key),
            escape(&held.label),
            styled(DIM, &escape(&about.join(", "))),
            escape(&held.chain.join(" → "))
        ));
        if !held.next.is_empty() {
            text.push_str(&format!(
                "      to move it: {}\n",
                escape(&held.next.join(", or "))
            ));
        }
    }
}

/// Nothing is said of a bucket that has none.
fn uploads(text: &mut String, plan: &v1::PlanResponse, now: Timestamp) {
    let worth_telling = |of: &&v1::PlanUploads| of.count > 0 || !of.not_looked.is_empty();
    let buckets: Vec<_> = plan.uploads.iter().filter(worth_telling).collect();
    if buckets.is_empty() && plan.uploads_through_keys.is_empty() {
        return;
    }
    heading(text, "Unfinished multipart uploads");
    for of in &plan.uploads_through_keys {
        text.push_str(&format!(
            "  {} begun with the key {} since the daemon started\n",
            count(of.uploads, "upload"),
            escape(&of.label)
        ));
    }
    for of in &buckets {
        let bucket = escape(&of.bucket);
        if !of.not_looked.is_empty() {
            let why = escape(&of.not_looked);
            text.push_str(&format!("  {bucket}: not looked at, because {why}\n"));
            continue;
        }
        let more = if of.more { "more than " } else { "" };
        let oldest = of.oldest_at.as_ref().map_or_else(String::new, |at| {
            format!(", the oldest begun {}", human(Some(at), now))
        });
        text.push_str(&format!(
            "  {bucket}: {}{oldest}\n",
            styled(WARN, &format!("{more}{}", count(of.count, "upload")))
        ));
        for upload in &of.some {
            text.push_str(&format!(
                "      {}  {}\n",
                escape(&upload.key),
                styled(DIM, &human(upload.begun_at.as_ref(), now))
            ));
        }
        for command in &of.commands {
            text.push_str(&format!("      {}\n", escape(command)));
        }
    }
    text.push_str("  They stay at the provider and cost storage. No key of this connection can end them afterwards: whoever has the provider's credentials can abort them, or a lifecycle rule\n");
}

fn heading(text: &mut String, heading: &str) {
    text.push_str(&format!("\n{}\n", styled(HEAD, heading)));
}

fn list(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    heading(text, title);
    for line in lines {
        text.push_str(&format!("  {}\n", escape(line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_box(name: &str, state: v1::BoxState) -> v1::Box {
        v1::Box {
            name: name.into(),
            state: state.into(),
            evidence: format!("evidence of {name}"),
            remedy: String::new(),
        }
    }

    fn plan() -> v1::PlanResponse {
        v1::PlanResponse {
            boxes: vec![
                a_box("survey-complete", v1::BoxState::Open),
                a_box("no-open-transfers", v1::BoxState::Met),
                a_box("name-typed", v1::BoxState::Open),
                a_box("quiet", v1::BoxState::Unknown),
                a_box("card-exported", v1::BoxState::Open),
                a_box("people-told", v1::BoxState::NotApplicable),
            ],
            open_transfers: 2,
            siblings: vec!["other\u{1b}[2J".into()],
            uploads_through_keys: vec![v1::PlanKeyUploads {
                label: "laptop".into(),
                uploads: 1,
            }],
            uploads: vec![
                v1::PlanUploads {
                    bucket: "pictures".into(),
                    count: 3,
                    more: true,
                    some: vec![v1::PlanUpload {
                        key: "film\u{1b}[2J".into(),
                        ..v1::PlanUpload::default()
                    }],
                    commands: vec!["aws s3api".into()],
                    ..v1::PlanUploads::default()
                },
                v1::PlanUploads {
                    bucket: "away".into(),
                    not_looked: "it is away".into(),
                    ..v1::PlanUploads::default()
                },
                v1::PlanUploads {
                    bucket: "empty".into(),
                    ..v1::PlanUploads::default()
                },
            ],
            ..v1::PlanResponse::default()
        }
    }

    #[test]
    fn open_and_unknown_boxes_have_to_be_vouched_for() {
        let names = |acks: &[String]| -> Vec<_> {
            let plan = plan();
            let boxes = to_vouch_for(&plan, acks, Manner::Checked);
            boxes.iter().map(|b| b.name.clone()).collect()
        };
        assert_eq!(names(&[]), ["survey-complete", "quiet"]);
        assert_eq!(names(&["survey-complete".into()]), ["quiet"]);
    }

    #[test]
    fn a_plan_shows_every_box_with_its_evidence_and_what_goes_on() {
        let now = Timestamp::from_second(0).unwrap();
        let text = anstream::adapter::strip_str(&render(&plan(), now)).to_string();
        for expected in [
            "evidence of quiet",
            "unknown",
            "not-applicable",
            "2 open requests will be cut",
            "1 upload begun with the key laptop",
            "pictures: more than 3 uploads",
            "film\\u{1b}[2J",
            "away: not looked at, because it is away",
            "cost storage",
            "other\\u{1b}[2J",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(!text.contains("empty: "), "{text}");
    }
}
