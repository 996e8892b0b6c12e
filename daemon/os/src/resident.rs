//! What of the process stays in memory without being needed: freed blocks, and the mapped pages of the
//! program's own files.

#[cfg(target_os = "linux")]
use std::fs;
use std::io;

/// Gives back what something large and rare took. What the system does not take stays; nothing depends
/// on it.
pub fn release() {
    release_memory();
    release_program().ok();
}

/// Lets go of the mapped pages of the program's files that nothing has changed: a start touches most of
/// the program, and what follows needs little of it. What is needed again comes back from the page
/// cache by itself.
///
/// macOS: nothing is done.
#[cfg(target_os = "linux")]
fn release_program() -> io::Result<()> {
    for (start, end) in unchanged(&fs::read_to_string("/proc/self/smaps")?) {
        let length = end - start;
        // SAFETY: a private mapping of a file that can't be written to, and of which no page was
        // ever changed: its pages are the file's, whether mapped now or by the next access.
        #[expect(unsafe_code, reason = "advice about the process's own memory")]
        unsafe {
            rustix::mm::madvise(
                std::ptr::without_provenance_mut(start),
                length,
                rustix::mm::Advice::LinuxDontNeed,
            )?;
        }
    }
    Ok(())
}

/// See above.
#[cfg(not(target_os = "linux"))]
fn release_program() -> io::Result<()> {
    Ok(())
}

/// Where files are mapped privately, not to be written to, and as they are on the disk.
#[cfg(any(test, target_os = "linux"))]
fn unchanged(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        if let Some(next) = file_mapping(line) {
            mapping = next;
        } else if let Some(pages) = line.strip_prefix("Anonymous:")
            && let Some(range) = mapping.take()
            && pages.trim() == "0 kB"
        {
            found.push(range);
        }
    }
    found
}

/// Reads the first line of a mapping; the inner `None` for one that is written to or no file's. `None`
/// for any other line.
#[cfg(any(test, target_os = "linux"))]
fn file_mapping(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = (address(start)?, address(end)?);
    let rights = words.next()?;
    let path = words.nth(3).unwrap_or_default();
    let fits = matches!(rights, "r-xp" | "r--p") && path.starts_with('/');
    Some(fits.then_some(range))
}

/// Gives memory that was freed back to the system, where the allocator keeps it.
fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the allocator offers it as a C function only")]
    // SAFETY: it takes no pointer, and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55a0-55b0 r--p 00000000 fe:00 11 /usr/bin/basculed
Rss:                  16 kB
Anonymous:             0 kB
55b0-55c0 r-xp 00000010 fe:00 11 /usr/bin/basculed
Anonymous:             0 kB
VmFlags: rd ex mr mw me
55c0-55d0 r--p 00000020 fe:00 11 /usr/bin/basculed
Anonymous:             8 kB
55d0-55e0 rw-p 00000030 fe:00 11 /usr/bin/basculed
Anonymous:             0 kB
55e0-55f0 r--s 00000000 fe:00 12 /var/lib/shared
Anonymous:             0 kB
7f00-7f10 r--p 00000000 00:00 0
Anonymous:             0 kB
7f20-7f30 r-xp 00000000 00:00 0                  [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_unchanged_pages_of_files_are_let_go() {
        assert_eq!(unchanged(SMAPS), [(0x55a0, 0x55b0), (0x55b0, 0x55c0)]);
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        release_program().unwrap();
        assert_eq!(format!("{}", "still".len()), "5");
    }
}
