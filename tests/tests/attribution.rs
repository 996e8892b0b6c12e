//! Which process is at the other end of a connection: asked as the daemon asks, about real ones.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
};

use bascule_os::attribution::{Process as Client, Unit, Unknown, of_peer};
use bascule_tests::{Home, machine::Boot, process::Process, random_hex, tools, wait};
use rustix::{process::Uid, thread::set_thread_res_uid};

/// Somebody whom nothing belongs to.
const NOBODY: u32 = 65534;

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn client_of(stream: &TcpStream) -> Result<Client, Unknown> {
    of_peer(stream.local_addr().unwrap(), stream.peer_addr().unwrap())
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().unwrap().0
}

/// A shell that connects to the port, and then does what the script says with descriptor 3.
fn shell(home: &Home, port: u16, script: &str) -> Command {
    let mut command = home.command(Path::new("bash"));
    command.args([
        "-c",
        &format!("exec 3<>/dev/tcp/127.0.0.1/{port}; {script}"),
    ]);
    command
}

#[test]
fn this_process_is_named_over_either_family() {
    for (listens, connects) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("[::1]:0", "::1"),
        ("[::]:0", "127.0.0.1"),
        ("127.0.0.1:0", "::ffff:127.0.0.1"),
    ] {
        let listener = TcpListener::bind(listens).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _far = TcpStream::connect((connects, port)).unwrap();
        let near = accept(&listener);
        let client = client_of(&near).unwrap();
        assert_eq!(client.pid, std::process::id(), "{listens} from {connects}");
        assert_eq!(client.uid, rustix::process::geteuid().as_raw());
        assert_eq!(client.exe, std::env::current_exe().ok());
        assert!(client.command.is_some());
    }
}

#[test]
fn the_real_rclone_is_named_and_its_secret_is_not() {
    let home = Home::new();
    let (listener, port) = listener();
    let secret = random_hex(20);
    let rclone = tools::get("rclone");
    let mut command = home.command(&rclone);
    command.args(["cat", "--retries=1", "--low-level-retries=1"]).arg(format!(
        ":s3,provider=Other,access_key_id=BSCTEST,secret_access_key={secret},endpoint='http://127.0.0.1:{port}':bucket/object"
    ));
    let process = Process::start(command, &home.path("rclone.log"));
    let near = accept(&listener);
    let client = client_of(&near).unwrap();
    assert_eq!(client.pid, process.pid());
    assert_eq!(client.exe, Some(rclone.canonicalize().unwrap()));
    let command = client.command.unwrap();
    assert!(
        command.contains("rclone cat") && command.contains("bucket/object"),
        "{command}"
    );
    assert!(
        command.contains("access_key_id=BSCTEST") && !command.contains(&secret),
        "{command}"
    );
}

#[test]
fn a_process_of_another_user_is_named_to_root_and_kept_from_others() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: this is not root");
        return;
    }
    let home = Home::new();
    let (listener, port) = listener();
    let mut command = shell(&home, port, "read -u 3");
    command.current_dir("/").uid(NOBODY).gid(NOBODY);
    let others = Process::start(command, &home.path("others.log"));
    let near = accept(&listener);
    let client = client_of(&near).unwrap();
    assert_eq!((client.pid, client.uid), (others.pid(), NOBODY));
    assert!(client.command.unwrap().starts_with("bash -c"));

    let roots = Process::start(shell(&home, port, "read -u 3"), &home.path("roots.log"));
    let near = accept(&listener);
    assert_eq!(client_of(&near).unwrap().pid, roots.pid());
    // The rights are this thread's alone, and go with it.
    let refused = std::thread::spawn(move || {
        let nobody = Uid::from_raw(NOBODY);
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        client_of(&near)
    });
    assert_eq!(
        refused.join().unwrap(),
        Err(Unknown::NotReadable { uid: 0 })
    );
}

