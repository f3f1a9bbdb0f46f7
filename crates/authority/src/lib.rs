//! Authority: what an agent may have, because a person said yes.
//!
//! A run asks for names. [`Matched`] finds the secrets behind them; a grant that
//! covers them opens [`RunDeliver`]; without one, [`RequestCreate`] asks a person,
//! whose signed [`RequestApprove`] becomes the grant. [`GrantWithdraw`] ends it.
//!
//! [`KeyRead`] is the same for one key that an agent fetches by its name over HTTP.
//!
//! Beside it, [`ServiceWrite`] turns the dial of a service: whether its callers have
//! to prove who they are. Its gate follows it by [`ServiceFollow`], and asks about
//! proofs that it cannot verify itself by [`ServiceVerify`].

mod answer;
mod asked;
mod error;
mod follow;
mod grant;
mod honey;
mod installation_import;
mod key;
mod mapped_template;
mod matching;
mod namespace;
mod project;
mod project_end;
mod project_token;
mod pruning;
mod rendering;
mod report;
mod request;
mod require_grade;
mod run;
mod service;
mod standing;
mod sweeping;
mod yes;

pub use answer::{RequestApprove, RequestDeny};
pub use asked::{Asked, asked};
pub use error::AuthorityError;
pub use follow::{Dialled, Following, ServiceFollow, ServiceVerify, is_service};
pub use grant::{GrantListing, GrantRead, GrantWithdraw, running_children};
pub use honey::{HoneyQuery, Led};
pub use installation_import::{InstallationImport, NamespaceImport};
pub use key::{KEYS_PROJECT, KeyKind, KeyListing, KeyNames, KeyRead};
pub use mapped_template::mapped_template;
pub use matching::{Matched, RunQuery};
pub use namespace::{NamespaceDelete, NamespaceRead, end_namespace, namespace_detail};
pub use project::{ProjectListing, ProjectRead, ProjectWrite};
pub use project_end::{Ended, ProjectDelete, ProjectDisplayName, ProjectRebind};
pub use project_token::{
    MAX_TOKENS, TOKEN_LIFE, TokenHolder, TokenIssue, TokenListing, TokenRevoke, TokenRevokeAll,
    TokenRotate, TokenTerms, TokenUse, show_token,
};
pub use pruning::{Pruning, REQUEST_KEPT, RUN_KEPT, TOKEN_KEPT};
pub use rendering::Handed;
pub use request::{REQUEST_LIFE, RequestCreate, RequestListing, RequestRead};
pub use require_grade::{Attesting, ProjectRequireGrade};
pub use run::{RunDeliver, RunEnd};
pub use service::{
    MAX_GATES, MAX_SERVICES, ServiceListing, ServiceRead, ServiceRemove, ServiceWrite,
};
pub use sweeping::sweep_namespaces;
pub use yes::{Draft, RequestDraft, Yes};

use procura_types::Duration;
use procura_types::wire::GrantItem;
use procura_types::{EnvName, SecretPath};

/// Most names of one run, one project and so of one grant.
pub const MAX_NAMES: usize = 256;
/// Most bytes of names and paths together in one project or run: a grant and its
/// receipt have to fit into one row and one ledger entry, of 64 KiB each.
pub const MAX_TERMS: usize = 20_000;
/// Most agents of one project.
pub const MAX_AGENTS: usize = 256;
/// Most requests of one agent that wait for an answer.
pub const MAX_PENDING: usize = 100;
/// Longest life of a grant.
pub const MAX_GRANT: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// How far the beginning of a grant may be from the server's clock.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Most rows of one page.
const MAX_PAGE: usize = 1000;
/// Rows of a page when the caller does not say.
const PAGE: usize = 100;

fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).clamp(1, MAX_PAGE)
}

/// Whether names and paths fit into one grant.
fn fits<'a>(items: impl Iterator<Item = (&'a EnvName, &'a SecretPath)>) -> bool {
    let (mut count, mut bytes) = (0usize, 0usize);
    for (name, path) in items {
        count += 1;
        bytes += name.as_str().len() + path.as_str().len();
    }
    count <= MAX_NAMES && bytes <= MAX_TERMS
}

fn pair(item: &GrantItem) -> (&EnvName, &SecretPath) {
    (&item.name, &item.path)
}
