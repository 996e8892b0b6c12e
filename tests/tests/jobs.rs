//! Jobs under a real systemd: the chain that we tell is the one that runs, and its next run is the one
//! that systemd has planned.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{machine::Boot, wait};
use serde_json::Value;

const SOCKET: &str = "/run/bascule/bascule.sock";
const ID: &str = "AKIAQ7ZK4M2WX5VT7F3Q";

fn names(finding: &Value) -> Vec<String> {
    let steps = finding["chain"].as_array().unwrap().iter();
    steps
        .map(|step| step["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_dead_key_behind_timer_service_script_and_crypt_is_found_with_the_run_that_will_fail() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    machine.write(
        "/etc/rclone.conf",
        &format!(
            "[r2]\ntype = s3\nprovider = Other\naccess_key_id = {ID}\nsecret_access_key = hunter2\n\
             endpoint = http://127.0.0.1:1\n[vault]\ntype = crypt\nremote = r2:photos\npassword = x\n"
        ),
    );
    machine.write("/etc/backup.env", "RCLONE_CONFIG=/etc/rclone.conf\n");
    machine.write(
        "/usr/local/bin/backup.sh",
        "#!/bin/sh\nset -e\n# nightly\nrclone sync /srv vault:\n",
    );
    machine
        .run(&["chmod", "755", "/usr/local/bin/backup.sh"])
        .exits(0);
    machine.install(
        "backup.service",
        "[Service]\nType=oneshot\nEnvironmentFile=/etc/backup.env\nExecStart=/usr/local/bin/backup.sh\n",
    );
    machine.install(
        "backup.timer",
        "[Timer]\nOnCalendar=*-*-* 02:00:00\n[Install]\nWantedBy=timers.target\n",
    );
    machine
        .run(&["systemctl", "enable", "--now", "backup.timer"])
        .exits(0);
    machine.install(
        "basculed.service",
        "[Service]\nExecStart=/usr/local/bin/basculed --state-dir /var/lib/bascule --runtime-dir /run/bascule --gateway 127.0.0.1:0\n",
    );
    machine.run(&["systemctl", "start", "basculed"]).exits(0);
    let bascule = |arguments: &[&str]| {
        let all = ["bascule", "--socket", SOCKET, "--json"];
        machine.run(&[&all, arguments].concat())
    };
    wait::until("the daemon to answer", || {
        (bascule(&["status"]).code == Some(0)).then_some(())
    });
    bascule(&["findings", "--look"]).exits(0);
    let marked = bascule(&["key", "mark-dead", ID]).exits(0);
    let all = marked.json["findings"].as_array().unwrap().clone();
    let job = all
        .iter()
        .find(|finding| finding["rank"] == "scheduled")
        .unwrap_or_else(|| panic!("{marked}"));
    let chain = names(job);
    let at = |name: &str| {
        let found = chain.iter().position(|step| step.contains(name));
        found.unwrap_or_else(|| panic!("{name}: {chain:?}"))
    };
    let order = [
        at("backup.timer"),
        at("backup.service"),
        at("backup.sh"),
        at("vault: (crypt)"),
        at("r2: (s3)"),
        at("/etc/rclone.conf:4"),
    ];
    assert!(order.is_sorted(), "{chain:?}");
    let script = job["chain"].as_array().unwrap().iter();
    let mut script = script.filter(|step| step["kind"] == "script");
    assert_eq!(script.next().unwrap()["line"], 4, "{marked}");

    let planned = machine.run(&[
        "systemctl",
        "show",
        "backup.timer",
        "--property=NextElapseUSecRealtime",
        "--value",
    ]);
    let day = planned.stdout.split_whitespace().nth(1).unwrap().to_owned();
    let next = job["next_run"]["at"].as_str().unwrap();
    assert!(
        next.starts_with(&format!("{day}T02:00:00")),
        "{next} {planned}"
    );

    // Mended in the unit's own file, and switched off.
    machine.write("/etc/backup.env", "RCLONE_CONFIG=/dev/null\n");
    wait::until("the job to be resolved", || {
        let findings = bascule(&["findings"]).json["findings"].clone();
        let mut left = findings.as_array()?.iter();
        (!left.any(|finding| finding["rank"] == "scheduled")).then_some(())
    });
    let log = machine.run(&["journalctl", "--no-pager", "--unit", "basculed"]);
    for hidden in ["hunter2", ID] {
        assert!(!log.stdout.contains(hidden), "{log}");
    }
}

#[test]
fn a_unit_that_a_provider_refused_makes_its_key_suspected_until_it_runs_again() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    machine.write(
        "/etc/rclone.conf",
        &format!("[r2]\ntype = s3\nprovider = Other\naccess_key_id = {ID}\nsecret_access_key = hunter2\nendpoint = http://127.0.0.1:1\n"),
    );
    // Nobody answers with this; what counts is what a tool prints of such an answer.
    machine.install(
        "backup.service",
        &format!(
            "[Service]\nType=oneshot\nExecStartPre=/bin/sh -c 'echo \"api error InvalidAccessKeyId: {ID} hunter2\"; test -e /etc/mended'\n\
             ExecStart=/usr/local/bin/rclone --config /etc/rclone.conf lsf r2:b\n"
        ),
    );
    let failed = machine.run(&["systemctl", "start", "backup.service"]);
    assert_ne!(failed.code, Some(0));
    machine.run(&["journalctl", "--sync"]).exits(0);
    let scan = machine.run(&["bascule", "--json", "scan"]);
    let keys = scan.json["keys"]
        .as_array()
        .unwrap_or_else(|| panic!("{scan}"));
    let uses = keys.iter().flat_map(|key| key["uses"].as_array().unwrap());
    let suspected: Vec<_> = uses
        .filter_map(|found| found["suspected"].as_str())
        .collect();
    assert_eq!(suspected.len(), 1, "{scan}");
    assert!(
        suspected[0].starts_with("backup.service failed: api error InvalidAccessKeyId"),
        "{scan}"
    );
    assert!(
        !suspected[0].contains("hunter2") && !suspected[0].contains(ID),
        "{scan}"
    );

    machine.install(
        "basculed.service",
        "[Service]\nExecStart=/usr/local/bin/basculed --state-dir /var/lib/bascule --runtime-dir /run/bascule --gateway 127.0.0.1:0\n",
    );
    machine.run(&["systemctl", "start", "basculed"]).exits(0);
    let bascule = |arguments: &[&str]| {
        let all = ["bascule", "--socket", SOCKET, "--json"];
        machine.run(&[&all, arguments].concat())
    };
    wait::until("the daemon to answer", || {
        (bascule(&["status"]).code == Some(0)).then_some(())
    });
    let reasons = || {
        let told = bascule(&["findings", "--look"]);
        let all = told.json["findings"].as_array().unwrap().clone();
        all.iter()
            .map(|finding| finding["reason"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(reasons(), ["KEY-SUSPECTED"]);
    // A look at files alone does not forget it.
    machine.write("/etc/rclone.conf.note", "x");
    assert_eq!(
        bascule(&["findings"]).json["findings"][0]["reason"],
        "KEY-SUSPECTED"
    );
    machine
        .run(&["systemctl", "reset-failed", "backup.service"])
        .exits(0);
    assert_eq!(reasons(), [""; 0]);
}
