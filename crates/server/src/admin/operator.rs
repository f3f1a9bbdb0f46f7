//! An operator whose key is lost: what opens the vault lets another key of theirs join.

use super::unseal::brought;
use super::unseal_source::{Turn, blocking, permit};
use crate::api::written;
use crate::app::App;
use crate::problem::Failure;
use procura_identity::{ByQuorum, OperatorRecover, takes_a_quorum};
use procura_record::Origin;
use procura_types::TraceId;
use procura_types::wire::{self, LinkCode, Recovery};
use procura_vault::Vault;
use std::sync::Arc;

/// Makes a code with which another key joins. Whoever has it acts as that operator, so what
/// opens the vault is brought for it, with several stewards a quorum agrees besides, and
/// every operator is told.
pub(super) async fn recover(
    app: &App,
    request: wire::OperatorRecover,
    trace: TraceId,
) -> Result<LinkCode, Failure> {
    let brought = brought(app, request.open).await?;
    app.open()?;
    let _turn = Turn::of(app).await;
    let open = app.open()?;
    let vault = Arc::clone(&open.vault);
    let by = blocking(app, move || vault.try_source(&brought)).await?;
    let installation = open.vault.installation().id;
    let name = request.name;
    let op = OperatorRecover {
        name: name.clone(),
        by: request.proposal.map(|proposal| ByQuorum {
            installation,
            proposal,
        }),
    };
    let (now, entropy) = (app.clock.now(), app.entropy.as_ref());
    let told = Recovery {
        operator: Some(name),
        ..open.vault.recovery(&by.source, now)?
    };
    let permit = permit(app, &open, op)?;
    let issued = open
        .recorder
        .change(permit, &Origin::new(trace), |batch| -> Result<_, Failure> {
            // One that nobody needed was not looked at, and the record does not name it.
            let agreed = request
                .proposal
                .filter(|_| takes_a_quorum(batch.directory()))
                .map_or_else(String::new, |id| format!(", proposal {id}"));
            batch.details().with = Some(format!("unseal_source/{}{agreed}", by.source));
            Vault::put_recovery(batch.rows(), &told);
            Ok(OperatorRecover::run(batch, now, entropy)?)
        })
        .await?;
    Ok(written(app, &open, issued))
}
