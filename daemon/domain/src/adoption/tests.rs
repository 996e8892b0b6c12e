use proptest::prelude::*;

use super::*;

fn id(n: u8) -> AdoptionId {
    AdoptionId::from_random([n; 8])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn adoption(n: u8, consumer: &str, path: &str, state: State, replaces: Option<u8>) -> Adoption {
    Adoption {
        id: id(n),
        connection: ConnectionId::from_random([n; 10]),
        connection_name: "photos".parse().unwrap(),
        key: KeyId::from_random([n; 10]),
        label: "laptop".parse().unwrap(),
        consumer: consumer.parse().unwrap(),
        state,
        replaces: replaces.map(id),
        layout: Layout::new("{}".into()).unwrap(),
        paths: vec![path.parse().unwrap()],
        bytes: 1,
        prepared_at: at(0),
        settled_at: None,
        rights: None,
    }
}

fn prepared(n: u8, consumer: &str, path: &str, replaces: Option<u8>) -> Adoption {
    adoption(n, consumer, path, State::Prepared, replaces)
}

fn file(path: &str, len: usize) -> Original {
    Original {
        path: path.parse().unwrap(),
        content: vec![b'x'; len].into(),
    }
}

/// Does to the records what a store does.
fn settle(all: &mut Adoptions, n: u8, outcome: State) -> Result<usize, Refusal> {
    let changed = all.settle(id(n), outcome, None, at(1))?;
    for new in &changed {
        let old = all.0.iter_mut().find(|old| old.id == new.id).unwrap();
        *old = new.clone();
    }
    Ok(changed.len())
}

#[test]
fn each_state_has_its_outcomes_and_the_settled_ones_are_final() {
    use State::{Adopted, Ejected, Prepared, RolledBack, Undone};
    for from in State::ALL {
        for to in State::ALL {
            let all = Adoptions(vec![adoption(1, "a", "/a", from, None)]);
            let allowed = matches!(
                (from, to),
                (Prepared, Adopted | RolledBack) | (Adopted, Undone | Ejected)
            );
            let settled = all.settle(id(1), to, None, at(7));
            if allowed {
                let [changed] = &settled.unwrap()[..] else {
                    panic!("{from} {to}")
                };
                assert_eq!((changed.state, changed.settled_at), (to, Some(at(7))));
                assert!(to.finality() > from.finality());
            } else if from == to && to != Prepared {
                assert_eq!(settled, Ok(Vec::new()), "{from} again");
            } else {
                assert!(
                    matches!(settled, Err(Refusal::Outcome { .. })),
                    "{from} {to}"
                );
            }
        }
    }
    assert_eq!(
        Adoptions::default().settle(id(1), Adopted, None, at(0)),
        Err(Refusal::Unknown(id(1)))
    );
}

#[test]
fn one_consumer_has_one_open_adoption_in_a_file() {
    let mut all = Adoptions(vec![prepared(1, "rclone:r2", "/rclone.conf", None)]);
    let again = prepared(2, "rclone:r2", "/rclone.conf", None);
    for state in [State::Prepared, State::Adopted] {
        all.0[0].state = state;
        assert!(matches!(all.admit(&again), Err(Refusal::Open { id: open, .. }) if open == id(1)));
    }
    // Others in the same file, and the same one in another file, are their own affair.
    for other in [
        prepared(2, "rclone:b2", "/rclone.conf", None),
        prepared(2, "rclone:r2", "/other.conf", None),
        prepared(2, "rclone:r2", "/rclone.conf", Some(1)),
    ] {
        assert_eq!(all.admit(&other), Ok(()));
    }
    for state in [State::RolledBack, State::Undone, State::Ejected] {
        all.0[0].state = state;
        assert_eq!(all.admit(&again), Ok(()), "{state}");
        let replacing = prepared(2, "rclone:r2", "/rclone.conf", Some(1));
        assert!(matches!(
            all.admit(&replacing),
            Err(Refusal::NotInForce { .. })
        ));
    }
    all.0[0].state = State::Adopted;
    let stranger = prepared(2, "rclone:b2", "/rclone.conf", Some(1));
    assert!(matches!(
        all.admit(&stranger),
        Err(Refusal::OtherConsumer { .. })
    ));
}

#[test]
fn once_the_one_in_force_is_undone_nothing_of_the_consumer_is() {
    let in_force = |all: &Adoptions| all.in_force().map(|a| a.id).collect::<Vec<_>>();
    let mut all = Adoptions(vec![
        adoption(1, "a", "/a", State::Adopted, None),
        prepared(2, "a", "/a", Some(1)),
    ]);
    assert_eq!(in_force(&all), [id(1)], "the later one is not adopted yet");
    for outcome in [State::Undone, State::Ejected] {
        assert!(matches!(
            settle(&mut all, 1, outcome),
            Err(Refusal::Replaced { by, .. }) if by == id(2)
        ));
    }
    assert!(
        matches!(
            all.admit(&prepared(3, "a", "/b", Some(1))),
            Err(Refusal::Replaced { .. })
        ),
        "two can't take one place"
    );
    assert_eq!(settle(&mut all, 2, State::Adopted), Ok(1));
    assert_eq!(in_force(&all), [id(2)]);
    assert!(all.is_replaced(all.get(id(1)).unwrap()));
    assert!(all.admit(&prepared(3, "a", "/a", Some(2))).is_ok());
    assert_eq!(settle(&mut all, 2, State::Undone), Ok(2));
    assert!(in_force(&all).is_empty());
    assert!(all.iter().all(|a| a.state == State::Undone));
}

#[test]
fn of_many_one_after_the_other_the_first_and_the_last_are_open_and_count_as_one() {
    let mut all = Adoptions(vec![adoption(0, "a", "/a", State::Adopted, None)]);
    for n in 1..=50 {
        all.0.push(prepared(n, "a", "/a", Some(n - 1)));
        assert!(settle(&mut all, n, State::Adopted).is_ok());
        let open: Vec<_> = all.iter().filter(|a| a.state.is_open()).collect();
        assert_eq!(
            open.iter().map(|a| a.id).collect::<Vec<_>>(),
            [id(0), id(n)],
            "the first has the bytes, the last one the key"
        );
        assert_eq!(all.get(id(n)).unwrap().replaces, Some(id(0)));
    }
    assert_eq!(settle(&mut all, 50, State::Undone), Ok(2));

    // A file that the first did not change is known to the one between alone.
    let mut all = Adoptions(vec![
        adoption(1, "a", "/a", State::Adopted, None),
        adoption(2, "a", "/b", State::Adopted, Some(1)),
        prepared(3, "a", "/a", Some(2)),
    ]);
    assert_eq!(settle(&mut all, 3, State::Adopted), Ok(1));
    assert_eq!(all.iter().filter(|a| a.state.is_open()).count(), 3);

    // Two open ones of each consumer are no more than one.
    let chain = |n| {
        [
            Adoption {
                id: AdoptionId::from_random((n as u64 * 2).to_be_bytes()),
                ..adoption(1, "a", "/a", State::Adopted, None)
            },
            Adoption {
                id: AdoptionId::from_random((n as u64 * 2 + 1).to_be_bytes()),
                replaces: Some(AdoptionId::from_random((n as u64 * 2).to_be_bytes())),
                ..adoption(1, "a", "/a", State::Adopted, None)
            },
        ]
    };
    let new = prepared(255, "b", "/b", None);
    let admit = |most| Adoptions((0..most).flat_map(chain).collect()).admit(&new);
    assert_eq!(admit(MOST_OPEN - 1), Ok(()));
    assert_eq!(admit(MOST_OPEN), Err(Refusal::Full));
}

#[test]
fn a_consumer_that_is_ejected_leaves_all_that_was_replaced_behind() {
    let mut all = Adoptions(vec![
        adoption(1, "a", "/a", State::Adopted, None),
        adoption(2, "a", "/a", State::Adopted, Some(1)),
        adoption(3, "a", "/a", State::Adopted, Some(2)),
        adoption(4, "b", "/a", State::Adopted, None),
    ]);
    assert_eq!(settle(&mut all, 3, State::Ejected), Ok(3));
    assert_eq!(all.in_force().map(|a| a.id).collect::<Vec<_>>(), [id(4)]);
    // A damaged chain that bites its tail ends, too.
    let mut all = Adoptions(vec![
        adoption(1, "a", "/a", State::Adopted, Some(1)),
        adoption(2, "a", "/a", State::Adopted, Some(1)),
    ]);
    all.0[0].replaces = Some(id(3));
    assert_eq!(settle(&mut all, 2, State::Ejected), Ok(2));
}

#[test]
fn what_a_dead_key_was_allowed_is_kept_until_the_adoption_is_over() {
    let key = Key {
        id: KeyId::from_random([1; 10]),
        permission: Permission::Append,
        ..Key::sample()
    };
    let mut all = Adoptions(vec![
        adoption(1, "a", "/a", State::Adopted, None),
        adoption(2, "b", "/b", State::Adopted, None),
        adoption(1, "c", "/c", State::Ejected, None),
    ]);
    let noted: Vec<_> = all.bereaved(&[&key]).collect();
    let [one] = &noted[..] else {
        panic!("{noted:?}")
    };
    assert_eq!((one.id, &one.consumer), (id(1), &all.0[0].consumer));
    assert_eq!(one.rights, Some(Rights::from(&key)));
    all.0[0] = one.clone();
    settle(&mut all, 1, State::Ejected).unwrap();
    assert_eq!(all.get(id(1)).unwrap().rights, None);
    // A record from before.
    let text = serde_json::to_string(&adoption(1, "a", "/a", State::Adopted, None)).unwrap();
    assert!(!text.contains("rights"), "{text}");
    assert_eq!(
        serde_json::from_str::<Adoption>(&text).unwrap().rights,
        None
    );
}

#[test]
fn what_is_kept_of_files_is_bounded() {
    let take = |files: Vec<Original>| Originals::try_from(files).map(|taken| taken.bytes());
    assert_eq!(take(vec![]), Err(OriginalsError::Number));
    assert_eq!(
        take(vec![file("/a", 1), file("/a", 1)]),
        Err(OriginalsError::Number)
    );
    let many = |n: usize, len| (0..n).map(|n| file(&format!("/{n}"), len)).collect();
    assert_eq!(take(many(MOST_FILES, 1)), Ok(64));
    assert_eq!(take(many(MOST_FILES + 1, 1)), Err(OriginalsError::Number));
    assert_eq!(take(many(8, LARGEST_FILE)), Ok(8 << 20));
    assert_eq!(
        take(many(1, LARGEST_FILE + 1)),
        Err(OriginalsError::LargeFile)
    );
    assert_eq!(take(many(9, LARGEST_FILE)), Err(OriginalsError::LargeFiles));
    for path in ["", "relative", "/a\0b", &"/x".repeat(2049)] {
        assert_eq!(path.parse::<FilePath>(), Err(OriginalsError::Path));
    }
    assert!(Layout::new("x".repeat(LARGEST_LAYOUT + 1)).is_err());
    let mut all = Adoptions(vec![adoption(1, "a", "/a", State::Adopted, None)]);
    all.0[0].bytes = MOST_BYTES;
    let new = prepared(2, "b", "/a", None);
    assert_eq!(all.admit(&new), Err(Refusal::Full));
    all.0[0].state = State::Undone;
    assert_eq!(all.admit(&new), Ok(()), "it keeps nothing any more");
    let full = (0..MOST_OPEN).map(|_| adoption(1, "a", "/a", State::Adopted, None));
    assert_eq!(
        Adoptions(full.collect()).admit(&new),
        Err(Refusal::Full),
        "so many are enough"
    );
}

#[test]
fn the_latest_settled_ones_are_remembered_and_open_ones_always() {
    let settled = |n: u8, second| Adoption {
        settled_at: Some(at(second)),
        ..adoption(n, "a", "/a", State::Undone, None)
    };
    let mut all = vec![adoption(1, "a", "/a", State::Adopted, None)];
    all.extend((0..MOST_SETTLED).map(|second| settled(2, 10 + second as i64)));
    assert!(Adoptions(all.clone()).to_forget().is_empty());
    all.push(settled(3, 5));
    assert_eq!(Adoptions(all).to_forget(), [id(3)]);
}

#[test]
fn d8_debug_tells_nothing_of_what_stands_in_a_file() {
    let file = Original {
        path: "/a".parse().unwrap(),
        content: b"hunter2".to_vec().into(),
    };
    let text = format!("{:?}", Originals::try_from(vec![file]).unwrap());
    assert!(!text.contains("hunter2") && !text.contains("104"), "{text}");
}

#[test]
fn ids_are_written_and_read() {
    assert_eq!(id(0xab).to_string(), "Aabababababababab");
    assert_eq!("Aabababababababab".parse(), Ok(id(0xab)));
    assert_eq!("aABABABABABABABAB".parse(), Ok(id(0xab)));
    for wrong in ["", "A", "A12", "W0000000000000000", "A+000000000000000"] {
        assert_eq!(wrong.parse::<AdoptionId>(), Err(AdoptionIdError), "{wrong}");
    }
}

proptest! {
    /// Whatever is asked for in whatever order: of one consumer in one file at most one is in force,
    /// and at most one more is prepared.
    #[test]
    fn one_consumer_is_never_adopted_twice(
        asked in proptest::collection::vec((0u8..4, 0u8..12, proptest::option::of(0u8..12)), 0..40),
    ) {
        let mut all = Adoptions::default();
        let mut next = 0;
        for (what, which, replaces) in asked {
            match what {
                0 => {
                    let new = prepared(next, "a", "/a", replaces);
                    if all.admit(&new).is_ok() {
                        all.0.push(new);
                        next += 1;
                    }
                }
                1 => drop(settle(&mut all, which, State::Adopted)),
                2 => drop(settle(&mut all, which, State::RolledBack)),
                _ => drop(settle(&mut all, which, if which % 2 == 0 { State::Undone } else { State::Ejected })),
            }
            prop_assert!(all.in_force().count() <= 1);
            let prepared = all.iter().filter(|a| a.state == State::Prepared).count();
            prop_assert!(prepared <= 1);
            prop_assert!(all.iter().all(|a| a.replaces != Some(a.id)));
        }
    }
}
