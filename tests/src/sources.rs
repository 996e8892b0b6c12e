//! The workspace's own Rust sources, for tests that hold them to a rule.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::tools;

/// Every Rust source of the workspace: its path, relative to it, and its text.
#[must_use]
pub fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(tools::workspace(), &mut found);
    assert!(found.len() > 50, "the sources are here");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(tools::workspace()).unwrap().to_owned();
            found.push((path, text));
        }
    }
}
