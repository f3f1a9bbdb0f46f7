//! Who made a request, proven.

use procura_crypto::sha256;
use procura_directory::{Snapshot, TokenHash};
use procura_types::wire::RoleAssignment;
use procura_types::{ActorId, Amr, FieldTuple, ForeignId, Thumbprint, Timestamp};
use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::Answering;
use crate::foreign::Foreign;
use crate::reason::{Case, Refusal};
use crate::session::Attested;

/// How a request was proven; stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// By a signature with the device's own key (`protocol.md` §3.1).
    Native,
    /// By the MAC of a session (§3.4).
    Session,
    /// By the key of a device that is about to join (§2).
    Join,
    /// By having come in through the admin socket.
    AdminSocket,
    /// By the profile of another system (§3.2).
    Foreign(Foreign),
    /// By what a client of CortexAuth has, while it is moved here (§3.8).
    Legacy,
    /// By what a person signs in with, a moment ago, for a web login (§10).
    SigningIn(Amr),
    /// By the cookie of a web login.
    WebLogin(Amr),
}

impl Profile {
    /// The word in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Session => "session",
            Self::Join => "join",
            Self::AdminSocket => "admin_socket",
            Self::Foreign(profile) => profile.as_str(),
            Self::Legacy => "legacy",
            Self::SigningIn(Amr::Password) => "signing_in_password",
            Self::SigningIn(Amr::Passkey) => "signing_in_passkey",
            Self::SigningIn(Amr::Oidc) => "signing_in_oidc",
            Self::WebLogin(Amr::Password) => "web_login_password",
            Self::WebLogin(Amr::Passkey) => "web_login_passkey",
            Self::WebLogin(Amr::Oidc) => "web_login_oidc",
        }
    }
}

/// Who made a request. Only the checks of this crate make one, each is for one
/// request, and it cannot be copied.
#[derive(Debug)]
pub struct Caller {
    pub(crate) actor: ActorId,
    pub(crate) owner: ActorId,
    pub(crate) device: Option<Thumbprint>,
    pub(crate) session: Option<[u8; 16]>,
    pub(crate) answering: Option<Answering>,
    pub(crate) profile: Profile,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) directory_seq: u64,
    pub(crate) nonce: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) foreign: Option<ForeignId>,
    pub(crate) authenticated: Option<Timestamp>,
    pub(crate) passkey: Option<Box<Thumbprint>>,
    pub(crate) lent: Option<Arc<[RoleAssignment]>>,
    pub(crate) api_key: Option<Box<TokenHash>>,
    pub(crate) process: Option<Box<Thumbprint>>,
}

impl Caller {
    /// The actor. On the admin socket an id of its own that no owner or agent
    /// can have: `SHA-256(T("procura.actor.admin-socket.v1", u32be uid))`.
    #[must_use]
    pub const fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// The owner at the root of the actor's tree.
    #[must_use]
    pub const fn owner(&self) -> &ActorId {
        &self.owner
    }

    /// The device; none on the admin socket and of a web login. Its public key is in the directory,
    /// or in [`crate::Joining`] when it is about to join.
    #[must_use]
    pub const fn device(&self) -> Option<&Thumbprint> {
        self.device.as_ref()
    }

    /// The session's mark in the record: the first 16 bytes of the SHA-256 of its
    /// id, which itself is written nowhere. Of a web login, the 16 bytes of its id.
    #[must_use]
    pub const fn session(&self) -> Option<&[u8; 16]> {
        self.session.as_ref()
    }

    /// What signs the answer to a request that was proven by a session.
    #[must_use]
    pub const fn answering(&self) -> Option<&Answering> {
        self.answering.as_ref()
    }

    /// Under which attestation of a daemon the session was started that proved it.
    #[must_use]
    pub fn attested(&self) -> Option<&Attested> {
        self.answering.as_ref()?.session.attested()
    }

    /// The passkey that a web login, or whoever signs in, was proven with.
    #[must_use]
    pub fn passkey(&self) -> Option<&Thumbprint> {
        self.passkey.as_deref()
    }

    /// What is kept of the API key that the request shows beside its proof, which covers it.
    /// Whether it is one, and of this device, is decided with all else.
    #[must_use]
    pub fn api_key(&self) -> Option<&TokenHash> {
        self.api_key.as_deref()
    }

    /// The same caller, showing this API key. Of one whose device is bound to a key and who
    /// shows none, nothing is allowed.
    #[must_use]
    pub fn showing(self, api_key: Option<TokenHash>) -> Self {
        Self {
            api_key: api_key.map(Box::new),
            ..self
        }
    }

    /// The roles that groups at an identity provider lend the person, in this web login
    /// alone, beside those that they hold.
    #[must_use]
    pub fn lent(&self) -> &[RoleAssignment] {
        self.lent.as_deref().unwrap_or_default()
    }

    /// How the request was proven.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Where it came from; none for a local socket.
    #[must_use]
    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The state of the directory that it was proven with.
    #[must_use]
    pub const fn directory_seq(&self) -> u64 {
        self.directory_seq
    }

