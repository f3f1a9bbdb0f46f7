//! Unseal sources whose key a token, a chip or a service wraps: how they are named, and
//! what is brought for them.

use crate::cli::whole;
use crate::context::Context;
use crate::failure::Failure;
use crate::operator::read_code;
use crate::{files, output};
use clap::{Args, ValueEnum};
use procura_client::{Client, ClientOptions, NewSource, SystemClock};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_edge::private_file::read_private_file;
use procura_types::wire::{Pkcs11Mechanism, TransitCredentials, ValueB64, Wrapper};
use procura_types::{Joins, Label, Namespace, Secret};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the kernel shows a TPM, with a resource manager in front of it.
const TPM: &str = "/dev/tpmrm0";

/// What wraps the key of a new source.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// A PKCS#11 token, by the absolute path of its module
    #[arg(long, value_name = "MODULE", group = "source", requires = "token")]
    pkcs11: Option<PathBuf>,
    /// With --pkcs11: the token's label or serial number
    #[arg(long, value_name = "TOKEN", requires = "pkcs11")]
    token: Option<String>,
    /// With --pkcs11: what the key that is made on the token is called [default: procura-NAME]
    #[arg(long, value_name = "LABEL", requires = "pkcs11")]
    key: Option<String>,
    /// With --pkcs11: how the key wraps [default: the first that the token can]
    #[arg(long, value_name = "MECHANISM", requires = "pkcs11")]
    mechanism: Option<Mechanism>,
    /// The TPM of the server's machine [default device: /dev/tpmrm0]
    #[arg(long, value_name = "DEVICE", group = "source", requires = "pcrs", num_args = 0..=1, default_missing_value = TPM)]
    tpm: Option<PathBuf>,
    /// With --tpm: the registers that have to stay as they are, such as 7 or 0,2,7
    #[arg(long, value_name = "REGISTERS", requires = "tpm", value_delimiter = ',', value_parser = whole::<u8>)]
    pcrs: Vec<u8>,
    /// A key of AWS KMS, by its ARN, id or alias/NAME
    #[arg(long, value_name = "KEY", group = "source", requires = "region")]
    kms: Option<String>,
    /// With --kms: the key's region
    #[arg(long, value_name = "REGION", requires = "kms")]
    region: Option<String>,
    /// With --kms: another address than the region's own, with https://
    #[arg(long, value_name = "URL", requires = "kms")]
    endpoint: Option<String>,
    /// With --endpoint: the authorities to trust for it, PEM
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    endpoint_ca: Option<PathBuf>,
    /// A transit key of another Procura, as NAMESPACE/KEY
    #[arg(long, value_name = "NAMESPACE/KEY", group = "source")]
    transit: Option<TransitName>,
    /// What the new source asks for: a file with the token's PIN, the access keys of AWS, or what `unseal-source join` wrote; nobody else may read it [default: what unseal_credentials of procura.toml names; for a token it is asked for]
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

/// How a key on a token wraps.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mechanism {
    AesGcm,
    RsaOaepSha256,
    RsaOaepSha1,
}

impl From<Mechanism> for Pkcs11Mechanism {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::AesGcm => Self::AesGcm,
            Mechanism::RsaOaepSha256 => Self::RsaOaepSha256,
            Mechanism::RsaOaepSha1 => Self::RsaOaepSha1,
        }
    }
}

/// `vault/unseal`.
#[derive(Debug, Clone)]
struct TransitName(Namespace, Label);

impl std::str::FromStr for TransitName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, key) = text
            .split_once('/')
            .ok_or("is not NAMESPACE/KEY, such as vault/unseal")?;
        let namespace = namespace.parse().map_err(|error| format!("{error}"))?;
        let key = key.parse().map_err(|error| format!("{error}"))?;
        Ok(Self(namespace, key))
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::usage(format!("{} is not UTF-8", path.display())))
}