#[test]
fn of_processes_that_share_a_connection_the_one_that_made_it_is_named_or_none() {
    let home = Home::new();
    let (listener, port) = listener();
    let script = "sleep 300 & sleep 300 & echo >&3; wait";
    let mut parent = Process::start(shell(&home, port, script), &home.path("shared.log"));
    let mut near = accept(&listener);
    read_line(&mut near);
    assert_eq!(client_of(&near).unwrap().pid, parent.pid());

    rustix::process::kill_process(
        rustix::process::Pid::from_raw(parent.pid().cast_signed()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    parent.wait("the shell to end");
    match client_of(&near) {
        Err(Unknown::Shared { pids }) => {
            assert_eq!(pids.len(), 2);
            for pid in pids {
                // The shell's child is a shell itself for a moment.
                wait::until("the programs of both", || {
                    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
                    (name == "sleep\n").then_some(())
                });
            }
        }
        other => panic!("{other:?}"),
    }
    // The group is still the shell's.
    parent.kill();
}

fn read_line(stream: &mut TcpStream) {
    let mut byte = [0];
    std::io::Read::read_exact(stream, &mut byte).unwrap();
}

#[test]
fn nobody_is_named_for_a_connection_that_was_closed_or_is_not_ours() {
    let (listener, port) = listener();
    let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let near = accept(&listener);
    let local = near.local_addr().unwrap();
    drop(far);
    // A child that another test is just starting has everything of ours for a moment.
    wait::until("nobody to hold the connection", || {
        (client_of(&near) == Err(Unknown::Ended)).then_some(())
    });
    drop((near, listener));

    let other = "127.0.0.77:1".parse().unwrap();
    assert_eq!(of_peer(local, other), Err(Unknown::NoSuchSocket));
    let far = "192.0.2.1:443".parse().unwrap();
    assert_eq!(of_peer(local, far), Err(Unknown::NotLoopback));
}

#[test]
fn under_systemd_the_unit_of_the_real_rclone_is_named() {
    let Some(machine) = Boot::new()
        .bind(&tools::get("rclone"), "/usr/local/bin/rclone")
        .start()
    else {
        return;
    };
    let (listener, port) = listener();
    let service = format!(
        "[Service]\nType=exec\nExecStart=/usr/local/bin/rclone cat --retries=1 --low-level-retries=1 \
         --s3-provider=Other --s3-access-key-id=BSCTEST --s3-secret-access-key=hidden \
         --s3-endpoint=http://127.0.0.1:{port} :s3:bucket/%i\n"
    );
    machine.install("backup.service", &service.replace("%i", "object"));
    machine.install("restic@.service", &service);
    for unit in ["backup.service", "restic@home.service"] {
        let _ = machine.run(&["systemctl", "start", unit]).exits(0);
        let near = accept(&listener);
        let client = client_of(&near).unwrap();
        assert_eq!(
            client.unit,
            Some(Unit {
                name: unit.to_owned(),
                user: None
            })
        );
        assert_eq!(client.container.as_deref(), Some(machine.name()));
        assert_eq!(
            client.exe.as_deref(),
            Some(Path::new("/usr/local/bin/rclone"))
        );
        let command = client.command.unwrap();
        assert!(command.contains("--s3-secret-access-key=***"), "{command}");
        let _ = machine
            .run(&["systemctl", "kill", "--signal=KILL", unit])
            .exits(0);
    }
}

#[test]
fn a_machine_leaves_nothing_behind() {
    let Some(machine) = Boot::new().start() else {
        return;
    };
    let (name, leader) = (machine.name().to_owned(), machine.leader());
    machine.write("/etc/marker", "x");
    assert_eq!(machine.run(&["cat", "/etc/marker"]).stdout, "x");
    assert_eq!(
        machine.run(&["systemctl", "is-active", "cron"]).stdout,
        "active\n"
    );
    drop(machine);
    assert!(!Path::new(&format!("/proc/{leader}")).exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&name), "{mounts}");
    let image = tools::installed_path("machine").unwrap();
    assert!(!image.join("etc/marker").exists());
    for hierarchy in ["", "unified", "systemd"] {
        let group = format!("/sys/fs/cgroup/{hierarchy}/machine-{name}.scope");
        assert!(!Path::new(&group).exists());
    }
    assert!(
        !Path::new("/run/systemd/nspawn/propagate")
            .join(&name)
            .exists()
    );
}
