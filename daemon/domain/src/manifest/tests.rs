use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn object(key: &str, etag: &str) -> Entry {
    Entry::object(key.parse().unwrap(), 1, etag.into())
}

fn item() -> impl Strategy<Value = Item> {
    let id = || "[a-z0-9-]{0,40}".prop_map(Into::<Box<str>>::into);
    prop_oneof![
        Just(Item::Object),
        id().prop_map(Item::Version),
        id().prop_map(Item::Marker),
    ]
}

fn etag() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9a-f]{32}",
        "[0-9a-f]{32}-[0-9]{1,4}",
        "[0-9A-Fa-f]{32}",
        "\\PC{0,9}",
        Just(String::new()),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = ("[a-cü/日\u{1}]{1,6}", item(), any::<u64>(), etag());
    proptest::collection::vec(entry, 0..30).prop_map(|mut found| {
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let entry = |(key, item, size, etag): (String, _, _, _)| Entry {
            key: key.parse().unwrap(),
            item,
            size,
            etag,
        };
        found.into_iter().map(entry).collect()
    })
}

/// Keys of one letter as bounds; what lies between is easy to enumerate.
fn gap_list() -> impl Strategy<Value = Vec<Gap>> {
    let bound = || proptest::option::of("[b-y]").prop_map(|k| k.map(|k| k.parse().unwrap()));
    let gap = (bound(), bound()).prop_map(|(after, until)| Gap { after, until });
    let sound = gap.prop_filter("not empty", |gap: &Gap| match (&gap.after, &gap.until) {
        (Some(after), Some(until)) => after < until,
        _ => true,
    });
    proptest::collection::vec(sound, 0..8)
}

#[test]
fn packed_keys_and_hashes_take_little_room() {
    let stretch = Stretch {
        entries: (0..1000)
            .map(|n| {
                object(
                    &format!("archive/volume-000123/photograph-taken-on-a-journey-{n:012}.jpeg"),
                    &format!("{n:032x}"),
                )
            })
            .collect(),
        ..Stretch::default()
    };
    let (mut packed, mut plain) = (Vec::new(), Vec::new());
    stretch.pack(&mut packed);
    stretch
        .entries
        .iter()
        .for_each(|entry| entry.encode(&mut plain));
    assert!(
        packed.len() * 3 < plain.len(),
        "{} of {}",
        packed.len(),
        plain.len()
    );
}

#[test]
fn uploads_come_last_and_versions_stand_with_their_key() {
    let entry = |key: &str, item| Entry {
        item,
        ..object(key, "")
    };
    let order = [
        entry("a", Item::Object),
        entry("b", Item::Version("1".into())),
        entry("b", Item::Version("2".into())),
        entry("b", Item::Marker("0".into())),
        entry("c", Item::Object),
        entry("a", Item::Upload("x".into())),
    ];
    assert!(order.is_sorted_by(|a, b| a.place(b) == Ordering::Less));
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(entries in entries(), objects: u64, bytes: u64) {
        let stretch = Stretch {
            gap: Gap { after: None, until: entries.last().map(|entry| entry.key.clone()) },
            entries,
            objects,
            bytes,
        };
        let mut packed = Vec::new();
        stretch.pack(&mut packed);
        prop_assert_eq!(Stretch::unpack(&packed), Ok(stretch));
        for cut in 0..packed.len() {
            prop_assert_eq!(Stretch::unpack(&packed[..cut]), Err(EntryError));
        }
    }

    #[test]
    fn every_line_of_a_kept_manifest_reads_back(entries in entries()) {
        for mut entry in entries {
            if matches!(entry.item, Item::Marker(_)) {
                (entry.size, entry.etag) = (0, String::new());
            }
            let line = serde_json::to_string(&entry).unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Stretch::unpack(&bytes);
    }

    #[test]
    fn different_entries_have_different_forms(a in entries(), b in entries()) {
        let form = |entries: &[Entry]| {
            let mut out = Vec::new();
            entries.iter().for_each(|entry| entry.encode(&mut out));
            out
        };
        prop_assert_eq!(form(&a) == form(&b), a == b);
    }

    #[test]
    fn what_is_listed_and_what_is_missing_are_all_keys_and_each_once(listed in gap_list()) {
        let missing = gaps(listed.clone());
        for letter in 'a'..='z' {
            for key in [letter.to_string(), format!("{letter}m")] {
                let key: ObjectKey = key.parse().unwrap();
                let found = listed.iter().any(|gap| gap.holds(&key));
                let lacking = missing.iter().filter(|gap| gap.holds(&key)).count();
                prop_assert_eq!(lacking, usize::from(!found), "{}", key);
            }
        }
    }

    #[test]
    fn a_comparison_finds_exactly_what_differs(
        before in proptest::collection::btree_map("[a-c]{1,3}", "[xy]", 0..20),
        after in proptest::collection::btree_map("[a-c]{1,3}", "[xy]", 0..20),
    ) {
        let list = |map: &BTreeMap<String, String>| {
            map.iter().map(|(k, v)| object(k, v)).collect::<Vec<_>>()
        };
        let (left, right) = (list(&before), list(&after));
        let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
        let mut found = Vec::new();
        loop {
            match compare(l.peek().copied(), r.peek().copied()) {
                Step::End => break,
                Step::Same => { l.next(); r.next(); }
                Step::Replaced => { found.push((l.next().unwrap().key.to_string(), 'r')); r.next(); }
                Step::Removed => found.push((l.next().unwrap().key.to_string(), '-')),
                Step::Added => found.push((r.next().unwrap().key.to_string(), '+')),
            }
        }
        let mut expected: Vec<_> = before.iter().filter_map(|(k, v)| match after.get(k) {
            None => Some((k.clone(), '-')),
            Some(w) if w != v => Some((k.clone(), 'r')),
            Some(_) => None,
        }).chain(after.keys().filter(|k| !before.contains_key(*k)).map(|k| (k.clone(), '+'))).collect();
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}
