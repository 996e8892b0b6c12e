//! The INI files of rclone, the AWS tools, s5cmd and s3cmd.

use zeroize::Zeroizing;

use super::{HandOut, Unwritable, line};

impl HandOut<'_> {
    pub(super) fn rclone(&self) -> Result<Zeroizing<String>, Unwritable> {
        self.plain()?;
        let mut text = self.begin();
        let endpoint = self.endpoint.to_string();
        line(&mut text, &["[", self.name.as_str(), "]"]);
        for (key, value) in [
            ("type", "s3"),
            ("provider", "Other"),
            ("access_key_id", self.access_key_id.as_str()),
            ("secret_access_key", self.secret.expose()),
            ("endpoint", &endpoint),
            ("region", self.region.as_str()),
            ("force_path_style", "true"),
            ("no_check_bucket", "true"),
        ] {
            line(&mut text, &[key, " = ", value]);
        }
        Ok(text)
    }

    pub(super) fn aws(&self) -> Result<Zeroizing<String>, Unwritable> {
        let mut text = self.begin();
        line(&mut text, &["# for ~/.aws/credentials"]);
        self.keys(&mut text)?;
        line(&mut text, &[""]);
        line(&mut text, &["# for ~/.aws/config"]);
        self.settings(&mut text);
        Ok(text)
    }

    pub(super) fn aws_credentials(&self) -> Result<Zeroizing<String>, Unwritable> {
        let mut text = self.begin();
        self.keys(&mut text)?;
        Ok(text)
    }

    pub(super) fn aws_config(&self) -> Zeroizing<String> {
        let mut text = self.begin();
        self.settings(&mut text);
        text
    }

    /// s5cmd reads keys and region of a profile, but no address. It stands here for the other
    /// tools that read the profile, lest they send the key to AWS.
    pub(super) fn s5cmd(&self) -> Result<Zeroizing<String>, Unwritable> {
        let mut text = self.begin();
        let endpoint = self.endpoint.to_string();
        let command = ["# for ~/.aws/credentials; then: s5cmd --profile "];
        line(
            &mut text,
            &[
                command[0],
                self.name.as_str(),
                " --endpoint-url ",
                &endpoint,
                " ls",
            ],
        );
        self.keys(&mut text)?;
        line(&mut text, &["region = ", self.region.as_str()]);
        line(&mut text, &["endpoint_url = ", &endpoint]);
        Ok(text)
    }

    fn keys(&self, text: &mut String) -> Result<(), Unwritable> {
        self.plain()?;
        line(text, &["[", self.name.as_str(), "]"]);
        line(text, &["aws_access_key_id = ", self.access_key_id.as_str()]);
        line(text, &["aws_secret_access_key = ", self.secret.expose()]);
        Ok(())
    }

    fn settings(&self, text: &mut String) {
        let kind = if self.name.as_str() == "default" {
            ""
        } else {
            "profile "
        };
        line(text, &["[", kind, self.name.as_str(), "]"]);
        line(text, &["region = ", self.region.as_str()]);
        line(text, &["endpoint_url = ", &self.endpoint.to_string()]);
        line(text, &["s3 ="]);
        line(text, &["  addressing_style = path"]);
    }

    pub(super) fn s3cmd(&self) -> Result<Zeroizing<String>, Unwritable> {
        self.plain()?;
        let mut text = self.begin();
        let address = self.endpoint.authority();
        line(&mut text, &["[default]"]);
        for (key, value) in [
            ("access_key", self.access_key_id.as_str()),
            ("secret_key", self.secret.expose()),
            ("host_base", &address),
            // Without `%(bucket)s` in it the bucket goes into the path.
            ("host_bucket", &address),
            (
                "use_https",
                if self.endpoint.is_tls() {
                    "True"
                } else {
                    "False"
                },
            ),
            ("bucket_location", self.region.as_str()),
            ("signature_v2", "False"),
            // Else `cp`, `mv` and `modify` copy the rights of the source, which no key may set.
            ("acl_public", "False"),
        ] {
            line(&mut text, &[key, " = ", value]);
        }
        Ok(text)
    }

    /// Quotes, `%`, `$` and the like would be changed by one of the INI readers.
    fn plain(&self) -> Result<(), Unwritable> {
        let plain = |text: &str| {
            text.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'.')
            })
        };
        if plain(self.access_key_id.as_str()) && plain(self.secret.expose()) {
            Ok(())
        } else {
            Err(Unwritable::Key)
        }
    }
}
