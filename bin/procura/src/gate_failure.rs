//! Why a gate cannot follow its server, in words.

use crate::failure::Failure;
use procura_client::ClientError;
use procura_gate::{FollowError, RecordFault};
use procura_types::Label;

/// Whether the server is not there, or is sealed.
pub(crate) fn is_away(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. })
        || error.problem().is_some_and(|problem| problem.status == 503)
}

/// The server does not let the gate begin.
pub(crate) fn not_followed(error: FollowError, service: &Label) -> Failure {
    match error {
        FollowError::Client(error) if error.is_refusal("already_followed") => Failure::from(error)
            .instead(format!(
                "another gate of {service} runs: of two, each would let in what the other has let in already"
            ))
            .next("stop the other one, and a minute after the server last heard of it this one can begin; or give each the same --guard-url"),
        FollowError::Client(error) if error.is_refusal("not_found") => Failure::from(error)
            .instead(format!(
                "there is no service {service} that this gate's agent may run a gate of"
            ))
            .next(format!(
                "procura service show {service}; an admin says who may with procura service gate {service} AGENT"
            )),
        FollowError::Client(error) => error.into(),
        FollowError::Feed(fault) => rolled_back(&fault),
        FollowError::Record(RecordFault::Home(why)) => Failure::config(why)
            .next("the command again with --danger-accept-rollback, if you know why"),
        FollowError::Record(fault) => rolled_back(&fault),
    }
}

/// What the server says leads back.
fn rolled_back(fault: &dyn std::fmt::Display) -> Failure {
    Failure::refused("what the server says is not used")
        .because(fault)
        .next("find out whether the server was put back from a backup; --danger-accept-rollback accepts that")
}
