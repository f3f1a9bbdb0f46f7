use crate::{InstanceId, Timestamp};
use serde::{Deserialize, Serialize};

/// `GET /v1/servers`: the servers of one installation, where a database is shared.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerList {
    /// All that are known, by id; those that were removed as well.
    pub servers: Vec<Server>,
}

/// One server: a home, and the machine that it is on.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Server {
    /// What `server.id` in its home says.
    pub id: InstanceId,
    /// The name that its machine gives itself; empty where it gives none that can be
    /// shown.
    pub host: String,
    /// Where it stands.
    pub state: ServerState,
    /// When it was opened for the first time.
    pub since: Timestamp,
    /// When it was last heard of, which is once a minute while it is open; of one that
    /// was removed, when that was.
    pub seen: Timestamp,
    /// Whether it is the one that answers.
    pub answers: bool,
}

/// Where a server stands.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It is open, and a new root is handed over to it.
    Open,
    /// It was open, did not say that it goes, and was not heard of for so long that no
    /// later root is handed over to it before it is unsealed anew.
    Absent,
    /// It was sealed or stopped: it holds nothing, and is unsealed to come back.
    Sealed,
    /// A steward removed it: it never comes back.
    Removed,
}

impl ServerState {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Absent => "absent",
            Self::Sealed => "sealed",
            Self::Removed => "removed",
        }
    }
}
