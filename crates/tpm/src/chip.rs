//! The commands (part 3), each with just the parameters that it has here. What they leave
//! in the chip is flushed when it is let go: it has room for three objects.

use crate::TpmError;
use crate::bytes::{Reader, Writer};
use crate::channel::Channel;
use crate::credential::{Credential, CredentialSecret};
use crate::key::{AttestationKey, EndorsementKey};
use crate::session::{COMMAND_ENCRYPTED, GOES_ON, Kind, RESPONSE_ENCRYPTED, Session};
use procura_crypto::{TpmPoint, sha256, tpm_decrypt, tpm_encrypt, tpm_salt};
use procura_types::{Entropy, SecretBytes};

/// Tags of commands and responses (part 2, 6.9).
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;

/// Codes of commands (part 2, 6.5.2).
const CREATE_PRIMARY: u32 = 0x131;
const ACTIVATE_CREDENTIAL: u32 = 0x147;
const POLICY_SECRET: u32 = 0x151;
const CREATE: u32 = 0x153;
const LOAD: u32 = 0x157;
const QUOTE: u32 = 0x158;
const UNSEAL: u32 = 0x15E;
const FLUSH_CONTEXT: u32 = 0x165;
const START_AUTH_SESSION: u32 = 0x176;
const PCR_READ: u32 = 0x17E;
/// `TPM2_PolicyPCR`.
pub const POLICY_PCR: u32 = 0x17F;

/// Handles that are always there (part 2, 7.4).
const OWNER: u32 = 0x4000_0001;
const ENDORSEMENT: u32 = 0x4000_000B;
const NOBODY: u32 = 0x4000_0007;
const PASSWORD: u32 = 0x4000_0009;

/// Algorithms (part 2, 6.3).
pub(crate) const AES: u16 = 0x0006;
const KEYED_HASH: u16 = 0x0008;
pub(crate) const SHA256: u16 = 0x000B;
pub(crate) const NONE: u16 = 0x0010;
pub(crate) const ECC: u16 = 0x0023;
pub(crate) const CFB: u16 = 0x0043;
pub(crate) const P256: u16 = 0x0003;
pub(crate) const ECDSA: u16 = 0x0018;

/// A storage key of the chip's own (part 2, 8.3): fixedTPM, fixedParent,
/// sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt.
const STORAGE: u32 = 0x0003_0472;
/// Sealed data: fixedTPM, fixedParent, adminWithPolicy, noDA; without userWithAuth, so
/// that the policy is the only way to it.
const SEALED: u32 = 0x0000_0492;

/// How often a command is sent that the chip is not ready for.
const ATTEMPTS: u32 = 50;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// A TPM, and what of ours is in it.
pub struct Chip {
    channel: Channel,
    held: Vec<u32>,
}

/// Something that is loaded.
pub struct Object {
    pub(crate) handle: u32,
    /// Its public area.
    pub public: Vec<u8>,
}

impl Object {
    /// Its name (part 1, clause 16): the digest of its public area.
    fn name(&self) -> Vec<u8> {
        [
            SHA256.to_be_bytes().as_slice(),
            sha256(&self.public).as_slice(),
        ]
        .concat()
    }

    /// The point of a storage key.
    fn point(&self) -> Option<TpmPoint> {
        let mut from = Reader::new(&self.public);
        let (kind, hash) = (from.u16()?, from.u16()?);
        from.u32()?;
        from.sized()?;
        let symmetric = (from.u16()?, from.u16()?, from.u16()?);
        let (_scheme, curve, _derivation) = (from.u16()?, from.u16()?, from.u16()?);
        let known = (kind, hash, curve, symmetric) == (ECC, SHA256, P256, (AES, 128, CFB));
        let (x, y) = (padded(from.sized()?)?, padded(from.sized()?)?);
        known.then_some(TpmPoint { x, y })
    }
}

/// A coordinate in 32 bytes, which chips write without leading zeros; nothing for a longer one.
pub(crate) fn padded(number: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let from = out.len().checked_sub(number.len())?;
    out.get_mut(from..)?.copy_from_slice(number);
    Some(out)
}

