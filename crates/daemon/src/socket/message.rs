//! What is said on the socket.

use crate::DeviceSummary;
use procura_types::wire::{GrantItem, Unmatched, ValueB64};
use procura_types::{
    Delivery, DisplayName, GrantId, Namespace, ProjectName, RequestId, RunId, Thumbprint,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of these messages.
pub const VERSION: u32 = 1;

/// The daemon's first message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Greeting {
    /// [`VERSION`].
    pub version: u32,
    /// Random text, to be said back: it shows that the question was sent after
    /// the daemon took hold of the process that connected.
    pub challenge: String,
    /// For a user who is the daemon's own: what a command is confined by. Not said to
    /// others, whom the file system keeps out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confine: Option<Confine>,
}

/// How a command is kept from the daemon whose user it shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confine {
    /// Directories that it gets no access to, and that it does not make.
    pub hidden: Vec<PathBuf>,
    /// Where the kernel has no Landlock, it runs all the same.
    pub danger_no_landlock: bool,
}

/// The client's one message.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// From the greeting.
    pub challenge: String,
    /// What is asked.
    pub op: Op,
}

/// What can be asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// What the daemon holds for this user.
    Status {},
    /// Make a device key and join by a link code.
    Join(JoinAsk),
    /// Make a device key and ask the server to let it in, for as long as the client stays.
    JoinDevice(JoinDeviceAsk),
    /// A ticket for the process that asks.
    Ticket {},
    /// Values for the process that asks.
    Exec(ExecAsk),
    /// Forget the highest checkpoint seen by a device: from now on the record
    /// as the server has it counts.
    DangerAcceptRollback {
        /// The agent, as in [`ExecAsk::agent`].
        agent: Option<String>,
    },
    /// Remove a device from this host. The server is not told.
    Forget {
        /// Its thumbprint.
        device: Thumbprint,
    },
}

/// Joining.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinAsk {
    /// The text of the link code.
    pub code: ValueB64,
    /// Where the server answers, if not where the code says.
    pub url: Option<String>,
    /// Certificate authorities to trust for it, PEM.
    pub ca_pem: Option<String>,
    /// The user who may use the device, if not the one who asks; for root.
    pub uid: Option<u32>,
}

/// Joining without a link code.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinDeviceAsk {
    /// Where the server answers.
    pub url: String,
    /// Certificate authorities to trust for it, PEM.
    pub ca_pem: Option<String>,
    /// The user who may use the device, if not the one who asks; for root.
    pub uid: Option<u32>,
    /// What the approver is told that this host is called, if not by its host name.
    pub host: Option<DisplayName>,
}

/// A device that waits for a person's yes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingDevice {
    /// RFC 7638 thumbprint of its key.
    pub device: Thumbprint,
    /// What the approver types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: String,
    /// What the approver has to see as well.
    pub fingerprint: String,
    /// For how many seconds.
    pub expires_in: u64,
}

/// A ticket.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketReply {
    /// 32 bytes.
    pub ticket: ValueB64,
}

/// Values for one process. What it says of itself is advisory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecAsk {
    /// The ticket that this process was given.
    pub ticket: ValueB64,
    /// Which agent: its label, `namespace/label`, or a device's thumbprint.
    /// Needed when this user has several.
    pub agent: Option<String>,
    /// The agent's namespace, when that is to choose.
    pub namespace: Option<Namespace>,
    /// The project.
    pub project: ProjectName,
    /// Names wanted, as found; empty asks for all that the project maps.
    pub names: Vec<String>,
    /// SHA-256 over `T("procura.argv.v1", arguments…)`, hexadecimal.
    pub argv_sha256: String,
    /// Working directory.
    pub cwd: Option<String>,
    /// Git commit of the working directory.
    pub git: Option<String>,
    /// SHA-256 of the program that this process is about to become, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe_sha256: Option<String>,
    /// Go on asking until a person has answered.
    pub wait: bool,
    /// How the process takes the values. Not said when it is the environment, which
    /// a daemon of before knows too.
    #[serde(default, skip_serializing_if = "is_env")]
    pub delivery: Delivery,
}

fn is_env(delivery: &Delivery) -> bool {
    *delivery == Delivery::Env
}

/// What the daemon answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// The first message.
    Greeting(Greeting),
    /// To `status`.
    Status(Status),
    /// To `join`, and the second answer to `join_device`.
    Joined(DeviceSummary),
    /// To `join_device`: another answer follows when a person has decided.
    Waiting(WaitingDevice),
    /// To `ticket`.
    Ticket(TicketReply),
    /// To `exec`: the values come in the sealed memory file beside this.
    Values {
        /// The hand-over, in the ledger.
        run: RunId,
        /// The grant that allowed it.
        grant: GrantId,
    },
    /// To `exec`: a person has to say yes first.
    Pending(Pending),
    /// To `exec`, with `wait`: the server is sealed. Another answer follows when
    /// it is not.
    Sealed {},
    /// Done, nothing to say.
    Done {},
    /// It did not happen.
    Failed(Failure),
}

/// What the daemon holds for this user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The daemon runs as this user, who can therefore read its keys.
    pub danger_same_uid: bool,
    /// Devices that this user may use; root sees all.
    pub devices: Vec<DeviceSummary>,
}

/// A request that waits for a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Its id.
    pub request: RequestId,
    /// Where.
    pub namespace: Namespace,
    /// Who asks: the agent's way from its owner.
    pub agent: String,
    /// What is asked for.
    pub asked: Vec<GrantItem>,
    /// Names that matched nothing.
    pub unmatched: Vec<Unmatched>,
    /// Another answer follows when a person has decided.
    pub waiting: bool,
}

/// It did not happen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The exit code (`spec/exit-codes.md`).
    pub exit: u8,
    /// One word for programs.
    pub code: String,
    /// What happened, why, and what to do.
    pub message: String,
}
