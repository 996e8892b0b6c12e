//! A deletion's plan for people.

use bascule_domain::{Timestamp, plan::CheckBox};
use bascule_proto::v1;

use crate::{
    output::{
        document,
        table::{Cell, Table},
        text::{BAD, DIM, GOOD, HEAD, WARN, count, escape, styled},
    },
    verbs::{key, show},
};

/// The boxes that stand in the way, besides the name that is about to be typed.
pub(super) fn in_the_way(plan: &v1::PlanResponse, acknowledged: &[String]) -> Vec<String> {
    plan.boxes
        .iter()
        .filter(|b| b.state() == v1::BoxState::Open)
        .filter(|b| b.name != CheckBox::NameTyped.as_str() && !acknowledged.contains(&b.name))
        .map(|b| escape(&b.name).into_owned())
        .collect()
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

    heading(&mut text, "Checklist");
    let mut table = Table::new(["BOX", "STATE", "EVIDENCE", "TO SATISFY IT"]);
    for b in &plan.boxes {
        let style = match b.state() {
            v1::BoxState::Met => GOOD,
            v1::BoxState::Open => BAD,
            v1::BoxState::Later
            | v1::BoxState::NotApplicable
            | v1::BoxState::NotChecked
            | v1::BoxState::Unspecified => DIM,
        };
        table.row([
            Cell::new(&b.name),
            Cell::new(document::box_state(b.state())).style(style),
            Cell::new(&b.evidence),
            Cell::new(&b.remedy),
        ]);
    }
    text.push_str(&table.render());

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
                a_box("quiet", v1::BoxState::NotChecked),
            ],
            open_transfers: 2,
            siblings: vec!["other\u{1b}[2J".into()],
            ..v1::PlanResponse::default()
        }
    }

    #[test]
    fn only_open_boxes_besides_the_name_stand_in_the_way() {
        assert_eq!(in_the_way(&plan(), &[]), ["survey-complete"]);
        assert!(in_the_way(&plan(), &["survey-complete".into()]).is_empty());
    }

    #[test]
    fn a_plan_shows_every_box_with_its_evidence_and_what_goes_on() {
        let now = Timestamp::from_second(0).unwrap();
        let text = anstream::adapter::strip_str(&render(&plan(), now)).to_string();
        for expected in [
            "evidence of quiet",
            "not-checked",
            "2 open requests will be cut",
            "other\\u{1b}[2J",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
    }
}