/// A response code, as what happened (part 2, 6.6).
fn refusal(code: u32) -> TpmError {
    const POLICY_FAIL: u32 = 0x09D;
    const AUTH_FAIL: u32 = 0x08E;
    const BAD_AUTH: u32 = 0x0A2;
    const INTEGRITY: u32 = 0x09F;
    const PCR_CHANGED: u32 = 0x128;
    const INITIALIZE: u32 = 0x100;
    const WARNING: u32 = 0x900;
    // Codes of format one say besides which handle, session or parameter it was.
    let base = if code & 0x80 == 0 { code } else { code & 0x0BF };
    match base {
        POLICY_FAIL | PCR_CHANGED => TpmError::PcrsChanged(Vec::new()),
        INTEGRITY => TpmError::Refused,
        AUTH_FAIL | BAD_AUTH => TpmError::Denied(
            "the TPM's hierarchies have passwords, under which nothing is sealed or signed here"
                .to_owned(),
        ),
        INITIALIZE => TpmError::Unavailable("the TPM was not started".to_owned()),
        _ if code & 0xF80 == WARNING => {
            TpmError::Unavailable(format!("the TPM is busy (response code {code:#05x})"))
        }
        _ => TpmError::Unfit(format!("the TPM refuses (response code {code:#05x})")),
    }
}

fn no_form() -> TpmError {
    TpmError::Unfit("the TPM gave a response that has no known form".to_owned())
}

impl Drop for Chip {
    fn drop(&mut self) {
        for handle in std::mem::take(&mut self.held).into_iter().rev() {
            let mut command = Writer::default();
            command.u32(handle);
            // What stays is flushed by the kernel's resource manager, or with the power.
            let _ = self.plain(FLUSH_CONTEXT, command.as_bytes());
        }
    }
}

