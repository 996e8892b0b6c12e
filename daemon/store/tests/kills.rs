//! G1: a process that writes is killed at random instants, again and again, and loses nothing that
//! it had acknowledged. It is this program once more; what it acknowledged is counted here.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use bascule_store::Store;
use fixture::lives;

/// Kills; `BASCULE_TEST_SCALE` multiplies it.
const CYCLES: u32 = 1_000;
/// After so many a new store is begun, so that the time to check one stays small.
const CYCLES_OF_A_STORE: u32 = 50;
/// Names the state folder for the process that is killed.
const FOLDER: &str = "BASCULE_KILLS_FOLDER";

/// The process that is killed: opens the store, tells how many steps it finds, and takes more.
#[test]
#[ignore = "only the test below starts it, as a process of its own"]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = Store::open_or_create(Path::new(&folder)).unwrap();
    let mut output = std::io::stdout();
    let mut done = lives::done(&store);
    writeln!(output, "\nfound {done}").unwrap();
    loop {
        lives::step(&store, done).unwrap();
        done += 1;
        writeln!(output, "\ndone {done}").unwrap();
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "writer",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[test]
fn g1_no_acknowledged_write_is_lost_to_a_kill_at_any_instant() {
    // A kill leaves the page cache whole, so the medium does not matter, and memory is quick.
    let temp = fixture::in_memory();
    let mut dice = lives::Dice(0x6b17);
    let (mut acknowledged_in_all, mut while_opening) = (0, 0);
    let cycles = CYCLES * lives::scale();
    let mut folder = temp.path().to_owned();
    let mut acknowledged = 0;
    for cycle in 0..cycles {
        if cycle % CYCLES_OF_A_STORE == 0 {
            folder = temp.path().join(cycle.to_string());
            drop(Store::open_or_create(&folder).unwrap());
            acknowledged = 0;
        }
        let mut writer = start(&folder);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let number = |line: &str, word: &str| -> Option<u32> {
            line.strip_prefix(word)?.strip_prefix(' ')?.parse().ok()
        };
        // One in eight is killed while it starts or opens the store, the others while they write.
        let opening = dice.throw(8) == 0;
        let mut heard = Vec::new();
        if !opening {
            let wanted = 1 + dice.throw(12) as usize;
            while heard.len() < wanted {
                let line = lines.next().expect("the writer goes on").unwrap();
                heard.extend(
                    (line.starts_with("found") || line.starts_with("done")).then_some(line),
                );
            }
        }
        let instant = if opening { 40_000 } else { 3_000 };
        thread::sleep(Duration::from_micros(dice.throw(instant)));
        writer.kill().unwrap();
        let status = writer.wait().unwrap();
        assert_eq!(status.code(), None, "the writer ended by itself: {status}");
        heard.extend(lines.map(Result::unwrap));
        let mut found = None;
        for line in &heard {
            if let Some(count) = number(line, "found") {
                assert!(
                    count == acknowledged || count == acknowledged + 1,
                    "cycle {cycle}: {acknowledged} acknowledged, {count} found"
                );
                acknowledged = count;
                found = Some(count);
            } else if let Some(count) = number(line, "done") {
                assert_eq!(count, acknowledged + 1);
                acknowledged = count;
                acknowledged_in_all += 1;
            }
        }
        while_opening += u32::from(found.is_none());
        if (cycle + 1) % CYCLES_OF_A_STORE == 0 || cycle + 1 == cycles {
            let found = lives::done(&Store::open_or_create(&folder).unwrap());
            assert!(found == acknowledged || found == acknowledged + 1);
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
    println!(
        "{cycles} kills, {while_opening} of them before the store was open; \
         {acknowledged_in_all} acknowledged writes, 0 lost"
    );
    assert!(
        acknowledged_in_all >= cycles,
        "too few writes to tell anything"
    );
}
