//! The ledger: what it counts, what it says it does not know, and what is left of it on the disk.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bascule_domain::{
    Timestamp,
    deletion::Phase,
    ids::{ConnectionId, KeyId},
};
use bascule_store::{
    RootKeyPlaces, Store,
    ledger::{
        By, Cause, Group, Ledger, LedgerSettings, Passed, Peer, Process, Query, Report, Row, Tally,
        What,
    },
};
use fixture::*;
use proptest::prelude::*;

const HOUR: i64 = 3_600_000;
/// Some hour on the 1st of July 2026.
const START: i64 = 1_782_900_000_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NEVER: Duration = Duration::from_secs(3_600);

struct Desk {
    folder: Folder,
    store: Arc<Store>,
    now: Arc<AtomicI64>,
    key: KeyId,
    connection: ConnectionId,
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

impl Desk {
    fn new() -> Self {
        let folder = folder();
        let (store, connection, key) = filled(&folder, 1);
        Self {
            folder,
            store: Arc::new(store),
            now: Arc::new(AtomicI64::new(START)),
            key: key.id,
            connection: connection.id,
        }
    }

    /// One that writes only when it is asked something.
    fn open(&self) -> Ledger {
        self.open_with(|_| {})
    }

    fn open_with(&self, change: impl FnOnce(&mut LedgerSettings)) -> Ledger {
        let now = Arc::clone(&self.now);
        let mut settings = LedgerSettings {
            keep: Duration::from_secs(400 * 86_400),
            delay: NEVER,
            queue: 1_024,
            now: Arc::new(move || at(now.load(Ordering::Relaxed))),
            observer: None,
        };
        change(&mut settings);
        Ledger::open(Arc::clone(&self.store), settings).unwrap()
    }

    fn set(&self, milliseconds: i64) {
        self.now.store(milliseconds, Ordering::Relaxed);
    }

    fn tally(&self, ledger: &Ledger, agent: &str) -> Arc<Tally> {
        let peer = Arc::new(Peer::default());
        ledger.tally(self.key, self.connection, peer, HERE, agent.as_bytes())
    }

    fn report(&self, ledger: &Ledger, by: By) -> Report {
        let now = self.now.load(Ordering::Relaxed);
        ledger
            .report(Query {
                keys: vec![(self.key, self.connection, Timestamp::UNIX_EPOCH)],
                from: at(START - 30 * 24 * HOUR),
                to: at(now.max(START) + 1),
                by,
                cells: 30,
            })
            .unwrap()
    }