impl Chip {
    /// The TPM at the end of this way.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        Self {
            channel,
            held: Vec::new(),
        }
    }

    /// Sends a command, and gives what follows the header of its response.
    fn exchange(&mut self, tag: u16, code: u32, body: &[u8]) -> Result<SecretBytes, TpmError> {
        const NOT_READY: [u32; 3] = [0x922, 0x90A, 0x908];
        let length = u32::try_from(body.len().saturating_add(10)).map_err(|_| no_form())?;
        let mut command = Writer::default();
        command.u16(tag);
        command.u32(length);
        command.u32(code);
        command.raw(body);
        for _ in 0..ATTEMPTS {
            let mut response = self.channel.exchange(command.as_bytes())?;
            let mut from = Reader::new(response.expose());
            let head = (from.u16(), from.u32(), from.u32());
            let (Some(_), Some(_), Some(answer)) = head else {
                return Err(no_form());
            };
            if answer == 0 {
                response.expose_mut().drain(..10);
                return Ok(response);
            }
            if !NOT_READY.contains(&answer) {
                return Err(refusal(answer));
            }
            std::thread::sleep(PAUSE);
        }
        Err(TpmError::Unavailable("the TPM stays busy".to_owned()))
    }

    /// A command without sessions.
    fn plain(&mut self, code: u32, parameters: &[u8]) -> Result<SecretBytes, TpmError> {
        self.exchange(NO_SESSIONS, code, parameters)
    }

    /// A command about one handle, which has the empty password.
    fn with_password(
        &mut self,
        code: u32,
        about: u32,
        parameters: &[u8],
    ) -> Result<SecretBytes, TpmError> {
        let mut body = Writer::default();
        body.u32(about);
        body.u32(9);
        body.u32(PASSWORD);
        body.sized(&[])?;
        body.u8(GOES_ON);
        body.sized(&[])?;
        body.raw(parameters);
        self.exchange(SESSIONS, code, body.as_bytes())
    }

    /// A command about one object within a session. Its first parameter, or that of its
    /// response, is encrypted; the parameters of the response come back.
    fn within(
        &mut self,
        code: u32,
        about: &Object,
        session: &mut Session,
        encrypted: u8,
        mut parameters: Writer,
        entropy: &dyn Entropy,
    ) -> Result<SecretBytes, TpmError> {
        let attributes = GOES_ON | encrypted;
        let nonce = session.next(entropy)?;
        if encrypted == COMMAND_ENCRYPTED {
            let first = first_parameter(parameters.as_mut()).ok_or_else(no_form)?;
            tpm_encrypt(&session.command_key()?, first)?;
        }
        let name = about.name();
        let mac = session.command_mac(code, &[&name], parameters.as_bytes(), attributes)?;
        let mut body = Writer::default();
        body.u32(about.handle);
        // Handle, nonce, attributes and MAC of the one session.
        body.u32(4 + 34 + 1 + 34);
        body.u32(session.handle);
        body.sized(&nonce)?;
        body.u8(attributes);
        body.sized(&mac)?;
        body.raw(parameters.as_bytes());
        let mut response = self.exchange(SESSIONS, code, body.as_bytes())?;
        let length = {
            let mut from = Reader::new(response.expose());
            let length = usize::try_from(from.u32().ok_or_else(no_form)?).map_err(|_| no_form())?;
            let parameters = from.take(length).ok_or_else(no_form)?;
            let nonce = from.sized().ok_or_else(no_form)?;
            let attributes = from.u8().ok_or_else(no_form)?;
            let mac = from.sized().ok_or_else(no_form)?;
            session.answered(code, parameters, nonce, attributes, mac)?;
            length
        };
        response.expose_mut().truncate(length.saturating_add(4));
        response.expose_mut().drain(..4);
        if encrypted == RESPONSE_ENCRYPTED {
            let first = first_parameter(response.expose_mut()).ok_or_else(no_form)?;
            tpm_decrypt(&session.response_key()?, first)?;
        }
        Ok(response)
    }

    /// What is in the registers of the SHA-256 bank.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn read_registers(&mut self, pcrs: &[u8]) -> Result<Vec<[u8; 32]>, TpmError> {
        let mut registers = Vec::with_capacity(pcrs.len());
        // A response has room for eight.
        for some in pcrs.chunks(8) {
            let mut parameters = Writer::default();
            parameters.selection(some);
            let response = self.plain(PCR_READ, parameters.as_bytes())?;
            let mut from = Reader::new(response.expose());
            let read = (|| {
                from.u32()?;
                let selections = from.u32()?;
                for _ in 0..selections {
                    from.u16()?;
                    let length = from.u8()?;
                    from.take(usize::from(length))?;
                }
                let count = from.u32()?;
                for _ in 0..count {
                    registers.push(from.sized()?.try_into().ok()?);
                }
                Some(usize::try_from(count).ok()? == some.len())
            })();
            if read != Some(true) {
                return Err(TpmError::Unfit(
                    "the TPM has no SHA-256 bank of these platform configuration registers"
                        .to_owned(),
                ));
            }
        }
        Ok(registers)
    }

    /// Makes the storage key, the same at each start: an ECC key of the owner hierarchy.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn storage_key(&mut self) -> Result<Object, TpmError> {
        let mut template = Writer::default();
        template.u16(ECC);
        template.u16(SHA256);
        template.u32(STORAGE);
        template.sized(&[])?;
        for part in [AES, 128, CFB, NONE, P256, NONE] {
            template.u16(part);
        }
        template.sized(&[])?;
        template.sized(&[])?;
        self.primary(OWNER, &template)
    }

    /// The endorsement key, by which the chip is known: the same at each start.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn endorsement_key(&mut self) -> Result<Object, TpmError> {
        self.primary(ENDORSEMENT, &EndorsementKey::template()?)
    }

    /// The key that signs quotes: the same at each start.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn attestation_key(&mut self) -> Result<Object, TpmError> {
        self.primary(ENDORSEMENT, &AttestationKey::template()?)
    }

    /// Makes a key of a hierarchy, which follows from the hierarchy's seed and the template.
    fn primary(&mut self, hierarchy: u32, template: &Writer) -> Result<Object, TpmError> {
        let mut parameters = Writer::default();
        // No password and no data of ours.
        parameters.sized(&[0; 4])?;
        parameters.sized(template.as_bytes())?;
        parameters.sized(&[])?;
        parameters.u32(0);
        let response = self.with_password(CREATE_PRIMARY, hierarchy, parameters.as_bytes())?;
        let mut from = Reader::new(response.expose());
        let handle = from.u32().ok_or_else(no_form)?;
        self.held.push(handle);
        from.u32().ok_or_else(no_form)?;
        let public = from.sized().ok_or_else(no_form)?.to_vec();
        Ok(Object { handle, public })
    }

    /// Signs, with an attestation key, what is in the registers and 32 bytes of the caller:
    /// the `TPMS_ATTEST` and the `TPMT_SIGNATURE`.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn quote(
        &mut self,
        ak: &Object,
        extra: &[u8; 32],
        pcrs: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let mut parameters = Writer::default();
        parameters.sized(extra)?;
        // By the key's own scheme.
        parameters.u16(NONE);
        parameters.selection(pcrs);
        let response = self.with_password(QUOTE, ak.handle, parameters.as_bytes())?;
        let mut from = Reader::new(response.expose());
        let length = usize::try_from(from.u32().ok_or_else(no_form)?).map_err(|_| no_form())?;
        let mut from = Reader::new(from.take(length).ok_or_else(no_form)?);
        let quoted = from.sized().ok_or_else(no_form)?.to_vec();
        Ok((quoted, from.rest().to_vec()))
    }

    /// Opens a credential, which shows that both keys are in this chip.
    ///
    /// # Errors
    /// [`TpmError::Refused`] for one that was made for other keys; [`TpmError`].
    pub fn activate(
        &mut self,
        ak: &Object,
        ek: &Object,
        credential: &Credential,
        entropy: &dyn Entropy,
    ) -> Result<CredentialSecret, TpmError> {
        let session = self.endorsement_session(entropy)?;
        let mut body = Writer::default();
        body.u32(ak.handle);
        body.u32(ek.handle);
        // The empty password for the one, the policy for the other.
        body.u32(9 + 9);
        for handle in [PASSWORD, session] {
            body.u32(handle);
            body.sized(&[])?;
            body.u8(GOES_ON);
            body.sized(&[])?;
        }
        body.sized(&credential.blob)?;
        body.sized(&credential.secret)?;
        let response = self.exchange(SESSIONS, ACTIVATE_CREDENTIAL, body.as_bytes());
        let response = response.map_err(|error| match error {
            // Of a credential that is not for these keys chips say that its value or size
            // is none.
            TpmError::Unfit(_) => TpmError::Refused,
            other => other,
        })?;
        let mut from = Reader::new(response.expose());
        from.u32().ok_or_else(no_form)?;
        let held = from.sized().ok_or_else(no_form)?;
        let mut secret = CredentialSecret::new([0; 32]);
        if held.len() != secret.expose().len() {
            return Err(TpmError::Refused);
        }
        secret.expose_mut().copy_from_slice(held);
        Ok(secret)
    }

    /// A session that fulfils the policy of the endorsement key: that its hierarchy's
    /// password is known, which is empty.
    fn endorsement_session(&mut self, entropy: &dyn Entropy) -> Result<u32, TpmError> {
        let mut nonce = [0; 32];
        entropy.fill(&mut nonce)?;
        let mut parameters = Writer::default();
        parameters.u32(NOBODY);
        parameters.u32(NOBODY);
        parameters.sized(&nonce)?;
        parameters.sized(&[])?;
        parameters.u8(Kind::Policy.code());
        for part in [NONE, SHA256] {
            parameters.u16(part);
        }
        let response = self.plain(START_AUTH_SESSION, parameters.as_bytes())?;
        let session = Reader::new(response.expose()).u32().ok_or_else(no_form)?;
        self.held.push(session);
        let mut body = Writer::default();
        body.u32(ENDORSEMENT);
        body.u32(session);
        body.u32(9);
        body.u32(PASSWORD);
        body.sized(&[])?;
        body.u8(GOES_ON);
        body.sized(&[])?;
        // No nonce, no command and no reference that it is tied to, and no end.
        for _ in 0..3 {
            body.sized(&[])?;
        }
        body.u32(0);
        self.exchange(SESSIONS, POLICY_SECRET, body.as_bytes())?;
        Ok(session)
    }

    /// Begins a session whose salt is sealed to the storage key.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn session(
        &mut self,
        kind: Kind,
        storage: &Object,
        entropy: &dyn Entropy,
    ) -> Result<Session, TpmError> {
        let point = storage.point().ok_or_else(no_form)?;
        let (ephemeral, salt) = tpm_salt(&point, entropy)?;
        let mut sealed = Writer::default();
        sealed.sized(&ephemeral.x)?;
        sealed.sized(&ephemeral.y)?;
        let mut nonce = [0; 32];
        entropy.fill(&mut nonce)?;
        let mut parameters = Writer::default();
        parameters.u32(storage.handle);
        parameters.u32(NOBODY);
        parameters.sized(&nonce)?;
        parameters.sized(sealed.as_bytes())?;
        parameters.u8(kind.code());
        for part in [AES, 128, CFB, SHA256] {
            parameters.u16(part);
        }
        let response = self.plain(START_AUTH_SESSION, parameters.as_bytes())?;
        let mut from = Reader::new(response.expose());
        let handle = from.u32().ok_or_else(no_form)?;
        self.held.push(handle);
        let nonce_tpm = from.sized().ok_or_else(no_form)?;
        Session::new(handle, &salt, nonce, nonce_tpm)
    }

    /// Seals data under a policy: the private and the public area.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn create(
        &mut self,
        storage: &Object,
        session: &mut Session,
        policy: &[u8; 32],
        data: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let mut sensitive = Writer::default();
        sensitive.sized(&[])?;
        sensitive.sized(data)?;
        let mut template = Writer::default();
        template.u16(KEYED_HASH);
        template.u16(SHA256);
        template.u32(SEALED);
        template.sized(policy)?;
        template.u16(NONE);
        template.sized(&[])?;
        let mut parameters = Writer::default();
        parameters.sized(sensitive.as_bytes())?;
        parameters.sized(template.as_bytes())?;
        parameters.sized(&[])?;
        parameters.u32(0);
        let response = self.within(
            CREATE,
            storage,
            session,
            COMMAND_ENCRYPTED,
            parameters,
            entropy,
        )?;
        let mut from = Reader::new(response.expose());
        let private = from.sized().ok_or_else(no_form)?.to_vec();
        let public = from.sized().ok_or_else(no_form)?.to_vec();
        Ok((private, public))
    }

    /// Loads what was sealed.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn load(
        &mut self,
        storage: &Object,
        private: &[u8],
        public: &[u8],
    ) -> Result<Object, TpmError> {
        let mut parameters = Writer::default();
        parameters.sized(private)?;
        parameters.sized(public)?;
        let response = self
            .with_password(LOAD, storage.handle, parameters.as_bytes())
            .map_err(|error| match error {
                // The storage key is the right one, so what it refuses was changed.
                TpmError::Unfit(_) => TpmError::Refused,
                other => other,
            })?;
        let mut from = Reader::new(response.expose());
        let handle = from.u32().ok_or_else(no_form)?;
        self.held.push(handle);
        Ok(Object {
            handle,
            public: public.to_vec(),
        })
    }

    /// Fulfils the policy, as far as the registers do.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn policy_pcr(&mut self, session: &Session, pcrs: &[u8]) -> Result<(), TpmError> {
        let mut parameters = Writer::default();
        parameters.u32(session.handle);
        // The chip takes its own digest of them.
        parameters.sized(&[])?;
        parameters.selection(pcrs);
        self.plain(POLICY_PCR, parameters.as_bytes()).map(drop)
    }

    /// Gives back what was sealed.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn unseal(
        &mut self,
        object: &Object,
        session: &mut Session,
        entropy: &dyn Entropy,
    ) -> Result<SecretBytes, TpmError> {
        let mut response = self.within(
            UNSEAL,
            object,
            session,
            RESPONSE_ENCRYPTED,
            Writer::default(),
            entropy,
        )?;
        let length = Reader::new(response.expose())
            .sized()
            .map(<[u8]>::len)
            .ok_or_else(no_form)?;
        response.expose_mut().truncate(length.saturating_add(2));
        response.expose_mut().drain(..2);
        Ok(response)
    }
}

/// The bytes of the `TPM2B` that parameters begin with.
fn first_parameter(parameters: &mut [u8]) -> Option<&mut [u8]> {
    let length = usize::from(Reader::new(parameters).u16()?);
    parameters.get_mut(2..length.checked_add(2)?)
}
