//! The ranges against a model of a server: whatever keys it holds and however it behaves.

use std::collections::BTreeSet;

use bascule_domain::manifest::gaps;
use proptest::prelude::*;

use super::*;

/// A server with keys, each with so many versions; 0 for a plain object.
#[derive(Debug, Clone)]
struct Model {
    entries: Vec<(Entry, bool)>,
    page: usize,
    ignores_start: bool,
}

impl Model {
    fn of(keys: &BTreeSet<String>, versions: usize, page: usize) -> Self {
        let mut entries = Vec::new();
        for key in keys {
            let key: ObjectKey = key.parse().unwrap();
            if versions == 0 {
                entries.push((Entry::object(key, 1, "e".into()), true));
                continue;
            }
            // The newest first, whatever its id.
            for number in 0..versions {
                let id = format!("{}", (number * 7 + 3) % 10).into();
                let entry = Entry {
                    item: Item::Version(id),
                    ..Entry::object(key.clone(), 1, "e".into())
                };
                entries.push((entry, number == 0));
            }
        }
        Self {
            entries,
            page,
            ignores_start: false,
        }
    }

    fn answer(&self, cursor: &Cursor) -> Page {
        let from = match cursor {
            Cursor::Behind(None) => 0,
            Cursor::Behind(Some(_)) if self.ignores_start => 0,
            Cursor::Behind(Some(after)) => self.entries.partition_point(|(e, _)| e.key <= *after),
            Cursor::Token(token) => token.parse().unwrap(),
            Cursor::Version { .. } => unreachable!("the model gives tokens"),
        };
        let until = (from + self.page).min(self.entries.len());
        Page {
            entries: self.entries[from..until].to_vec(),
            next: (until < self.entries.len()).then(|| Cursor::Token(until.to_string())),
        }
    }
}

/// Lists all of it with so many at once, pages arriving in the order that `dice` says.
fn list(
    model: &Model,
    start: Vec<Gap>,
    at_once: usize,
    dice: &[usize],
) -> Result<(Vec<Stretch>, usize, usize), Trouble> {
    let mut ranges = Ranges::new(start);
    let (mut asked, mut found) = (Vec::new(), Vec::new());
    let (mut questions, mut most) = (0, 0);
    while !ranges.is_done() {
        while asked.len() < at_once {
            let Some((id, cursor)) = ranges.next() else {
                break;
            };
            questions += 1;
            asked.push((id, model.answer(&cursor)));
        }
        most = most.max(asked.len());
        assert!(!asked.is_empty(), "nothing is asked and nothing is done");
        let pick = dice
            .get(questions % dice.len().max(1))
            .copied()
            .unwrap_or(0)
            % asked.len();
        let (id, page) = asked.swap_remove(pick);
        found.extend(ranges.take(id, page)?);
    }
    Ok((found, questions, most))
}

fn whole() -> Vec<Gap> {
    vec![Gap::default()]
}

/// Each entry once and no gap.
fn check(model: &Model, mut found: Vec<Stretch>) {
    found.sort_by(|a, b| a.gap.after.cmp(&b.gap.after));
    assert_eq!(gaps(found.iter().map(|stretch| stretch.gap.clone())), []);
    for pair in found.windows(2) {
        assert_eq!(pair[0].gap.until, pair[1].gap.after);
    }
    for stretch in &found {
        assert!(
            stretch
                .entries
                .iter()
                .all(|entry| stretch.gap.holds(&entry.key))
        );
    }
    let objects: u64 = found.iter().map(|stretch| stretch.objects).sum();
    let current = model.entries.iter().filter(|(_, current)| *current).count();
    assert_eq!(objects, current as u64);
    let listed: Vec<_> = found
        .into_iter()
        .flat_map(|stretch| stretch.entries)
        .collect();
    let mut expected: Vec<_> = model
        .entries
        .iter()
        .map(|(entry, _)| entry.clone())
        .collect();
    expected.sort_by(Entry::place);
    assert_eq!(listed, expected);
}

fn numbered(count: usize) -> BTreeSet<String> {
    let key = |n| {
        format!(
            "archive/volume-{:06}/photograph-taken-{n:012}.jpeg",
            n / 1000
        )
    };
    (0..count).map(key).collect()
}

#[test]
fn many_keys_are_listed_by_many_cursors_at_once() {
    let keys = [
        numbered(60_000),
        (0..60_000).map(|n| format!("img-{n:09}.jpg")).collect(),
        (0..60_000_u64)
            .map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect(),
        (0..60_000).map(|n| format!("写真/年{n:07}")).collect(),
    ];
    for keys in keys {
        let model = Model::of(&keys, 0, 100);
        let mut ranges = Ranges::new(whole());
        let (mut found, mut turns, mut questions) = (Vec::new(), 0, 0);
        while !ranges.is_done() {
            // In each turn as much is asked as may be, and all of it is answered.
            let asked: Vec<_> = (0..16).map_while(|_| ranges.next()).collect();
            (turns, questions) = (turns + 1, questions + asked.len());
            for (id, cursor) in asked {
                found.extend(ranges.take(id, model.answer(&cursor)).unwrap());
            }
        }
        check(&model, found);
        let alone = 600;
        let first = keys.first().unwrap();
        assert!(turns < alone / 6, "{turns} turns for {first}…");
        assert!(questions < 2 * alone, "{questions} questions for {first}…");
    }
}