    fn causes(&self, ledger: &Ledger) -> Vec<Cause> {
        let gaps = self.report(ledger, By::Key).gaps;
        gaps.iter().map(|gap| gap.cause).collect()
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.file("ledger.sqlite")
    }
}

fn number(rows: &[Row]) -> u64 {
    let served = rows.iter().flat_map(|row| row.operations.values());
    let refused = rows.iter().flat_map(|row| row.refused.values());
    served.map(|sums| sums.0).sum::<u64>() + refused.sum::<u64>()
}

fn one(rows: &[Row]) -> &Row {
    let [row] = rows else { panic!("{rows:?}") };
    row
}

const GET: What = What::Did("GetObject");
const DENIED: What = What::Refused("NOT-PERMITTED");

#[test]
fn a_use_is_told_by_key_tool_process_and_address() {
    let desk = Desk::new();
    let ledger = desk.open();
    let peer = Arc::new(Peer::default());
    assert!(peer.ask(), "the first one looks");
    assert!(!peer.ask(), "and nobody else");
    let process = Process {
        pid: 4_711,
        exe: Some("/usr/bin/rclone".into()),
        command: Some("rclone sync /data vault:".into()),
        unit: Some("backup.service".into()),
        container: None,
    };
    peer.found(Some(process.clone()));
    let tally = ledger.tally(
        desk.key,
        desk.connection,
        peer,
        [10, 0, 0, 7].into(),
        b"rclone/v1.60.1",
    );
    tally.used(at(START + 5));
    tally.count(at(START + 5), GET);
    tally.moved(at(START + 9), GET, 3, 4_096);
    tally.used(at(START + 10));
    tally.count(at(START + 10), DENIED);
    desk.set(START + 20);

    for by in [By::Key, By::Tool, By::Process, By::Address, By::Client] {
        let report = desk.report(&ledger, by);
        let row = one(&report.rows);
        assert_eq!(
            row.operations,
            [("GetObject".to_owned(), (1, 3, 4_096))].into()
        );
        assert_eq!(row.refused, [("NOT-PERMITTED".to_owned(), 1)].into());
        assert_eq!((row.first, row.last), (at(START + 5), at(START + 10)));
        assert_eq!(row.tools, ["rclone".to_owned()].into());
        let group = match by {
            By::Key => Group::Key,
            By::Tool => Group::Tool("rclone".into()),
            By::Process => Group::Process(Some(process.clone())),
            By::Address => Group::Address([10, 0, 0, 7].into()),
            By::Client => Group::Client {
                address: [10, 0, 0, 7].into(),
                tool: "rclone".into(),
                process: Some(process.clone()),
            },
        };
        assert_eq!(row.group, group);
    }
    let interval = ledger.longest_interval(desk.key, at(START)).unwrap();
    assert_eq!(interval.last_used, Some(at(START + 10)));
    assert_eq!(ledger.last_uses().unwrap(), [(desk.key, at(START + 10))]);
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let desk = Desk::new();
    let ledger = desk.open();
    let tally = desk.tally(&ledger, "aws-cli/2");
    tally.used(at(START));
    tally.count(at(START), GET);
    ledger.close();
    tally.count(at(START), GET);
    drop(ledger);
    let ledger = desk.open();
    assert_eq!(number(&desk.report(&ledger, By::Tool).rows), 1);
    assert_eq!(
        desk.causes(&ledger),
        [Cause::NotBegun, Cause::Killed],
        "what came after the end was not written, and that is known"
    );
}

#[test]
fn a_batch_is_written_by_itself_and_then_nothing_wakes() {
    let desk = Desk::new();
    #[derive(Default)]
    struct Seen(Mutex<Vec<Passed>>);
    impl bascule_store::ledger::Observer for Seen {
        fn wanted(&self) -> bool {
            true
        }
        fn passed(&self, passed: Passed) {
            self.0.lock().unwrap().push(passed);
        }
    }
    let seen = Arc::new(Seen::default());
    let ledger = desk.open_with(|settings| {
        settings.delay = Duration::from_millis(1);
        settings.observer = Some(seen.clone());
    });
    let tally = desk.tally(&ledger, "rclone/1");
    tally.count(at(START), GET);
    let start = std::time::Instant::now();
    while seen.0.lock().unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "never written");
        std::thread::yield_now();
    }
    assert_eq!(seen.0.lock().unwrap()[0].counts, [(GET, 1, 0, 0)]);
}

#[test]
fn a_process_that_is_still_looked_for_is_waited_for() {
    let desk = Desk::new();
    let ledger = desk.open();
    let peer = Arc::new(Peer::default());
    assert!(peer.ask());
    let tally = ledger.tally(desk.key, desk.connection, Arc::clone(&peer), HERE, b"x");
    tally.count(at(START), GET);
    assert_eq!(number(&desk.report(&ledger, By::Process).rows), 0);
    peer.found(None);
    let report = desk.report(&ledger, By::Process);
    assert_eq!(one(&report.rows).group, Group::Process(None));
    // But not for ever.
    let peer = Arc::new(Peer::default());
    assert!(peer.ask());
    let tally = ledger.tally(desk.key, desk.connection, peer, HERE, b"y");
    tally.count(at(START), GET);
    desk.set(START + 60_000);
    assert_eq!(number(&desk.report(&ledger, By::Process).rows), 2);
}

