//! `secret export`: secrets leave encrypted, and in no other form.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::secret::read_file;
use clap::Args;
use procura_edge::private_file;
use procura_types::encoding;
use procura_types::wire::SecretExport;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Take secrets out, encrypted to keys of age or OpenSSH
///
/// The newest versions below a prefix with all that is said of them, as one file in the
/// format of age: the server encrypts it, and it opens with the private half of any of the
/// keys, by age or by procura secret import. Each secret in it is in the record. What has
/// expired is left out. At most 10,000 secrets and 6 MiB at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura secret export --to age1… -o shop.age\n  procura secret export --prefix shop/ --to \"$(cat ~/.ssh/id_ed25519.pub)\" -o shop.age\n  procura secret export --to-file team.txt > shop.age"
)]
pub(crate) struct Export {
    /// A recipient: age1…, ssh-ed25519 … or ssh-rsa …
    #[arg(long, value_name = "KEY")]
    to: Vec<String>,
    /// A file with a recipient on each line
    #[arg(long, value_name = "FILE")]
    to_file: Vec<PathBuf>,
    /// Only secrets whose paths begin so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Write into this file, which must not exist [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `secret export --json` prints when it writes into a file.
#[derive(Serialize)]
struct Written<'a> {
    file: String,
    count: usize,
    expired: &'a [procura_types::SecretPath],
}

impl Export {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let recipients = self.recipients()?;
        if let Some(file) = self.output.as_ref().filter(|file| file.exists()) {
            return Err(
                Failure::usage(format!("{} is there already", file.display()))
                    .next("-o with another name"),
            );
        }
        let server = context.operator().await?;
        let export = SecretExport {
            prefix: self.prefix,
            recipients,
        };
        let exported = server.export_secrets(&context.namespace, &export).await?;
        // What may not be known to be there is not told from what is not: both are none.
        if exported.count == 0 {
            return Err(Failure::refused(match export.prefix.as_str() {
                "" => format!(
                    "nothing was exported: {} has no secret that leaves",
                    context.namespace
                ),
                prefix => format!(
                    "nothing was exported: no secret of {} that leaves begins with {prefix}",
                    context.namespace
                ),
            })
            .because(match exported.expired.len() {
                0 => "none is readable there".to_owned(),
                expired => format!("{expired} there have expired"),
            })
            .next("procura secret list, which shows the paths; -n NS for another namespace"));
        }
        let Some(file) = &self.output else {
            if context.json {
                return output::json(&exported);
            }
            let bytes = encoding::from_b64url("age_b64", &exported.age_b64)?;
            return output::bytes(&bytes);
        };
        let bytes = encoding::from_b64url("age_b64", &exported.age_b64)?;
        let name = file.display().to_string();
        private_file::create(file, &bytes)
            .map_err(|error| Failure::storage(format!("cannot write {name}"), &error))?;
        let written = Written {
            file: name.clone(),
            count: exported.count,
            expired: &exported.expired,
        };
        for path in &exported.expired {
            output::say(format!("left out, for it has expired: {path}"));
        }
        let words = format!(
            "wrote {} secrets of {}, encrypted, into {name}",
            exported.count, context.namespace
        );
        output::done(context.json, &written, words)
    }

    fn recipients(&self) -> Result<Vec<String>, Failure> {
        let is_file = |to: &&String| {
            let key = to.starts_with("age1") || to.starts_with("ssh-");
            !key && Path::new(to.as_str()).is_file()
        };
        if let Some(file) = self.to.iter().find(is_file) {
            return Err(
                Failure::usage(format!("--to {file}: this is a file, and no recipient"))
                    .next(format!("--to-file {file}")),
            );
        }
        let mut recipients = self.to.clone();
        for path in &self.to_file {
            let bytes = read_file(path)?;
            let text = std::str::from_utf8(bytes.expose())
                .map_err(|_| Failure::usage(format!("{} is not UTF-8", path.display())))?;
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            recipients.extend(lines.map(str::to_owned));
        }
        if recipients.is_empty() {
            return Err(
                Failure::usage("nothing was exported: there is nobody to encrypt it to")
                    .next("--to age1… or --to \"ssh-ed25519 …\""),
            );
        }
        Ok(recipients)
    }
}
