//! The commands (part 3), each with just the parameters that it has here. What they leave
//! in the chip is flushed when it is let go: it has room for three objects.

use super::bytes::{Reader, Writer};
use super::channel::Channel;
use super::session::{COMMAND_ENCRYPTED, GOES_ON, Kind, RESPONSE_ENCRYPTED, Session};
use super::{Payload, WrapError};
use procura_crypto::{TpmPoint, sha256, tpm_decrypt, tpm_encrypt, tpm_salt};
use procura_types::{Entropy, SecretBytes};

/// Tags of commands and responses (part 2, 6.9).
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;

/// Codes of commands (part 2, 6.5.2).
const CREATE_PRIMARY: u32 = 0x131;
const CREATE: u32 = 0x153;
const LOAD: u32 = 0x157;
const UNSEAL: u32 = 0x15E;
const FLUSH_CONTEXT: u32 = 0x165;
const START_AUTH_SESSION: u32 = 0x176;
const PCR_READ: u32 = 0x17E;
pub(super) const POLICY_PCR: u32 = 0x17F;

/// Handles that are always there (part 2, 7.4).
const OWNER: u32 = 0x4000_0001;
const NOBODY: u32 = 0x4000_0007;
const PASSWORD: u32 = 0x4000_0009;

/// Algorithms (part 2, 6.3).
const AES: u16 = 0x0006;
const KEYED_HASH: u16 = 0x0008;
pub(super) const SHA256: u16 = 0x000B;
const NONE: u16 = 0x0010;
const ECC: u16 = 0x0023;
const CFB: u16 = 0x0043;
const P256: u16 = 0x0003;

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
pub(super) struct Chip {
    channel: Channel,
    held: Vec<u32>,
}

/// Something that is loaded.
pub(super) struct Object {
    pub(super) handle: u32,
    /// Its public area.
    pub(super) public: Vec<u8>,
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

fn padded(number: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let from = out.len().checked_sub(number.len())?;
    out.get_mut(from..)?.copy_from_slice(number);
    Some(out)
}

/// A response code, as what happened (part 2, 6.6).
fn refusal(code: u32) -> WrapError {
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
        POLICY_FAIL | PCR_CHANGED => WrapError::PcrsChanged(Vec::new()),
        INTEGRITY => WrapError::Refused,
        AUTH_FAIL | BAD_AUTH => WrapError::Denied(
            "the TPM's owner hierarchy has a password, under which nothing is sealed here"
                .to_owned(),
        ),
        INITIALIZE => WrapError::Unavailable("the TPM was not started".to_owned()),
        _ if code & 0xF80 == WARNING => {
            WrapError::Unavailable(format!("the TPM is busy (response code {code:#05x})"))
        }
        _ => WrapError::Unfit(format!("the TPM refuses (response code {code:#05x})")),
    }
}

fn no_form() -> WrapError {
    WrapError::Unfit("the TPM gave a response that has no known form".to_owned())
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
    pub(super) const fn new(channel: Channel) -> Self {
        Self {
            channel,
            held: Vec::new(),
        }
    }

    /// Sends a command, and gives what follows the header of its response.
    fn exchange(&mut self, tag: u16, code: u32, body: &[u8]) -> Result<SecretBytes, WrapError> {
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
        Err(WrapError::Unavailable("the TPM stays busy".to_owned()))
    }

    /// A command without sessions.
    fn plain(&mut self, code: u32, parameters: &[u8]) -> Result<SecretBytes, WrapError> {
        self.exchange(NO_SESSIONS, code, parameters)
    }

    /// A command about one handle, which has the empty password.
    fn with_password(
        &mut self,
        code: u32,
        about: u32,
        parameters: &[u8],
    ) -> Result<SecretBytes, WrapError> {
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
    ) -> Result<SecretBytes, WrapError> {
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
    pub(super) fn read_registers(&mut self, pcrs: &[u8]) -> Result<Vec<[u8; 32]>, WrapError> {
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
                return Err(WrapError::Unfit(
                    "the TPM has no SHA-256 bank of these platform configuration registers"
                        .to_owned(),
                ));
            }
        }
        Ok(registers)
    }

    /// Makes the storage key, the same at each start: an ECC key of the owner hierarchy.
    pub(super) fn storage_key(&mut self) -> Result<Object, WrapError> {
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
        let mut parameters = Writer::default();
        // No password and no data of ours.
        parameters.sized(&[0; 4])?;
        parameters.sized(template.as_bytes())?;
        parameters.sized(&[])?;
        parameters.u32(0);
        let response = self.with_password(CREATE_PRIMARY, OWNER, parameters.as_bytes())?;
        let mut from = Reader::new(response.expose());
        let handle = from.u32().ok_or_else(no_form)?;
        self.held.push(handle);
        from.u32().ok_or_else(no_form)?;
        let public = from.sized().ok_or_else(no_form)?.to_vec();
        Ok(Object { handle, public })
    }

    /// Begins a session whose salt is sealed to the storage key.
    pub(super) fn session(
        &mut self,
        kind: Kind,
        storage: &Object,
        entropy: &dyn Entropy,
    ) -> Result<Session, WrapError> {
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
    pub(super) fn create(
        &mut self,
        storage: &Object,
        session: &mut Session,
        policy: &[u8; 32],
        data: &Payload,
        entropy: &dyn Entropy,
    ) -> Result<(Vec<u8>, Vec<u8>), WrapError> {
        let mut sensitive = Writer::default();
        sensitive.sized(&[])?;
        sensitive.sized(data.expose())?;
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
    pub(super) fn load(
        &mut self,
        storage: &Object,
        private: &[u8],
        public: &[u8],
    ) -> Result<Object, WrapError> {
        let mut parameters = Writer::default();
        parameters.sized(private)?;
        parameters.sized(public)?;
        let response = self
            .with_password(LOAD, storage.handle, parameters.as_bytes())
            .map_err(|error| match error {
                // The storage key is the right one, so what it refuses was changed.
                WrapError::Unfit(_) => WrapError::Refused,
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
    pub(super) fn policy_pcr(&mut self, session: &Session, pcrs: &[u8]) -> Result<(), WrapError> {
        let mut parameters = Writer::default();
        parameters.u32(session.handle);
        // The chip takes its own digest of them.
        parameters.sized(&[])?;
        parameters.selection(pcrs);
        self.plain(POLICY_PCR, parameters.as_bytes()).map(drop)
    }

    /// Gives back what was sealed.
    pub(super) fn unseal(
        &mut self,
        object: &Object,
        session: &mut Session,
        entropy: &dyn Entropy,
    ) -> Result<SecretBytes, WrapError> {
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
