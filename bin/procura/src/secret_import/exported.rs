//! What `secret export` wrote, opened with the keys of one of its recipients.

use super::{Plan, not_in_order, path};
use crate::context::Context;
use crate::failure::Failure;
use crate::secret::read_file;
use procura_crypto::age::{AgeError, Identity, decrypt};
use procura_crypto::ssh::SshKeyError;
use procura_types::wire::{ExportDocument, PortableSecret};
use procura_types::{Secret, SecretBytes};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What every age file begins with.
const MAGIC: &[u8] = b"age-encryption.org/";
/// The largest export that is read.
const LARGEST: u64 = 32 * 1024 * 1024;

/// Whether a file begins as one.
pub(super) fn is_one(file: &Path) -> bool {
    let mut begin = [0; MAGIC.len()];
    File::open(file)
        .and_then(|mut file| file.read_exact(&mut begin))
        .is_ok_and(|()| begin == *MAGIC)
}

fn bytes(file: &Path) -> Result<SecretBytes, Failure> {
    let name = file.display();
    let mut bytes = Secret::new(Vec::new());
    File::open(file)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(bytes.expose_mut()))
        .map_err(|error| Failure::usage(format!("cannot read {name}")).because(error))?;
    if u64::try_from(bytes.expose().len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(Failure::usage(format!("{name} is larger than 32 MiB")));
    }
    Ok(bytes)
}

/// What the file says once it is open, or everything that is wrong with it.
pub(super) async fn plan(
    context: &Context,
    file: &Path,
    prefix: &str,
    identities: &[PathBuf],
) -> Result<Plan, Failure> {
    let name = file.display().to_string();
    let sealed = bytes(file)?;
    if identities.is_empty() {
        return Err(Failure::usage(format!("{name} is encrypted"))
            .next("--identity FILE, with the key of one of its recipients"));
    }
    let mut keys = Vec::new();
    for path in identities {
        keys.extend(identity(context, path).await?);
    }
    let open = decrypt(&keys, sealed.expose())
        .map_err(|error| Failure::refused(format!("{name} cannot be opened")).because(error))?;
    // What serde_json met could be a value.
    let document: ExportDocument = serde_json::from_slice(open.expose()).map_err(|error| {
        Failure::usage(format!("nothing was written: {name} is no export")).because(format_args!(
            "at line {}, column {} of what is in it",
            error.line(),
            error.column()
        ))
    })?;
    if document.format != ExportDocument::FORMAT {
        return Err(Failure::usage(format!(
            "nothing was written: {name} is of a format that this program does not know"
        )));
    }
    let (mut secrets, mut wrong) = (Vec::new(), Vec::new());
    for secret in document.secrets {
        match path(prefix, secret.path.as_str()) {
            Ok(path) => secrets.push(PortableSecret { path, ..secret }),
            Err(error) => wrong.push(format!("{}: {error}", secret.path)),
        }
    }
    if !wrong.is_empty() {
        return Err(not_in_order(&name, &wrong));
    }
    let notes = vec![format!(
        "from the namespace {}, exported {}",
        document.namespace, document.exported
    )];
    Ok(Plan { secrets, notes })
}

async fn identity(context: &Context, path: &Path) -> Result<Vec<Identity>, Failure> {
    let name = path.display();
    let bytes = read_file(path)?;
    let failed = |error: AgeError| {
        Failure::usage(format!("{name} is no key that opens exports")).because(error)
    };
    match Identity::read(bytes.expose(), None) {
        Err(AgeError::Ssh(SshKeyError::PassphraseNeeded)) => {
            let question = format!("Passphrase of {name}");
            let passphrase = context.passphrases.ask(&question).await?;
            Identity::read(bytes.expose(), Some(&passphrase)).map_err(failed)
        }
        other => other.map_err(failed),
    }
}