impl New {
    /// The wrapper that was named, if one was.
    fn wrapper(&self, name: &Label) -> Result<Option<Wrapper>, Failure> {
        if let Some(module) = &self.pkcs11 {
            return Ok(Some(Wrapper::Pkcs11 {
                module: text(module)?,
                token: self.token.clone().unwrap_or_default(),
                key: self
                    .key
                    .clone()
                    .unwrap_or_else(|| format!("procura-{name}")),
                mechanism: self.mechanism.map(Into::into),
            }));
        }
        if let Some(device) = &self.tpm {
            let mut pcrs = self.pcrs.clone();
            pcrs.sort_unstable();
            pcrs.dedup();
            let device = text(device)?;
            return Ok(Some(Wrapper::Tpm { device, pcrs }));
        }
        if let Some(key) = &self.kms {
            let ca = self.endpoint_ca.as_deref().map(|path| {
                files::read(path)?
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| {
                        Failure::usage(format!("--endpoint-ca {}: no PEM file", path.display()))
                    })
            });
            return Ok(Some(Wrapper::Kms {
                key: key.clone(),
                region: self.region.clone().unwrap_or_default(),
                endpoint: self.endpoint.clone(),
                ca_pem: ca.transpose()?,
            }));
        }
        Ok(self
            .transit
            .as_ref()
            .map(|TransitName(namespace, key)| Wrapper::Transit {
                namespace: namespace.clone(),
                key: key.clone(),
                server: None,
            }))
    }

    /// The new source, if it is one with a wrapper, with what the wrapper asks for.
    pub(crate) async fn source(
        &self,
        context: &Context,
        name: &Label,
    ) -> Result<Option<NewSource>, Failure> {
        let Some(by) = self.wrapper(name)? else {
            if self.credentials.is_some() {
                return Err(Failure::usage("--credentials is for tokens and services"));
            }
            return Ok(None);
        };
        let credentials = bring(context, by.kind(), name, self.credentials.as_deref(), false);
        Ok(Some(NewSource::Wrapped {
            credentials: credentials.await?,
            by,
        }))
    }
}

/// What is brought for a wrapper: a file, or the PIN of a token at the terminal; nothing
/// where the server's configuration names it.
pub(crate) async fn bring(
    context: &Context,
    kind: &str,
    name: &Label,
    file: Option<&Path>,
    configured: bool,
) -> Result<Option<Secret<String>>, Failure> {
    if let Some(path) = file {
        return read(path, kind == "pkcs11").map(Some);
    }
    if kind == "pkcs11" && !configured {
        let question = format!("The PIN of the token of {name}");
        return context.passphrases.ask(&question).await.map(Some);
    }
    Ok(None)
}

fn read(path: &Path, one_line: bool) -> Result<Secret<String>, Failure> {
    let bytes = read_private_file(path, rustix::process::getuid().as_raw())
        .map_err(|error| Failure::usage("--credentials").because(error))?;
    let text = std::str::from_utf8(bytes.expose())
        .map_err(|_| Failure::usage(format!("--credentials {}: not UTF-8", path.display())))?;
    let text = if one_line {
        text.lines().next().unwrap_or_default()
    } else {
        text
    };
    Ok(Secret::new(text.to_owned()))
}

/// Joins another Procura as a device of an agent there.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// A link code of the agent; without it, it is asked for or read from a pipe
    code: Option<String>,
    /// The file to write: whoever has it may use the transit keys of that agent
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Join {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let code = read_code(self.code).await?;
        let Joins::Agent(actor) = code.joins else {
            return Err(
                Failure::usage("this code is for a person, not for a device of an agent")
                    .next("procura agent code LABEL, at the other Procura"),
            );
        };
        let url = context.server_of(&code)?;
        let ca_pem = context.ca_pem()?;
        let options = ClientOptions {
            ca_pem: ca_pem.clone(),
            ..ClientOptions::default()
        };
        let client = Client::new(
            &url,
            options,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        )?;
        let key = SigningKey::generate_ed25519(context.entropy())
            .map_err(|error| Failure::config("the device's key").because(error))?;
        // What cannot be written is known before the code is used up.
        files::create(&self.out, b"")?;
        let joined = client.join(&code, &actor, &key).await;
        let answer = match joined {
            Ok(answer) => answer,
            Err(error) => {
                files::remove(&self.out)?;
                return Err(error.into());
            }
        };
        let ca_pem = ca_pem
            .map(String::from_utf8)
            .transpose()
            .map_err(|error| Failure::usage("--ca is not PEM").because(error))?;
        let credentials = TransitCredentials {
            url,
            server_key: answer.server_key,
            ca_pem,
            device_key_b64: ValueB64::encode(key.to_secret_bytes().expose()),
        };
        // Room for all of it, so that no key is left in memory that was grown out of.
        let mut bytes = Secret::new(Vec::with_capacity(64 * 1024));
        serde_json::to_writer(bytes.expose_mut(), &credentials)
            .map_err(|error| Failure::storage("cannot write the credentials", &error))?;
        files::replace(&self.out, bytes.expose())?;
        let words = format!(
            "{} is a device of that agent; keep it where unseal_credentials of procura.toml names it",
            self.out.display()
        );
        output::done(
            context.json,
            &serde_json::json!({ "device": answer.device, "file": self.out }),
            output::plain(&words),
        )
    }
}