#[test]
fn hostile_user_agents_do_not_grow_it_without_limit() {
    let desk = Desk::new();
    let ledger = desk.open_with(|settings| settings.queue = 64);
    for hour in 0..3 {
        for number in 0..500 {
            let tally = desk.tally(&ledger, &format!("evil-{hour}-{number}/1"));
            tally.count(at(START + hour * HOUR), GET);
        }
        desk.set(START + (hour + 1) * HOUR);
        // Some were dropped when the queue was full; those are told.
        desk.report(&ledger, By::Key);
    }
    let report = desk.report(&ledger, By::Tool);
    assert!(report.rows.len() <= 3 * 32 + 1, "{}", report.rows.len());
    assert!(report.rows.iter().any(|row| row.group == Group::Other));
    let lost: u64 = report.gaps.iter().map(|gap| gap.lost).sum();
    assert_eq!(number(&report.rows) + lost, 1_500);
}

#[test]
fn a_full_queue_drops_events_and_the_period_is_unknown() {
    let desk = Desk::new();
    let (entered, inside) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel::<()>();
    struct Blocks(Mutex<Option<(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>)>>);
    impl bascule_store::ledger::Observer for Blocks {
        fn wanted(&self) -> bool {
            let taken = self.0.lock().unwrap().take();
            if let Some((entered, left)) = taken {
                entered.send(()).unwrap();
                left.recv().ok();
            }
            false
        }
        fn passed(&self, _: Passed) {}
    }
    let ledger = desk.open_with(|settings| {
        settings.queue = 4;
        settings.delay = Duration::from_millis(1);
        settings.observer = Some(Arc::new(Blocks(Mutex::new(Some((entered, left))))));
    });
    let first = desk.tally(&ledger, "first/1");
    first.count(at(START), GET);
    inside.recv().unwrap();
    // The writer stands still. Whoever makes requests does not.
    let tallies: Vec<_> = (0..20)
        .map(|number| {
            let tally = desk.tally(&ledger, "rclone/1");
            tally.count(at(START + number), GET);
            tally.count(at(START + number), GET);
            tally
        })
        .collect();
    leave.send(()).unwrap();
    desk.set(START + 1_000);
    let report = desk.report(&ledger, By::Key);
    let gap = report.gaps.last().unwrap();
    assert_eq!(gap.cause, Cause::Overflow);
    assert!(
        gap.lost > 0 && gap.from >= at(START) && gap.to <= at(START + 1_000),
        "{gap:?}"
    );
    assert!(one(&report.rows).activity.last().unwrap().unknown);
    // Everything else was counted, and what is lost was.
    drop(tallies);
    assert_eq!(number(&report.rows) + gap.lost, 41, "{gap:?}");
}

#[test]
fn a_kill_with_events_in_memory_is_a_gap_and_one_without_is_none() {
    let desk = Desk::new();
    let ledger = desk.open();
    let tally = desk.tally(&ledger, "rclone/1");
    tally.used(at(START));
    tally.count(at(START), GET);
    desk.report(&ledger, By::Key);
    // Idle: everything is written.
    std::mem::forget(ledger);
    desk.set(START + 10 * HOUR);
    let ledger = desk.open();
    assert_eq!(desk.causes(&ledger), [Cause::NotBegun]);

    let tally = desk.tally(&ledger, "rclone/1");
    tally.used(at(START + 10 * HOUR));
    std::mem::forget(ledger);
    desk.set(START + 90 * HOUR);
    let ledger = desk.open();
    let report = desk.report(&ledger, By::Key);
    let gap = report.gaps.last().unwrap();
    assert_eq!(
        (gap.cause, gap.from),
        (Cause::Killed, at(START + 10 * HOUR))
    );
    assert!(
        gap.to < at(START + 11 * HOUR),
        "while it did not run, nothing passed: {gap:?}"
    );
    let interval = ledger.longest_interval(desk.key, at(START)).unwrap();
    assert!(interval.gaps.contains(gap), "{interval:?}");
    drop(tally);
}

