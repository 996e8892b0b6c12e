//! `[access]`: who besides the daemon's own user may use the control socket, and who the gateway.

use super::{DeValue, File, Value};

/// Who may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// The group whose members may use the control socket, by name.
    pub operators: Option<String>,
    /// Users of this machine who may connect to the gateway; `None`: everybody.
    pub allow_uid: Option<Vec<u32>>,
}

/// Reads the table.
pub(super) fn read(file: &mut File<'_>, value: &Value<'_>) -> Access {
    let mut access = Access::default();
    for (key, value) in file.table("access", value) {
        match key.get_ref().as_ref() {
            "operators" => access.operators = file.parse(value, parse_operators),
            "allow_uid" => access.allow_uid = Some(uids(file, value)),
            other => file.unknown(key.span().start, "access", other),
        }
    }
    access
}

fn parse_operators(text: &str) -> Result<String, String> {
    match text.strip_prefix("group:") {
        Some(name) if !name.is_empty() && !name.contains(['\0', ':', ' ']) => Ok(name.to_owned()),
        _ => Err(format!("{text:?} is not group:NAME")),
    }
}

/// An empty list would shut everybody out, which nobody means.
fn uids(file: &mut File<'_>, value: &Value<'_>) -> Vec<u32> {
    let single = std::slice::from_ref(value);
    let values: Box<dyn Iterator<Item = &Value<'_>>> = match value.get_ref() {
        DeValue::Array(values) => Box::new(values.iter()),
        _ => Box::new(single.iter()),
    };
    let uids: Vec<u32> = values
        .filter_map(|value| file.number(value, 0, u64::from(u32::MAX) - 1))
        .filter_map(|uid| u32::try_from(uid).ok())
        .collect();
    if uids.is_empty() {
        let what = "names nobody; leave it out to let every user of this machine in";
        file.report(value.span().start, what.to_owned());
    }
    uids
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn operators_are_a_group_and_users_are_numbers() {
        let ok = check(
            "runtime_dir = \"/run/x\"\n[access]\noperators = \"group:storage\"\nallow_uid = [0, 1000]\n",
        );
        let access = ok.unwrap().access;
        assert_eq!(access.operators.as_deref(), Some("storage"));
        assert_eq!(access.allow_uid, Some(vec![0, 1000]));
        assert_eq!(check("").unwrap().access.allow_uid, None);
        for bad in [
            "operators = \"storage\"",
            "operators = \"group:\"",
            "allow_uid = []",
            "allow_uid = [\"me\"]",
            "allow_uid = -1",
        ] {
            assert!(
                check(&format!("runtime_dir = \"/run/x\"\n[access]\n{bad}\n")).is_err(),
                "{bad}"
            );
        }
        let inside = check("[access]\noperators = \"group:storage\"\n").unwrap_err();
        assert!(inside[0].contains("runtime_dir"), "{inside:?}");
    }
}
