use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

use bascule_domain::Timestamp;

use super::*;

/// A machine of its own, whose root is also the home of who asks.
struct Home {
    folder: tempfile::TempDir,
    machine: Machine,
}

fn home(files: &[(&str, &[u8])]) -> Home {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let path = folder.path().to_owned();
    let mut environment = Environment::of(Some(path.clone()), path.clone());
    environment.root = path;
    Home {
        machine: Machine::local(environment, 1000, Timestamp::UNIX_EPOCH),
        folder,
    }
}

impl Home {
    fn look(&self) -> Picture {
        let mut picture = Picture::default();
        let catalogue = Catalogue::builtin();
        catalogue.configurations(&self.machine, &self.machine.user, &mut picture);
        picture
    }

    fn lines(&self, picture: &Picture) -> Vec<String> {
        let mut lines: Vec<_> = picture.uses.iter().map(told).collect();
        lines.extend(
            picture
                .gaps
                .iter()
                .map(|gap| format!("? {}: {}", gap.what, gap.why)),
        );
        let home = format!("{}/", self.folder.path().display());
        let mut lines: Vec<_> = lines.iter().map(|line| line.replace(&home, "")).collect();
        lines.sort();
        lines
    }
}

/// Kind, entry, line, id, endpoint, bucket and standing, as far as they are there.
fn told(found: &crate::picture::Use) -> String {
    let entry = found.chain.last().map_or("", |link| &link.name);
    let line = match &found.key.place {
        crate::found::Place::File { line, .. } => line.to_string(),
        other => other.to_string(),
    };
    let mut text = format!("{} {entry}:{line} {}", found.kind, found.key.id.as_str());
    if let Some(endpoint) = &found.key.endpoint {
        text.push_str(&format!(" at {}", endpoint.host()));
    }
    if let Some(bucket) = &found.bucket {
        text.push_str(&format!(" in {bucket}"));
    }
    match &found.standing {
        Standing::Effective => {}
        Standing::Shadowed { by } => text.push_str(&format!(" shadowed by {by}")),
        other => text.push_str(&format!(" {}", other.as_str())),
    }
    if found.rank == Rank::Leftover {
        text.push_str(" leftover");
    }
    text
}

