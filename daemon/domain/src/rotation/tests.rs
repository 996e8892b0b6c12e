use super::*;
use crate::{
    access_key::AccessKeyId,
    key::{KeyKind, KeyState, Permission, Scope},
    moment::BootId,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn start() -> Moment {
    Moment {
        wall: Timestamp::from_second(1_800_000_000).unwrap(),
        boot: BootId([1; 16]),
        up: HOUR,
    }
}

/// Time goes by for both clocks.
fn after(from: Moment, time: SignedDuration) -> Moment {
    Moment {
        wall: from.wall.saturating_add(time).unwrap(),
        up: from.up.saturating_add(time),
        ..from
    }
}

fn set(from: Moment, by: SignedDuration) -> Moment {
    Moment {
        wall: from.wall.saturating_add(by).unwrap(),
        ..from
    }
}

fn rebooted(from: Moment, off: SignedDuration) -> Moment {
    Moment {
        wall: from.wall.saturating_add(off).unwrap(),
        boot: BootId([from.boot.0[0] + 1; 16]),
        up: SignedDuration::from_secs(9),
    }
}

fn key() -> Key {
    Key {
        permission: Permission::Read,
        scope: Scope {
            buckets: ["photos".parse().unwrap()].into(),
            prefixes: vec!["a/".parse().unwrap()],
            addresses: vec![],
        },
        expires_at: Some(Timestamp::from_second(1_900_000_000).unwrap()),
        generation: 4,
        ..Key::sample()
    }
}

fn rotation(grace: SignedDuration, until_silent: Option<SignedDuration>) -> Rotation {
    let terms = Terms {
        grace: Grace::asked(grace).unwrap(),
        until_silent,
    };
    let by = Caller {
        uid: 1,
        pid: None,
        program: None,
        parent: None,
    };
    Rotation::begin(&key(), KeyId::from_random([9; 10]), terms, by, start())
}

fn unused() -> Evidence {
    Evidence {
        last_use: None,
        watched_since: Timestamp::UNIX_EPOCH,
    }
}

fn look(rotation: &mut Rotation, now: Moment) -> Effect {
    rotation.apply(Event::Looked(unused()), now).unwrap()
}

#[test]
fn a_successor_inherits_everything_that_restricts() {
    let (old, id) = (key(), KeyId::from_random([9; 10]));
    let new = succeed(&old, id, AccessKeyId::issue([9; 15]), start().wall).unwrap();
    assert_eq!(new.predecessor, Some(old.id));
    assert_eq!((new.generation, new.successor), (1, None));
    // Whatever else a key may have one day is inherited too.
    let same = Key {
        id: old.id,
        access_key_id: old.access_key_id.clone(),
        generation: old.generation,
        predecessor: old.predecessor,
        issued_at: old.issued_at,
        ..new
    };
    assert_eq!(same, old);
    let retired = retire(&old, id).unwrap();
    assert_eq!(retired.generation, old.generation, "what is open goes on");
    assert_eq!(restore(&retired), old);
}

#[test]
fn keys_without_a_future_are_not_rotated() {
    let next = || (KeyId::from_random([9; 10]), AccessKeyId::issue([9; 15]));
    let tried = |old: &Key| succeed(old, next().0, next().1, start().wall).map(|_| ());
    let expired = Key {
        expires_at: Some(start().wall),
        ..key()
    };
    assert_eq!(tried(&expired), Err(NotRotatable::Expired));
    let minted = Key {
        kind: KeyKind::ProviderMinted,
        ..key()
    };
    assert_eq!(tried(&minted), Err(NotRotatable::Minted));
    let retiring = retire(&key(), next().0).unwrap();
    assert_eq!(tried(&retiring), Err(NotRotatable::Retiring));
    let paused = Key {
        state: KeyState::Paused,
        ..key()
    };
    assert_eq!(retire(&paused, next().0), Err(NotRotatable::Paused));
    let new = succeed(&paused, next().0, next().1, start().wall).unwrap();
    assert_eq!(
        new.state,
        KeyState::Paused,
        "a pause is not lifted by the way"
    );
}

#[test]
fn the_default_grace_follows_the_longest_interval_and_says_when_it_can_not() {
    let now = start().wall;
    let week_ago = now
        .saturating_sub(SignedDuration::from_hours(24 * 8))
        .unwrap();
    let seen = |longest, observed_since| {
        Grace::by_default(
            Some(Rhythm {
                observed_since,
                longest,
            }),
            now,
        )
    };
    let nightly = seen(Some(DAY), week_ago);
    assert_eq!(
        (nightly.length, nightly.basis),
        (DAY * 2, Basis::Interval { longest: DAY })
    );
    assert_eq!(seen(Some(HOUR), week_ago).length, DAY, "at least a day");
    assert_eq!(seen(None, week_ago).basis, Basis::TooBrief, "used once");
    let brief = seen(Some(DAY), now);
    assert_eq!((brief.length, brief.basis), (DAY * 2, Basis::TooBrief));
    let unknown = Grace::by_default(None, now);
    assert_eq!((unknown.length, unknown.basis), (DAY, Basis::TooBrief));
    assert!(Grace::asked(SignedDuration::ZERO).is_err());
    assert!(Grace::asked(SignedDuration::MAX).is_err());
}

#[test]
fn an_old_key_dies_at_its_deadline_to_the_second() {
    let mut rotation = rotation(DAY, None);
    let early = after(start(), DAY - SignedDuration::from_secs(1));
    assert_eq!(look(&mut rotation, early), Effect::Nothing);
    assert_eq!(rotation.due(&unused()), Some(after(start(), DAY).wall));
    assert_eq!(
        look(&mut rotation, after(start(), DAY)),
        Effect::Bury(Ending::Deadline)
    );
}

#[test]
fn a_day_forward_kills_nothing_and_a_day_back_keeps_nothing_alive_for_ever() {
    for jump in [DAY, -DAY] {
        let mut rotation = rotation(DAY * 2, None);
        let now = set(after(start(), HOUR), jump);
        assert_eq!(look(&mut rotation, now), Effect::Keep(Step::Parked));
        assert_eq!(rotation.parked.unwrap().jump, jump);
        assert_eq!(rotation.due(&unused()), None);
        let much_later = after(now, DAY * 9);
        assert_eq!(look(&mut rotation, much_later), Effect::Nothing);
        // Somebody looks at it: what the boot clock counted is over.
        let mut decided = rotation.clone();
        assert_eq!(
            decided.apply(Event::GoOn, after(now, HOUR)),
            Ok(Effect::Keep(Step::WentOn))
        );
        assert_eq!(decided.deadline(), after(now, DAY * 2 - HOUR).wall);
        // The clock is set right again.
        let right = after(start(), HOUR * 3);
        assert_eq!(look(&mut rotation, right), Effect::Keep(Step::WentOn));
        assert_eq!(rotation.deadline(), after(start(), DAY * 2).wall);
        assert_eq!(rotation.apply(Event::GoOn, right), Err(Refusal::NotParked));
    }
}

#[test]
fn behind_a_reboot_a_deadline_that_passed_waits_for_the_clocks_to_settle() {
    let mut rotation = rotation(DAY, None);
    let back = rebooted(start(), DAY * 300);
    assert_eq!(look(&mut rotation, back), Effect::Keep(Step::Rebooted));
    assert_eq!(look(&mut rotation, back), Effect::Nothing);
    // A time server sets the clock right in the meantime: parked, not dead.
    let mut corrected = rotation.clone();
    let right = set(after(back, SignedDuration::from_secs(30)), -DAY * 299);
    assert_eq!(look(&mut corrected, right), Effect::Keep(Step::Parked));
    assert_eq!(
        look(&mut rotation, after(back, SETTLE)),
        Effect::Bury(Ending::Deadline)
    );
}

#[test]
fn a_clock_that_is_behind_after_a_reboot_is_not_trusted() {
    let mut rotation = rotation(DAY, None);
    let back = rebooted(start(), -DAY);
    assert_eq!(look(&mut rotation, back), Effect::Keep(Step::Parked));
    assert!(rotation.parked.unwrap().across_a_reboot);
    let later = after(back, DAY * 30);
    assert_eq!(look(&mut rotation, later), Effect::Nothing);
    rotation.apply(Event::GoOn, later).unwrap();
    assert_eq!(rotation.deadline(), after(later, DAY).wall);
}

#[test]
fn silence_ends_a_rotation_early_and_only_silence_that_was_watched() {
    let at = |time| after(start(), time);
    let used = |time: SignedDuration| Evidence {
        last_use: Some(at(time).wall),
        ..unused()
    };
    let mut rotation = rotation(DAY, Some(HOUR * 2));
    let looked = |r: &mut Rotation, e, time| r.apply(Event::Looked(e), at(time)).unwrap();
    assert_eq!(looked(&mut rotation, used(HOUR), HOUR * 2), Effect::Nothing);
    assert_eq!(rotation.due(&used(HOUR)), Some(at(HOUR * 3).wall));
    assert_eq!(
        looked(&mut rotation, used(HOUR * 5), HOUR * 5),
        Effect::Nothing,
        "a request is open"
    );
    let blind = Evidence {
        watched_since: at(HOUR * 4).wall,
        ..unused()
    };
    assert_eq!(looked(&mut rotation, blind, HOUR * 5), Effect::Nothing);
    assert_eq!(
        looked(&mut rotation, used(HOUR), HOUR * 3),
        Effect::Bury(Ending::Silent)
    );
}

#[test]
fn a_grace_that_is_asked_for_again_never_moves_the_deadline_back() {
    let mut rotation = rotation(DAY, None);
    let (deadline, now) = (rotation.deadline(), after(start(), HOUR));
    let asked = |length| Event::Retimed {
        grace: Some(Grace::asked(length).unwrap()),
        until_silent: None,
    };
    assert_eq!(rotation.apply(asked(DAY), now), Ok(Effect::Nothing));
    let longer = rotation.apply(asked(DAY - SignedDuration::from_mins(1)), now);
    assert_eq!(longer, Err(Refusal::Longer));
    assert_eq!(rotation.deadline(), deadline);
    let shorter = rotation.apply(asked(HOUR), now);
    assert_eq!(shorter, Ok(Effect::Keep(Step::Retimed)));
    assert_eq!(rotation.deadline(), after(now, HOUR).wall);
}

#[test]
fn another_grace_counts_from_now_and_also_ends_a_parking() {
    let mut rotation = rotation(DAY, None);
    let now = set(after(start(), HOUR), DAY);
    look(&mut rotation, now);
    let grace = Some(Grace::asked(HOUR).unwrap());
    let event = Event::Retimed {
        grace,
        until_silent: None,
    };
    assert_eq!(rotation.apply(event, now), Ok(Effect::Keep(Step::Retimed)));
    assert_eq!(rotation.deadline(), after(now, HOUR).wall);
    assert_eq!(rotation.parked, None);
}

#[test]
fn a_successor_is_given_to_who_holds_the_old_key_only_if_it_may_do_the_same() {
    let now = Timestamp::UNIX_EPOCH;
    let old = Key {
        expires_at: Some(Timestamp::MAX),
        ..Key::sample()
    };
    let heir = Key {
        predecessor: Some(old.id),
        ..old.clone()
    };
    assert_eq!(inherits(Some(&old), &heir, false, now), Ok(()));
    assert_eq!(inherits(None, &heir, false, now), Ok(()));
    assert_eq!(
        inherits(None, &heir, true, now),
        Err(NotInherited::Rights),
        "of a dead one nothing is left to compare with"
    );
    let read = Key {
        permission: Permission::Read,
        ..heir.clone()
    };
    let refused = |old: &Key, heir: &Key| inherits(Some(old), heir, false, now);
    assert_eq!(refused(&old, &read), Err(NotInherited::Rights), "less");
    assert_eq!(refused(&read, &heir), Err(NotInherited::Rights), "more");
    let paused = Key {
        state: KeyState::Paused,
        ..heir.clone()
    };
    assert_eq!(refused(&old, &paused), Err(NotInherited::Paused));
    let expired = Key {
        expires_at: Some(now),
        ..heir
    };
    assert_eq!(refused(&expired, &expired), Err(NotInherited::Expired));
}