    /// The nonce of a proof with the device's own key, as sent.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// When the proof says it was made; without one, when it came in.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// When the person last proved who they are, of a web login and of whoever signs in.
    #[must_use]
    pub const fn authenticated(&self) -> Option<Timestamp> {
        self.authenticated
    }

    /// The key of the process that signed for the actor, of a daemon of CortexAuth: what
    /// its project tokens are bound to. It is no device.
    #[must_use]
    pub fn process(&self) -> Option<&Thumbprint> {
        self.process.as_deref()
    }

    /// The id of another system by which a foreign proof named the actor.
    #[must_use]
    pub const fn foreign_id(&self) -> Option<&ForeignId> {
        self.foreign.as_ref()
    }

    /// The caller on the local admin socket: user `peer_uid` by the kernel's
    /// word (`SO_PEERCRED`). This is the one way to a caller without a proof.
    ///
    /// # Errors
    /// [`Case::ForeignUser`] for a user who is neither `server_uid` nor root.
    pub fn admin_socket(peer_uid: u32, server_uid: u32, now: Timestamp) -> Result<Self, Refusal> {
        if peer_uid != server_uid && peer_uid != 0 {
            return Err(Case::ForeignUser.into());
        }
        let id = FieldTuple::new("procura.actor.admin-socket.v1").u32(peer_uid);
        let id = ActorId::from_bytes(sha256(id.as_bytes()));
        Ok(Self::bare((id, id), Profile::AdminSocket, 0, now))
    }

    /// An actor and their owner, by this profile, with nothing else that a proof says.
    pub(crate) const fn bare(
        (actor, owner): (ActorId, ActorId),
        profile: Profile,
        directory_seq: u64,
        created: Timestamp,
    ) -> Self {
        Self {
            actor,
            owner,
            device: None,
            session: None,
            answering: None,
            profile,
            peer: None,
            directory_seq,
            nonce: None,
            created,
            foreign: None,
            authenticated: None,
            passkey: None,
            lent: None,
            api_key: None,
            process: None,
        }
    }

    /// The caller who is about to join, with a device that signed for it.
    pub(crate) fn joining(
        actor: ActorId,
        device: Thumbprint,
        directory: &Snapshot,
        now: Timestamp,
        peer: IpAddr,
    ) -> Self {
        // An operator who joins for the first time is its own owner.
        let owner = directory.actor(&actor).map_or(actor, |known| known.owner);
        Self {
            device: Some(device),
            peer: Some(peer),
            ..Self::bare((actor, owner), Profile::Join, directory.seq(), now)
        }
    }

    /// The same by a foreign profile, under this id.
    #[cfg(feature = "fake")]
    #[must_use]
    pub fn under(self, profile: Foreign, id: ForeignId) -> Self {
        Self {
            profile: Profile::Foreign(profile),
            foreign: Some(id),
            ..self
        }
    }

    /// The same by a client of CortexAuth, under this id; with the key of its process, or
    /// with no more than its login.
    #[cfg(feature = "fake")]
    #[must_use]
    pub fn as_legacy(self, id: ForeignId, process: Option<Thumbprint>) -> Self {
        Self {
            profile: Profile::Legacy,
            foreign: Some(id),
            process: process.map(Box::new),
            ..self
        }
    }

    /// The same, of a person who proved at that time who they are.
    #[cfg(feature = "fake")]
    #[must_use]
    pub fn authenticated_at(self, time: Timestamp) -> Self {
        Self {
            authenticated: Some(time),
            ..self
        }
    }

    /// The same, with this passkey.
    #[cfg(feature = "fake")]
    #[must_use]
    pub fn with_passkey(self, passkey: Thumbprint) -> Self {
        Self {
            passkey: Some(Box::new(passkey)),
            ..self
        }
    }

    /// The same, to whom groups lend these roles.
    #[cfg(feature = "fake")]
    #[must_use]
    pub fn lending(self, roles: &[RoleAssignment]) -> Self {
        Self {
            lent: Some(roles.into()),
            ..self
        }
    }

    /// The same in a session that was started under an attestation.
    #[cfg(feature = "fake")]
    #[must_use]
    pub fn attested_as(self, attested: Attested) -> Self {
        let subject = crate::session::Subject {
            actor: self.actor,
            device: self.device.unwrap_or(Thumbprint::from_bytes([0; 32])),
        };
        let session = crate::session::Session::fake(subject, attested);
        Self {
            answering: session.map(|session| Answering {
                session: Arc::new(session),
                counter: 0,
            }),
            ..self
        }
    }

    /// A caller out of nothing, for the tests of other crates.
    #[cfg(feature = "fake")]
    #[must_use]
    pub fn fake(
        profile: Profile,
        actor: ActorId,
        owner: ActorId,
        device: Option<Thumbprint>,
        directory_seq: u64,
    ) -> Self {
        let created = Timestamp::from_millis(0);
        Self {
            device,
            session: (profile == Profile::Session).then_some([0; 16]),
            ..Self::bare((actor, owner), profile, directory_seq, created)
        }
    }
}
