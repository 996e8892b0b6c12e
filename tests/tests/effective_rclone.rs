//! What we call the effective key of an rclone remote or an AWS profile is the key that the real tool
//! signs with (consumers.md 1, 2).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Answer, Cli, Home, Signers, cli::finish, tools};

/// A home with files, and a server that notes who signs.
struct Stage {
    home: Home,
    signers: Signers,
    /// For both, the tool and us.
    variables: Vec<(&'static str, String)>,
}

const CONF: &str = "home/.config/rclone/rclone.conf";
const CREDENTIALS: &str = "home/.aws/credentials";
const CONFIG: &str = "home/.aws/config";

/// A section with a key.
fn s3(name: &str, id: &str) -> String {
    format!(
        "[{name}]\ntype = s3\nprovider = Other\naccess_key_id = {id}\nsecret_access_key = secret\n"
    )
}

fn profile(header: &str, id: &str) -> String {
    format!("[{header}]\naws_access_key_id = {id}\naws_secret_access_key = secret\n")
}

impl Stage {
    fn new(files: &[(&str, &str)], variables: &[(&'static str, &str)]) -> Self {
        let home = Home::new();
        for (name, text) in files {
            let path = home.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let root = home.path("home");
            std::fs::write(path, text.replace("HOME", root.to_str().unwrap())).unwrap();
        }
        let signers = Signers::start();
        let endpoint = signers.endpoint();
        let mut all: Vec<_> = [
            ("RCLONE_S3_ENDPOINT", endpoint.as_str()),
            ("RCLONE_S3_REGION", "auto"),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_DEFAULT_REGION", "auto"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_MAX_ATTEMPTS", "1"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        all.extend(
            variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        Self {
            home,
            signers,
            variables: all,
        }
    }

    fn run(&self, mut command: std::process::Command, arguments: &[&str]) -> Answer {
        let variables = self.variables.iter().map(|(name, value)| (*name, value));
        command.envs(variables).args(arguments);
        finish(command, "", arguments.join(" "))
    }

    /// The ends of the ids that we call effective for a reference.
    fn told(&self, reference: &str) -> Vec<String> {
        let cli = Cli::new(&self.home);
        let answer = self.run(cli.command(), &["--json", "who", reference]);
        let Some(keys) = answer.json["keys"].as_array() else {
            return Vec::new();
        };
        let (tool, name) = reference.split_once(':').unwrap();
        let name = name.split([':', ',']).next().unwrap();
        let starts = match tool {
            "aws" => format!("profile {name}"),
            _ => format!("{name}: "),
        };
        let effective = keys.iter().filter(|key| {
            key["uses"].as_array().unwrap().iter().any(|found| {
                // A key in the reference itself stands in no configuration.
                let given = reference.contains(',') == found["place"]["argument"].is_string();
                given
                    && found["standing"] == "effective"
                    && found["chain"][0]["name"]
                        .as_str()
                        .unwrap()
                        .starts_with(&starts)
            })
        });
        effective
            .map(|key| {
                key["key"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches('…')
                    .to_owned()
            })
            .collect()
    }

    /// The ends of the ids that rclone signs with.
    fn rclone(&self, path: &str) -> Vec<String> {
        let command = self.home.command(&tools::get("rclone"));
        let retries = ["--retries", "1", "--low-level-retries", "1"];
        self.run(command, &[&["lsf", path], retries.as_slice()].concat());
        self.signed()
    }

    /// The ends of the ids that the AWS CLI signs with.
    fn aws(&self, profile: &str) -> Vec<String> {
        let command = self.home.command(&tools::get("python"));
        let arguments = ["-m", "awscli", "s3", "ls", "s3://b", "--profile", profile];
        self.run(command, &arguments);
        self.signed()
    }

    fn signed(&self) -> Vec<String> {
        let ids = self.signers.take();
        ids.iter().map(|id| id[id.len() - 4..].to_owned()).collect()
    }
}

#[track_caller]
fn rclone_signs_as_told(
    files: &[(&str, &str)],
    variables: &[(&'static str, &str)],
    path: &str,
    end: &[&str],
) {
    let stage = Stage::new(files, variables);
    let mut signed = stage.rclone(path);
    signed.sort();
    assert_eq!(signed, end, "rclone itself: {path}");
    let mut told = stage.told(&format!("rclone:{path}"));
    told.sort();
    assert_eq!(told, end, "what we say: {path}");
}

#[track_caller]
fn aws_signs_as_told(
    files: &[(&str, &str)],
    variables: &[(&'static str, &str)],
    profile: &str,
    end: &[&str],
) {
    let stage = Stage::new(files, variables);
    assert_eq!(stage.aws(profile), end, "the AWS CLI itself: {profile}");
    let told = stage.told(&format!("aws:{profile}"));
    assert_eq!(told, end, "what we say: {profile}");
}

#[test]
fn of_one_option_the_connection_string_counts_then_the_kinds_variable_then_the_remotes_then_the_file()
 {
    let conf = s3("r2", "ID0000000001FILE");
    let files = [(CONF, conf.as_str())];
    let kind = ("RCLONE_S3_ACCESS_KEY_ID", "ID0000000001KIND");
    let own = ("RCLONE_CONFIG_R2_ACCESS_KEY_ID", "ID0000000001OWNV");
    rclone_signs_as_told(&files, &[], "r2:b", &["FILE"]);
    rclone_signs_as_told(&files, &[own], "r2:b", &["OWNV"]);
    rclone_signs_as_told(&files, &[own, kind], "r2:b", &["KIND"]);
    let inline = "r2,access_key_id=ID0000000001CONN:b";
    rclone_signs_as_told(&files, &[own, kind], inline, &["CONN"]);
    let dashed = s3("my-r2", "ID0000000001DASH");
    let underscore = ("RCLONE_CONFIG_MY_R2_ACCESS_KEY_ID", "ID0000000001NONE");
    rclone_signs_as_told(&[(CONF, &dashed)], &[underscore], "my-r2:b", &["DASH"]);
}

#[test]
fn wrappers_lead_to_the_key_that_rclone_signs_with() {
    let conf = format!(
        "{}{}[al]\ntype = alias\nremote = r2:b\n[deep]\ntype = alias\nremote = al:x\n\
         [both]\ntype = union\nupstreams = r2:b two:c\n\
         [dirs]\ntype = combine\nupstreams = one=r2:b other=two:c\n\
         [inline]\ntype = alias\nremote = r2,access_key_id=ID0000000001INLN:b\n",
        s3("r2", "ID0000000001R2R2"),
        s3("two", "ID0000000001TWO2")
    );
    let files = [(CONF, conf.as_str())];
    rclone_signs_as_told(&files, &[], "deep:", &["R2R2"]);
    rclone_signs_as_told(&files, &[], "both:", &["R2R2", "TWO2"]);
    rclone_signs_as_told(&files, &[], "dirs:other", &["TWO2"]);
    rclone_signs_as_told(&files, &[], "inline:", &["INLN"]);
    let kind = ("RCLONE_S3_ACCESS_KEY_ID", "ID0000000001KIND");
    rclone_signs_as_told(&files, &[kind], "deep:", &["KIND"]);
}

#[test]
fn rclones_dialect_is_read_as_rclone_reads_it() {
    let conf = format!(
        "{}[par.child]\ntype = s3\nprovider = Other\n[r]\ntype: s3\nprovider = Other\n\
         secret_access_key = s\naccess_key_id = ID0000000001OLD1\n[other]\ntype = s3\n\
         [r]\naccess_key_id = `ID0000000001BACK`\n",
        s3("par", "ID0000000001PARE")
    );
    let files = [(CONF, conf.as_str())];
    rclone_signs_as_told(&files, &[], "par.child:b", &["PARE"]);
    rclone_signs_as_told(&files, &[], "r:b", &["BACK"]);
    rclone_signs_as_told(&files, &[], "other:b", &[]);
}

#[test]
fn env_auth_takes_variables_before_a_profile_variable_and_its_own_profile_before_both() {
    let conf = "[e]\ntype = s3\nprovider = Other\nenv_auth = true\n\
                [p]\ntype = s3\nprovider = Other\nenv_auth = true\nprofile = work\n";
    let credentials = format!(
        "{}{}",
        profile("default", "ID0000000001DEFA"),
        profile("work", "\"ID0000000001WORK\" # note")
    );
    let files = [(CONF, conf), (CREDENTIALS, credentials.as_str())];
    let id = ("AWS_ACCESS_KEY_ID", "ID0000000001VARI");
    let secret = ("AWS_SECRET_ACCESS_KEY", "s");
    let work = ("AWS_PROFILE", "work");
    rclone_signs_as_told(&files, &[], "e:b", &["DEFA"]);
    rclone_signs_as_told(&files, &[work], "e:b", &["WORK"]);
    rclone_signs_as_told(&files, &[id, secret, work], "e:b", &["VARI"]);
    rclone_signs_as_told(&files, &[id, secret], "p:b", &["WORK"]);
    let own = "[o]\ntype = s3\nprovider = Other\nenv_auth = true\nprofile = only\n\
               shared_credentials_file = HOME/extra\n";
    let extra = profile("profile only", "ID0000000001EXTR");
    rclone_signs_as_told(
        &[(CONF, own), ("home/extra", &extra)],
        &[],
        "o:b",
        &["EXTR"],
    );
}

#[test]
fn the_aws_cli_signs_with_the_profile_that_we_say() {
    let both = [
        (CREDENTIALS, profile("work", "ID0000000001CRED")),
        (CONFIG, profile("profile work", "ID0000000001CONF")),
    ];
    let both = both.each_ref().map(|(name, text)| (*name, text.as_str()));
    aws_signs_as_told(&both, &[], "work", &["CRED"]);
    aws_signs_as_told(&both[1..], &[], "work", &["CONF"]);
    let bare = profile("work", "ID0000000001BARE");
    aws_signs_as_told(&[(CONFIG, &bare)], &[], "work", &[]);
    let id = ("AWS_ACCESS_KEY_ID", "ID0000000001VARI");
    let secret = ("AWS_SECRET_ACCESS_KEY", "s");
    aws_signs_as_told(&both, &[id, secret], "work", &["CRED"]);
    let quoted = profile("work", "\"ID0000000001QUOT");
    aws_signs_as_told(&[(CREDENTIALS, &quoted)], &[], "work", &["QUOT"]);
}

#[test]
fn a_base_profile_signs_for_the_role_of_its_child() {
    let config = format!(
        "[profile child]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = base\n{}",
        profile("profile base", "ID0000000001BASE")
    );
    aws_signs_as_told(&[(CONFIG, &config)], &[], "child", &["BASE"]);
}

#[test]
fn a_file_with_a_section_twice_is_refused_by_the_aws_cli_and_merged_by_rclone() {
    let twice = format!(
        "{}{}",
        profile("work", "ID0000000001ONCE"),
        profile("work", "ID0000000001TWIC")
    );
    aws_signs_as_told(&[(CREDENTIALS, &twice)], &[], "work", &[]);
    let conf = "[p]\ntype = s3\nprovider = Other\nenv_auth = true\nprofile = work\n";
    let files = [(CREDENTIALS, twice.as_str()), (CONF, conf)];
    rclone_signs_as_told(&files, &[], "p:b", &["TWIC"]);
}