/// Row, file, content, and what it comes to.
const FIXTURES: &[(&str, &str, &str, &[&str])] = &[
    (
        "docker-rclone",
        "var/lib/docker-plugins/rclone/cache/docker-plugin.state",
        "[\n{\"name\":\"v\",\"options\":{\n\"s3-access-key-id\":\"DOCKID\",\"s3-secret-access-key\":\"s\",\"type\":\"s3\"}}]",
        &["docker-rclone volume v:3 DOCKID"],
    ),
    (
        "boto",
        ".boto",
        "[Credentials]\naws_access_key_id = BOTOID\naws_secret_access_key = s\n",
        &["boto .boto:2 BOTOID"],
    ),
    (
        "s3cmd",
        ".s3cfg",
        "[default]\naccess_key = OLDID\n[other]\naccess_key = \"NEWID\"\nsecret_key = s\nhost_base = s3.example\n",
        &[
            "s3cmd .s3cfg:2 OLDID at s3.example shadowed by .s3cfg:4",
            "s3cmd .s3cfg:4 NEWID at s3.example",
        ],
    ),
    (
        "mc",
        ".mc/config.json",
        "{\"aliases\": {\n\"r2\": {\"url\": \"https://x.example\",\n\"accessKey\": \"MCID\", \"secretKey\": \"s\"},\n\"play\": {\"accessKey\": \"\", \"secretKey\": \"\"}}}",
        &["mc alias r2:3 MCID at x.example"],
    ),
    (
        "crestic",
        "etc/crestic/conf.d/10-home.cfg",
        "[home.environ]\nAWS_ACCESS_KEY_ID = CDID\nAWS_SECRET_ACCESS_KEY = s\n",
        &["crestic preset home.environ:2 CDID"],
    ),
    (
        "mc",
        ".mc/config.json.old",
        "{\"hosts\": {\"r2\": {\"accessKey\": \"WASID\", \"secretKey\": \"s\"}}}",
        &["mc alias r2:1 WASID unused leftover"],
    ),
    (
        "s3fs",
        ".passwd-s3fs",
        "# mine\nIDALL:s\nphotos:IDPHOTOS:s\n",
        &[
            "s3fs .passwd-s3fs:2 IDALL",
            "s3fs bucket photos:3 IDPHOTOS in photos",
        ],
    ),
    (
        "resticprofile",
        ".config/resticprofile/profiles.yaml",
        "{{ define \"x\" }}{{ end }}\ndefault:\n  env:\n    AWS_ACCESS_KEY_ID: RPID\n    AWS_SECRET_ACCESS_KEY: s\n    OTHER: {{ .Now }}\n",
        &["resticprofile profile default:4 RPID"],
    ),
    (
        "resticprofile",
        "etc/resticprofile/profiles.toml",
        "[home]\nenv-file = \"x.env\"\n[home.env]\nAWS_ACCESS_KEY_ID = \"RPTOML\"\nAWS_SECRET_ACCESS_KEY = \"s\"\n",
        &["resticprofile profile home:4 RPTOML"],
    ),
    (
        "resticprofile",
        ".config/restic/profiles.hcl",
        "profiles {\n home {\n  env = {\n   AWS_ACCESS_KEY_ID = \"RPHCL\"\n   AWS_SECRET_ACCESS_KEY = \"s\"\n  }\n }\n}\n",
        &["resticprofile profile home:4 RPHCL"],
    ),
    (
        "autorestic",
        ".autorestic.yml",
        "backends:\n  remote:\n    type: s3\n    env:\n      AWS_ACCESS_KEY_ID: ARID\n      AWS_SECRET_ACCESS_KEY: s\n",
        &["autorestic backend remote:5 ARID"],
    ),
    (
        "autorestic-env",
        ".autorestic.env",
        "AUTORESTIC_REMOTE_AWS_ACCESS_KEY_ID=ARENV\nAUTORESTIC_REMOTE_AWS_SECRET_ACCESS_KEY=s\n",
        &["autorestic-env AUTORESTIC_*_AWS_ACCESS_KEY_ID REMOTE:1 ARENV"],
    ),
    (
        "backrest",
        ".config/backrest/config.json",
        "{\"modno\": 1, \"repos\": [\n{\"id\": \"b\", \"uri\": \"s3:x/y\", \"env\": [\n\"AWS_ACCESS_KEY_ID=BRID\", \"AWS_SECRET_ACCESS_KEY=s\"]},\n{\"id\": \"v\", \"env\": [\"AWS_ACCESS_KEY_ID=${NOT_SET}\"]}]}",
        &[
            "? .config/backrest/config.json:4: the value comes from the variable NOT_SET, which is not set here",
            "backrest repository b:3 BRID",
        ],
    ),
    (
        "crestic",
        ".config/crestic/config.cfg",
        "[global]\n[home.environ]\nAWS_ACCESS_KEY_ID: CRID\nAWS_SECRET_ACCESS_KEY: s\n",
        &["crestic preset home.environ:3 CRID"],
    ),
    (
        "kopia",
        ".config/kopia/repository.config",
        "{\"storage\": {\"type\": \"s3\", \"config\": {\"bucket\": \"b\", \"endpoint\": \"s3.example\",\n\"accessKeyID\": \"KOID\", \"secretAccessKey\": \"s\"}}}",
        &["kopia .config/kopia/repository.config:2 KOID at s3.example in b"],
    ),
    (
        "kopia",
        ".config/kopia/other.config",
        "{\"storage\": {\"type\": \"rclone\", \"config\": {\"remotePath\": \"r2:b\",\n\"embeddedConfig\": \"[r2]\\ntype = s3\\naccess_key_id = KOEMB\\nsecret_access_key = s\\n\"}}}",
        &["kopia remote r2:2 KOEMB"],
    ),
    (
        "duply",
        ".duply/p/conf",
        "GPG_PW='x'\nTARGET='s3:///b'\nexport AWS_ACCESS_KEY_ID='DUID'\nexport AWS_SECRET_ACCESS_KEY='s'\n",
        &["duply .duply/p/conf:3 DUID"],
    ),
    (
        "borgmatic",
        "etc/borgmatic/config.yaml",
        "repositories:\n  - path: \"s3:BMID:se%2Fcret@https://s3.example/b\"\n    label: away\n  - path: /local\n",
        &["borgmatic repository away:2 BMID"],
    ),
    (
        "litestream",
        "etc/litestream.yml",
        "access-key-id: LSALL\nsecret-access-key: s\ndbs:\n  - path: /db\n    replicas:\n      - type: s3\n        bucket: b\n        access-key-id: LSID\n        secret-access-key: ${LS_SECRET}\n",
        &[
            "litestream database /db:8 LSID in b",
            "litestream etc/litestream.yml:1 LSALL",
        ],
    ),
    (
        "pgbackrest",
        "etc/pgbackrest/pgbackrest.conf",
        "[global]\nrepo1-s3-key=PGONE\nrepo1-s3-key-secret=s\nrepo2-s3-key=PGTWO\nrepo2-s3-key-secret=s\nrepo2-s3-bucket=b\n",
        &[
            "pgbackrest repository global/1:2 PGONE",
            "pgbackrest repository global/2:4 PGTWO in b",
        ],
    ),
    (
        "wal-g",
        ".walg.json",
        "{\"WALG_S3_PREFIX\": \"s3://b/x\",\n\"AWS_ACCESS_KEY_ID\": \"WGID\", \"AWS_SECRET_ACCESS_KEY\": \"s\"}",
        &["wal-g .walg.json:2 WGID"],
    ),
    (
        "terraform",
        "main.tf",
        "terraform {\n  backend \"s3\" {\n    bucket = \"b\"\n    access_key = \"TFID\"\n    secret_key = \"s\"\n  }\n}\nprovider \"aws\" {\n  access_key = var.id\n}\n",
        &[
            "terraform main.tf:4 TFID in b",
            "? main.tf:9: the value is computed from others, which is not done here",
        ],
    ),
    (
        "terraform-state",
        ".terraform/terraform.tfstate",
        "{\"backend\": {\"type\": \"s3\", \"config\": {\n\"access_key\": \"TSID\", \"secret_key\": \"s\", \"bucket\": \"b\"}}}",
        &["terraform-state .terraform/terraform.tfstate:2 TSID in b"],
    ),
    (
        "dvc",
        ".dvc/config.local",
        "['remote \"store\"']\n    access_key_id = 'DVCID'\n    secret_access_key = s # mine\n",
        &["dvc remote remote \"store\":2 DVCID"],
    ),
    (
        "fsspec",
        ".config/fsspec/s3.json",
        "{\"s3\": {\n\"key\": \"FSID\", \"secret\": \"s\", \"client_kwargs\": {\"endpoint_url\": \"http://127.0.0.1:9\"}}}",
        &["fsspec .config/fsspec/s3.json:2 FSID at 127.0.0.1"],
    ),
    (
        "fsspec-ini",
        ".config/fsspec/s3.ini",
        "[s3]\nkey = FSINI\nsecret = s\n",
        &["fsspec-ini .config/fsspec/s3.ini:2 FSINI"],
    ),
    (
        "clearml",
        "clearml.conf",
        "sdk {\n  aws {\n    s3 {\n      key: \"CLALL\"\n      secret: \"s\"\n      credentials: [\n        { host: \"h.example:9000\", bucket: \"b\", key: \"CLB\", secret: \"s\" }\n      ]\n    }\n  }\n}\n",
        &[
            "clearml bucket b:7 CLB at h.example in b",
            "clearml clearml.conf:4 CLALL",
        ],
    ),
    (
        "hadoop",
        "etc/hadoop/conf/core-site.xml",
        "<configuration>\n<property><name>fs.s3a.access.key</name>\n<value>HDID</value></property>\n<property><name>fs.s3a.secret.key</name><value>s</value></property></configuration>",
        &["hadoop etc/hadoop/conf/core-site.xml:3 HDID"],
    ),
    (
        "spark",
        "etc/spark/conf/spark-defaults.conf",
        "# x\nspark.hadoop.fs.s3a.access.key  SPID\nspark.hadoop.fs.s3a.secret.key  s\n",
        &["spark etc/spark/conf/spark-defaults.conf:2 SPID"],
    ),
    (
        "nextcloud",
        "var/www/nextcloud/config/config.php",
        "<?php\n$CONFIG = array (\n'objectstore' => array('class' => 'X', 'arguments' => array(\n'bucket' => 'b', 'key' => 'NCID', 'secret' => 's', 'hostname' => 'h.example')),\n);",
        &["nextcloud var/www/nextcloud/config/config.php:4 NCID at h.example in b"],
    ),
    (
        "airflow",
        "airflow/airflow.db",
        "SQLite format 3",
        &["? airflow/airflow.db: its connections are in a database, their secrets encrypted"],
    ),
    (
        "gitlab-runner",
        "etc/gitlab-runner/config.toml",
        "[[runners]]\nname = \"one\"\n[runners.cache.s3]\nAccessKey = \"GLONE\"\nSecretKey = \"s\"\n[[runners]]\nname = \"two\"\n[runners.cache.s3]\nAccessKey = \"GLTWO\"\nSecretKey = \"s\"\n",
        &[
            "gitlab-runner runner one:4 GLONE",
            "gitlab-runner runner two:9 GLTWO",
        ],
    ),
    (
        "gitea",
        "etc/gitea/app.ini",
        "[storage]\nSTORAGE_TYPE = minio\nMINIO_ACCESS_KEY_ID = `GTID` ; mine\nMINIO_SECRET_ACCESS_KEY = s\nMINIO_BUCKET = b\n",
        &["gitea section storage:3 GTID in b"],
    ),
    (
        "server-yaml",
        "etc/docker/registry/config.yml",
        "storage:\n  s3:\n    accesskey: RGID\n    secretkey: s\n    bucket: b\n    regionendpoint: http://h.example\n",
        &["server-yaml section storage/s3:3 RGID at h.example in b"],
    ),
    (
        "dotenv",
        ".env",
        "S3_ACCESS_KEY_ID=\"ENVID\"\nS3_SECRET_ACCESS_KEY=s\nOTHER=x\n",
        &["dotenv .env:1 ENVID"],
    ),
    (
        "dotenv",
        ".env",
        "export AWS_ACCESS_KEY_ID=RID\nexport AWS_SECRET_ACCESS_KEY=s\nexport RESTIC_REPOSITORY=s3:http://127.0.0.1:8642/backups/r\n",
        &["dotenv .env:1 RID at 127.0.0.1 in backups"],
    ),
    (
        "actions-runner",
        "actions-runner/.env",
        "AWS_ACCESS_KEY_ID=ACID\nAWS_SECRET_ACCESS_KEY=s\n",
        &["actions-runner actions-runner/.env:1 ACID"],
    ),
    (
        "duckdb",
        ".duckdb/stored_secrets/mine.duckdb_secret",
        "e\0\0f\0\x04minee\0\0f\0\x06key_ide\0\0f\0\x08DUCKKEY1e\0\0f\0\x06secrete\0\0f\0\x03abc",
        &["duckdb secret mine:1 DUCKKEY1"],
    ),
    (
        "shell",
        ".profile",
        "export AWS_ACCESS_KEY_ID=SHID AWS_SECRET_ACCESS_KEY='s'\nexport MC_HOST_r2=https://MHID:s@h.example\nexport S3_ACCESS_KEY=$(pass s3)\n",
        &[
            "? .profile:3: the value is printed by a command, which is not run",
            "shell .profile:1 SHID",
            "shell MC_HOST r2:2 MHID at h.example",
        ],
    ),
    (
        "history",
        ".bash_history",
        "ls\nAWS_ACCESS_KEY_ID=HIID AWS_SECRET_ACCESS_KEY=s restic snapshots\n",
        &["history .bash_history:2 HIID leftover"],
    ),
    (
        "cyberduck",
        ".duck/Bookmarks/x.duck",
        "<plist><dict>\n<key>Protocol</key><string>s3</string><key>Nickname</key><string>Photos</string>\n<key>Username</key><string>CDID</string><key>Hostname</key><string>h.example</string></dict></plist>",
        &["cyberduck bookmark Photos:3 CDID at h.example"],
    ),
    (
        "cyberduck",
        ".duck/Bookmarks/ftp.duck",
        "<plist><dict><key>Protocol</key><string>ftp</string><key>Username</key><string>me-myself</string></dict></plist>",
        &[],
    ),
    (
        "cyberduck-group",
        "Library/Group Containers/G69SCX94XU.duck/Library/Application Support/duck/Bookmarks/x.duck",
        "<plist><dict><key>Protocol</key><string>s3</string><key>Username</key><string>CGID</string></dict></plist>",
        &[
            "cyberduck-group Library/Group Containers/G69SCX94XU.duck/Library/Application Support/duck/Bookmarks/x.duck:1 CGID",
        ],
    ),
    (
        "duck",
        ".duck/credentials",
        "# x\nhttps\\://DKID@h.example\\:443=hunter2\n",
        &["duck .duck/credentials:2 DKID at h.example"],
    ),
    (
        "transmit",
        "Library/Application Support/Transmit/Metadata/x.favoriteMetadata",
        "<plist><dict><key>com_panic_transmit_protocol</key><string>S3</string>\n<key>com_panic_transmit_username</key><string>TRID</string></dict></plist>",
        &["transmit Library/Application Support/Transmit/Metadata/x.favoriteMetadata:2 TRID"],
    ),
    (
        "filezilla",
        ".config/filezilla/sitemanager.xml",
        "<FileZilla3><Servers><Folder>f<Server><Host>h.example</Host><Protocol>7</Protocol>\n<User>FZID</User><Pass encoding=\"base64\">aHVudGVyMg==</Pass><Name>Photos</Name></Server></Folder>\n<Server><Protocol>0</Protocol><User>ftp-user</User></Server></Servers></FileZilla3>",
        &["filezilla site Photos:2 FZID at h.example"],
    ),
    (
        "expandrive",
        "Library/Application Support/ExpanDrive/expandrive3.favorites.js",
        "[{\"type\": \"s3\",\n\"username\": \"EXID\", \"name\": \"Photos\", \"server\": \"h.example\"}]",
        &["expandrive favourite Photos:2 EXID at h.example"],
    ),
];