fn spoil(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    assert!(length > 8_192, "nothing to spoil");
    let mut bytes = fs::read(path).unwrap();
    for byte in &mut bytes[4_096..] {
        *byte = !*byte;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_or_foreign_file_is_moved_aside_and_a_new_one_begun() {
    let desk = Desk::new();
    type Harm = Box<dyn Fn(&Path)>;
    let harms: Vec<(Cause, Harm)> = vec![
        (Cause::Damaged, Box::new(spoil)),
        (
            Cause::Foreign,
            Box::new(|path| fs::write(path, "my own notes").unwrap()),
        ),
        (
            Cause::Foreign,
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink("/nowhere", path).unwrap();
            }),
        ),
        (
            Cause::Foreign,
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        ),
    ];
    for (number, (cause, harm)) in harms.iter().enumerate() {
        let ledger = desk.open();
        desk.tally(&ledger, "rclone/1").count(at(START), GET);
        ledger.close();
        harm(&desk.file());
        desk.set(START + HOUR);
        let ledger = desk.open();
        let report = desk.report(&ledger, By::Key);
        assert_eq!(report.rows.len(), 0);
        let gap = one_gap(&report);
        assert_eq!((gap.cause, gap.to), (*cause, at(START + HOUR)));
        let aside = format!("ledger.sqlite.aside-{}", number + 1);
        assert!(
            fs::symlink_metadata(desk.folder.file(&aside)).is_ok(),
            "{aside}"
        );
        desk.tally(&ledger, "rclone/1").count(at(START + HOUR), GET);
        assert_eq!(number_of(&desk, &ledger), 1);
        ledger.close();
    }
    Store::reset(&desk.folder.path, &RootKeyPlaces::default()).unwrap();
    let left: Vec<_> = list(&desk.folder.path)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("ledger") && path.is_file())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn one_gap(report: &Report) -> bascule_store::ledger::Gap {
    let [gap] = report.gaps[..] else {
        panic!("{:?}", report.gaps)
    };
    gap
}

fn number_of(desk: &Desk, ledger: &Ledger) -> u64 {
    number(&desk.report(ledger, By::Key).rows)
}

#[test]
fn a_file_that_is_lost_or_spoilt_while_it_is_open_is_begun_anew() {
    let desk = Desk::new();
    let ledger = desk.open();
    desk.tally(&ledger, "rclone/1").count(at(START), GET);
    assert_eq!(number_of(&desk, &ledger), 1);
    for file in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        fs::remove_file(desk.folder.file(file)).unwrap();
    }
    desk.set(START + 1_000);
    desk.tally(&ledger, "rclone/1")
        .count(at(START + 1_000), GET);
    assert_eq!(number_of(&desk, &ledger), 1);
    assert_eq!(desk.causes(&ledger), [Cause::Missing]);
    // Somebody puts another file in its place.
    fs::remove_file(desk.file()).unwrap();
    fs::write(desk.file(), "my own notes").unwrap();
    desk.set(START + 2_000);
    desk.tally(&ledger, "rclone/1")
        .count(at(START + 2_000), GET);
    assert_eq!(number_of(&desk, &ledger), 1);
    assert_eq!(desk.causes(&ledger), [Cause::Foreign]);
    assert_eq!(
        fs::read(desk.folder.file("ledger.sqlite.aside-1")).unwrap(),
        b"my own notes"
    );
}

#[test]
fn a_ledger_of_another_store_is_foreign() {
    let (desk, other) = (Desk::new(), Desk::new());
    drop(other.open());
    fs::copy(other.file(), desk.file()).unwrap();
    let ledger = desk.open();
    assert_eq!(desk.causes(&ledger), [Cause::Foreign]);
}

#[test]
fn the_time_without_a_ledger_is_unknown() {
    let desk = Desk::new();
    drop(desk.open());
    Ledger::note_disabled(&desk.folder.path, at(START + HOUR));
    Ledger::note_disabled(&desk.folder.path, at(START + 2 * HOUR));
    desk.set(START + 5 * HOUR);
    let ledger = desk.open();
    let report = desk.report(&ledger, By::Key);
    let gap = report.gaps[1];
    assert_eq!(gap.cause, Cause::Disabled);
    assert_eq!((gap.from, gap.to), (at(START + HOUR), at(START + 5 * HOUR)));
    assert_eq!(report.gaps.len(), 2);
}

