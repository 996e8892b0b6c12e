//! That no action is left out.

use bascule_domain::operation::Action;

#[test]
fn classification_every_action_that_is_forwarded_comes_from_a_request_here() {
    let cases = include_str!("classification.rs");
    let local = [Action::ListBuckets, Action::Preflight, Action::CreateBucket];
    let missing: Vec<_> = Action::ALL
        .iter()
        .filter(|action| !local.contains(action))
        .filter(|action| !cases.contains(&format!("\"{}\"", action.name())))
        .collect();
    assert!(missing.is_empty(), "no row leads to {missing:?}");
}
