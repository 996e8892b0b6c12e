use super::*;
use jiff::Timestamp;

fn at(hours_ago: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 - hours_ago * 3600).unwrap()
}

/// A connection that nobody used, all of it known.
fn calm() -> Sight {
    Sight {
        connection: "photos".into(),
        now: at(0),
        open_transfers: 0,
        provider_away: None,
        keys: vec![key("laptop", 240)],
        clients: Vec::new(),
        consumers: Vec::new(),
        bypasses: Vec::new(),
        not_looked: None,
        places_not_looked_at: 0,
        card_exported_at: Some(at(1)),
        brought: Some("…7F3Q".into()),
        brought_elsewhere: Vec::new(),
    }
}

fn key(label: &str, recorded_hours: i64) -> KeyRecord {
    KeyRecord {
        label: label.into(),
        recorded_since: at(recorded_hours),
        not_recorded: None,
        gap_until: None,
        last_used: None,
        longest: None,
    }
}

fn client(tool: &str) -> Client {
    Client {
        label: "laptop".into(),
        tool: tool.into(),
        process: None,
        address: None,
        elsewhere: false,
        writes: false,
        last: at(1),
    }
}

fn consumer(chain: &str, tool: &str) -> Consumer {
    Consumer {
        chain: chain.into(),
        tool: tool.into(),
        user: None,
        next_run: String::new(),
        moves: Vec::new(),
    }
}

fn used(hours_ago: i64) -> Sight {
    let mut sight = calm();
    sight.keys[0].last_used = Some(at(hours_ago));
    sight.clients = vec![client("rclone")];
    sight.clients[0].process = Some("backup.service".into());
    sight
}

fn of(sight: &Sight, name: CheckBox) -> Checked {
    let judged = judge(sight, &BTreeSet::new());
    judged.into_iter().find(|c| c.name == name).unwrap()
}

fn open(sight: &Sight, acks: &[CheckBox], manner: Manner) -> Vec<CheckBox> {
    let judged = judge(sight, &acks.iter().copied().collect());
    open_boxes(&judged, manner)
        .iter()
        .map(|checked| checked.name)
        .collect()
}

#[test]
fn a_connection_that_nobody_used_asks_for_its_name_only() {
    assert_eq!(open(&calm(), &[], Manner::Checked), [CheckBox::NameTyped]);
    assert_eq!(open(&calm(), &[CheckBox::NameTyped], Manner::Checked), []);
}

#[test]
fn a_folder_without_keys_has_nothing_to_be_quiet_or_moved() {
    let mut sight = calm();
    sight.keys.clear();
    sight.brought = None;
    for name in [
        CheckBox::Quiet,
        CheckBox::JobsMoved,
        CheckBox::NoBypass,
        CheckBox::ConsumersKnown,
    ] {
        assert_eq!(of(&sight, name).standing, Standing::NotApplicable, "{name}");
    }
}

#[test]
fn yes_stands_for_the_name_and_nothing_else() {
    let mut sight = calm();
    sight.open_transfers = 2;
    sight.provider_away = Some("connection refused".into());
    sight.card_exported_at = None;
    assert_eq!(
        open(&sight, &[CheckBox::NameTyped], Manner::Checked),
        [
            CheckBox::NoOpenTransfers,
            CheckBox::SurveyComplete,
            CheckBox::CardExported
        ]
    );
    assert_eq!(open(&sight, &[], Manner::Emergency), [CheckBox::NameTyped]);
}

#[test]
fn every_box_can_be_vouched_for() {
    let mut storm = used(0);
    storm.clients.push(Client {
        address: Some("10.0.0.7".into()),
        elsewhere: true,
        writes: true,
        ..client("restic")
    });
    storm.consumers = vec![consumer("backup.timer → rclone.conf:12", "rclone")];
    storm.bypasses = vec![consumer("rclone.conf:30", "rclone")];
    storm.open_transfers = 9;
    storm.provider_away = Some("away".into());
    storm.card_exported_at = None;
    let all: Vec<_> = CheckBox::ALL.to_vec();
    assert_eq!(open(&storm, &[], Manner::Checked), all);
    assert_eq!(
        open(&storm, &[], Manner::Scream),
        [
            CheckBox::NoBypass,
            CheckBox::NoOpenTransfers,
            CheckBox::CardExported,
            CheckBox::ProviderLogin,
            CheckBox::NameTyped
        ]
    );
    assert_eq!(open(&storm, &all, Manner::Checked), []);
    let vouched = judge(&storm, &all.into_iter().collect());
    assert!(vouched.iter().all(|c| c.remedy.is_empty()));
    assert!(
        vouched[0].evidence.ends_with("; vouched for"),
        "{}",
        vouched[0].evidence
    );
}