#[test]
fn what_is_older_than_it_is_kept_goes() {
    let desk = Desk::new();
    let keep = |settings: &mut LedgerSettings| settings.keep = Duration::from_secs(10 * 86_400);
    let ledger = desk.open_with(keep);
    let day = 24 * HOUR;
    desk.set(START - 12 * day);
    desk.tally(&ledger, "old/1")
        .count(at(START - 12 * day), GET);
    desk.report(&ledger, By::Key);
    desk.set(START);
    desk.tally(&ledger, "new/1").count(at(START), GET);
    let report = desk.report(&ledger, By::Tool);
    assert_eq!(one(&report.rows).group, Group::Tool("new".into()));
    drop(ledger);
    desk.set(START + 11 * day);
    let ledger = desk.open_with(keep);
    assert_eq!(number_of(&desk, &ledger), 0, "also at a start");
}

#[test]
fn d12_its_files_are_closed_to_others_whatever_the_umask() {
    let desk = Desk::new();
    let before = rustix::process::umask(rustix::fs::Mode::empty());
    let ledger = desk.open();
    desk.tally(&ledger, "rclone/1").count(at(START), GET);
    desk.report(&ledger, By::Key);
    rustix::process::umask(before);
    let mut seen = 0;
    for path in list(&desk.folder.path) {
        if path.to_string_lossy().contains("ledger") {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn d1_what_names_a_client_is_sealed_and_dies_with_its_connection() {
    const PLANTED: [&str; 6] = [
        "planted-agent",
        "planted-command",
        "planted-unit",
        "planted-exe",
        "planted-container",
        "203.0.113.77",
    ];
    let desk = Desk::new();
    let (other, other_key) = add(&desk.store, 2);
    let ledger = desk.open();
    let peer = Arc::new(Peer::default());
    peer.found(Some(Process {
        pid: 1,
        exe: Some("planted-exe".into()),
        command: Some("planted-command --bucket marker-bucket".into()),
        unit: Some("planted-unit".into()),
        container: Some("planted-container".into()),
    }));
    let planted = |key, connection| {
        let tally = ledger.tally(
            key,
            connection,
            Arc::clone(&peer),
            [203, 0, 113, 77].into(),
            b"planted-agent/1",
        );
        tally.used(at(START));
        tally.count(at(START), GET);
    };
    planted(desk.key, desk.connection);
    planted(other_key.id, other.id);
    let unmarked = |when: &str| {
        for (path, content) in desk.folder.content() {
            for marker in MARKERS.iter().chain(&PLANTED) {
                assert!(
                    !holds(&content, marker),
                    "{when}: {marker} in {}",
                    path.display()
                );
            }
        }
    };
    assert_eq!(number_of(&desk, &ledger), 1);
    unmarked("while it lives");
    let copy = fs::read(desk.file()).unwrap();

    let findings = bascule_domain::deletion::Findings::default();
    let connection = connection(1);
    for phase in [Phase::Requested, Phase::Drained, Phase::Surveyed] {
        let step = deletion(&connection, phase);
        desk.store
            .journal_deletion(&step, &findings, &reached(&step))
            .ok();
    }
    let key = desk.store.load().unwrap().keys;
    let dead: Vec<_> = key
        .into_iter()
        .filter(|(key, _)| key.connection == connection.id)
        .map(|(key, _)| (key.clone(), tombstone(&key, &connection)))
        .collect();
    let revoked = deletion(&connection, Phase::Revoked);
    desk.store
        .revoke_connection(&revoked, &findings, &dead, &reached(&revoked))
        .unwrap();
    let judged = deletion(&connection, Phase::Judged);
    desk.store
        .judge_deletion(&judged, &findings, &receipt(&judged), &reached(&judged))
        .unwrap();
    desk.store.erase_connection(connection.id).unwrap();
    // Unreadable from here on, before any row is removed.
    let report = desk.report(&ledger, By::Process);
    assert_eq!(one(&report.rows).group, Group::Erased);
    ledger.erase(connection.id).unwrap();
    unmarked("after its end");
    assert_eq!(number_of(&desk, &ledger), 0);
    assert!(!holds(&fs::read(desk.file()).unwrap(), "\0planted"));
    let id = connection.id.as_bytes();
    for (path, content) in desk.folder.content() {
        if path.to_string_lossy().contains("ledger") {
            let left = content.windows(id.len()).any(|window| window == id);
            assert!(!left, "rows are left in {}", path.display());
        }
    }
    // A sibling's clients stay readable.
    let query = Query {
        keys: vec![(other_key.id, other.id, Timestamp::UNIX_EPOCH)],
        from: at(START - HOUR),
        to: at(START + HOUR),
        by: By::Tool,
        cells: 1,
    };
    let report = ledger.report(query).unwrap();
    assert_eq!(one(&report.rows).group, Group::Tool("planted-agent".into()));
    drop(ledger);
    // A copy from before opens nothing any more.
    fs::write(desk.file(), copy).unwrap();
    let ledger = desk.open();
    for row in desk.report(&ledger, By::Tool).rows {
        assert_eq!(row.group, Group::Erased);
    }
}

/// A use: after how many seconds, by which tool, what came of it.
type Step = (u32, u8, bool, u16);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![1_u32..60, 60_u32..7_200, 7_200_u32..1_000_000];
    prop::collection::vec((wait, 0_u8..4, any::<bool>(), any::<u16>()), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rollups_and_intervals_are_those_of_the_plain_list_of_events(
        steps in steps(), restarts in any::<u32>()
    ) {
        let desk = Desk::new();
        let mut ledger = desk.open();
        let (mut now, mut uses) = (START, Vec::new());
        let mut sums: HashMap<String, (u64, u64, u64)> = HashMap::new();
        let mut by_cell: BTreeMap<i64, u64> = BTreeMap::new();
        for (number, (wait, who, served, bytes)) in steps.iter().enumerate() {
            now += i64::from(*wait) * 1_000;
            desk.set(now);
            let agent = format!("tool-{who}/1");
            let tally = desk.tally(&ledger, &agent);
            tally.used(at(now));
            let sum = sums.entry(format!("tool-{who}")).or_default();
            if *served {
                tally.count(at(now), GET);
                tally.moved(at(now), GET, u64::from(*bytes), 2 * u64::from(*bytes));
                *sum = (sum.0 + 1, sum.1 + u64::from(*bytes), sum.2);
            } else {
                tally.count(at(now), DENIED);
                sum.2 += 1;
            }
            uses.push(now);
            *by_cell.entry(now.div_euclid(HOUR)).or_default() += 1;
            // Within one batch intervals are known too when one client makes them; others only
            // to the delay, so each use is a batch here.
            let interval = ledger.longest_interval(desk.key, at(START)).unwrap();
            let longest = uses.windows(2).map(|pair| pair[1] - pair[0]).max();
            prop_assert_eq!(
                interval.longest,
                longest.map(|longest| Duration::from_millis(longest.unsigned_abs()))
            );
            prop_assert_eq!(interval.first_used, Some(at(uses[0])));
            prop_assert_eq!(interval.last_used, Some(at(now)));
            if restarts >> (number % 32) & 1 == 1 {
                drop(ledger);
                ledger = desk.open();
            }
        }
        let report = desk.report(&ledger, By::Tool);
        for row in &report.rows {
            let Group::Tool(tool) = &row.group else { panic!("{row:?}") };
            let (number, received, refused) = sums.remove(tool).unwrap();
            let did = row.operations.get("GetObject").copied().unwrap_or_default();
            prop_assert_eq!(did, (number, received, 2 * received));
            prop_assert_eq!(row.refused.values().sum::<u64>(), refused);
        }
        prop_assert!(sums.is_empty());
        let first = report.from.as_millisecond() / HOUR;
        let width = i64::try_from(report.cell.as_secs() / 3_600).unwrap();
        let mut cells: BTreeMap<i64, u64> = BTreeMap::new();
        for (hour, number) in by_cell {
            *cells.entry((hour - first) / width).or_default() += number;
        }
        let row = &desk.report(&ledger, By::Key).rows[0];
        for (number, cell) in row.activity.iter().enumerate() {
            let expected = cells.get(&i64::try_from(number).unwrap()).copied().unwrap_or(0);
            prop_assert_eq!(cell.requests, expected);
        }
    }
}