#[test]
fn every_row_finds_the_keys_of_its_fixture() {
    for (row, path, content, expected) in FIXTURES {
        let home = home(&[(path, content.as_bytes())]);
        let picture = home.look();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(home.lines(&picture), expected, "{row} {path}");
        let told = format!("{picture:?}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn every_row_has_a_fixture_or_a_test_of_its_own() {
    let own = [
        "rclone",
        "aws",
        "ec2-credentials",
        "s5cmd",
        "mc-hosts",
        "mount",
        "barman-cloud",
        "duplicati",
        "kubernetes",
        "compose",
    ];
    let fixtures = FIXTURES.iter().map(|(row, ..)| *row);
    let tested: BTreeSet<&str> = fixtures.chain(own).collect();
    let rows = Catalogue::builtin().rows();
    let known: BTreeSet<&str> = rows.iter().map(|row| &*row.id).collect();
    assert_eq!(known, tested);
    assert_eq!(rows.len(), known.len(), "an id stands twice");
}

#[test]
fn a_file_is_recognised_wherever_it_lies() {
    let catalogue = Catalogue::builtin();
    for (row, path, ..) in FIXTURES {
        let moved = Path::new("/mnt/backup").join(path);
        let found = catalogue.recognise(&moved).map(|row| &*row.id);
        // Bookmarks are bookmarks, whoever's folder they are in.
        let same = found.map(|found| found.trim_end_matches("-group"));
        assert_eq!(same, Some(row.trim_end_matches("-group")), "{path}");
    }
    for (path, row) in [
        ("/x/docker-compose.prod.yml", Some("compose")),
        ("/x/db-secret.yaml", Some("kubernetes")),
        ("/x/prod.tfvars", Some("terraform")),
        ("/x/rclone.conf", Some("rclone")),
        ("/x/.aws/credentials.bak", Some("aws")),
        ("/x/README.md", None),
    ] {
        let found = catalogue.recognise(Path::new(path)).map(|row| &*row.id);
        assert_eq!(found, row, "{path}");
    }
}

fn look_at(name: &str, content: &str) -> Vec<String> {
    let home = home(&[(name, content.as_bytes())]);
    let path = home.folder.path().join(name);
    let catalogue = Catalogue::builtin();
    let mut picture = Picture::default();
    let row = catalogue.recognise(&path).unwrap();
    catalogue.file(row, &path, &home.machine, &mut picture);
    home.lines(&picture)
}

#[test]
fn secrets_of_kubernetes_are_decoded() {
    // [default]\naws_access_key_id=K8INI\naws_secret_access_key=s\n
    let manifest = "apiVersion: v1\nkind: ConfigMap\ndata:\n  accessKey: SzhOT1Q=\n---\nkind: Secret\ndata:\n  cloud: W2RlZmF1bHRdCmF3c19hY2Nlc3Nfa2V5X2lkPUs4SU5JCmF3c19zZWNyZXRfYWNjZXNzX2tleT1zCg==\n  AWS_ACCESS_KEY_ID: SzhWQVI=\n  AWS_SECRET_ACCESS_KEY: aHVudGVyMg==\nstringData:\n  access-key: K8STR\n";
    assert_eq!(
        look_at("app-secret.yaml", manifest),
        [
            "kubernetes secret value AWS_ACCESS_KEY_ID:9 K8VAR",
            "kubernetes secret value access-key:12 K8STR unused",
            "kubernetes secret value cloud [default]:8 K8INI",
        ]
    );
}

#[test]
fn services_of_compose_files_are_found_in_both_ways_to_write_them() {
    let text = "services:\n  a:\n    environment:\n      AWS_ACCESS_KEY_ID: COMAP\n      AWS_SECRET_ACCESS_KEY: s\n  b:\n    environment:\n      - AWS_ACCESS_KEY_ID=COLIST\n      - AWS_SECRET_ACCESS_KEY=s\n";
    assert_eq!(
        look_at("compose.yaml", text),
        ["compose service a:4 COMAP", "compose service b:8 COLIST"]
    );
}

fn duplicati(folder: &Path, urls: &[(&str, &str)]) -> PathBuf {
    let path = folder.join(".config/Duplicati/Duplicati-server.sqlite");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch("CREATE TABLE Backup (ID INTEGER PRIMARY KEY, Name TEXT, TargetURL TEXT)")
        .unwrap();
    for row in urls {
        let insert = "INSERT INTO Backup (Name, TargetURL) VALUES (?1, ?2)";
        database.execute(insert, *row).unwrap();
    }
    path
}

#[test]
fn duplicatis_database_is_read_and_what_it_encrypts_is_said() {
    let home = home(&[]);
    let path = duplicati(
        home.folder.path(),
        &[
            (
                "photos",
                "s3://b/x?s3-server-name=h.example&auth-username=DTID&auth-password=hunter2%2F",
            ),
            ("sealed", "enc-v1:00ff"),
            ("vault", "s3://b?auth-username=$id"),
            ("local", "file:///x"),
        ],
    );
    let before = fs::read(&path).unwrap();
    let file = ".config/Duplicati/Duplicati-server.sqlite";
    let picture = home.look();
    assert_eq!(
        home.lines(&picture),
        [
            format!("? {file}: backup sealed: the target is encrypted with Duplicati's own key"),
            format!("? {file}: backup vault: the key comes from a secret provider"),
            "duplicati backup photos:1 DTID at h.example in b".to_owned(),
        ]
    );
    assert!(picture.uses[0].key.secret.is_some());
    assert!(!format!("{picture:?}").contains("hunter2"));
    let beside = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!((fs::read(&path).unwrap(), beside), (before, 1), "untouched");
    fs::write(&path, "SQLite format 3\0 but not really").unwrap();
    assert_eq!(home.look().gaps.len(), 1);
}

#[test]
fn a_file_that_others_may_read_is_refused_by_s3fs() {
    let home = home(&[
        (".passwd-s3fs", b"ID1:s\n"),
        ("etc/passwd-s3fs", b"ID2:s\n"),
    ]);
    let chmod = |path: &str, mode| {
        let path = home.folder.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod(".passwd-s3fs", 0o640);
    chmod("etc/passwd-s3fs", 0o640);
    let lines = home.lines(&home.look());
    assert_eq!(
        lines,
        [
            "s3fs .passwd-s3fs:1 ID1 unused",
            "s3fs etc/passwd-s3fs:1 ID2 shadowed by .passwd-s3fs"
        ]
    );
}

#[test]
fn variables_of_who_asks_stand_before_files_where_the_tool_says_so() {
    let (_, path, content, _) = FIXTURES
        .iter()
        .find(|(row, ..)| *row == "pgbackrest")
        .unwrap();
    let mut home = home(&[
        (path, content.as_bytes()),
        (".s3cfg", b"access_key=S3ID\nsecret_key=s\n"),
    ]);
    let environment = &mut home.machine.environment;
    environment.set("AWS_ACCESS_KEY", "ENVID");
    environment.set("LITESTREAM_ACCESS_KEY_ID", "ENVID");
    assert_eq!(
        home.lines(&home.look())
            .iter()
            .filter(|line| line.contains("shadowed"))
            .count(),
        0
    );
}

#[test]
fn what_can_not_be_read_is_a_gap_and_never_a_hang() {
    let home = home(&[
        (".mc/config.json", b"{ \"aliases\": { hunter2"),
        (".config/backrest/config.json", b"\xff\xfe\0"),
        ("etc/litestream.yml", b"$ANSIBLE_VAULT;1.1;AES256\n00\n"),
    ]);
    let pipe = home.folder.path().join(".boto");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink(".s3cfg", home.folder.path().join(".s3cfg")).unwrap();
    let picture = home.look();
    let told = format!("{picture:?}");
    assert!(!told.contains("hunter2"), "{told}");
    let lines = home.lines(&picture);
    for file in [
        ".mc/config.json",
        "backrest/config.json",
        "litestream.yml",
        ".boto",
        ".s3cfg",
    ] {
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with('?') && line.contains(file)),
            "{file}: {lines:?}"
        );
    }
}

#[test]
fn homes_of_others_are_looked_at_as_theirs_and_say_so_when_closed() {
    let home = home(&[(
        "home/bob/.mc/config.json",
        b"{\"aliases\":{\"a\":{\"accessKey\":\"BOBID\",\"secretKey\":\"s\"}}}",
    )]);
    let bob = User {
        name: "bob".into(),
        uid: 4_000,
        home: Some(home.folder.path().join("home/bob")),
    };
    let mut picture = Picture::default();
    Catalogue::builtin().configurations(&home.machine, &bob, &mut picture);
    assert_eq!(picture.uses.len(), 1);
    assert_eq!(picture.uses[0].user.as_deref(), Some("bob"));
}

#[test]
fn rows_of_users_take_the_place_of_ours_and_a_bad_one_names_row_and_field() {
    let home = home(&[
        ("good.toml", b"[[row]]\nid = \"mine\"\npaths = [\"{home}/mine.yaml\"]\nformat = \"yaml\"\nkeys = [{ id = [\"a.id\"], secret = [\"a.s\"] }]\n\n[[row]]\nid = \"boto\"\nformat = \"opaque\"\n"),
        ("mine.yaml", b"a:\n  id: MYID\n  s: x\n"),
        (".boto", b"[Credentials]\naws_access_key_id = BOTOID\n"),
    ]);
    let catalogue = Catalogue::with(&home.folder.path().join("good.toml")).unwrap();
    let mut picture = Picture::default();
    catalogue.configurations(&home.machine, &home.machine.user, &mut picture);
    assert_eq!(home.lines(&picture), ["mine mine.yaml:2 MYID"]);
    let absent = Catalogue::with(&home.folder.path().join("none.toml")).unwrap();
    assert_eq!(absent.rows().len(), Catalogue::builtin().rows().len());
    for (text, row, field, line) in [
        ("[[row]]\nid = \"a\"\npathes = [\"x\"]\n", "a", "pathes", 3),
        ("[[row]]\nid = \"a\"\nformat = \"yml\"\n", "a", "format", 3),
        (
            "[[row]]\nid = \"a\"\npaths = [\"etc/x\"]\n",
            "a",
            "paths",
            3,
        ),
        (
            "[[row]]\nid = \"a\"\nkeys = [{ id = [\"a..b\"] }]\n",
            "a",
            "keys.0.id.0",
            3,
        ),
        (
            "[[row]]\nid = \"a\"\nexpands = \"maybe\"\n",
            "a",
            "expands",
            3,
        ),
        ("[[row]]\nformat = \"json\"\n", "", "id", 2),
        ("[[row]\n", "", "", 1),
    ] {
        let path = home.folder.path().join("bad.toml");
        fs::write(&path, text).unwrap();
        let Err(BadTable::Row(bad)) = Catalogue::with(&path) else {
            panic!("{text}");
        };
        assert_eq!(
            (&*bad.row, &*bad.field, bad.line),
            (row, field, line),
            "{bad}"
        );
    }
}

#[test]
fn what_configurations_depend_on_is_named_before_it_is_there() {
    let home = home(&[]);
    let interests = Catalogue::builtin().interests(&home.machine.environment);
    for path in [
        ".mc/config.json",
        ".duckdb/stored_secrets",
        "etc/litestream.yml",
    ] {
        assert!(interests.contains(&home.folder.path().join(path)), "{path}");
    }
    assert!(!interests.contains(&home.folder.path().join(".bash_history")));
}
