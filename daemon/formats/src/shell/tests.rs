use proptest::prelude::*;

use super::{Command, Node, Part, Value, Word, interpreter, parse};

fn shown(word: &Word) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) | Part::Unknown(text) => text.clone(),
        Part::Home => "~".to_owned(),
        Part::Variable {
            name,
            quoted,
            default,
        } => {
            let default = default
                .as_ref()
                .map_or(String::new(), |word| format!(":-{}", shown(word)));
            format!("<{name}{default}{}>", if *quoted { "" } else { "*" })
        }
        Part::List { name, .. } => format!("<{name}[]>"),
    };
    word.parts.iter().map(part).collect()
}

fn command(command: &Command) -> String {
    let assignments = command.assignments.iter().map(|set| {
        let value = match &set.value {
            Value::Word(word) => shown(word),
            Value::List(words) => format!(
                "({})",
                words.iter().map(shown).collect::<Vec<_>>().join(",")
            ),
        };
        format!("{}{}={value}", set.name, if set.appends { "+" } else { "" })
    });
    let words = command
        .words
        .iter()
        .map(|word| format!("[{}]", shown(word)));
    let all: Vec<_> = assignments.chain(words).collect();
    format!("{}:{}", command.line, all.join(" "))
}

fn nodes(list: &[Node]) -> Vec<String> {
    let mut all = Vec::new();
    for node in list {
        match node {
            Node::Command(one) => all.push(command(one)),
            Node::Function { name, body } => all.push(format!("{name}(){:?}", nodes(body))),
            Node::For {
                name, words, body, ..
            } => {
                let words = words
                    .as_ref()
                    .map(|words| words.iter().map(shown).collect::<Vec<_>>());
                all.push(format!("for {name} {words:?} {:?}", nodes(body)));
            }
            Node::Subshell(body) => all.push(format!("({:?})", nodes(body))),
        }
    }
    all
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let script = parse(text);
    assert_eq!(nodes(&script.nodes), expected, "{text}");
    assert_eq!(script.given_up_at, None);
}

#[test]
fn words_quotes_and_variables_are_taken_apart() {
    check(
        "#!/bin/sh\nA=1 B=\"x $A\" rclone sync '/a b' \"$SRC\"/x\\ y ${R}:b ~/c $'t\\tb' # comment\n",
        &["2:A=1 B=x <A> [rclone] [sync] [/a b] [<SRC>/x y] [<R*>:b] [~/c] [t\tb]"],
    );
    check(
        "X=~/r Y=${Y:-/etc/$Z} Z=${Q:?no} W=${V%x} E=\n",
        &["1:X=~/r Y=<Y:-/etc/<Z*>*> Z=<Q*> W=${V} E="],
    );
    check(
        "a \\\n  b\nc \"\" a#b $ $? $1 \"$@\"",
        &["1:[a] [b]", "3:[c] [] [a#b] [$] [$?] [<1*>] [<@>]"],
    );
    check(
        "export A=1 B C=$D; readonly E=2",
        &["1:A=1 C=<D*> [export] [B]", "1:E=2 [readonly]"],
    );
}

#[test]
fn commands_are_found_in_every_kind_of_place() {
    check(
        "a && b || c; d & e | f\n! g",
        &[
            "1:[a]", "1:[b]", "1:[c]", "1:[d]", "1:[e]", "1:[f]", "2:[g]",
        ],
    );
    check(
        "if [ -f x ]; then a; elif b\nthen c; else d; fi",
        &["1:[[] [-f] [x] []]", "1:[a]", "1:[b]", "2:[c]", "2:[d]"],
    );
    check(
        "while read -r l; do a \"$l\"; done <f >o 2>&1\nb",
        &["1:[read] [-r] [l]", "1:[a] [<l>]", "2:[b]"],
    );
    check(
        "case \"$1\" in\n  x|y) a ;;\n (z) b;;\n *) c\nesac\nd",
        &["2:[a]", "3:[b]", "4:[c]", "6:[d]"],
    );
    check(
        "(cd /x; a)\n{ b; }",
        &[
            "(\"[1:[cd] [/x]\", \"1:[a]\"])"
                .replace("(\"[", "([\"")
                .as_str(),
            "2:[b]",
        ],
    );
    check(
        "for r in a \"b c\" $L; do x $r; done; y",
        &[
            "for r Some([\"a\", \"b c\", \"<L*>\"]) [\"1:[x] [<r*>]\"]",
            "1:[y]",
        ],
    );
    check("for r\ndo x; done", &["for r None [\"2:[x]\"]"]);
    check("for ((i=0;i<3;i++)); do x; done; y", &["1:[x]", "1:[y]"]);
}

