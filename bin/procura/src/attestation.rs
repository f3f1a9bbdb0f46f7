//! `device attestations` and `device baseline`: what daemons attest of themselves, and how
//! hosts have to have started.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use procura_types::wire::{Attestation, AttestationList, Baseline, BaselinePut, QuoteSeen};
use procura_types::{AttestationId, ExeDigest, Thumbprint};

/// What shows the attestations.
const LISTED: &str = "procura device attestations";

/// List what daemons attest of their processes, and revoke it
///
/// Each daemon attests which program it is, with a key that only its process has, and renews
/// that by itself. Grades: self-reported (nobody vouches for the digest), signed-release (a
/// release key does), quoted (a TPM has signed besides that the host started as accepted).
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  procura device attestations\n  procura device attestations revoke 0192f5c1-7a4b-7c21-9e00-2f1d6a1b4c55"
)]
pub(crate) struct Attestations {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Revoke one attestation: its process attests no more, and is handed nothing that asks
    /// for it
    #[command(
        after_help = "Example:\n  procura device attestations revoke 0192f5c1-7a4b-7c21-9e00-2f1d6a1b4c55"
    )]
    Revoke {
        /// Its id, as listed
        id: AttestationId,
    },
}

impl Attestations {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        match self.command {
            Some(Command::Revoke { id }) => {
                context.confirm(&format!(
                    "Revoke the attestation {id}? Its process attests no more. This cannot be undone."
                ))?;
                server.revoke_attestation(&context.namespace, id).await?;
                let words = format!(
                    "revoked the attestation {id}; if that host is as it should be, start its procurad again"
                );
                output::done(context.json, &serde_json::json!({ "revoked": id }), words)
            }
            None => list(context, &server.attestations(&context.namespace).await?),
        }
    }
}

fn list(context: &Context, list: &AttestationList) -> Result<(), Failure> {
    if context.json {
        return output::json(list);
    }
    let mut table = Table::new([
        "ATTESTATION",
        "AGENT",
        "GRADE",
        "STATE",
        "PROGRAM",
        "DEVICE",
        "UNTIL",
    ]);
    for found in &list.attestations {
        table.row([
            found.id.to_string(),
            found.agent.to_string(),
            found.grade.to_string(),
            found.state.as_str().to_owned(),
            format!(
                "{} {} {}",
                found.version,
                found.target,
                start(&found.exe_sha256)
            ),
            found.device.to_string(),
            found.until.to_string(),
        ]);
    }
    table.print("no daemon of this namespace has attested anything")
}

/// Enough of a digest to tell two apart by eye; the whole stands in --json.
fn start(digest: &ExeDigest) -> String {
    digest.to_string().chars().take(16).collect()
}

/// Show, accept or remove how the host of a device has to have started
///
/// The TPM of the host signs what it started with (procurad --tpm); once that is accepted
/// the attestations of its daemon are quoted, as long as it starts so.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura device baseline 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4\n  procura device baseline 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4 --accept\n  procura device baseline 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4 --remove"
)]
pub(crate) struct Of {
    /// The thumbprint of the device, as listed
    // One in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true)]
    thumbprint: Thumbprint,
    /// Accept what its TPM said last
    #[arg(long, conflicts_with = "remove")]
    accept: bool,
    /// Only if the digest of its registers is this one
    #[arg(long, value_name = "SHA256", requires = "accept")]
    digest: Option<ExeDigest>,
    /// Only if it is this TPM, as procura doctor says on the host
    #[arg(long, value_name = "SHA256", requires = "accept")]
    tpm: Option<ExeDigest>,
    /// Accept nothing any more
    #[arg(long)]
    remove: bool,
}

impl Of {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let namespace = &context.namespace;
        if self.remove {
            context.confirm(&format!(
                "Accept nothing any more of the host of {}?",
                self.thumbprint
            ))?;
            server.remove_baseline(namespace, &self.thumbprint).await?;
            let removed = serde_json::json!({ "removed": self.thumbprint });
            return output::done(context.json, &removed, "no baseline is accepted any more");
        }
        let list = server.attestations(namespace).await?;
        let baseline = list
            .baselines
            .iter()
            .find(|known| known.device == self.thumbprint);
        let said = newest(&list, &self.thumbprint);
        if !self.accept {
            return show(context, baseline, said);
        }
        let (attestation, seen) = said.ok_or_else(|| {
            Failure::config("the TPM of that host has said nothing yet")
                .because("its daemon was not started with --tpm, or its attestation was refused")
                .next(LISTED)
        })?;
        if self.digest.is_some_and(|digest| digest != seen.pcr_digest) {
            return Err(Failure::refused(
                "the TPM says another digest than the one that was typed",
            )
            .because(format!("it says {}", seen.pcr_digest))
            .next(LISTED));
        }
        if self.tpm.is_some_and(|tpm| tpm != seen.ek_sha256) {
            return Err(
                Failure::refused("it is another TPM than the one that was typed")
                    .because(format!("it is {}", seen.ek_sha256))
                    .next(LISTED),
            );
        }
        output::say(words(seen));
        context.confirm("Accept that the host of this device starts so?")?;
        let put = BaselinePut {
            attestation: attestation.id,
            pcr_digest: seen.pcr_digest,
        };
        let baseline = server
            .set_baseline(namespace, &self.thumbprint, &put)
            .await?;
        output::done(
            context.json,
            &baseline,
            "accepted; its daemon is quoted when it attests next, which restarting it does at once",
        )
    }
}

/// What the TPM of a device said last, in an attestation that counts.
fn newest<'a>(
    list: &'a AttestationList,
    device: &Thumbprint,
) -> Option<(&'a Attestation, &'a QuoteSeen)> {
    list.attestations
        .iter()
        .filter(|found| found.device == *device && found.revoked.is_none())
        .find_map(|found| found.quote.as_ref().map(|seen| (found, seen)))
}

fn words(seen: &QuoteSeen) -> String {
    format!(
        "the TPM {} says that the registers {} hold {} (started {} times)",
        seen.ek_sha256,
        listed(&seen.pcrs),
        seen.pcr_digest,
        seen.reset_count
    )
}

fn listed(pcrs: &[u8]) -> String {
    let pcrs: Vec<String> = pcrs.iter().map(u8::to_string).collect();
    pcrs.join(",")
}

fn show(
    context: &Context,
    baseline: Option<&Baseline>,
    said: Option<(&Attestation, &QuoteSeen)>,
) -> Result<(), Failure> {
    if context.json {
        let said = said.map(|(_, seen)| seen);
        return output::json(&serde_json::json!({ "baseline": baseline, "said": said }));
    }
    let mut table = Table::new(["", "TPM", "REGISTERS", "DIGEST"]);
    if let Some(baseline) = baseline {
        table.row([
            format!("accepted {}", baseline.since),
            baseline.ek_sha256.to_string(),
            listed(&baseline.pcrs),
            baseline.pcr_digest.to_string(),
        ]);
    }
    if let Some((found, seen)) = said {
        table.row([
            format!("said {}", found.renewed),
            seen.ek_sha256.to_string(),
            listed(&seen.pcrs),
            seen.pcr_digest.to_string(),
        ]);
    }
    table.print("no TPM has said anything of that host, and nothing is accepted")
}
