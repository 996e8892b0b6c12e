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
/// The threats: the letter of a group, and its numbers. J5 and J6, which are about packages, come with
/// those.
const THREATS: [(char, &[u8]); 10] = [
    (
        'a',
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        ],
    ),
    ('b', &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ('c', &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ('d', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ('e', &[1, 2, 3, 4, 5, 6, 7]),
    ('f', &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ('g', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ('h', &[1, 2, 3, 4, 5, 6, 7]),
    ('i', &[1, 2, 3, 4, 5, 6, 7, 8]),
    ('j', &[1, 2, 3, 4, 5, 6, 7]),
];
/// As many tests there are at least, and of those that nobody gets in without a right (A and B). To be
/// raised as they grow: tests that vanish are noticed.
const TESTS: usize = 1_600;
const TESTS_OF_AUTHENTICATION: usize = 70;

/// Advisories, defects of others and practices that the threats cite, each with tests of its class (J7).
const CITED: &[(&str, &[&str])] = &[
    (
        "astral-sh/uv#19146",
        &["d9_no_answer_log_or_record_of_a_refusal_holds_a_signature"],
    ),
    (
        "AWS SigV4 suite",
        &["a15_headers_are_canonical_when_they_are_signed_and_unchanged_when_they_are_sent"],
    ),
    (
        "aws-rotate-key#6",
        &["i7_r46_refused_credentials_are_flagged_and_nothing_is_repeated"],
    ),
    (
        "aws-sdk-rust#1417",
        &["i2_a_pooled_connection_that_died_ends_in_an_answer_or_an_error"],
    ),
    (
        "aws-vault#578",
        &["e4_a_foreign_host_is_refused_before_anything_else"],
    ),
    (
        "boxlite#1418",
        &["c1_nothing_is_accepted_after_the_reply_of_the_real_daemon"],
    ),
    (
        "bun#33110",
        &["f6_more_events_than_the_system_keeps_lose_nothing"],
    ),
    ("bun#38365", &["f4_rights_that_come_back_are_noticed"]),
    (
        "cai#463",
        &[
            "i6_only_checked_addresses_are_dialled",
            "i6_the_daemon_never_dials_itself",
        ],
    ),
    (
        "ceph#66028",
        &["b1_a_source_that_was_not_granted_is_denied_however_it_is_written"],
    ),
    (
        "chainguard-forks/minio#38",
        &["a3_no_payload_form_falls_through_on_any_route"],
    ),
    (
        "classic-diagnostic-adapter#433",
        &["j2_a_gateway_with_a_thread_that_hangs_does_not_answer_until_it_goes_on"],
    ),
    (
        "connect-rust#189",
        &["h2_clients_of_the_gateway_leave_descriptors_for_the_control_socket"],
    ),
    ("CVE-2023-25812", &["b6_no_key_bypasses_governance"]),
    (
        "CVE-2023-28434",
        &["a21_post_forms_are_refused_before_their_body_whoever_signs_them"],
    ),
    (
        "CVE-2024-8365",
        &["d10_audit_and_records_leave_out_what_is_sensitive_and_keep_the_rest"],
    ),
    (
        "CVE-2026-21862",
        &[
            "b8_a_stranger_names_no_address_but_its_own",
            "b8_only_the_sockets_peer_counts_and_a_mapped_one_is_its_ipv4",
        ],
    ),
    (
        "CVE-2026-54330",
        &["a4_each_unsigned_amz_header_is_refused_and_never_signed_anew"],
    ),
    (
        "ds_proxy#164",
        &["a4_each_unsigned_amz_header_is_refused_and_never_signed_anew"],
    ),
    (
        "etcd linearisability",
        &["c9_concurrent_changes_are_those_of_some_order"],
    ),
    (
        "etcd#14370",
        &["c6_a_kill_right_after_the_reply_brings_no_key_back"],
    ),
    (
        "floci#1841",
        &["a11_a_replay_with_anything_altered_is_refused"],
    ),
    (
        "fswatch#232",
        &["f7_without_watches_left_it_says_so_and_looks_when_asked_and_with_each_event"],
    ),
    (
        "GHSA-28q9-9c3g-v3f9",
        &["b3_a_bulk_delete_has_one_reading_and_each_key_of_it_is_checked"],
    ),
    (
        "GHSA-333v-68xh-8mmq",
        &["d9_no_answer_log_or_record_of_a_refusal_holds_a_signature"],
    ),
    (
        "GHSA-3p3x-734c-h5vx",
        &["a18_a_wrong_beginning_and_a_wrong_end_of_a_signature_take_the_same_time"],
    ),
    (
        "GHSA-3ppv-fx5m-m749",
        &[
            "b5_bucket_changes_and_unknown_subresources_are_denied",
            "b5_two_subresources_are_never_one_request",
        ],
    ),
    (
        "GHSA-6r96-hmgc-726c",
        &["b9_headers_named_like_policy_change_nothing"],
    ),
    (
        "GHSA-8784-9m7f-c6p6",
        &["e6_nothing_but_the_gateway_listens_unless_metrics_are_asked_for"],
    ),
    (
        "GHSA-8cm2-h255-v749",
        &["d1_d8_no_log_or_state_file_holds_a_secret_a_bucket_or_an_endpoint"],
    ),
    (
        "GHSA-8v25-v8p6-qf7v",
        &["a12_awkward_keys_arrive_as_they_were_authorised"],
    ),
    (
        "GHSA-9c4q-hq6p-c237",
        &["a3_no_payload_form_falls_through_on_any_route"],
    ),
    (
        "GHSA-f2ph-gc9m-q55f",
        &[
            "a9_a_link_lives_for_the_time_that_was_signed_and_no_other",
            "a10_clock_and_scope_are_those_of_the_request",
        ],
    ),
    (
        "GHSA-gw2x-q739-qhcr",
        &["e5_malformed_oversized_and_nested_calls_are_errors_and_nothing_falls_over"],
    ),
    (
        "GHSA-h956-rh7x-ppgj",
        &["e7_plain_http_beyond_loopback_needs_a_word"],
    ),
    (
        "GHSA-hv4r-mvr4-25vw",
        &["a2_a_forged_credential_in_the_query_is_refused"],
    ),
    (
        "GHSA-jjjj-jwhf-8rgr",
        &["b7_an_issued_key_reaches_nothing_that_makes_reads_or_widens_keys"],
    ),
    (
        "GHSA-m479-9x88-94w6",
        &[
            "i6_only_checked_addresses_are_dialled",
            "i6_the_daemon_never_dials_itself",
        ],
    ),
    (
        "GHSA-mx42-j6wv-px98",
        &["b1_a_source_that_was_not_granted_is_denied_however_it_is_written"],
    ),
    (
        "GHSA-q8cj-789h-vg24",
        &["d10_audit_and_records_leave_out_what_is_sensitive_and_keep_the_rest"],
    ),
    (
        "GHSA-w5fh-f8xh-5x3p",
        &["a21_post_forms_are_refused_before_their_body_whoever_signs_them"],
    ),
    (
        "GHSA-wg47-6jq2-q2hh",
        &["a1_a_forged_signature_on_an_unsigned_trailer_upload_is_refused"],
    ),
    (
        "GHSA-x298-9x87-fvjq",
        &["b4_a_prefix_key_learns_no_name_outside_its_prefix"],
    ),
    (
        "GHSA-xwwr-4h3p-r22c",
        &["a20_an_unknown_key_never_authenticates"],
    ),
    ("GO-2026-6196", &["i3_a_redirect_is_never_followed"]),
    ("GO-2026-6197", &["i3_a_redirect_is_never_followed"]),
    (
        "gpustack#6173",
        &["c7_a_namesake_has_nothing_of_the_deleted_connection"],
    ),
    (
        "grafel#6468",
        &["f1_pipes_sockets_and_devices_are_never_opened"],
    ),
    (
        "heddle#699",
        &["e1_another_user_is_refused_even_where_the_modes_would_let_it_in"],
    ),
    (
        "hyper#2136",
        &["i4_r45_a_body_that_went_out_is_not_replayed"],
    ),
    ("InsForge#1579", &["h4_bombs_of_xml_are_refused"]),
    (
        "iron-proxy#220",
        &["a12_awkward_keys_arrive_as_they_were_authorised"],
    ),
    (
        "Jepsen",
        &["g1_no_acknowledged_write_is_lost_to_a_kill_at_any_instant"],
    ),
    (
        "kanidm#4532",
        &["f8_a_syntax_error_on_the_line_of_a_secret_tells_path_and_line_only"],
    ),
    (
        "launchd throttling",
        &["j4_a_crash_loop_ends_after_few_restarts_and_all_that_was_answered_is_there_afterwards"],
    ),
    (
        "launchd.plist",
        &["j3_sigterm_lets_an_upload_end_and_takes_nothing_new"],
    ),
    (
        "LazyFS",
        &["g2_a_power_cut_at_any_write_loses_nothing_acknowledged"],
    ),
    (
        "mdk#345",
        &[
            "e1_another_user_is_refused_even_where_the_modes_would_let_it_in",
            "e2_links_files_and_open_folders_are_refused",
        ],
    ),
    (
        "munder-difflin#337",
        &["f3_links_lead_nowhere_and_loops_end"],
    ),
    (
        "NIST 800-88 cryptographic erase",
        &["d2_g10_a_copy_of_the_database_from_before_opens_nothing_with_the_keys_of_after"],
    ),
    (
        "omarchy-plugin-marketplace#1724",
        &["f5_files_that_are_replaced_and_truncated_meanwhile_hinder_nothing"],
    ),
    ("onedrive#3854", &["f9_mounts_are_entered_only_when_told"]),
    (
        "redb",
        &["g2_a_power_cut_at_any_write_loses_nothing_acknowledged"],
    ),
    (
        "redb 4.2 notes",
        &["g3_a_second_cut_while_the_first_is_mended_rolls_nothing_back"],
    ),
    (
        "redb 4.6 notes",
        &["g7_a_store_that_is_cut_altered_longer_or_foreign_is_refused_never_empty"],
    ),
    (
        "redb 5.0 notes",
        &["g8_a_store_of_format_1_is_opened_and_everything_in_it_is_read"],
    ),
    (
        "redb crash tests",
        &["d3_every_effect_of_a_deletion_fails_at_any_call_and_is_the_same_when_done_twice"],
    ),
    (
        "redb locking",
        &["e3_a_second_daemon_ends_and_leaves_store_and_socket_to_the_first"],
    ),
    (
        "redb PreviousIo",
        &["g5_after_an_fsync_that_failed_nothing_is_acknowledged_until_the_store_is_opened_anew"],
    ),
    (
        "redb#1333",
        &["g7_a_store_that_is_cut_altered_longer_or_foreign_is_refused_never_empty"],
    ),
    (
        "redb#620",
        &[
            "c8_a_revocation_on_a_full_disk_holds_and_says_that_it_is_not_durable",
            "g4_whichever_call_of_the_disk_fails_the_answer_is_true_and_nothing_more_is_taken",
        ],
    ),
    (
        "redb#634",
        &["g9_a_backup_made_during_writes_restores_consistently"],
    ),
    (
        "rustango#1539",
        &["c1_nothing_is_accepted_after_the_reply_of_the_real_daemon"],
    ),
    (
        "rustfs#7796",
        &["a5_what_must_be_said_once_is_refused_when_it_is_said_twice"],
    ),
    (
        "rustfs#7813",
        &["a19_anonymous_requests_and_other_schemes_are_refused"],
    ),
    (
        "RUSTSEC-2021-0020",
        &[
            "a17_ambiguous_framing_is_refused",
            "a17_repeated_and_malformed_lengths_are_refused",
        ],
    ),
    (
        "RUSTSEC-2021-0078",
        &[
            "a17_ambiguous_framing_is_refused",
            "a17_repeated_and_malformed_lengths_are_refused",
        ],
    ),
    (
        "RUSTSEC-2021-0079",
        &["a7_a_decoded_length_that_is_not_the_bodys_is_refused"],
    ),
    (
        "RUSTSEC-2023-0125",
        &["d1_d8_no_log_or_state_file_holds_a_secret_a_bucket_or_an_endpoint"],
    ),
    (
        "RUSTSEC-2024-0003",
        &["h6_a_slow_reader_never_makes_us_buffer"],
    ),
    (
        "RUSTSEC-2024-0332",
        &["h5_a_flood_of_frames_costs_the_connection_and_nothing_else"],
    ),
    (
        "RUSTSEC-2025-0055",
        &["h7_a_storm_of_failures_leaves_a_few_clean_lines_and_no_state"],
    ),
    (
        "RUSTSEC-2026-0099",
        &["i1_a_strangers_certificate_is_refused_and_nothing_goes_in_plain_text"],
    ),
    ("RUSTSEC-2026-0194", &["h4_bombs_of_xml_are_refused"]),
    ("RUSTSEC-2026-0195", &["h4_bombs_of_xml_are_refused"]),
    (
        "RUSTSEC-2026-0258",
        &["h5_a_flood_of_frames_costs_the_connection_and_nothing_else"],
    ),
    (
        "s3-orchestrator#735",
        &["b2_an_upload_id_opens_only_the_upload_it_was_given_for"],
    ),
    (
        "s3-orchestrator#738",
        &["a13_two_spellings_of_one_key_are_one"],
    ),
    (
        "s3proxy#321",
        &["a14_host_bucket_and_path_bucket_have_one_meaning"],
    ),
    (
        "s3s#818",
        &["a4_each_unsigned_amz_header_is_refused_and_never_signed_anew"],
    ),
    (
        "seaweedfs#2180",
        &["c2_a_kept_connection_is_refused_on_its_next_request"],
    ),
    (
        "seaweedfs#7954",
        &["a1_a_forged_signature_on_an_unsigned_trailer_upload_is_refused"],
    ),
    (
        "Shuttle/loom practice",
        &["c5_a_withdrawal_between_lookup_and_signing_wins"],
    ),
    ("smithy-rs#4800", &["i8_a_clock_is_told_from_a_refusal"]),
    (
        "supabase/storage#1390",
        &["b2_an_upload_id_opens_only_the_upload_it_was_given_for"],
    ),
    (
        "systemd#20421",
        &["j1_no_unit_is_more_exposed_than_it_has_to_be"],
    ),
    (
        "tailscale#17622",
        &["g6_without_a_folder_to_write_to_the_daemon_says_so_and_serves_nothing"],
    ),
    (
        "tailscale#17654",
        &["d7_without_its_root_key_a_store_is_refused_never_replaced"],
    ),
    (
        "tailscale#18336",
        &["d7_without_its_root_key_a_store_is_refused_never_replaced"],
    ),
    (
        "talon#533",
        &["b3_a_bulk_delete_has_one_reading_and_each_key_of_it_is_checked"],
    ),
    (
        "tigris-blog#415",
        &["c4_a_live_presigned_link_is_refused_after_a_deletion"],
    ),
    (
        "toolhive#5836",
        &["a16_headers_of_the_clients_hop_stay_there"],
    ),
    (
        "transmission#468",
        &["e4_a_foreign_host_is_refused_before_anything_else"],
    ),
    ("Vault barrier", &["d6_nonces_do_not_repeat"]),
    (
        "Vault rollback exclusion",
        &["g10_a_state_folder_put_back_from_outside_is_noticed"],
    ),
    (
        "Vault threat model",
        &["d5_every_flipped_bit_and_every_cut_is_rejected"],
    ),
    (
        "vault-exfiltrate",
        &["d11_no_process_of_the_same_user_reads_the_daemon_and_no_abort_leaves_a_core"],
    ),
    (
        "versitygw#1147",
        &[
            "a6_a_wrong_or_absent_final_chunk_commits_nothing",
            "a6_a_wrong_or_absent_trailer_signature_commits_nothing",
        ],
    ),
    (
        "vouch-sh/vouch#1127",
        &["h1_a_thousand_slow_clients_end_on_their_deadline_and_others_are_served"],
    ),
    (
        "workspace-hub#3439",
        &["f2_huge_one_line_and_binary_files_are_searched_or_told"],
    ),
    (
        "WSL#10006",
        &["g11_a_dead_key_stays_dead_whatever_the_clock_says"],
    ),
    (
        "zowe-cli#2743",
        &["d12_its_files_are_closed_to_others_whatever_the_umask"],
    ),
    (
        "GHSA-j59h-h7q5-q348",
        &["j5_installed_it_works_at_once_upgraded_it_keeps_all_and_purged_it_leaves_no_secret"],
    ),
    (
        "cargo-auditable",
        &["j6_the_package_lists_all_that_its_programs_contain_and_the_gate_checks_it"],
    ),
    (
        "redb deny",
        &["j6_the_package_lists_all_that_its_programs_contain_and_the_gate_checks_it"],
    ),
];

/// The names of the tests in a source that are run.
fn tests(text: &str) -> Vec<&str> {
    let (mut is_test, mut is_run) = (false, true);
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("test(");
            is_run &= !line.starts_with("#[ignore");
        } else if let Some((_, rest)) = line.split_once("fn ") {
            if is_test && is_run {
                found.extend(rest.split(['(', '<']).next());
            }
            (is_test, is_run) = (false, true);
        }
    }
    found
}

/// What tests realise; one name may carry several.
fn realised<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<(char, u8)> {
    let names = names.into_iter();
    names
        .flat_map(|name| name.split('_').map_while(number))
        .collect()
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
    let sources = sources();
    let tested = realised(sources.iter().flat_map(|(_, text)| tests(text)));
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
fn j7_every_cited_defect_has_a_test_that_is_run() {
    let sources = sources();
    let run: BTreeSet<_> = sources.iter().flat_map(|(_, text)| tests(text)).collect();
    let mut cited = BTreeSet::new();
    for (citation, tests) in CITED {
        assert!(cited.insert(citation), "{citation} is there twice");
        assert!(!tests.is_empty(), "{citation} has no test");
        let gone: Vec<_> = tests.iter().filter(|test| !run.contains(**test)).collect();
        assert!(gone.is_empty(), "{citation}: {gone:?} are not run");
    }
}

#[test]
fn j7_tests_do_not_vanish() {
    let sources = sources();
    let run: Vec<_> = sources.iter().flat_map(|(_, text)| tests(text)).collect();
    assert!(
        run.len() >= TESTS,
        "{} tests, there were {TESTS}",
        run.len()
    );
    let of_authentication = |name: &&&str| {
        let realised = realised([**name]);
        realised.iter().any(|(group, _)| matches!(group, 'a' | 'b'))
    };
    let found = run.iter().filter(of_authentication).count();
    assert!(
        found >= TESTS_OF_AUTHENTICATION,
        "{found} tests of authentication, there were {TESTS_OF_AUTHENTICATION}"
    );
}

#[test]
fn only_tests_count_and_only_what_their_names_begin_with() {
    // No line of it begins like one, so that this source realises nothing itself.
    let text = [
        "#[tokio::test]\nasync fn r07_a12_both() {}\n",
        "fn r09_no_test() {}\n",
        "#[test]\nfn about_r10() {}\n",
        "#[test]\nfn r5_() {}\n",
        "#[test]\nfn a04_() {}\n",
        "#[test]\n#[ignore = \"why\"]\nfn r11_() {}",
    ]
    .concat();
    assert_eq!(realised(tests(&text)), [('r', 7), ('a', 12)].into());
}
