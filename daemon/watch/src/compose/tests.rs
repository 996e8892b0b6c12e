use crate::{
    command::{self, Command},
    machine::Machine,
    picture::{NextRun, Picture, Rank, Trail, Use},
    tree::{Tree, remote},
};

impl Tree {
    /// What a line of a job of ann's starts in a folder.
    fn starts(&self, folder: &str, line: &str, variables: &[(&str, &str)]) -> Picture {
        let machine: Machine = self.machine();
        let mut environment = machine.bare_environment(&machine.user);
        environment.current_folder = self.path(folder);
        for (name, value) in variables {
            environment.set(*name, *value);
        }
        let words = line.split(' ').map(ToOwned::to_owned);
        let command = Command {
            arguments: words.collect(),
            environment,
        };
        let mut trail = Trail::configuration();
        trail.rank = Rank::Scheduled;
        let mut picture = Picture::default();
        command::follow(&command, &machine, &trail, &mut picture);
        picture
    }

    /// Key and place of each use.
    fn keys_at(&self, picture: &Picture) -> Vec<String> {
        let told = |found: &Use| format!("{} {}", found.key.id, self.shown(&found.key.place));
        picture.uses.iter().map(told).collect()
    }
}

#[test]
fn variables_of_a_service_come_from_its_lines_its_files_and_the_projects_own_variables() {
    let tree = Tree::new();
    tree.write(
        "/srv/app/compose.yaml",
        "services:\n  lines:\n    image: example.org/app\n    environment:\n      AWS_ACCESS_KEY_ID: AKLINE\n    env_file: [a.env]\n\
         \x20 files:\n    image: x\n    env_file:\n      - a.env\n      - b.env\n      - {path: gone.env, required: false}\n\
         \x20 project:\n    image: x\n    environment: [\"AWS_ACCESS_KEY_ID=${KEY}\", X]\n\
         \x20 default:\n    image: x\n    environment: {AWS_ACCESS_KEY_ID: \"${NONE:-AKDEFAULT}\"}\n\
         \x20 shell:\n    image: x\n    environment: [AWS_ACCESS_KEY_ID]\n",
    );
    tree.write("/srv/app/a.env", "AWS_ACCESS_KEY_ID=AKA\n");
    tree.write("/srv/app/b.env", "# b\nAWS_ACCESS_KEY_ID=AKB\n");
    tree.write("/srv/app/.env", "X=1\nKEY=AKPROJECT\n");
    let shell = [("AWS_ACCESS_KEY_ID", "AKSHELL")];
    let picture = tree.starts("/srv/app", "docker compose up -d", &shell);
    assert_eq!(picture.gaps, []);
    assert_eq!(
        tree.keys_at(&picture),
        [
            "AKDEFAULT /srv/app/compose.yaml:18",
            "AKB /srv/app/b.env:2",
            "AKLINE /srv/app/compose.yaml:5",
            "AKPROJECT /srv/app/.env:2",
            "AKSHELL $AWS_ACCESS_KEY_ID",
        ]
    );
    // The surroundings stand before `.env`.
    let picture = tree.starts(
        "/srv/app/",
        "docker-compose run project",
        &[("KEY", "AKOUTSIDE")],
    );
    assert_eq!(tree.keys_at(&picture), ["AKOUTSIDE $KEY"]);
}

#[test]
fn what_a_service_runs_sees_the_files_that_its_volumes_show() {
    let tree = Tree::new();
    tree.write("/srv/app/conf/rclone.conf", &remote("AKVOLUME"));
    tree.write(
        "/srv/app/s3cfg",
        "[default]\naccess_key = AKCONFIG\nsecret_key = secretsecret\n",
    );
    tree.write(
        "/srv/app/docker-compose.yml",
        "services:\n  sync:\n    image: rclone/rclone\n    command: sync /data r:bucket\n    volumes: [\"./conf:/config/rclone\"]\n\
         \x20 own:\n    image: debian\n    entrypoint: [sh, -c, \"rclone --config /c/rclone.conf ls r:other\"]\n    volumes: [{type: bind, source: ./conf, target: /c}]\n\
         \x20 shown:\n    image: example.org/unknown\n    configs: [{source: s3, target: /root/.s3cfg}]\nconfigs:\n  s3: {file: ./s3cfg}\n",
    );
    let picture = tree.starts("/", "docker compose -f /srv/app/docker-compose.yml up", &[]);
    assert_eq!(picture.gaps, []);
    let mut found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| (found.key.id.as_str(), found.bucket.as_deref()))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            ("AKCONFIG", None),
            ("AKVOLUME", Some("bucket")),
            ("AKVOLUME", Some("other"))
        ]
    );
}

