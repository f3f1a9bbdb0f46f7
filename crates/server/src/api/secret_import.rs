//! `/v1/namespaces/{ns}/import`, `/export` and `/rollback`: many secrets at once, and what
//! was there at a time.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_crypto::age::{MAX_RECIPIENTS, Recipient};
use procura_directory::HoneyRecord;
use procura_policy::{Op as _, Permit};
use procura_proof::Caller;
use procura_types::wire::{self, SecretExported, SecretImported, SecretRolledBack};
use procura_types::{Malformed, SecretPath, encoding};
use procura_vault::{
    Incoming, MAX_AT_ONCE, RollbackScope, SecretAbout, SecretExport, SecretImport, SecretRollback,
};
use std::collections::BTreeSet;

/// The largest body of an import. What one export holds fits into it.
pub(crate) const IMPORT_BODY: usize = 12 * 1024 * 1024;

pub(super) struct Import;

/// A secret that is to be written among others.
pub(super) fn incoming(item: wire::ImportItem) -> Result<Incoming, Failure> {
    let wire::ImportItem {
        secret,
        expect_version,
    } = item;
    if let Some(name) = &secret.env {
        name.deliverable()?;
    }
    Ok(Incoming {
        value: secret.value_b64.decode()?,
        path: secret.path,
        expect_version,
        env: secret.env,
        kind: secret.kind,
        about: SecretAbout {
            description: secret.description,
            tags: secret.tags,
            owner: secret.owner,
            expires: secret.expires,
            rotate_by: secret.rotate_by,
            delivery: secret.delivery,
            clear: Vec::new(),
        },
    })
}

impl Endpoint for Import {
    type Op = SecretImport;
    type Body = wire::SecretImport;
    type Answer = SecretImported;
    const SUMMARY: &'static str =
        "Writes many secrets, all of them or none; or with dry_run says what would become of each";
    const BODY: usize = IMPORT_BODY;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/import";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let body = input.json::<Self::Body>()?;
        if body.secrets.is_empty() || body.secrets.len() > MAX_AT_ONCE {
            return Err(Malformed::new("secrets", "must be 1 to 10000").into());
        }
        let secrets = body
            .secrets
            .into_iter()
            .map(incoming)
            .collect::<Result<_, _>>()?;
        Ok(SecretImport::new(
            input.param("ns")?,
            secrets,
            body.dry_run,
        )?)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let honey = &context.open.honey;
        let meant = {
            let op = permit.op();
            let snapshot = context.open.directory.snapshot();
            let paths: BTreeSet<&SecretPath> = op.paths().collect();
            let is_meant = |honey: &HoneyRecord| paths.contains(&honey.path);
            honey.meant(&snapshot, permit.caller(), op.namespace(), is_meant)
        };
        // What it is about to write, or asks about, is touched whatever comes of it.
        let foreseen = honey
            .foresee(meant, SecretImport::ACTION, context.input)
            .await?;
        let imported = import(&context, permit).await;
        drop(foreseen);
        Reply::json::<Self::Answer>(&imported?)
    }
}

async fn import(
    context: &Context<'_>,
    permit: Permit<SecretImport>,
) -> Result<SecretImported, Failure> {
    let (open, now) = (context.open, context.input.now);
    if !permit.op().is_dry_run() {
        let vault = &open.vault;
        let _turn = open.turns.take(vault, permit.op().namespace()).await?;
        let imported = context.change(permit, |batch| SecretImport::run(vault, batch, now));
        return Ok(imported.await?);
    }
    let found = permit
        .op()
        .look(&open.directory.snapshot(), open.vault.store())?;
    // Values that are there are compared with what comes: whoever asks could guess
    // them one by one, so the record says it first.
    let words = found.words(permit.op());
    let recorded = open
        .recorder
        .record_in_parts(permit, context.origin(), words)
        .await?;
    Ok(SecretImport::preview(&recorded, &open.vault, &found)?)
}

pub(super) struct Export;

