//! Text on a terminal: escaping what came from elsewhere, styles, sizes and counts.

use std::borrow::Cow;

use clap::builder::styling::{AnsiColor, Style};

/// Nothing special.
pub(crate) const PLAIN: Style = Style::new();
/// Headings.
pub(crate) const HEAD: Style = Style::new().bold();
/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What wants attention.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What to do next.
pub(crate) const NEXT: Style = AnsiColor::Cyan.on_default().bold();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();

/// The text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Whether a character could control a terminal, or make text look like another one: control
/// characters, line separators, and the marks that turn the writing direction or show nothing.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}' | '\u{fff9}'..='\u{fffb}')
}

/// The text with every unsafe character written out, on one line.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// JSON with every unsafe character inside its strings as `\u…`. Line breaks between values stay.
pub(crate) fn escape_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 key`, `2 keys`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_can_control_a_terminal() {
        for hostile in [
            "\x1b[31mred",
            "\u{9b}2J",
            "a\rb",
            "a\nb",
            "a\tb",
            "\x07bell",
            "\x7f",
            "\u{202e}txt.exe",
            "\u{2066}x",
            "a\u{2028}b",
            "zero\u{200b}width",
        ] {
            let safe = escape(hostile);
            assert!(!safe.contains(is_unsafe), "{safe:?}");
            assert_ne!(safe, hostile);
        }
        assert_eq!(escape("a\x1b[1m"), "a\\u{1b}[1m");
    }

    #[test]
    fn other_scripts_stay_as_they_are() {
        for text in ["バックアップ", "Ünï cödé", "a/b//c +%.jpg", ""] {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "a\u{1b}[1m\u{9b}\u{202e}\n\"ü";
        let json = escape_json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(!json.contains(|c: char| c != '\n' && is_unsafe(c)));
        let back: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, [text]);
    }

    #[test]
    fn sizes_and_counts_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(count(1, "key"), "1 key");
        assert_eq!(count(0, "key"), "0 keys");
    }
}
