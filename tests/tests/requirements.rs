//! The gateway's requirements and the threats that are withstood are numbered, and the name of a
//! test that realises one begins with its number, such as `r47_` or `a4_`. None of them may lose
//! its last test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::collections::BTreeSet;

use bascule_tests::sources::sources;

/// The requirements: `r01` to this.
const LAST: u8 = 55;
/// The threats: the letter of a group, and its numbers.
const THREATS: [(char, &[u8]); 7] = [
    (
        'a',
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        ],
    ),
    ('b', &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ('c', &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ('d', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ('g', &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11]),
    ('h', &[1, 2, 3, 4, 6, 7]),
    ('i', &[1, 2, 3, 4, 5, 6, 7, 8]),
];

/// What the tests in a source realise; one name may carry several.
fn realised(text: &str) -> BTreeSet<(char, u8)> {
    let mut is_test = false;
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("test(");
        } else if let Some((_, name)) = line.split_once("fn ") {
            if is_test {
                found.extend(name.split('_').map_while(number));
            }
            is_test = false;
        }
    }
    found
}

/// `r07` is 7 of the requirements, `a4` is 4 of the threats A.
fn number(part: &str) -> Option<(char, u8)> {
    let (group, digits) = part.split_at_checked(1)?;
    let group = group.chars().next()?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let fits = match group {
        'r' => digits.len() == 2,
        _ => group.is_ascii_lowercase() && !digits.starts_with('0'),
    };
    (plain && fits).then(|| Some((group, digits.parse().ok()?)))?
}

#[test]
fn every_requirement_and_every_threat_has_a_test_that_carries_its_number() {
    let tested: BTreeSet<_> = sources()
        .iter()
        .flat_map(|(_, text)| realised(text))
        .collect();
    let requirements = (1..=LAST).map(|number| ('r', number));
    let threats = THREATS
        .iter()
        .flat_map(|(group, numbers)| numbers.iter().map(|number| (*group, *number)));
    let missing: Vec<_> = requirements
        .chain(threats)
        .filter(|wanted| !tested.contains(wanted))
        .collect();
    assert!(missing.is_empty(), "no test is named for {missing:?}");
}

#[test]
fn only_tests_count_and_only_what_their_names_begin_with() {
    // No line of it begins like one, so that this source realises nothing itself.
    let text = [
        "#[tokio::test]\nasync fn r07_a12_both() {}\n",
        "fn r09_no_test() {}\n",
        "#[test]\nfn about_r10() {}\n",
        "#[test]\nfn r5_() {}\n",
        "#[test]\nfn a04_() {}",
    ]
    .concat();
    assert_eq!(realised(&text), [('r', 7), ('a', 12)].into());
}
