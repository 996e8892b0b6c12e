//! What the AWS tools make of their files (consumers.md 2).

/// Whether a section of the config file is this profile: `[default]`, `[profile p]` or
/// `[profile "a b"]`. Any other form is invisible to the tools.
#[must_use]
pub fn is_profile(section: &str, profile: &str) -> bool {
    if section == "default" {
        return profile == "default";
    }
    let Some(rest) = section
        .strip_prefix("profile")
        .filter(|rest| rest.starts_with([' ', '\t']))
    else {
        return false;
    };
    let rest = rest.trim();
    let quoted = ['"', '\'']
        .iter()
        .find_map(|&quote| rest.strip_prefix(quote)?.strip_suffix(quote));
    match quoted {
        Some(inner) => inner == profile && !inner.contains(['"', '\'', '\\']),
        None => rest == profile && !rest.contains([' ', '\t', '"', '\'', '\\']),
    }
}
