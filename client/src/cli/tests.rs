use super::*;
use clap::{CommandFactory, error::ErrorKind};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split(' '))
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_promised_form_is_taken() {
    for line in [
        "bascule connect n --provider minio --bucket b --endpoint http://127.0.0.1:9000 --credentials-stdin",
        "bascule connect n --provider s3 --bucket b --bucket c --region eu-central-1 --aws-profile p",
        "bascule connect n --provider r2 --bucket b --account-id 0123 --rclone-remote r2",
        "bascule connect n --provider s3-compatible --bucket b --endpoint https://h --region r --credentials-stdin --extra-ca ca.pem --addressing virtual-host",
        "bascule connect n --provider local --bucket b --path dir",
        "bascule connect n --provider local --bucket b --path dir --credentials-stdin",
        "bascule connect n --provider minio --bucket b --endpoint http://h --allow-http --allow-link-local --addressing path --credentials-stdin",
        "bascule connect n --card file --credentials-stdin",
        "bascule credentials n --credentials-stdin",
        "bascule credentials n --aws-profile p",
        "bascule list",
        "bascule show n",
        "bascule rename old new",
        "bascule ls n",
        "bascule ls n/b",
        "bascule ls n/b/p/q",
        "bascule reconnect-card n",
        "bascule key issue n --label l",
        "bascule key issue n --label l --permission read --format rclone",
        "bascule key issue n --label l --permission read-write --format aws --bucket b --bucket c",
        "bascule key issue n --label l --format env",
        "bascule key issue n --label l --format json",
        "bascule key list",
        "bascule key list n",
        "bascule key issue n --label l --permission append --prefix p/ --prefix q --allow-ip 192.0.2.0/24 --allow-ip ::1 --expires 30d",
        "bascule key issue n --label l --expires 2100-01-01",
        "bascule key show BSCAAAAAAAAAAAAAAAAA",
        "bascule key show n/l",
        "bascule key restrict n/l --label m --permission read-write-no-delete --bucket b --prefix p --allow-ip 10.0.0.0/8 --expires 12h",
        "bascule key restrict n/l --any-bucket --any-prefix --loopback-only --never-expires",
        "bascule key pause n/l",
        "bascule key resume n/l",
        "bascule key revoke BSCAAAAAAAAAAAAAAAAA",
        "bascule key rotate BSCAAAAAAAAAAAAAAAAA",
        "bascule key rotate BSCAAAAAAAAAAAAAAAAA --grace 24h --until-silent 2h --format rclone",
        "bascule key rotate BSCAAAAAAAAAAAAAAAAA --now --again",
        "bascule key rotate --all n --now",
        "bascule key rotate --all n --now --issued-until 2026-11-25T21:00:00.5Z --format json",
        "bascule key rotation BSCAAAAAAAAAAAAAAAAA",
        "bascule key rotation BSCAAAAAAAAAAAAAAAAA --end",
        "bascule key rotation BSCAAAAAAAAAAAAAAAAA --cancel",
        "bascule key rotation BSCAAAAAAAAAAAAAAAAA --go-on",
        "bascule leak AKIAEXAMPLE",
        "bascule pause n",
        "bascule resume n",
        "bascule delete n --plan",
        "bascule delete n",
        "bascule delete n --yes",
        "bascule delete n --yes --ack survey-complete --ack no-open-transfers --receipt f --emergency",
        "bascule deletion list",
        "bascule deletion show del_x",
        "bascule deletion show del_x --watch",
        "bascule deletion cancel del_x",
        "bascule receipt list",
        "bascule receipt show del_x",
        "bascule limit n",
        "bascule limit n --requests 8 --bandwidth 10MiB",
        "bascule limit n --requests none --bandwidth none",
        "bascule usage",
        "bascule usage n --since 30d --by tool",
        "bascule usage BSCAAAAAAAAAAAAAAAAA --since 2026-11-01 --by process --json",
        "bascule watch",
        "bascule watch n --json",
        "bascule findings",
        "bascule findings list n",
        "bascule findings show F12",
        "bascule audit",
        "bascule audit n --since 30d",
        "bascule audit n/l --since 2026-01-01T00:00:00Z",
        "bascule key pause n/l --reason why",
        "bascule key restrict n/l --permission read --reason why",
        "bascule key revoke n/l --reason why",
        "bascule delete n --reason why",
        "bascule deletion cancel del_x --reason why",
        "bascule metrics",
        "bascule doctor",
        "bascule doctor --offline --json",
        "bascule reload",
        "bascule completions zsh",
        "bascule man",
        "bascule man dir",
        "bascule help",
        "bascule help key rotate",
        "bascule status",
        "bascule demo",
        "bascule backup f",
        "bascule backup f --passphrase-stdin --reason r",
        "bascule backup f --no-passphrase",
        "bascule backup list",
        "bascule backup ./list",
        "bascule backup forget bak_x --yes --reason r",
        "bascule restore f",
        "bascule restore f --passphrase-stdin --state-dir d",
        "bascule activate",
        "bascule activate --accept-rollback --reason r",
        "bascule reset --yes-lose-everything",
        "bascule reset --yes-lose-everything --state-dir d",
        "bascule --json --socket /run/b.sock status",
        "bascule status --json --socket /run/b.sock",
        "bascule key list n --json",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}\n{error}");
        }
    }
}

