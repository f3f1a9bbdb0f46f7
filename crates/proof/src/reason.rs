//! Why a request is refused: one case per row of `spec/reasons.md`.

use procura_types::{ActorId, Duration, ForeignId, Malformed, Thumbprint};
use std::fmt;
use std::str::FromStr;

/// The words for a refusal, the same everywhere (`protocol.md` §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No proof of ours is in the request.
    MissingHeaders,
    /// There is one, and it breaks a rule of form.
    Malformed,
    /// Made too long ago, or too far ahead.
    TimestampOutOfWindow,
    /// No such device.
    UnknownAgent,
    /// The device, its actor or an actor above it was revoked.
    Revoked,
    /// The signature does not verify.
    BadSignature,
    /// The body is not the one that was signed.
    DigestMismatch,
    /// The nonce or counter was used before.
    NonceReplayed,
    /// Not a session of ours.
    SessionUnknown,
    /// The session is over.
    SessionExpired,
    /// Not a web login of ours, or one that somebody ended.
    WebLoginUnknown,
    /// The web login is over, or nothing was done with it for too long.
    WebLoginOver,
    /// Who is at the other end may not use this way in, or not from there.
    SourceNotAllowed,
    /// What proved it is in quarantine, since it touched a decoy.
    Quarantined,
    /// More proofs than one key may use.
    RateLimited,
    /// What is needed to decide is not to be had; nothing is known of the proof.
    VerifierUnavailable,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::MissingHeaders,
        Self::Malformed,
        Self::TimestampOutOfWindow,
        Self::UnknownAgent,
        Self::Revoked,
        Self::BadSignature,
        Self::DigestMismatch,
        Self::NonceReplayed,
        Self::SessionUnknown,
        Self::SessionExpired,
        Self::WebLoginUnknown,
        Self::WebLoginOver,
        Self::SourceNotAllowed,
        Self::Quarantined,
        Self::RateLimited,
        Self::VerifierUnavailable,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingHeaders => "missing_headers",
            Self::Malformed => "malformed",
            Self::TimestampOutOfWindow => "timestamp_out_of_window",
            Self::UnknownAgent => "unknown_agent",
            Self::Revoked => "revoked",
            Self::BadSignature => "bad_signature",
            Self::DigestMismatch => "digest_mismatch",
            Self::NonceReplayed => "nonce_replayed",
            Self::SessionUnknown => "session_unknown",
            Self::SessionExpired => "session_expired",
            Self::WebLoginUnknown => "web_login_unknown",
            Self::WebLoginOver => "web_login_over",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::Quarantined => "quarantined",
            Self::RateLimited => "rate_limited",
            Self::VerifierUnavailable => "verifier_unavailable",
        }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::SourceNotAllowed | Self::Quarantined => 403,
            Self::RateLimited => 429,
            Self::VerifierUnavailable => 503,
            _ => 401,
        }
    }

    /// Whether a refusal for it is held against the address that the request came from:
    /// such a request proved nothing, or too little. Sessions end by themselves, many at
    /// once when the roots of a server turn; and where nobody looked at the proof,
    /// nothing is known of it.
    #[must_use]
    pub const fn counts_against_source(self) -> bool {
        match self {
            Self::SessionExpired
            | Self::SessionUnknown
            // Browsers keep what ended without them, and 256 bits are not guessed.
            | Self::WebLoginUnknown
            | Self::WebLoginOver
            // It proved who it is, and others may be at the same address.
            | Self::Quarantined
            | Self::RateLimited
            | Self::VerifierUnavailable => false,
            // Of the last: a good proof from where its agent cannot be may be a stolen
            // key's.
            Self::MissingHeaders
            | Self::Malformed
            | Self::TimestampOutOfWindow
            | Self::UnknownAgent
            | Self::Revoked
            | Self::BadSignature
            | Self::DigestMismatch
            | Self::NonceReplayed
            | Self::SourceNotAllowed => true,
        }
    }
}

