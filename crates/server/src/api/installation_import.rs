//! `/v1/import`: what goes into several namespaces, all of it or nothing.

use super::honey::planting;
use super::secret_import::{IMPORT_BODY, incoming};
use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_authority::{InstallationImport, NamespaceImport};
use procura_directory::HoneyRecord;
use procura_policy::{Op as _, Permit};
use procura_proof::Caller;
use procura_types::SecretPath;
use procura_types::wire::{self, InstallationImported};
use procura_vault::SecretImport;
use std::collections::BTreeSet;

pub(super) struct Import;

fn namespace(
    open: &Open,
    input: &Input,
    part: wire::NamespaceImport,
) -> Result<NamespaceImport, Failure> {
    let wire::NamespaceImport {
        namespace,
        create,
        secrets,
        honey,
        projects,
    } = part;
    let secrets = secrets
        .into_iter()
        .map(incoming)
        .collect::<Result<Vec<_>, _>>()?;
    let secrets = match secrets.is_empty() {
        true => None,
        false => Some(SecretImport::new(namespace.clone(), secrets, false)?),
    };
    let honey = honey
        .into_iter()
        .map(|item| planting(open, input, (namespace.clone(), item.path), item.plant))
        .collect::<Result<_, _>>()?;
    Ok(NamespaceImport {
        namespace,
        create,
        secrets,
        honey,
        projects,
    })
}

impl Endpoint for Import {
    type Op = InstallationImport;
    type Body = wire::InstallationImport;
    type Answer = InstallationImported;
    const SUMMARY: &'static str =
        "Writes secrets, decoys and mappings of several namespaces, all of them or none";
    const BODY: usize = IMPORT_BODY;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/import";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let body = input.json::<Self::Body>()?;
        let namespaces = body
            .namespaces
            .into_iter()
            .map(|part| namespace(open, input, part))
            .collect::<Result<_, _>>()?;
        Ok(InstallationImport::new(namespaces)?)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let honey = &context.open.honey;
        let snapshot = context.open.directory.snapshot();
        let mut meant = Vec::new();
        for import in permit.op().secrets() {
            let paths: BTreeSet<&SecretPath> = import.paths().collect();
            let is_meant = |honey: &HoneyRecord| paths.contains(&honey.path);
            let caller = permit.caller();
            meant.push(honey.meant(&snapshot, caller, import.namespace(), is_meant));
        }
        // What it is about to write is touched whatever comes of it.
        let mut foreseen = Vec::new();
        for meant in meant {
            let action = InstallationImport::ACTION;
            foreseen.push(honey.foresee(meant, action, context.input).await?);
        }
        let imported = import(&context, permit).await;
        drop(foreseen);
        Reply::json::<Self::Answer>(&imported?)
    }
}

async fn import(
    context: &Context<'_>,
    permit: Permit<InstallationImport>,
) -> Result<InstallationImported, Failure> {
    let (open, now) = (context.open, context.input.now);
    let (vault, entropy) = (&open.vault, context.app.entropy.as_ref());
    // By name, so that of two imports one waits for the other and not both.
    let mut turns = Vec::new();
    for namespace in permit.op().namespaces() {
        turns.push(open.turns.take(vault, namespace).await?);
    }
    let imported = context.change(permit, |batch| {
        InstallationImport::run(vault, batch, entropy, now)
    });
    Ok(imported.await?)
}
