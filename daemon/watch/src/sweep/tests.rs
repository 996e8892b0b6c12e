use std::{
    collections::BTreeSet,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink, net::UnixListener},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

use data_encoding::BASE64;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{content::Buffer, shape::Surroundings, *};

const AWS: &str = "AKIAZQ7R2M4N6P3B5C2D";
const R2: &str = "3f786850e387550fdab836ed7e6dc881";

fn id(text: &str) -> AccessKeyId {
    text.parse().unwrap()
}

fn needles(ids: &[&str]) -> Needles {
    let ids: Vec<_> = ids.iter().map(|text| id(text)).collect();
    Needles::of(&ids)
}

fn issued(seed: u8) -> AccessKeyId {
    AccessKeyId::issue(std::array::from_fn(|at| {
        seed.wrapping_mul(31).wrapping_add(at as u8 * 7)
    }))
}

/// A home to be searched.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn roots(&self) -> Vec<PathBuf> {
        vec![self.0.path().to_owned()]
    }

    fn sweep(&self, wanted: Wanted<'_>) -> (Vec<String>, Summary) {
        self.sweep_with(wanted, &Options::default())
    }

    /// Hits as `path:line:column id encoding recognised`, in order.
    fn sweep_with(&self, wanted: Wanted<'_>, options: &Options) -> (Vec<String>, Summary) {
        let mut hits = BTreeSet::new();
        let summary = run(
            &self.roots(),
            wanted,
            options,
            |hit| assert!(hits.insert(self.told(&hit)), "{hit:?} twice"),
            |_| ControlFlow::Continue(()),
        );
        (hits.into_iter().collect(), summary)
    }

    fn told(&self, hit: &Hit) -> String {
        let path = hit.path.strip_prefix(self.0.path()).unwrap_or(&hit.path);
        let recognised = match hit.recognised {
            Recognised::Known => "known",
            Recognised::Issued => "issued",
            Recognised::Shape(Confidence::High) => "high",
            Recognised::Shape(Confidence::Low) => "low",
        };
        format!(
            "{}:{}:{} {} {} {recognised}",
            path.display(),
            hit.line,
            hit.column,
            hit.id,
            hit.encoding.as_str()
        )
    }
}

fn known(needles: &Needles) -> Wanted<'_> {
    Wanted {
        needles: Some(needles),
        ..Wanted::default()
    }
}

const BY_SHAPE: Wanted<'_> = Wanted {
    needles: None,
    issued: None,
    by_shape: true,
};

fn wide(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16()
        .flat_map(|unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        })
        .collect()
}

fn skipped(summary: &Summary, reason: Reason) -> u64 {
    summary
        .skipped
        .get(reason)
        .map_or(0, |skipped| skipped.count)
}