#[test]
fn a_server_that_ignores_where_to_start_is_listed_by_one_cursor() {
    let mut model = Model::of(&numbered(5000), 0, 1000);
    model.ignores_start = true;
    let (found, questions, most) = list(&model, whole(), 16, &[0]).unwrap();
    check(&model, found);
    assert_eq!((questions, most), (6, 1));
    // Going on in the middle is impossible there, and is noticed.
    let middle = vec![Gap {
        after: Some("m".parse().unwrap()),
        until: None,
    }];
    assert_eq!(
        list(&model, middle, 16, &[0]).unwrap_err(),
        Trouble::StartIgnored
    );
}

#[test]
fn listings_that_can_not_be_trusted_are_noticed() {
    let entry = |key: &str| (Entry::object(key.parse().unwrap(), 1, String::new()), true);
    let take = |keys: &[&str], next: Option<Cursor>| {
        let mut ranges = Ranges::new(whole());
        let (id, _) = ranges.next().unwrap();
        let entries = keys.iter().map(|key| entry(key)).collect();
        ranges.take(id, Page { entries, next })
    };
    assert_eq!(take(&["b", "a"], None), Err(Trouble::NotOrdered));
    assert_eq!(take(&["a", "a"], None), Err(Trouble::NotOrdered));

    let mut ranges = Ranges::new(whole());
    let mut turn = |keys: &[&str], token: &str| {
        let (id, _) = ranges.next().unwrap();
        let entries = keys.iter().map(|key| entry(key)).collect();
        ranges.take(
            id,
            Page {
                entries,
                next: Some(Cursor::Token(token.into())),
            },
        )
    };
    turn(&["a"], "1").unwrap();
    turn(&["b"], "1").unwrap();
    assert_eq!(turn(&["c"], "1"), Err(Trouble::Circles));
}

proptest! {
    #[test]
    fn every_key_is_found_once_however_pages_arrive(
        keys in proptest::collection::btree_set("[a-c/ü日🦀\u{1}~]{1,6}", 0..60),
        versions in 0..4_usize,
        page in 1..9_usize,
        at_once in 1..9_usize,
        ignores_start: bool,
        dice in proptest::collection::vec(any::<usize>(), 1..20),
    ) {
        let mut model = Model::of(&keys, versions, page);
        model.ignores_start = ignores_start;
        let (found, _, _) = list(&model, whole(), at_once, &dice).unwrap();
        check(&model, found);
    }

    #[test]
    fn a_listing_that_broke_off_is_completed_from_its_gaps(
        keys in proptest::collection::btree_set("[a-c/ü]{1,6}", 0..80),
        versions in 0..3_usize,
        kept in proptest::collection::vec(any::<bool>(), 100),
        dice in proptest::collection::vec(any::<usize>(), 1..20),
    ) {
        let model = Model::of(&keys, versions, 3);
        let (mut found, _, _) = list(&model, split_into(&keys, 5), 4, &dice).unwrap();
        let mut kept = kept.into_iter().cycle();
        found.retain(|_| kept.next().unwrap());
        let missing = gaps(found.iter().map(|stretch| stretch.gap.clone()));
        if !missing.is_empty() {
            found.extend(list(&model, missing, 4, &dice).unwrap().0);
        }
        check(&model, found);
    }

    #[test]
    fn what_appears_and_disappears_meanwhile_disturbs_nothing_else(
        keys in proptest::collection::btree_set("[a-c]{1,6}", 20..80),
        fleeting in proptest::collection::btree_set("[a-c]{1,6}", 1..20),
        dice in proptest::collection::vec(any::<usize>(), 1..20),
    ) {
        let steady: BTreeSet<_> = keys.difference(&fleeting).cloned().collect();
        let all: BTreeSet<_> = keys.union(&fleeting).cloned().collect();
        let (mut ranges, mut found) = (Ranges::new(split_into(&keys, 4)), Vec::new());
        let mut asked = Vec::new();
        let mut turn = 0;
        while !ranges.is_done() {
            while let Some(question) = ranges.next() {
                asked.push(question);
            }
            let (id, cursor) = asked.swap_remove(dice[turn % dice.len()] % asked.len());
            // Now they are there, now they are not. Tokens would shift, so keys are cursors.
            let mut model = Model::of(if turn % 2 == 0 { &all } else { &steady }, 0, 2);
            model.ignores_start = false;
            let mut page = model.answer(&cursor);
            page.next = page.next.and(page.entries.last()).map(|(e, _)| Cursor::Behind(Some(e.key.clone())));
            found.extend(ranges.take(id, page).unwrap());
            turn += 1;
        }
        let listed: Vec<_> = found.iter().flat_map(|s| &s.entries).map(|e| e.key.to_string()).collect();
        let distinct: BTreeSet<_> = listed.iter().cloned().collect();
        prop_assert_eq!(listed.len(), distinct.len());
        prop_assert!(steady.is_subset(&distinct));
        prop_assert!(distinct.is_subset(&all));
        prop_assert_eq!(gaps(found.iter().map(|s| s.gap.clone())), vec![]);
    }

    #[test]
    fn the_scale_keeps_the_order(a in "\\PC{0,8}", b in "\\PC{0,8}") {
        let scale = Scale::between("", None);
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        prop_assert!(scale.place(&low) <= scale.place(&high));
    }
}

/// Gaps that begin and end at some of the keys.
fn split_into(keys: &BTreeSet<String>, parts: usize) -> Vec<Gap> {
    let step = (keys.len() / parts).max(1);
    let mut bounds: Vec<Option<ObjectKey>> = vec![None];
    bounds.extend(
        keys.iter()
            .step_by(step)
            .map(|key| Some(key.parse().unwrap())),
    );
    bounds.push(None);
    let pairs = bounds.windows(2);
    pairs
        .map(|pair| Gap {
            after: pair[0].clone(),
            until: pair[1].clone(),
        })
        .collect()
}
