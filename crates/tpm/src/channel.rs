//! Where a TPM answers: a device of the kernel, or a socket.

use crate::TpmError;
use procura_types::SecretBytes;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// More than any response (part 2, 10.3.2: implementations take 4 KiB).
const LONGEST: usize = 4096;
const HEADER: usize = 10;

/// The longest that a socket is waited for. The kernel has limits of its own for a device.
const PATIENCE: Duration = Duration::from_secs(20);

/// A way to one TPM.
pub enum Channel {
    /// A device of the kernel.
    Device(File),
    /// A socket at which a TPM answers.
    Socket(UnixStream),
}

fn unavailable(error: &io::Error) -> TpmError {
    TpmError::Unavailable(format!("the TPM does not answer: {error}"))
}

impl Channel {
    /// Opens the way to the TPM at a path.
    ///
    /// # Errors
    /// [`TpmError::Unavailable`], and [`TpmError::Unfit`] for what is neither of both.
    pub fn open(path: &Path) -> Result<Self, TpmError> {
        let failed = |error: io::Error| {
            TpmError::Unavailable(format!("the TPM at {}: {error}", path.display()))
        };
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if kind.is_socket() {
            let stream = UnixStream::connect(path).map_err(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
            return Ok(Self::Socket(stream));
        }
        if !kind.is_char_device() {
            return Err(TpmError::Unfit(format!(
                "{} is neither the device of a TPM nor a socket",
                path.display()
            )));
        }
        File::options()
            .read(true)
            .write(true)
            .open(path)
            .map(Self::Device)
            .map_err(failed)
    }

    /// Sends a command and reads its response, which may have something secret.
    pub(crate) fn exchange(&mut self, command: &[u8]) -> Result<SecretBytes, TpmError> {
        let mut response = SecretBytes::new(vec![0; LONGEST]);
        let length = match self {
            Self::Device(device) => device
                .write_all(command)
                // A response is read whole, or the rest of it is lost.
                .and_then(|()| device.read(response.expose_mut())),
            Self::Socket(stream) => stream
                .write_all(command)
                .and_then(|()| read_framed(stream, response.expose_mut())),
        }
        .map_err(|error| unavailable(&error))?;
        response.expose_mut().truncate(length);
        Ok(response)
    }
}

/// Reads as many bytes as the header says.
fn read_framed(stream: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "its response has no form");
    let header = into.get_mut(..HEADER).ok_or_else(broken)?;
    stream.read_exact(header)?;
    let length: Option<[u8; 4]> = header.get(2..6).and_then(|bytes| bytes.try_into().ok());
    let length = length
        .and_then(|bytes| usize::try_from(u32::from_be_bytes(bytes)).ok())
        .ok_or_else(broken)?;
    let rest = into.get_mut(HEADER..length).ok_or_else(broken)?;
    stream.read_exact(rest)?;
    Ok(length)
}
