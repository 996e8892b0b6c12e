//! The gateway's requirements are numbered, and the name of a test that realises one begins with
//! its number, such as `r47_`. None of them may lose its last test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::collections::BTreeSet;

use bascule_tests::sources::sources;

/// They are numbered from 1 to this.
const LAST: u8 = 55;

/// The numbers of the requirements that the tests in a source realise; one name may carry two.
fn realised(text: &str) -> BTreeSet<u8> {
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

/// `r07` is 7.
fn number(part: &str) -> Option<u8> {
    let digits = part.strip_prefix('r')?;
    let two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
    two.then(|| digits.parse().ok()).flatten()
}

#[test]
fn every_requirement_has_a_test_that_carries_its_number() {
    let tested: BTreeSet<u8> = sources()
        .iter()
        .flat_map(|(_, text)| realised(text))
        .collect();
    let missing: Vec<_> = (1..=LAST)
        .filter(|number| !tested.contains(number))
        .map(|number| format!("r{number:02}_"))
        .collect();
    assert!(missing.is_empty(), "no test is named {missing:?}");
}

#[test]
fn only_tests_count_and_only_what_their_names_begin_with() {
    // No line of it begins like one, so that this source realises nothing itself.
    let text = [
        "#[tokio::test]\nasync fn r07_r08_both() {}\n",
        "fn r09_no_test() {}\n",
        "#[test]\nfn about_r10() {}\n",
        "#[test]\nfn r5_() {}",
    ]
    .concat();
    assert_eq!(realised(&text), [7, 8].into());
}