impl Endpoint for Export {
    type Op = SecretExport;
    type Body = wire::SecretExport;
    type Answer = SecretExported;
    const SUMMARY: &'static str =
        "Takes the newest versions out, encrypted to age recipients and in no other form";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/export";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let body = input.json::<Self::Body>()?;
        if body.recipients.is_empty() || body.recipients.len() > MAX_RECIPIENTS {
            return Err(Malformed::new("recipients", "must be 1 to 16").into());
        }
        let recipients = body
            .recipients
            .iter()
            .map(|text| Recipient::parse(text))
            .collect::<Result<_, _>>()
            .map_err(|_| {
                Malformed::new(
                    "recipients",
                    "must be age1…, or ssh-ed25519 or ssh-rsa public keys",
                )
            })?;
        Ok(SecretExport {
            namespace: input.param("ns")?,
            prefix: body.prefix,
            recipients,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let honey = &context.open.honey;
        let meant = {
            let op = permit.op();
            let snapshot = context.open.directory.snapshot();
            let is_meant = |honey: &HoneyRecord| honey.path.as_str().starts_with(&op.prefix);
            honey.meant(&snapshot, permit.caller(), &op.namespace, is_meant)
        };
        // It asks for all that it covers, whatever comes of it.
        let foreseen = honey
            .foresee(meant, SecretExport::ACTION, context.input)
            .await?;
        let exported = export(&context, permit).await;
        drop(foreseen);
        Reply::json::<Self::Answer>(&exported?)
    }
}

async fn export(
    context: &Context<'_>,
    permit: Permit<SecretExport>,
) -> Result<SecretExported, Failure> {
    let (open, now) = (context.open, context.input.now);
    let leaving = permit.op().look(open.vault.store(), now)?;
    let words = leaving.words(permit.op());
    let (count, expired) = (leaving.count(), leaving.expired().to_vec());
    // Durable before any value is opened.
    let recorded = open
        .recorder
        .record_in_parts(permit, context.origin(), words)
        .await?;
    let file = match open.vault.export(&recorded, leaving, now) {
        Ok(file) => file,
        Err(error) => {
            open.recorder.failed(&recorded, "value_unreadable").await?;
            return Err(error.into());
        }
    };
    Ok(SecretExported {
        age_b64: encoding::b64url(&file),
        count,
        expired,
    })
}

fn rollback(
    input: &Input,
    scope: impl FnOnce(&wire::SecretRollback) -> Result<RollbackScope, Failure>,
) -> Result<SecretRollback, Failure> {
    let body = input.json::<wire::SecretRollback>()?;
    super::secret::past(body.at, input.now)?;
    let scope = scope(&body)?;
    Ok(SecretRollback {
        namespace: input.param("ns")?,
        scope,
        at: body.at,
        dry_run: body.dry_run,
        leave_destroyed: body.leave_destroyed,
        expect_state: body.expect_state,
    })
}

async fn roll_back(context: Context<'_>, permit: Permit<SecretRollback>) -> Result<Reply, Failure> {
    let (open, now) = (context.open, context.input.now);
    let vault = &open.vault;
    if permit.op().dry_run {
        let words = permit.op().words();
        let recorded = open
            .recorder
            .record_in_parts(permit, context.origin(), words)
            .await?;
        let directory = open.directory.snapshot();
        let permit = recorded.permit();
        let shown = SecretRollback::preview(permit, &directory, vault)?;
        return Reply::json(&shown);
    }
    // What was planted since goes, as a secret would that was not there then.
    let meant = {
        let op = permit.op();
        let snapshot = open.directory.snapshot();
        let caller = permit.caller();
        open.honey
            .meant(&snapshot, caller, &op.namespace, |honey| op.ends(honey))
    };
    let foreseen = open
        .honey
        .foresee(meant, SecretRollback::ACTION, context.input)
        .await?;
    let done = {
        let _turn = open.turns.take(vault, &permit.op().namespace).await?;
        context
            .change(permit, |batch| SecretRollback::run(vault, batch, now))
            .await
    };
    drop(foreseen);
    let done: SecretRolledBack = done?;
    Reply::json(&done)
}

pub(super) struct RollbackOne;

impl Endpoint for RollbackOne {
    type Op = SecretRollback;
    type Body = wire::SecretRollback;
    type Answer = SecretRolledBack;
    const SUMMARY: &'static str = "Makes what was there at a time the newest version again, or with dry_run says what it would do";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/rollback/{*path}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        rollback(input, |body| {
            if !body.prefix.is_empty() {
                return Err(Malformed::new("prefix", "is not for one secret").into());
            }
            Ok(RollbackScope::Path(input.param("path")?))
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        roll_back(context, permit).await
    }
}

pub(super) struct RollbackAll;

impl Endpoint for RollbackAll {
    type Op = SecretRollback;
    type Body = wire::SecretRollback;
    type Answer = SecretRolledBack;
    const SUMMARY: &'static str =
        "The same for all secrets whose paths begin so: all of them or none";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/rollback";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        rollback(input, |body| Ok(RollbackScope::Prefix(body.prefix.clone())))
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        roll_back(context, permit).await
    }
}
