//! What goes wrong with channels, routes and what waits.

use crate::problem::{Code, Failure};
use procura_store::StoreError;
use procura_types::{Label, Malformed, Namespace};

/// Why an operation on them was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotifyError {
    #[error("there is no namespace {0}")]
    NoNamespace(Namespace),
    #[error("there is no channel {0}")]
    NoChannel(Label),
    #[error("there is no route {0}")]
    NoRoute(Label),
    #[error("the route {route} leads to the channel {channel}; remove that first")]
    InUse { channel: Label, route: Label },
    #[error("a namespace, and the installation, has at most 32 channels")]
    TooManyChannels,
    #[error("a namespace, and the installation, has at most 64 routes")]
    TooManyRoutes,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotifyError> for Failure {
    fn from(error: NotifyError) -> Self {
        let text = error.to_string();
        match error {
            NotifyError::NoNamespace(_) | NotifyError::NoChannel(_) | NotifyError::NoRoute(_) => {
                Self::new(Code::NotFound, text)
            }
            NotifyError::InUse { .. } => Self::new(Code::Conflict, text).with_reason("in_use"),
            NotifyError::TooManyChannels => {
                Self::new(Code::Conflict, text).with_reason("too_many_channels")
            }
            NotifyError::TooManyRoutes => {
                Self::new(Code::Conflict, text).with_reason("too_many_routes")
            }
            NotifyError::Malformed(error) => error.into(),
            NotifyError::Store(error) => error.into(),
        }
    }
}
