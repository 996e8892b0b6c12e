//! s3fs: a bucket as a folder. Needs FUSE, which not every machine gives to everybody.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use bascule_tests::{process::Process, tools, wait};

use crate::side::{Side, bytes, same_both_ways};

/// A mounted bucket. It is unmounted on drop, whatever happens.
struct Mounted {
    process: Process,
    folder: PathBuf,
}

impl Mounted {
    fn on(side: &Side) -> Option<Self> {
        let program = usable()?;
        let folder = side.home.path("mounted");
        fs::create_dir(&folder).unwrap();
        let secret = side
            .home
            .write("passwd", &format!("{}:{}\n", side.key.id, side.key.secret));
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = side.command(program, &["-f", &side.bucket]);
        command
            .arg(&folder)
            .args(["-o", &format!("passwd_file={}", secret.display())])
            .args(["-o", &format!("url={}", side.key.endpoint)])
            .args(["-o", "use_path_request_style", "-o", "endpoint=us-east-1"])
            .args([
                "-o",
                "multipart_size=5",
                "-o",
                "retries=1",
                "-o",
                "dbglevel=err",
            ]);
        let mut process = Process::start(command, &side.home.path("s3fs.log"));
        wait::until("the bucket to be mounted", || {
            if let Some(status) = process.ended() {
                panic!("s3fs ended with {status}:\n{}", process.output());
            }
            is_mounted(&folder).then_some(())
        });
        Some(Self { process, folder })
    }

    fn unmount(&mut self) {
        let run = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .arg(&self.folder)
                .output()
                .is_ok_and(|output| output.status.success())
        };
        assert!(
            run("umount", &[]) || run("fusermount", &["-u"]) || run("umount", &["-l"]),
            "{} stays mounted",
            self.folder.display()
        );
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if is_mounted(&self.folder) {
            self.unmount();
        }
        self.process.terminate();
        self.process.wait("s3fs to end");
    }
}

fn is_mounted(folder: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let folder = folder.to_str().expect("a path in UTF-8");
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(folder))
}

/// The program, where it can work. Says once why not.
fn usable() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            let fuse = fs::File::options().read(true).write(true).open("/dev/fuse");
            let why = match (tools::installed_path("s3fs"), fuse) {
                (None, _) => "s3fs is not installed".to_owned(),
                (_, Err(error)) => format!("/dev/fuse: {error}"),
                (Some(program), Ok(_)) => return Some(program),
            };
            let _ = writeln!(std::io::stderr(), "s3fs: skipped: {why}");
            None
        })
        .as_deref()
}

#[test]
fn s3fs_mounts_a_bucket_as_it_does_directly() {
    same_both_ways(|side| {
        let mut mounted = Mounted::on(side)?;
        let at = |name: &str| mounted.folder.join(name);
        let large = bytes("large", 12 << 20);
        fs::create_dir_all(at("a folder/below")).unwrap();
        fs::write(at("a folder/below/ünï + 😀.txt"), "written through a mount").unwrap();
        fs::write(at("large"), &large).unwrap();
        assert!(fs::read(at("large")).unwrap() == large);
        fs::rename(at("large"), at("a folder/larger")).unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(at("a folder/below/ünï + 😀.txt"))
            .and_then(|mut file| file.write_all(b", and more"))
            .unwrap();
        fs::write(at("gone"), "soon").unwrap();
        fs::remove_file(at("gone")).unwrap();
        let mut names: Vec<_> = fs::read_dir(at("a folder"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        side.hears(&names.join("\n"));
        let size = fs::metadata(at("a folder/larger")).unwrap().len();
        assert_eq!(size, 12 << 20);
        let missing = fs::read(at("missing")).unwrap_err();
        side.hears(&missing.kind().to_string());
        mounted.unmount();
        Some(())
    });
}