#[test]
fn files_services_and_projects_that_build_on_others_are_followed() {
    let tree = Tree::new();
    tree.write(
        "/srv/compose.yaml",
        "include: [sub/compose.yaml]\nservices:\n  a:\n    extends: {file: base/base.yaml, service: base}\n    environment: {B: 1}\n\
         \x20 b:\n    extends: a\n    environment: {AWS_ACCESS_KEY_ID: AKB}\n  c: {image: x, environment: {AWS_ACCESS_KEY_ID: AKOLD}}\n",
    );
    tree.write(
        "/srv/compose.override.yaml",
        "services: {c: {environment: {AWS_ACCESS_KEY_ID: AKOVER}}}\n",
    );
    tree.write(
        "/srv/base/base.yaml",
        "services:\n  base:\n    image: x\n    env_file: base.env\n",
    );
    tree.write("/srv/base/base.env", "AWS_ACCESS_KEY_ID=AKBASE\n");
    tree.write(
        "/srv/sub/compose.yaml",
        "services:\n  inner:\n    image: x\n    profiles: [extra]\n    environment: {AWS_ACCESS_KEY_ID: \"$SUB\"}\n",
    );
    tree.write("/srv/sub/.env", "SUB=AKSUB\n");
    let picture = tree.starts("/srv", "podman compose up", &[]);
    assert_eq!(picture.gaps, []);
    assert_eq!(
        tree.keys_at(&picture),
        [
            "AKBASE /srv/base/base.env:1",
            "AKB /srv/compose.yaml:8",
            "AKOVER /srv/compose.override.yaml:1",
            "AKSUB /srv/sub/.env:1",
        ]
    );
    let inner = &picture.uses[3];
    assert_eq!(inner.rank, Rank::Manual);
    assert_eq!(
        inner.next_run,
        Some(NextRun::Never("its profile extra is not asked for".into()))
    );
    let picture = tree.starts("/srv", "docker compose --profile extra up", &[]);
    assert_eq!(picture.uses[3].rank, Rank::Scheduled);
}

#[test]
fn what_keeps_compose_from_starting_is_a_gap_and_shows_no_value() {
    let tree = Tree::new();
    let gaps = |text: &str| {
        tree.write("/srv/compose.yaml", text);
        let picture = tree.starts("/srv", "docker compose up", &[]);
        assert_eq!(picture.uses, []);
        let shown = format!("{:?}", picture.gaps);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(picture.gaps.len(), 1, "{shown}");
        picture.gaps[0].why.clone()
    };
    assert!(
        gaps("services: {a: {image: \"${X:?hunter2}\"}}").contains("the variable X has to be set")
    );
    assert!(gaps("services: {a: {env_file: gone.env}}").contains("not there"));
    assert!(gaps("services: {a: {extends: {service: gone}}}").contains("not there"));
    assert!(gaps("services: {a: {extends: b}, b: {extends: a}}").contains("without an end"));
    assert!(gaps("services: [hunter2: : {").starts_with("line "));
    let picture = tree.starts("/home", "docker compose up", &[]);
    assert_eq!(picture.gaps.len(), 1);
    // A file that includes itself comes to an end.
    tree.write(
        "/srv/compose.yaml",
        "include: [compose.yaml]\nservices: {a: {image: x}}\n",
    );
    assert!(
        !tree
            .starts("/srv", "docker compose up", &[])
            .gaps
            .is_empty()
    );
    // So does a container that starts its own project.
    tree.write(
        "/srv/compose.yaml",
        "services: {a: {image: docker, command: [docker, compose, -f, /srv/compose.yaml, up], environment: {AWS_ACCESS_KEY_ID: AKIN}}}\n",
    );
    let _ = tree.starts("/srv", "docker compose up", &[]);
}

#[test]
fn a_container_that_is_run_by_itself_gets_what_its_options_say() {
    let tree = Tree::new();
    tree.write(
        "/srv/one.env",
        "AWS_SECRET_ACCESS_KEY=x\nAWS_ACCESS_KEY_ID=AKFILE\n",
    );
    tree.write("/srv/rclone.conf", &remote("AKSHOWN"));
    let run = |line: &str| {
        let picture = tree.starts(
            "/srv",
            line,
            &[("KEY", "x"), ("AWS_ACCESS_KEY_ID", "AKSHELL")],
        );
        assert_eq!(picture.gaps, []);
        tree.keys_at(&picture)
    };
    assert_eq!(
        run("docker run --rm -it --env-file one.env example.org/app work"),
        ["AKFILE /srv/one.env:2"]
    );
    assert_eq!(
        run("podman run -v /srv/rclone.conf:/config/rclone/rclone.conf:ro rclone/rclone ls r:b"),
        ["AKSHOWN /srv/rclone.conf:3"]
    );
    assert_eq!(
        run("docker run -e AWS_ACCESS_KEY_ID=AKGIVEN x"),
        ["AKGIVEN argument --env AWS_ACCESS_KEY_ID"]
    );
    assert_eq!(run("docker run x"), [""; 0]);
    assert_eq!(run("docker compose ls"), [""; 0]);
}
