//! Every row of the table on a file of any bytes: what a stranger's file can do to a look.
#![no_main]

use bascule_fuzz::{Stage, keeps_secrets};
use bascule_watch::{Catalogue, Picture};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, content)) = data.split_first() else {
        return;
    };
    let rows = Catalogue::builtin().rows();
    let row = &rows[usize::from(*first) % rows.len()];
    // Databases are SQLite's to read.
    if row.id == "duplicati" {
        return;
    }
    let stage = Stage::get();
    let path = stage.write("catalogue/file", content);
    let mut picture = Picture::default();
    Catalogue::builtin().file(row, &path, &stage.machine, &mut picture);
    keeps_secrets(&picture);
});
