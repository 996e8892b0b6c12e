use crate::{
    jobs::Source,
    picture::{Picture, Rank},
    tree::{Tree, remote},
};

fn look(tree: &Tree) -> Picture {
    let mut picture = Picture::default();
    Source::Engines.look(&tree.machine(), &mut picture);
    picture
}

#[test]
fn a_container_of_docker_is_told_with_what_it_was_made_with_and_with_the_project_that_made_it() {
    let tree = Tree::new();
    let folder = "/var/lib/docker/containers/0123abcd";
    tree.write(
        &format!("{folder}/config.v2.json"),
        r#"{"State":{"Running":true},"Name":"/app-sync-1","Path":"/init","Args":["rclone","ls","r:b"],
"Config":{"Image":"example.org/x","Env":["PATH=/bin",
"AWS_ACCESS_KEY_ID=AKKEPT"],"Labels":{"com.docker.compose.project":"app","com.docker.compose.service":"sync",
"com.docker.compose.project.config_files":"/srv/app/compose.yaml","com.docker.compose.project.working_dir":"/srv/app"}},
"MountPoints":{"/config/rclone":{"Source":"/srv/conf","Destination":"/config/rclone"}}}"#,
    );
    tree.write(
        &format!("{folder}/hostconfig.json"),
        r#"{"RestartPolicy":{"Name":"always"}}"#,
    );
    tree.write("/srv/conf/rclone.conf", &remote("AKCONF"));
    tree.write(
        "/srv/app/compose.yaml",
        "services:\n  sync:\n    image: x\n    restart: always\n    environment:\n      AWS_ACCESS_KEY_ID: AKNEW\n  other:\n    image: x\n    environment: {AWS_ACCESS_KEY_ID: AKOTHER}\n",
    );
    let picture = look(&tree);
    assert_eq!(picture.gaps, []);
    let mut found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| {
            let place = tree.shown(&found.key.place);
            (found.key.id.as_str(), found.rank, place)
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            ("AKCONF", Rank::Process, "/srv/conf/rclone.conf:3".into()),
            ("AKNEW", Rank::Scheduled, "/srv/app/compose.yaml:6".into()),
        ]
    );
}

#[test]
fn a_container_of_podman_is_told_by_the_specification_of_its_runtime() {
    let tree = Tree::new();
    tree.write(
        "/home/ann/.local/share/containers/storage/overlay-containers/0123456789abcdef/userdata/config.json",
        r#"{"process":{"args":["/opt/tool"],"env":["AWS_ACCESS_KEY_ID=AKPODMAN"],"cwd":"/"},
"mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/c","type":"bind","source":"/srv"}]}"#,
    );
    let picture = look(&tree);
    assert_eq!(picture.gaps, []);
    assert_eq!(picture.uses.len(), 1);
    let found = &picture.uses[0];
    assert_eq!(found.key.id.as_str(), "AKPODMAN");
    assert_eq!(
        (found.rank, found.chain[0].name.as_str()),
        (Rank::Manual, "0123456789ab")
    );
}

#[test]
fn state_that_is_broken_or_closed_is_a_gap_without_its_content() {
    let tree = Tree::new();
    tree.write(
        "/var/lib/docker/containers/a/config.v2.json",
        "{\"Name\": hunter2",
    );
    let picture = look(&tree);
    let shown = format!("{picture:?}");
    assert!(
        picture.gaps.len() == 1 && !shown.contains("hunter2"),
        "{shown}"
    );
}