#[test]
fn quiet_states_its_horizon() {
    let told = of(&calm(), CheckBox::Quiet);
    assert_eq!(told.standing, Standing::Met);
    assert_eq!(
        told.evidence,
        "no key was ever used; 10 d recorded: a monthly job would not show"
    );
    let told = of(&used(26), CheckBox::Quiet);
    assert_eq!(told.standing, Standing::Met, "{}", told.evidence);
}

#[test]
fn a_use_within_a_day_is_not_quiet_and_neither_is_one_within_twice_the_usual_interval() {
    let told = of(&used(23), CheckBox::Quiet);
    assert_eq!(told.standing, Standing::Open);
    assert!(
        told.evidence
            .contains("23 h ago by rclone (backup.service)"),
        "{}",
        told.evidence
    );
    let mut weekly = used(13 * 24);
    weekly.keys[0].longest = Some(SignedDuration::from_hours(7 * 24));
    assert_eq!(of(&weekly, CheckBox::Quiet).standing, Standing::Open);
    weekly.keys[0].last_used = Some(at(15 * 24));
    assert_eq!(of(&weekly, CheckBox::Quiet).standing, Standing::Met);
}

#[test]
fn quiet_is_unknown_over_a_gap_and_known_again_once_the_gap_is_long_past() {
    let mut sight = calm();
    sight.keys[0].gap_until = Some(at(2));
    assert_eq!(of(&sight, CheckBox::Quiet).standing, Standing::Unknown);
    sight.keys[0].gap_until = Some(at(25));
    assert_eq!(of(&sight, CheckBox::Quiet).standing, Standing::Met);
    // Who used it in the gap stays unknown.
    assert_eq!(
        of(&sight, CheckBox::ConsumersKnown).standing,
        Standing::Unknown
    );
    sight.keys[0].not_recorded = Some("the ledger is switched off".into());
    assert_eq!(of(&sight, CheckBox::Quiet).standing, Standing::Unknown);
}

#[test]
fn who_is_elsewhere_is_a_stranger_and_has_to_be_told() {
    let mut sight = used(30);
    assert_eq!(of(&sight, CheckBox::ConsumersKnown).standing, Standing::Met);
    assert_eq!(
        of(&sight, CheckBox::PeopleTold).standing,
        Standing::NotApplicable
    );
    sight.clients.push(Client {
        address: Some("10.0.0.7".into()),
        elsewhere: true,
        ..client("rclone")
    });
    let told = of(&sight, CheckBox::ConsumersKnown);
    assert_eq!(told.standing, Standing::Open);
    assert!(
        told.evidence.contains("rclone at 10.0.0.7"),
        "{}",
        told.evidence
    );
    assert_eq!(of(&sight, CheckBox::PeopleTold).standing, Standing::Open);
}

#[test]
fn a_process_that_was_gone_too_soon_is_known_by_its_tool() {
    let mut sight = used(30);
    sight.clients.push(client("aws-cli"));
    assert_eq!(
        of(&sight, CheckBox::ConsumersKnown).standing,
        Standing::Open
    );
    sight
        .consumers
        .push(consumer("~/.aws/credentials:3", "aws-cli"));
    assert_eq!(of(&sight, CheckBox::ConsumersKnown).standing, Standing::Met);
}

#[test]
fn jobs_and_bypasses_are_unknown_until_somebody_looked() {
    let mut sight = calm();
    sight.not_looked = Some("the first look is not done yet".into());
    for name in [CheckBox::JobsMoved, CheckBox::NoBypass] {
        assert_eq!(of(&sight, name).standing, Standing::Unknown, "{name}");
    }
}

#[test]
fn the_providers_key_that_stands_elsewhere_needs_no_login() {
    let mut sight = used(30);
    assert_eq!(of(&sight, CheckBox::ProviderLogin).standing, Standing::Open);
    sight.brought_elsewhere = vec!["rclone.conf:30".into()];
    assert_eq!(of(&sight, CheckBox::ProviderLogin).standing, Standing::Met);
}

#[test]
fn box_names_read_back() {
    for &name in CheckBox::ALL {
        assert_eq!(name.as_str().parse::<CheckBox>().unwrap(), name);
    }
    assert!("everything".parse::<CheckBox>().is_err());
}
