//! From a permit to the entry that records it.

use procura_directory::Snapshot;
use procura_ledger::{Entry, SessionMark};
use procura_policy::{Action, Basis, Op, Permit, Resource};
use procura_proof::session::Attested;
use procura_types::wire::{CallerReport, Receipt};
use procura_types::{
    ActorId, Clock, Entropy, EntropyError, GrantId, RunId, Thumbprint, TokenId, TraceId,
};
use std::borrow::Cow;

/// Where a request came from, besides its caller.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The HTTP request.
    pub trace: TraceId,
    /// What a daemon said of the process behind it; advisory.
    pub report: Option<CallerReport>,
}

impl Origin {
    /// A request without a report.
    #[must_use]
    pub const fn new(trace: TraceId) -> Self {
        Self {
            trace,
            report: None,
        }
    }
}

/// What an operation adds to its entry.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// The grant that it made, ended or used.
    pub grant: Option<GrantId>,
    /// The approval that it took, for the offline verifier.
    pub approval: Option<Receipt>,
    /// The hand-over.
    pub run: Option<RunId>,
    /// The project token that it made; of one that it used the operation says which.
    pub token: Option<TokenId>,
    /// Who acts, where the caller is not an actor yet: the owner whom `init`
    /// makes, with their first device.
    pub subject: Option<(ActorId, Thumbprint)>,
    /// A word on why.
    pub reason: Option<String>,
    /// What of or for the resource, after a space behind it: the values of a
    /// hand-over, the roles of an operator (`spec/ledger.md`).
    pub with: Option<String>,
    /// The attestation that it made or revoked; of one that the session was started under
    /// the caller says which.
    pub attested: Option<Attested>,
    /// What of the operation the entry is of, for one that is its parts.
    pub part: Option<(Action, Resource)>,
}

/// Most bytes of words in one entry of several: with the longest resource and report
/// it stays below the longest entry.
const PART: usize = 20_000;

/// Words with one space between, in as many parts as entries take, in their order.
/// None when there are no words. A word is at most a few hundred bytes long.
#[must_use]
pub fn in_parts(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in words {
        match parts.last_mut() {
            Some(part) if part.len() + 1 + word.len() <= PART => {
                part.push(' ');
                part.push_str(&word);
            }
            _ => parts.push(word),
        }
    }
    parts
}

/// The intent entry of a permit.
pub(crate) fn intent<O: Op>(
    permit: &Permit<O>,
    snapshot: &Snapshot,
    origin: &Origin,
    details: Details,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Entry, EntropyError> {
    let caller = permit.caller();
    let (actor, device) = match details.subject {
        Some((actor, device)) => (actor, Some(device)),
        None => (*caller.actor(), caller.device().copied()),
    };
    let owner = match (snapshot.actor(&actor), details.subject) {
        (Some(record), _) => record.owner,
        (None, Some(_)) => actor,
        (None, None) => *caller.owner(),
    };
    let grant = details.grant.or(match permit.basis() {
        Basis::Grant(grant) => Some(grant),
        _ => None,
    });
    let token = details
        .token
        .or_else(|| permit.op().concerned().token.map(|need| *need.token));
    let attested = details.attested.or_else(|| caller.attested().copied());
    let (action, of) = match &details.part {
        Some((action, resource)) => (*action, resource),
        None => (O::ACTION, permit.resource()),
    };
    let resource = match details.with {
        Some(with) => format!("{of} {with}"),
        None => of.to_string(),
    };
    Ok(Entry {
        actor: Some(actor),
        owner: Some(owner),
        device,
        session: caller.session().copied().map(SessionMark::from_bytes),
        attestation: attested.map(|attested| attested.id),
        grade: attested.map(|attested| attested.grade),
        token,
        namespace: of.namespace().cloned(),
        resource: Some(resource),
        grant,
        approval: details.approval.map(Box::new),
        run: details.run,
        policies: permit.policies().map(|names| Cow::Owned(names.to_string())),
        reason: details.reason.map(Cow::Owned),
        profile: Cow::Borrowed(caller.profile().as_str()),
        ip: caller.peer(),
        caller: origin.report.clone(),
        ..Entry::new(clock.now(), entropy, action.as_str(), origin.trace)?
    })
}