#[test]
fn functions_keep_their_bodies() {
    check(
        "run() {\n  rclone \"$@\"\n}\nfunction other { a; }\nf()\n(\n b\n)\nrun x",
        &[
            "run()[\"2:[rclone] [<@>]\"]",
            "other()[\"4:[a]\"]",
            "f()[\"7:[b]\"]",
            "9:[run] [x]",
        ],
    );
}

#[test]
fn lists_are_values() {
    check(
        "ARGS=(--config \"/a b\"\n  -v) # c\nARGS+=(-q)\nrclone \"${ARGS[@]}\" x",
        &[
            "1:ARGS=(--config,/a b,-v)",
            "3:ARGS+=(-q)",
            "4:[rclone] [<ARGS[]>] [x]",
        ],
    );
}

#[test]
fn what_runs_within_words_comes_before_them() {
    check(
        "A=$(rclone lsf r2: | wc -l)\nb \"`c \\`d\\``\" <(e) $((1+(2)))",
        &[
            "([\"1:[rclone] [lsf] [r2:]\", \"1:[wc] [-l]\"])",
            "1:A=$(…)",
            "([\"2:[c] [`d`]\"])",
            "([\"2:[e]\"])",
            "2:[b] [$(…)] [$((…))]",
        ],
    );
}

#[test]
fn here_documents_are_passed_over_and_lines_are_kept() {
    check(
        "cat >f <<EOF && a\nrclone $x\nEOF\nb <<-'E O'\n\tc\n\tE O\nd <<<word 2>/dev/null",
        &["1:[cat]", "1:[a]", "4:[b]", "7:[d]"],
    );
    check("cat <<EOF\nnever closed\nb", &["1:[cat]"]);
}

#[test]
fn what_is_broken_or_of_another_shell_hides_nothing_else() {
    check("fi; done; } ) esac\na", &["2:[a]"]);
    check("if { ( a\n", &["([\"1:[a]\"])"]);
    check(
        "[[ $a =~ (x|y) ]] && b\nc",
        &[
            "1:[[[] [<a*>] [=~]",
            "([\"1:[x]\", \"1:[y]\"])",
            "1:[]]]",
            "1:[b]",
            "2:[c]",
        ],
    );
    let deep = "(".repeat(20_000);
    assert!(parse(&deep).given_up_at.is_some());
    let deep = "$(".repeat(20_000);
    let _ = parse(&deep);
    let deep = "`".repeat(20_000);
    let _ = parse(&deep);
    let deep = "${a:-".repeat(20_000);
    let _ = parse(&deep);
}

#[test]
fn the_first_line_names_the_interpreter() {
    assert_eq!(
        interpreter("#!/usr/bin/env bash\nx"),
        Some(vec!["/usr/bin/env", "bash"])
    );
    assert_eq!(interpreter("#! /bin/sh -e\n"), Some(vec!["/bin/sh", "-e"]));
    assert_eq!(interpreter("# no"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_the_reader_of_scripts_panic(
        text in "(if |then |fi|for x in |do |done|case x in |esac|function |[a-z]{1,3}|A=|\\$\\(|\\$\\{|\\}|\\)|\\(|\\{ |[\"'`\\\\$#~&|;<> \t]|<<E|\n|:-|ä|\u{feff}|;;|\\[@\\]){0,50}"
    ) {
        let _ = nodes(&parse(&text).nodes);
    }
}