impl FromStr for Reason {
    type Err = Malformed;

    fn from_str(word: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == word)
            .ok_or(Malformed::new("reason", "is no word of spec/reasons.md"))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The checks in their order: a request that breaks two rules is refused for
/// the earlier one (`protocol.md` §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Who is at the other end of a local socket.
    Source,
    /// What can be said without clock or keys.
    Shape,
    /// Within the windows of its profile.
    Clock,
    /// The key is known and active.
    Key,
    /// The signature verifies.
    Signature,
    /// The body is the one that was signed.
    Digest,
    /// It comes from where its agent may be.
    Address,
    /// What proved it is not in quarantine.
    Quarantine,
    /// It was never used before.
    Replay,
    /// The agent that another system's proof names is one of ours.
    Actor,
}

impl Step {
    /// The word of `spec/reasons.md`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Shape => "shape",
            Self::Clock => "clock",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Digest => "digest",
            Self::Address => "address",
            Self::Quarantine => "quarantine",
            Self::Replay => "replay",
            Self::Actor => "actor",
        }
    }
}

macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $step:ident, $reason:ident, $detail:literal;)*) => {
        /// What exactly is wrong: a row of `spec/reasons.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Case {
            $($(#[$doc])* $name,)*
        }

        impl Case {
            /// Every case, in the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name of the row.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// At which check it is found.
            #[must_use]
            pub const fn step(self) -> Step {
                match self { $(Self::$name => Step::$step,)* }
            }

            /// The word for it.
            #[must_use]
            pub const fn reason(self) -> Reason {
                match self { $(Self::$name => Reason::$reason,)* }
            }

            /// A sentence for whoever made the request. It tells nothing that
            /// the request did not contain.
            #[must_use]
            pub const fn detail(self) -> &'static str {
                match self { $(Self::$name => $detail,)* }
            }
        }
    };
}

