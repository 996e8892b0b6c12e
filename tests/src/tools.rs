//! Where the programs under test and the tools around them are.

use std::{
    collections::HashMap,
    env,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The workspace's folder.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}

/// The folder with `basculed` and `bascule`: `BASCULE_BIN_DIR`, or the folder this test was built
/// into, after building both there.
pub fn bin_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        if let Some(dir) = env::var_os("BASCULE_BIN_DIR") {
            return dir.into();
        }
        let exe = env::current_exe().expect("the path of this test");
        let dir = exe
            .ancestors()
            .find(|path| path.file_name().is_some_and(|name| name == "deps"))
            .and_then(Path::parent)
            .expect("a test lies in target/PROFILE/deps")
            .to_owned();
        // The whole workspace, so that features are united as in the build of the tests and
        // nothing is compiled twice.
        let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build
            .args(["build", "--quiet", "--workspace", "--bins"])
            .current_dir(workspace());
        if dir.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        assert!(
            build.status().expect("cargo").success(),
            "the programs under test don't build"
        );
        dir
    })
}

/// The path of `basculed` or `bascule`.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    bin_dir().join(name)
}

fn installed() -> &'static HashMap<String, PathBuf> {
    static PATHS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let output = Command::new(workspace().join("tests/setup"))
            .arg("--paths")
            .output()
            .expect("tests/setup runs");
        assert!(output.status.success(), "tests/setup --paths failed");
        String::from_utf8(output.stdout)
            .expect("paths are UTF-8")
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, path)| (name.to_owned(), path.into()))
            .collect()
    })
}

/// The path of a tool that `tests/setup` installed. `None` when it can't be there because this
/// machine has no Go toolchain; the test then has said that it was skipped. In CI that is a
/// failure.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    if let Some(path) = installed().get(name) {
        return Some(path.clone());
    }
    let has_go = Command::new("go")
        .arg("version")
        .output()
        .is_ok_and(|o| o.status.success());
    assert!(!has_go, "{name} is not installed: run tests/setup");
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "no Go toolchain, and this is CI"
    );
    // Not through a macro, which the test runner would capture.
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "{test}: skipped: no Go toolchain");
    None
}

/// The path of a tool, if it is there. The caller says what it does without.
#[must_use]
pub fn installed_path(name: &str) -> Option<PathBuf> {
    installed().get(name).cloned()
}

/// The path of a tool that needs no Go toolchain.
#[must_use]
pub fn get(name: &str) -> PathBuf {
    installed()
        .get(name)
        .unwrap_or_else(|| panic!("{name} is not installed: run tests/setup"))
        .clone()
}