#[test]
fn what_can_not_be_meant_is_refused() {
    for line in [
        "bascule",
        "bascule usage --by colour",
        "bascule backup",
        "bascule backup --no-passphrase list",
        "bascule backup forget",
        "bascule usage --since soon",
        "bascule connect n --provider minio --credentials-stdin",
        "bascule connect n --bucket b --credentials-stdin",
        "bascule connect n --provider azure --bucket b --credentials-stdin",
        "bascule connect n --provider s3 --bucket b --credentials-stdin --aws-profile p",
        "bascule connect n --provider s3 --bucket b --credentials-stdin --rclone-remote r",
        "bascule connect n --provider s3 --bucket b --aws-profile p --rclone-remote r",
        "bascule connect n --card f --provider s3 --credentials-stdin",
        "bascule connect n --card f --bucket b --credentials-stdin",
        "bascule connect n --provider s3 --bucket b --secret-access-key hunter2",
        "bascule credentials n --rclone-remote r",
        "bascule key issue n",
        "bascule key issue n --label l --permission all",
        "bascule key issue n --label l --format yaml",
        "bascule key rotate",
        "bascule key rotate BSCX --grace 24h --now",
        "bascule key rotate BSCX --grace soon",
        "bascule key rotate --all n",
        "bascule key rotate BSCX --all n --now",
        "bascule key rotation BSCX --end --cancel",
        "bascule leak",
        "bascule key issue n --label l --expires soon",
        "bascule key restrict",
        "bascule key restrict n/l --bucket b --any-bucket",
        "bascule key restrict n/l --prefix p --any-prefix",
        "bascule key restrict n/l --allow-ip ::1 --loopback-only",
        "bascule key restrict n/l --expires 1d --never-expires",
        "bascule key pause",
        "bascule delete",
        "bascule delete n --plan --yes",
        "bascule delete n --yes --ack everything",
        "bascule deletion cancel",
        "bascule reset",
        "bascule rename old",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for (line, kind) in [
        ("bascule --help", ErrorKind::DisplayHelp),
        ("bascule delete --help", ErrorKind::DisplayHelp),
        ("bascule --version", ErrorKind::DisplayVersion),
    ] {
        let shown = parse(line).unwrap_err();
        assert_eq!(shown.kind(), kind);
        assert!(!shown.use_stderr());
    }
}

#[test]
fn every_verb_explains_itself_and_the_exit_codes_are_in_the_help() {
    fn check(command: &clap::Command) {
        for verb in command
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help")
        {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
            for argument in verb.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    verb.get_name(),
                    argument.get_id()
                );
            }
            check(verb);
        }
    }
    let mut command = Arguments::command();
    check(&command);
    let help = command.render_long_help().to_string();
    assert!(help.contains("revoked, verdict pending"), "{help}");
}

/// Lines that go on are one.
fn joined(text: &str) -> String {
    let mut parts = text.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start())
}

#[test]
fn every_verb_shows_an_example_that_is_taken() {
    fn check(command: &mut clap::Command, path: &str) {
        let is_verb = command.get_subcommands().next().is_none();
        let help = command.render_long_help().to_string();
        if is_verb {
            assert!(help.contains("Example"), "{path} has no example");
        }
        let help = joined(&help);
        let examples = help.lines().map(str::trim);
        // Elsewhere a line of prose may begin like a command.
        let examples = examples
            .skip_while(|line| !line.starts_with("Example"))
            .take_while(|line| !line.is_empty());
        for line in examples.filter(|line| line.starts_with("bascule ")) {
            if let Err(error) = shown_is_taken(line) {
                panic!("{path}: {line}\n{error}");
            }
        }
        for verb in command.get_subcommands_mut() {
            let path = format!("{path} {}", verb.get_name());
            check(verb, &path);
        }
    }
    check(&mut Arguments::command(), "bascule");
}

#[test]
fn what_the_readme_shows_is_taken() {
    let readme = joined(include_str!("../../../README.md"));
    let mut seen = 0;
    let mut shell = false;
    for line in readme.lines() {
        match line.trim() {
            "```sh" => shell = true,
            "```" => shell = false,
            line if shell && line.starts_with("bascule ") => {
                seen += 1;
                if let Err(error) = shown_is_taken(line) {
                    panic!("{line}\n{error}");
                }
            }
            _ => {}
        }
    }
    assert!(seen > 40, "{seen}");
}