#[test]
fn an_id_is_found_in_every_encoding_and_twenty_folders_deep_with_its_line() {
    let home = Home::new();
    let deep = "d/".repeat(20);
    let config = |before: usize| {
        format!(
            "{}\n[r2]\naccess_key_id = {R2}\nsecret = x\n",
            "#".repeat(before)
        )
    };
    let mut expected = BTreeSet::new();
    let mut expect = |file: &str, place: &str, encoding: &str| {
        expected.insert(format!("{file}:{place} {R2} {encoding} known"));
    };
    home.write(&format!("{deep}plain"), config(3));
    expect(&format!("{deep}plain"), "3:17", "plain");
    for big in [false, true] {
        // U+010A and U+0A00 hold the byte of a line's end.
        let text = format!("\u{feff}\u{10a}\u{a00}x\n{}", config(0));
        let name = format!("{deep}wide-{big}");
        home.write(&name, wide(&text, big));
        expect(&name, "4:17", if big { "UTF-16BE" } else { "UTF-16LE" });
    }
    for before in 0..3 {
        let text = format!("a: b\ndata: {}\n", BASE64.encode(config(before).as_bytes()));
        let at = 7 + (before + 22) / 3 * 4 + [0, 2, 3][(before + 22) % 3];
        let name = format!("{deep}secret-{before}.yaml");
        home.write(&name, text);
        expect(&name, &format!("2:{at}"), "base64");
    }
    home.write(
        "binary.duckdb_secret",
        [b"\0\x01\x14", R2.as_bytes(), b"\0\xff"].concat(),
    );
    expect("binary.duckdb_secret", "1:4", "plain");
    // A configuration in a string of another one, a URL, and an escape.
    home.write(
        "kopia.json",
        format!(r#"{{"embeddedConfig": "[r2]\n{R2}\nx"}}"#),
    );
    expect("kopia.json", "1:27", "plain");
    home.write(
        "history",
        format!("curl x?X-Amz-Credential%3D{R2}%2F2026\n"),
    );
    expect("history", "1:27", "plain");

    let needles = needles(&[R2, AWS, "minioadmin"]);
    let (hits, summary) = home.sweep(known(&needles));
    assert_eq!(hits, expected.into_iter().collect::<Vec<_>>());
    assert_eq!((summary.files, summary.folders), (9, 21));
    assert_eq!(summary.stopped_at, None);
}

#[test]
fn parts_of_other_words_are_no_ids() {
    let home = Home::new();
    home.write("a", format!("x{AWS} {AWS}x {AWS}_old _{AWS}\n{AWS}"));
    home.write("b", wide(&format!("x{AWS} {AWS}9"), false));
    home.write("c", BASE64.encode(format!("xyz{AWS}9 {AWS}").as_bytes()));
    let needles = needles(&[AWS]);
    let (hits, _) = home.sweep(known(&needles));
    assert_eq!(
        hits,
        [
            format!("a:2:1 {AWS} plain known"),
            format!("c:1:35 {AWS} base64 known"),
        ]
    );
}

#[test]
fn ids_that_people_made_up_count_only_where_something_says_that_they_are_ids() {
    let home = Home::new();
    home.write(
        "mc.json",
        r#"{"aliases": {"a": {"url": "x", "accessKey": "admin", "secretKey": "y"}}}"#,
    );
    home.write("s3cfg", "[default]\naccess_key = minioadmin\n");
    home.write(
        "k8s.yaml",
        format!("data:\n  accessKey: {}\n", BASE64.encode(b"minioadmin")),
    );
    home.write(
        "k8s-ini.yaml",
        format!(
            "cloud: {}\n",
            BASE64.encode(b"[d]\naws_access_key_id = minioadmin\n")
        ),
    );
    home.write("wide.ini", wide("access_key=minioadmin\r\n", false));
    home.write(
        "env",
        "MINIO_ROOT_USER=admin\nexport AWS_ACCESS_KEY_ID=\"backup-user\"\n",
    );
    home.write(
        "other",
        "user = admin\nthe minioadmin is admin of minioadmin\nadmin: admin\n",
    );
    home.write(
        "joined",
        "access_key = my-backup-user\naccess_key = backup-user-2\naccess_key = admin2\n",
    );
    home.write(
        "secret",
        "aws_secret_access_key = minioadmin\nsecret_access_key = admin\n",
    );
    let needles = needles(&["admin", "minioadmin", "backup-user"]);
    let (hits, _) = home.sweep(known(&needles));
    assert_eq!(
        hits,
        [
            "env:1:17 admin plain known",
            "env:2:27 backup-user plain known",
            "k8s-ini.yaml:1:40 minioadmin base64 known",
            "k8s.yaml:2:14 minioadmin base64 known",
            "mc.json:1:46 admin plain known",
            "s3cfg:2:14 minioadmin plain known",
            "wide.ini:1:12 minioadmin UTF-16LE known",
        ]
    );
}

#[test]
fn issued_ids_are_found_by_their_shape_in_every_encoding_and_the_judge_decides() {
    let home = Home::new();
    let (ours, others) = (issued(1), issued(2));
    let text = format!("key={ours} key={others}\n");
    home.write("plain", &text);
    home.write("wide-le", wide(&text, false));
    home.write("wide-be", wide(&text, true));
    for before in 0..3 {
        let text = format!("{}{text}", "-".repeat(before));
        home.write(&format!("base64-{before}"), BASE64.encode(text.as_bytes()));
    }
    // The same shape without the checksum, and parts of other words.
    let mut typo = ours.as_str().to_owned();
    typo.replace_range(5..6, if &typo[5..6] == "A" { "B" } else { "A" });
    home.write("typo", format!("{typo} x{ours} {ours}2"));
    let judge = |id: &AccessKeyId| *id == ours;
    let wanted = Wanted {
        issued: Some(&judge),
        ..Wanted::default()
    };
    let (hits, _) = home.sweep(wanted);
    let files: Vec<_> = hits
        .iter()
        .map(|hit| hit.split(':').next().unwrap())
        .collect();
    assert_eq!(
        files,
        [
            "base64-0", "base64-1", "base64-2", "plain", "wide-be", "wide-le"
        ]
    );
    assert!(
        hits.iter()
            .all(|hit| hit.contains(ours.as_str()) && hit.ends_with("issued")),
        "{hits:?}"
    );
    let (all, _) = home.sweep(BY_SHAPE);
    assert_eq!(all.len(), 12, "without a judge each one counts: {all:?}");
}

#[test]
fn the_first_scan_of_a_machine_finds_ids_nobody_told_it() {
    let home = Home::new();
    let ours = issued(3);
    home.write(
        ".aws/credentials",
        format!(
            "[default]\naws_access_key_id = {AWS}\naws_secret_access_key = hunter2hunter2hunter2\n"
        ),
    );
    home.write(".config/rclone/rclone.conf", format!("[r2]\ntype = s3\naccess_key_id = {R2}\nsecret_access_key = hunter2\n[m]\naccess_key_id = minioadmin\n"));
    home.write(
        "backup.sh",
        format!("#!/bin/sh\nexport RESTIC_X=1 AWS_ACCESS_KEY_ID={ours}\n# {AWS}\n"),
    );
    home.write(
        "compose.yml",
        format!("environment:\n  - name: AWS_ACCESS_KEY_ID\n    value: \"{R2}\"\n"),
    );
    home.write(
        "secret.yaml",
        format!("id: {}\n", BASE64.encode(AWS.as_bytes())),
    );
    home.write("docs/setup.txt", format!("Put {AWS} there.\n"));
    let (hits, summary) = home.sweep(BY_SHAPE);
    assert_eq!(
        hits,
        [
            format!(".aws/credentials:2:21 {AWS} plain high"),
            format!(".config/rclone/rclone.conf:3:17 {R2} plain high"),
            ".config/rclone/rclone.conf:6:17 minioadmin plain low".into(),
            format!("backup.sh:2:37 {ours} plain issued"),
            // What is commented out is used by nobody.
            format!("backup.sh:3:3 {AWS} plain low"),
            format!("compose.yml:3:13 {R2} plain high"),
            format!("docs/setup.txt:1:5 {AWS} plain low"),
            format!("secret.yaml:1:5 {AWS} base64 high"),
        ]
    );
    assert_eq!(summary.examples, 0);
}

#[test]
fn what_only_looks_like_an_id_is_passed_over() {
    let home = Home::new();
    home.write(
        "Cargo.lock",
        format!(
            "checksum = \"{}\"\naccess_key_id = \"{R2}\"\n",
            R2.repeat(2)
        ),
    );
    home.write(
        "package-lock.json",
        format!(
            r#"{{"integrity": "sha512-{}", "access_key": "{R2}"}}"#,
            "QUtJQVpR".repeat(11)
        ),
    );
    home.write("README", "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n");
    home.write("template.ini", "access_key_id = YOUR_ACCESS_KEY_ID\naccess_key = xxxxxxxxxxxxxxxxxxxx\naccess_key =\nsecret_key = x\n");
    home.write("compose.yml", "AWS_ACCESS_KEY_ID: ${AWS_ACCESS_KEY_ID}\naccess_key_id: '{{ key }}'\naccess_key: $KEY\naccess_key: !vault abc\n");
    home.write("src/main.rs", "struct A { access_key_id: String, secret_access_key: SecretKey }\nlet access_key_id = section.get(\"access_key_id\");\n");
    home.write("lib.py", "def f(access_key=None, access_key_id=settings.id):\n  self.access_key = access_key\n  access_key_id=get_id()\n");
    home.write(
        "hashes",
        format!("{R2}  a.iso\nd670460b4b4aece5915caf5c68d12f560a9fe3e4  b\n"),
    );
    home.write("uuid.json", r#"{"id": "6fa459ea-ee8a-3ca4-894e-db77e160355e", "public_access_key_id": "aaaa1bbbb2cccc3dddd4"}"#);
    home.write("azure.env", "AZURE_STORAGE_ACCESS_KEY=Zm9vYmFyMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0\nSharedAccessKey=abcdef1234567890abcd\n");
    let (hits, summary) = home.sweep(BY_SHAPE);
    assert_eq!(hits, [] as [&str; 0]);
    assert!(summary.examples >= 3, "{summary:?}");
}

#[test]
fn ids_are_found_once_wherever_a_piece_of_a_file_ends() {
    let needles = needles(&[AWS, R2]);
    let matcher = Matcher::new(known(&needles));
    let surroundings = Surroundings::of(Path::new("/x"), "file".as_ref());
    let folder = tempfile::tempdir().unwrap();
    let mut buffer = Buffer::new();
    let mut check = |offset: usize| {
        // Lines of 64 bytes, the id at the start of a line that is longer.
        let mut text = "#".repeat(63) + "\n";
        text = text.repeat(offset / 64);
        text += &" ".repeat(offset % 64);
        text += AWS;
        text += "\n";
        text += &"\n".repeat(200_000);
        text += R2;
        let path = folder.path().join("file");
        fs::write(&path, &text).unwrap();
        let mut file = fs::File::open(&path).unwrap();
        let metadata = file.metadata().unwrap();
        let content = buffer
            .search(
                &mut file,
                &metadata,
                u64::MAX,
                &matcher,
                surroundings,
                || false,
            )
            .unwrap();
        let places: Vec<_> = content
            .found
            .iter()
            .map(|placed| {
                (
                    placed.line as usize,
                    placed.column as usize,
                    placed.found.id.as_str(),
                )
            })
            .collect();
        let line = offset / 64 + 1;
        let expected = [(line, offset % 64 + 1, AWS), (line + 200_001, 1, R2)];
        assert_eq!(places, expected, "{offset}");
        assert_eq!(content.bytes, text.len() as u64);
    };
    let piece = 256 * 1024;
    for at in (0..2100).step_by(57) {
        check(piece - 40 + at);
    }
    check(3 * piece);
}

#[test]
fn f1_pipes_sockets_and_devices_are_never_opened() {
    let home = Home::new();
    home.write("a.conf", AWS);
    let made = Command::new("mkfifo")
        .arg(home.path("fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    let _socket = UnixListener::bind(home.path("socket")).unwrap();
    let needles = needles(&[AWS]);
    let (hits, summary) = home.sweep(known(&needles));
    assert_eq!(hits, [format!("a.conf:1:1 {AWS} plain known")]);
    assert_eq!(skipped(&summary, Reason::Special), 2);
    assert_eq!(summary.files, 1);
}

#[test]
fn f2_huge_one_line_and_binary_files_are_searched_or_told() {
    let home = Home::new();
    let sparse = fs::File::create(home.path("sparse")).unwrap();
    sparse.set_len(10 << 30).unwrap();
    home.write(
        "one-line.json",
        format!(
            "{{\"x\":\"{}\",\"access_key\":\"{AWS}\"}}",
            "y".repeat(1 << 20)
        ),
    );
    let mut binary: Vec<u8> = (0..1_u32 << 18)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    binary.extend([0, 255]);
    binary.extend(AWS.as_bytes());
    home.write("binary", binary);
    home.write("nested.json", "[".repeat(1 << 19) + AWS);
    home.write("packed.gz", b"\x1f\x8b\x08rest");
    let needles = needles(&[AWS]);
    let (hits, summary) = home.sweep(known(&needles));
    let files: Vec<_> = hits
        .iter()
        .map(|hit| hit.split(':').next().unwrap())
        .collect();
    assert_eq!(files, ["binary", "nested.json", "one-line.json"]);
    assert_eq!(
        hits[2],
        format!("one-line.json:1:1048599 {AWS} plain known")
    );
    assert_eq!(
        summary.skipped.get(Reason::TooLarge).unwrap().examples,
        [home.path("sparse")]
    );
    assert_eq!(skipped(&summary, Reason::Packed), 1);
    assert!(Reason::TooLarge.is_gap());

    let all = Options {
        largest_file: 4 << 20,
        ..Options::default()
    };
    let (again, _) = home.sweep_with(known(&needles), &all);
    assert_eq!(again, hits);
}

#[test]
fn a_file_with_more_ids_than_anybody_reads_is_told_as_such() {
    let home = Home::new();
    home.write("many", format!("{AWS}\n").repeat(5000));
    let needles = needles(&[AWS]);
    let (hits, summary) = home.sweep(known(&needles));
    assert_eq!(hits.len(), 100);
    assert_eq!(hits[0], format!("many:100:1 {AWS} plain known"));
    assert_eq!(skipped(&summary, Reason::TooManyIds), 1);
}

#[test]
fn f3_links_lead_nowhere_and_loops_end() {
    let outside = Home::new();
    outside.write("secret.conf", AWS);
    let home = Home::new();
    home.write("a/conf", AWS);
    symlink("..", home.path("a/up")).unwrap();
    symlink("loop", home.path("loop")).unwrap();
    symlink("nowhere", home.path("dangling")).unwrap();
    symlink("/proc/self/root", home.path("proc")).unwrap();
    symlink(outside.0.path(), home.path("out")).unwrap();
    symlink(outside.path("secret.conf"), home.path("out.conf")).unwrap();
    let needles = needles(&[AWS]);
    let (hits, summary) = home.sweep(known(&needles));
    assert_eq!(hits, [format!("a/conf:1:1 {AWS} plain known")]);
    assert_eq!(skipped(&summary, Reason::Link), 6);
    // A root that is a link is searched where it leads.
    let roots = [
        home.path("out"),
        home.path("dangling"),
        home.path("loop"),
        "/proc/self".into(),
    ];
    let mut paths = Vec::new();
    let summary = run(
        &roots,
        known(&needles),
        &Options::default(),
        |hit| paths.push(hit.path),
        |_| ControlFlow::Continue(()),
    );
    assert_eq!(
        paths,
        [fs::canonicalize(outside.path("secret.conf")).unwrap()]
    );
    assert_eq!(skipped(&summary, Reason::Absent), 2);
    assert_eq!(skipped(&summary, Reason::System), 1);
}

#[test]
fn folders_nested_beyond_reason_are_told() {
    let home = Home::new();
    home.write(&format!("{}conf", "d/".repeat(127)), AWS);
    home.write(&format!("{}conf", "e/".repeat(128)), AWS);
    let needles = needles(&[AWS]);
    let (hits, summary) = home.sweep(known(&needles));
    assert_eq!(hits.len(), 1);
    assert!(hits[0].starts_with("d/"));
    assert_eq!(skipped(&summary, Reason::TooDeep), 1);
}

#[test]
fn f4_what_may_not_be_read_is_told_by_its_folder_and_found_once_it_may() {
    // Root may read everything, so it hands this test to nobody.
    if bascule_os::effective_uid() == 0 {
        let program = std::env::current_exe().unwrap();
        let outcome = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(program)
            .args([
                "--exact",
                "sweep::tests::f4_what_may_not_be_read_is_told_by_its_folder_and_found_once_it_may",
            ])
            .output();
        match outcome {
            Ok(output) => assert!(
                output.status.success()
                    && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
                "{output:?}"
            ),
            Err(error) => eprintln!("skipped: no setpriv ({error})"),
        }
        return;
    }
    let home = Home::new();
    for name in ["closed/a", "files/a", "files/b", "open"] {
        home.write(name, AWS);
    }
    let set = |name: &str, mode: u32| {
        fs::set_permissions(home.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("closed", 0);
    set("files/a", 0);
    set("files/b", 0);
    let needles = needles(&[AWS]);
    let (hits, summary) = home.sweep(known(&needles));
    assert_eq!(hits, [format!("open:1:1 {AWS} plain known")]);
    let denied = summary.skipped.get(Reason::Denied).unwrap();
    assert_eq!(denied.count, 3);
    let folders: BTreeSet<_> = denied.examples.iter().cloned().collect();
    assert_eq!(
        folders,
        BTreeSet::from([home.path("closed"), home.path("files")])
    );
    set("closed", 0o700);
    set("files/a", 0o600);
    set("files/b", 0o600);
    let (hits, summary) = home.sweep(known(&needles));
    assert_eq!(hits.len(), 4);
    assert_eq!(skipped(&summary, Reason::Denied), 0);
}

#[test]
fn f5_files_that_are_replaced_and_truncated_meanwhile_hinder_nothing() {
    let home = Home::new();
    let text = format!("{}\n{AWS}\n", "x".repeat(300_000));
    for number in 0..20 {
        home.write(&format!("moving/{number}"), &text);
        home.write(&format!("still/{number}"), &text);
    }
    let needles = needles(&[AWS]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let path = home.path(&format!("moving/{}", round % 20));
                match round % 3 {
                    0 => fs::write(&path, &text[..round % 200_000]).unwrap(),
                    1 => {
                        let next = home.path("next");
                        fs::write(&next, &text).unwrap();
                        fs::rename(&next, &path).unwrap();
                    }
                    _ => fs::remove_file(&path).unwrap(),
                }
            }
        });
        for _ in 0..5 {
            let (hits, summary) = home.sweep(known(&needles));
            let still = hits.iter().filter(|hit| hit.starts_with("still/")).count();
            assert_eq!(still, 20);
            assert_eq!(skipped(&summary, Reason::Unreadable), 0);
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn f9_mounts_are_entered_only_when_told() {
    let home = Home::new();
    home.write("here", AWS);
    home.write("cloud/a", AWS);
    home.write("disk/a", AWS);
    let table = format!(
        "1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {0}/cloud rw - fuse.rclone r2: rw\n3 1 0:3 / {0}/disk rw - xfs x rw\n",
        home.0.path().display()
    );
    let needles = needles(&[AWS]);
    let with = |remote: bool, other_file_systems: bool| {
        let options = Options {
            remote,
            other_file_systems,
            mounts: Some(Mounts::parse(table.as_bytes())),
            ..Options::default()
        };
        let (hits, summary) = home.sweep_with(known(&needles), &options);
        let skips: Vec<_> = summary
            .skipped
            .iter()
            .map(|(reason, _)| reason.as_str())
            .collect();
        (hits.len(), skips.join(" "))
    };
    assert_eq!(with(false, false), (1, "remote other-file-system".into()));
    assert_eq!(with(true, false), (2, "other-file-system".into()));
    assert_eq!(with(false, true), (2, "remote".into()));
    assert_eq!(with(true, true), (3, String::new()));
    // A root on such a mount is not touched either.
    let options = Options {
        mounts: Some(Mounts::parse(table.as_bytes())),
        ..Options::default()
    };
    let roots = [home.path("cloud/a"), home.path("disk")];
    let mut hits = 0;
    let summary = run(
        &roots,
        known(&needles),
        &options,
        |_| hits += 1,
        |_| ControlFlow::Continue(()),
    );
    assert_eq!((hits, skipped(&summary, Reason::Remote)), (1, 1));
}

/// A FUSE file system whose program never answers.
#[cfg(target_os = "linux")]
struct Stalled(
    PathBuf,
    #[expect(dead_code, reason = "its end would be an answer")] fs::File,
);

#[cfg(target_os = "linux")]
impl Stalled {
    fn mount(path: PathBuf) -> Option<Self> {
        let device = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .ok()?;
        let given = device.try_clone().ok()?;
        let mounted = Command::new("mount")
            .args([
                "-i",
                "-t",
                "fuse",
                "-o",
                "fd=0,rootmode=40000,user_id=0,group_id=0",
                "stalled",
            ])
            .arg(&path)
            .stdin(Stdio::from(given))
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path, device))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .args(["-i", "-l"])
            .arg(&self.0)
            .status();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn f9_a_mount_that_never_answers_holds_nothing_up() {
    let home = Home::new();
    home.write("a", AWS);
    home.write("z/b", AWS);
    fs::create_dir(home.path("stalled")).unwrap();
    symlink("stalled/x", home.path("link")).unwrap();
    let Some(_mount) = Stalled::mount(home.path("stalled")) else {
        eprintln!("skipped: no FUSE file system can be mounted here");
        return;
    };
    let needles = needles(&[AWS]);
    let (hits, summary) = home.sweep(known(&needles));
    assert_eq!(hits.len(), 2);
    let remote = summary.skipped.get(Reason::Remote).unwrap();
    assert_eq!(remote.examples, [home.path("stalled")]);
    // Nor does a root that lies there, or leads there.
    let roots = [home.path("stalled/deep"), home.path("link"), home.path("z")];
    let mut found = 0;
    let summary = run(
        &roots,
        known(&needles),
        &Options::default(),
        |_| found += 1,
        |_| ControlFlow::Continue(()),
    );
    assert_eq!((found, skipped(&summary, Reason::Remote)), (1, 2));
}

#[test]
fn a_stopped_sweep_goes_on_where_it_was() {
    let home = Home::new();
    let mut expected = BTreeSet::new();
    for folder in 0..30 {
        for file in 0..40 {
            let name = format!("{}/{}/f{file}", folder % 5, folder / 5);
            expected.insert(home.write(&name, format!("id {AWS}\n")));
        }
    }
    home.write("z%: \n/last", AWS);
    expected.insert(home.path("z%: \n/last"));
    let needles = needles(&[AWS]);
    let mut found = BTreeSet::new();
    let mut options = Options::default();
    let (mut rounds, mut files) = (0, 0);
    loop {
        let mut batches = 0;
        let summary = run(
            &home.roots(),
            known(&needles),
            &options,
            |hit| {
                found.insert(hit.path);
            },
            |progress| {
                batches += 1;
                assert!(progress.checkpoint().is_some());
                if batches == 12 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        rounds += 1;
        files += summary.files;
        let Some(stopped) = summary.stopped_at else {
            break;
        };
        let stopped: Checkpoint = stopped.to_string().parse().unwrap();
        options.resume = Some(stopped);
        assert!(rounds < 100, "it never ends");
    }
    assert!(rounds > 2);
    assert_eq!(found, expected);
    assert!(
        files < 3 * 1201,
        "{files} files were read in {rounds} rounds"
    );
}

#[test]
fn roots_may_overlap_be_files_be_absent_and_hold_what_is_left_out() {
    let home = Home::new();
    for name in ["a/x", "a/own/x", "b"] {
        home.write(name, AWS);
    }
    let needles = needles(&[AWS]);
    let roots = [
        home.path("a/own"),
        home.path("a"),
        home.path("a"),
        home.path("b"),
        home.path("c"),
    ];
    let options = Options {
        left_out: vec![home.path("a/own")],
        idle: true,
        threads: NonZero::new(1),
        ..Options::default()
    };
    let mut hits = Vec::new();
    let summary = run(
        &roots,
        known(&needles),
        &options,
        |hit| hits.push(hit.path),
        |_| ControlFlow::Continue(()),
    );
    hits.sort();
    assert_eq!(hits, [home.path("a/x"), home.path("b")]);
    assert_eq!(
        summary.skipped.get(Reason::Absent).unwrap().examples,
        [home.path("c")]
    );
    assert_eq!(skipped(&summary, Reason::LeftOut), 1);
}

#[test]
fn names_that_are_not_utf8_are_searched_too() {
    let home = Home::new();
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe.conf");
    fs::write(home.0.path().join(name), AWS).unwrap();
    let needles = needles(&[AWS]);
    assert_eq!(home.sweep(known(&needles)).0.len(), 1);
}

#[test]
fn a_panic_of_whoever_is_told_ends_the_sweep() {
    let home = Home::new();
    for file in 0..5000 {
        home.write(&format!("{}/{file}", file % 200), AWS);
    }
    let needles = needles(&[AWS]);
    let panicked = std::panic::catch_unwind(|| {
        run(
            &home.roots(),
            known(&needles),
            &Options::default(),
            |_| panic!("as a test"),
            |_| ControlFlow::Continue(()),
        )
    });
    assert!(panicked.is_err());
}

proptest! {
    #[test]
    fn no_content_is_too_strange(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        text in "(access_key|accessKeyId|SS_KEY|BSC|AKIA|QlND|JTQ|[=: \"'\\\\<>{}$\n-]|[A-Z2-7]{1,20}){0,30}",
        at in 0_usize..600,
    ) {
        let needles = needles(&[AWS, R2, "admin", "minioadmin"]);
        let matcher = Matcher::new(Wanted { needles: Some(&needles), issued: None, by_shape: true });
        let mut mixed = bytes;
        let at = at.min(mixed.len());
        mixed.splice(at..at, text.bytes());
        let surroundings = Surroundings::of(Path::new("/x"), "file".as_ref());
        for (from, to) in [(0, mixed.len()), (at, mixed.len()), (0, at)] {
            let _ = matcher.search(&mixed, from, to, surroundings);
        }
    }

    #[test]
    fn a_planted_id_is_found_in_any_surroundings(
        before in "\\PC{0,40}[ \n\"=/-]", after in "[ \n\",;/-]\\PC{0,40}", which in 0_usize..2,
    ) {
        let planted = [AWS, R2][which];
        let needles = needles(&[AWS, R2]);
        let matcher = Matcher::new(known(&needles));
        let surroundings = Surroundings::of(Path::new("/x"), "file".as_ref());
        let text = format!("{before}{planted}{after}");
        let base64 = BASE64.encode(text.as_bytes());
        for (bytes, coding) in [
            (text.clone().into_bytes(), "plain"),
            (wide(&text, false), "UTF-16LE"),
            (wide(&text, true), "UTF-16BE"),
            (base64.into_bytes(), "base64"),
        ] {
            let findings = matcher.search(&bytes, 0, bytes.len(), surroundings);
            let found: Vec<_> = findings.found.iter().map(|found| (found.id.as_str(), found.encoding.as_str())).collect();
            prop_assert_eq!(found, [(planted, coding)]);
        }
    }
}