cases! {
    /// Another user on the admin socket.
    ForeignUser = "foreign_user", Source, SourceNotAllowed,
        "The admin socket serves the user that the server runs as, and root.";
    /// No field of any profile.
    NoProof = "no_proof", Shape, MissingHeaders,
        "The request has no fields that prove who made it.";
    /// `hmac-v1` where no service lets it in.
    ProfileOff = "profile_off", Shape, MissingHeaders,
        "The profile of this proof is switched off for the service; use another one.";
    /// A field of a foreign profile is not there.
    ForeignMissing = "foreign_missing", Shape, MissingHeaders,
        "A field is missing: X-Agent-Id or X-Agent, X-Timestamp, X-Nonce and X-Signature belong together.";
    /// No `Signature-Input` or no `Signature`.
    NoSignature = "no_signature", Shape, MissingHeaders,
        "The request has no Signature-Input and Signature fields (RFC 9421).";
    /// None of the signatures has our tag.
    NoOwnTag = "no_own_tag", Shape, MissingHeaders,
        "No signature of the request has the tag procura-v1.";
    /// Fields of two profiles.
    MixedProfiles = "mixed_profiles", Shape, Malformed,
        "The request has fields of two profiles; X-Agent fields, an RFC 9421 signature with our tag, and the fields of each X-Agent profile exclude each other.";
    /// A field of a foreign profile twice.
    ForeignDoubled = "foreign_doubled", Shape, Malformed,
        "A field of the proof is there more than once.";
    /// The id of an agent that cannot be one.
    AgentIdForm = "agent_id_form", Shape, Malformed,
        "The agent's id is not 1 to 64 of A-Z, a-z, 0-9, ., _ and -, without two dots in a row.";
    /// `X-Timestamp` is no moment in the way of its profile.
    TimestampForm = "timestamp_form", Shape, Malformed,
        "X-Timestamp is not YYYY-MM-DDTHH:MM:SSZ (key-server-v1), seconds (guide-v1) or milliseconds (hmac) since 1970.";
    /// `X-Signature-Version` is none that we know.
    VersionForm = "version_form", Shape, Malformed,
        "X-Signature-Version is not 2.";
    /// `X-Nonce` has not the form that its profile asks for.
    AgentNonceForm = "agent_nonce_form", Shape, Malformed,
        "X-Nonce is not 16 to 128 hexadecimal digits (key-server-v1), base64url of 8 to 64 bytes (guide-v1) or 1 to 128 printable characters (hmac).";
    /// `X-Session-Id` is none.
    AgentSessionForm = "agent_session_form", Shape, Malformed,
        "X-Session-Id is not 1 to 512 printable characters.";
    /// `X-Signature` is not even text of a signature's length.
    AgentSignatureForm = "agent_signature_form", Shape, Malformed,
        "X-Signature is not 1 to 256 printable characters.";
    /// A daemon of another system says nothing of its process.
    LegacyMissing = "legacy_missing", Shape, MissingHeaders,
        "The request has no X-Daemon-Attestation field.";
    /// What a client of CortexAuth proves itself by has not the form for it.
    LegacyForm = "legacy_form", Shape, Malformed,
        "X-Daemon-Attestation is not session.ts.jti.body_sha256.auth_token_id.signature, or ts, nonce and auth_proof are not seconds, 8 to 128 of A-Z, a-z, 0-9, _ and -, and a signature.";
    /// `Signature-Input` cannot be read.
    InputSyntax = "input_syntax", Shape, Malformed,
        "Signature-Input is not a dictionary of inner lists of strings with each label once.";
    /// `Signature` cannot be read or lacks the label.
    SignatureSyntax = "signature_syntax", Shape, Malformed,
        "Signature is not a dictionary of byte sequences that has the label of Signature-Input once.";
    /// Two signatures with our tag.
    TwoSignatures = "two_signatures", Shape, Malformed,
        "More than one signature has the tag procura-v1.";
    /// A parameter is missing or of another type.
    ParameterMissing = "parameter_missing", Shape, Malformed,
        "The parameters created, nonce, keyid, alg and tag are required once, with their types.";
    /// `alg` is none of ours.
    AlgorithmUnknown = "algorithm_unknown", Shape, Malformed,
        "alg is none of ed25519, ecdsa-p256-sha256 and hmac-sha256.";
    /// `keyid` beside an asymmetric `alg` is no thumbprint.
    KeyIdForm = "keyid_form", Shape, Malformed,
        "keyid is not the RFC 7638 thumbprint of a key.";
    /// The nonce has not the form that `alg` asks for.
    NonceForm = "nonce_form", Shape, Malformed,
        "The nonce is not base64url of 16 to 48 bytes.";
    /// The nonce of a session is no counter.
    CounterForm = "counter_form", Shape, Malformed,
        "The nonce of a session is not a decimal counter.";
    /// Method, authority or path cannot be signed.
    TargetForm = "target_form", Shape, Malformed,
        "The method, the authority or the path is not one that can be signed.";
    /// Method, authority, path or query is not covered.
    TargetNotCovered = "target_not_covered", Shape, Malformed,
        "The signature has to cover @method, @authority, @path and @query.";
    /// There is a body, and it is not covered.
    BodyNotCovered = "body_not_covered", Shape, Malformed,
        "With a body the signature has to cover content-digest and content-type.";
    /// `Content-Encoding` is sent and not covered.
    EncodingNotCovered = "encoding_not_covered", Shape, Malformed,
        "A content-encoding that is sent has to be covered.";
    /// `Authorization` is sent and not covered.
    AuthorizationNotCovered = "authorization_not_covered", Shape, Malformed,
        "An authorization field that is sent has to be covered.";
    /// A covered component is none that a request can have here.
    ComponentUnsupported = "component_unsupported", Shape, Malformed,
        "A covered component, or a parameter of it, is not supported in a request, or occurs twice.";
    /// A covered component is not in the request.
    ComponentAbsent = "component_absent", Shape, Malformed,
        "A covered component is not in the request.";
    /// A covered field has a value that cannot be signed.
    ComponentValue = "component_value", Shape, Malformed,
        "A covered field has a value that does not fit its component.";
    /// `Content-Digest` has no usable sha-256.
    DigestForm = "digest_form", Shape, Malformed,
        "Content-Digest has no sha-256 of 32 bytes (RFC 9530).";
    /// A join request whose key, code or signature has no known form.
    JoinForm = "join_form", Shape, Malformed,
        "The join request has no acceptable device key, or a code hash that is not of 32 bytes.";
    /// The cookie of a web login is none, or there are two.
    WebLoginForm = "web_login_form", Shape, Malformed,
        "The cookie of the web login is not the one that was set, or is there twice; sign in again.";
    /// More than 60 s old.
    TooOld = "too_old", Clock, TimestampOutOfWindow,
        "The request was made more than 60 s ago by the server's clock.";
    /// More than 15 s ahead.
    TooNew = "too_new", Clock, TimestampOutOfWindow,
        "The request was made more than 15 s ahead of the server's clock.";
    /// Longer ago than the window of its foreign profile.
    ForeignTooOld = "foreign_too_old", Clock, TimestampOutOfWindow,
        "The request was made longer ago, by the server's clock, than its profile allows.";
    /// Further ahead than the window of its foreign profile.
    ForeignTooNew = "foreign_too_new", Clock, TimestampOutOfWindow,
        "The request was made further ahead of the server's clock than its profile allows.";
    /// Past its own `expires`.
    SignatureExpired = "signature_expired", Clock, TimestampOutOfWindow,
        "The signature is past its own expires parameter.";
    /// No device of this thumbprint.
    DeviceUnknown = "device_unknown", Key, UnknownAgent,
        "No device with this key has joined.";
    /// No agent of this id has a key for the profile.
    AgentUnknown = "agent_unknown", Key, UnknownAgent,
        "No agent of this id has a key for the profile.";
    /// The keys of agents cannot be looked up.
    KeysUnavailable = "keys_unavailable", Key, VerifierUnavailable,
        "The server cannot look up the keys of agents now; try again later.";
    /// The actor or one above it is revoked.
    ActorRevoked = "actor_revoked", Key, Revoked,
        "The agent or operator, or one above it, was revoked, for good; an admin makes another agent: procura agent add LABEL.";
    /// The device is revoked, its actor is not.
    DeviceRevoked = "device_revoked", Key, Revoked,
        "The device was revoked; another key joins with a new link code: procura agent code LABEL; of an operator procura operator code NAME, typed by themselves, or procura operator recover NAME on the server's machine.";
    /// The session id is garbled, of another audience, or of an unknown epoch.
    SessionForeign = "session_foreign", Key, SessionUnknown,
        "The session is not one of this server.";
    /// Past the end of the session.
    SessionOver = "session_over", Key, SessionExpired,
        "The session is over; start a new one with the device's key.";
    /// No web login has this cookie.
    WebLoginUnknown = "web_login_unknown", Key, WebLoginUnknown,
        "This web login was ended, or is not one of this server; sign in again.";
    /// The web login is past its end.
    WebLoginOver = "web_login_over", Key, WebLoginOver,
        "This web login is over; sign in again.";
    /// Nothing was done with the web login for too long.
    WebLoginIdle = "web_login_idle", Key, WebLoginOver,
        "Nothing was done with this web login for a while, so it is over; sign in again.";
    /// The passkey that the web login was made with may not act any more.
    PasskeyRemoved = "passkey_removed", Key, WebLoginOver,
        "The passkey that this web login was made with was removed; sign in with another.";
    /// The session knows a later directory than we do.
    DirectoryBehind = "directory_behind", Key, VerifierUnavailable,
        "The server's directory is older than the session; it cannot tell whether the device is still active.";
    /// The key is not one for `alg`.
    AlgorithmMismatch = "algorithm_mismatch", Signature, BadSignature,
        "The signature does not verify.";
    /// The signature does not verify under the device's key.
    SignatureRefused = "signature_refused", Signature, BadSignature,
        "The signature does not verify.";
    /// The MAC does not verify under the session's key.
    MacRefused = "mac_refused", Signature, BadSignature,
        "The signature does not verify.";
    /// The signature does not verify under the agent's key, or is none.
    AgentSignatureRefused = "agent_signature_refused", Signature, BadSignature,
        "The signature does not verify.";
    /// The MAC is not the one of any of the agent's secrets.
    AgentMacRefused = "agent_mac_refused", Signature, BadSignature,
        "The signature does not verify.";
    /// A joining device did not sign with its own key.
    JoinRefused = "join_refused", Signature, BadSignature,
        "The join request is not signed by the key that it brings.";
    /// The body has another SHA-256.
    BodyChanged = "body_changed", Digest, DigestMismatch,
        "The body is not the one that Content-Digest names.";
    /// A daemon signed for another token than its request shows.
    LegacyTokenOther = "legacy_token_other", Digest, DigestMismatch,
        "The token beside X-Daemon-Attestation is not the one that it is signed for.";
    /// The agent's requests may come from other addresses only.
    AddressRefused = "address_refused", Address, SourceNotAllowed,
        "Requests of this agent may not come from this address; an admin says from where they may: procura agent sources LABEL.";
    /// The device touched a decoy.
    DeviceQuarantined = "device_quarantined", Quarantine, Quarantined,
        "The device is in quarantine: until a steward lets it out, it can do nothing.";
    /// The nonce was used before.
    NonceUsed = "nonce_used", Replay, NonceReplayed,
        "The nonce was used before with this key.";
    /// The counter was used before, or is behind the window.
    CounterUsed = "counter_used", Replay, NonceReplayed,
        "The counter was used before in this session, or lies more than 4095 behind the highest.";
    /// The key has used more nonces than are remembered for one.
    OverCap = "over_cap", Replay, RateLimited,
        "This key has used as many proofs as are remembered for one; slow down.";
    /// A shared guard heard that device or actor was revoked, before this verifier did.
    Tombstoned = "tombstoned", Replay, Revoked,
        "The device, or its agent or operator, was revoked.";
    /// The guard cannot tell whether the nonce was used.
    GuardUnavailable = "guard_unavailable", Replay, VerifierUnavailable,
        "The server cannot tell yet whether this proof was used before; make a new one later.";
    /// The id of the agent stands for none of ours.
    AgentUnbound = "agent_unbound", Actor, UnknownAgent,
        "The agent's id is not bound to an agent of this installation; an admin binds it: procura agent foreign bind ID LABEL.";
    /// What proved an agent of another system's words touched a decoy.
    AgentQuarantined = "agent_quarantined", Actor, Quarantined,
        "The agent is in quarantine: until a steward lets it out, it can do nothing.";
}

/// A no to a request. [`Refusal::reason`] and the status go to the caller, all
/// of it to the log and the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What exactly is wrong.
    pub case: Case,
    /// When it is worth to try again, for `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The device that the request names. Only from step digest on is it proven
    /// that the device made it.
    pub device: Option<Thumbprint>,
    /// The actor of that device.
    pub actor: Option<ActorId>,
    /// The agent that a proof of a foreign profile names. Only from step replay on
    /// is it proven that the agent made it.
    pub agent: Option<ForeignId>,
}

impl Refusal {
    /// A refusal before anybody is known. What may pass by itself is worth
    /// another try after a second.
    #[must_use]
    pub const fn new(case: Case) -> Self {
        let retry_after = match case.reason() {
            Reason::RateLimited | Reason::VerifierUnavailable => Some(Duration::from_secs(1)),
            _ => None,
        };
        Self {
            case,
            retry_after,
            device: None,
            actor: None,
            agent: None,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.case.reason()
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.case.reason().status()
    }
}

impl From<Case> for Refusal {
    fn from(case: Case) -> Self {
        Self::new(case)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.case.detail())
    }
}

impl std::error::Error for Refusal {}
