//! Values on their way from the daemon to one process: a memory file that
//! nobody can change any more.
//!
//! The file's content is the field tuple (`protocol.md` §1)
//! `T("procura.values.v1", name, value, name, value …)`.

pub(crate) use procura_types::is_loader_variable;
use procura_types::{Delivery, EnvName, SecretBytes};
use rustix::fs::{
    MemfdFlags, Mode, SealFlags, SeekFrom, fchmod, fcntl_add_seals, fcntl_get_seals, fstat,
    memfd_create, seek,
};
use rustix::io::{Errno, pread, write};
use std::os::fd::{AsFd, OwnedFd};

const DOMAIN: &[u8] = b"procura.values.v1";
/// No process can be given more than a few MiB of environment (execve(2)); files
/// are held to the same.
const SIZE_LIMIT: usize = 8 * 1024 * 1024;
/// The kernel's `MAX_ARG_STRLEN`: `NAME=value` and its NUL in one string.
const STRING_LIMIT: usize = 128 * 1024;

/// What a run delivers, in the order of the names.
pub type EnvValues = Vec<(EnvName, SecretBytes)>;

/// Why values cannot be handed over. None of them is, then.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    /// The value of this name has a NUL byte.
    #[error("the value of {0} contains a NUL byte and cannot be an environment variable")]
    Nul(EnvName),
    /// The value of this name is too long for the kernel.
    #[error(
        "the value of {0} is longer than an environment variable can be (128 KiB with its name)"
    )]
    TooLong(EnvName),
    /// All of them together are too long.
    #[error("the values together are longer than 8 MiB, more than is handed over at once")]
    TooMany,
    /// This name would make the loader run other code.
    #[error("{0} is a variable of the loader and is never delivered; name the secret otherwise")]
    Loader(EnvName),
    /// There is one standard input, and this is not one value.
    #[error("standard input takes one value; say which with one --name")]
    NotOne,
    /// This way is none to a process.
    #[error("a process cannot be given values in the way {}", .0.as_str())]
    NoWay(Delivery),
    /// What was received is not a sealed memory file of ours.
    #[error("the values did not arrive as the daemon sends them: {0}")]
    Unsealed(&'static str),
    /// The kernel would not make, write or read the file.
    #[error("cannot hand over the values in memory: {0}")]
    Kernel(#[from] Errno),
}

fn check(values: &EnvValues, delivery: Delivery) -> Result<(), ValuesError> {
    if !delivery.is_of_a_run() {
        return Err(ValuesError::NoWay(delivery));
    }
    if delivery == Delivery::Stdin && values.len() != 1 {
        return Err(ValuesError::NotOne);
    }
    for (name, value) in values {
        let value = value.expose();
        if delivery == Delivery::Env && value.contains(&0) {
            return Err(ValuesError::Nul(name.clone()));
        }
        if delivery == Delivery::Env && name.as_str().len() + value.len() + 2 > STRING_LIMIT {
            return Err(ValuesError::TooLong(name.clone()));
        }
        // Also where the variable would name a file: the loader would read that.
        if is_loader_variable(name.as_str().as_bytes()) {
            return Err(ValuesError::Loader(name.clone()));
        }
    }
    Ok(())
}

const fn seals() -> SealFlags {
    SealFlags::WRITE
        .union(SealFlags::GROW)
        .union(SealFlags::SHRINK)
        .union(SealFlags::SEAL)
}

/// Writes values into a memory file and seals it against every change
/// (memfd_create(2), fcntl(2) `F_ADD_SEALS`).
///
/// # Errors
/// [`ValuesError`]; values that cannot be had in this way, as those that no
/// environment can hold, are refused by name.
pub fn sealed_file(values: &EnvValues, delivery: Delivery) -> Result<OwnedFd, ValuesError> {
    check(values, delivery)?;
    let size = encoded_size(values);
    if size > SIZE_LIMIT {
        return Err(ValuesError::TooMany);
    }
    let mut bytes = SecretBytes::new(Vec::with_capacity(size));
    let out = bytes.expose_mut();
    out.push(u8::try_from(DOMAIN.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(DOMAIN);
    for (name, value) in values {
        for field in [name.as_str().as_bytes(), value.expose().as_slice()] {
            // Checked above: all of them together are no longer than 8 MiB.
            let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(field);
        }
    }
    memory_file(bytes.expose())
}

/// A sealed memory file with just these bytes, at its beginning, which its owner
/// may read and nobody may write.
pub(crate) fn memory_file(bytes: &[u8]) -> Result<OwnedFd, ValuesError> {
    let file = memfd_create("procura", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    seek(&file, SeekFrom::Start(0))?;
    fchmod(&file, Mode::RUSR)?;
    fcntl_add_seals(&file, seals())?;
    Ok(file)
}

fn encoded_size(values: &EnvValues) -> usize {
    values.iter().fold(1 + DOMAIN.len(), |size, (name, value)| {
        size.saturating_add(8 + name.as_str().len() + value.expose().len())
    })
}

/// Reads what [`sealed_file`] wrote, after checking that it can no longer
/// change under us.
///
/// # Errors
/// [`ValuesError::Unsealed`] for anything else; nothing is delivered then.
pub fn receive_values(file: impl AsFd, delivery: Delivery) -> Result<EnvValues, ValuesError> {
    let held = fcntl_get_seals(&file).map_err(|_| ValuesError::Unsealed("it is no memory file"))?;
    if !held.contains(seals()) {
        return Err(ValuesError::Unsealed("the memory file is not sealed"));
    }
    let size = usize::try_from(fstat(&file)?.st_size).unwrap_or(usize::MAX);
    if size > SIZE_LIMIT {
        return Err(ValuesError::TooMany);
    }
    let mut bytes = SecretBytes::new(vec![0; size]);
    let mut done = 0;
    while done < size {
        let place = bytes.expose_mut().get_mut(done..).unwrap_or_default();
        let offset = u64::try_from(done).unwrap_or(u64::MAX);
        match pread(&file, place, offset)? {
            0 => return Err(ValuesError::Unsealed("the memory file is cut short")),
            count => done += count,
        }
    }
    let values = decode(bytes.expose()).ok_or(ValuesError::Unsealed(
        "the memory file does not hold values",
    ))?;
    check(&values, delivery)?;
    Ok(values)
}

fn decode(bytes: &[u8]) -> Option<EnvValues> {
    let (domain_len, rest) = bytes.split_first()?;
    let (domain, mut rest) = rest.split_at_checked(usize::from(*domain_len))?;
    if domain != DOMAIN {
        return None;
    }
    let mut values = EnvValues::new();
    while !rest.is_empty() {
        let name = std::str::from_utf8(field(&mut rest)?).ok()?.parse().ok()?;
        let value = field(&mut rest)?.to_vec();
        values.push((name, SecretBytes::new(value)));
    }
    Some(values)
}

fn field<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = from.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (field, rest) = rest.split_at_checked(len)?;
    *from = rest;
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::FieldTuple;

    fn values(pairs: &[(&str, &[u8])]) -> EnvValues {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), SecretBytes::new(value.to_vec())))
            .collect()
    }

    fn odd_file(bytes: &[u8], sealed: SealFlags) -> OwnedFd {
        let file = memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
        assert_eq!(write(&file, bytes).unwrap(), bytes.len());
        fcntl_add_seals(&file, sealed).unwrap();
        file
    }

    #[test]
    fn values_arrive_and_can_no_longer_be_changed() {
        let sent = values(&[("A", b"1"), ("B", b""), ("C", &[0xff, b'\n', b'='])]);
        let file = sealed_file(&sent, Delivery::Env).unwrap();
        let received = receive_values(&file, Delivery::Env).unwrap();
        let shown = |values: &EnvValues| -> Vec<(String, Vec<u8>)> {
            values
                .iter()
                .map(|(name, value)| (name.to_string(), value.expose().clone()))
                .collect()
        };
        assert_eq!(shown(&received), shown(&sent));
        assert_eq!(write(&file, b"x"), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&file, 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&file, 1 << 20), Err(Errno::PERM));
        assert_eq!(
            fcntl_add_seals(&file, SealFlags::FUTURE_WRITE),
            Err(Errno::PERM)
        );
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn values_that_no_environment_can_hold_are_refused_by_name() {
        let name = |text: &str| text.parse::<EnvName>().unwrap();
        let long = vec![b'x'; STRING_LIMIT - 3];
        assert!(sealed_file(&values(&[("A", &long[1..])]), Delivery::Env).is_ok());
        for (pairs, error) in [
            (
                values(&[("A", b"x"), ("B", b"a\0b")]),
                ValuesError::Nul(name("B")),
            ),
            (values(&[("AB", &long)]), ValuesError::TooLong(name("AB"))),
            (
                values(&[("LD_PRELOAD", b"x")]),
                ValuesError::Loader(name("LD_PRELOAD")),
            ),
            (
                values(&[("GLIBC_TUNABLES", b"x")]),
                ValuesError::Loader(name("GLIBC_TUNABLES")),
            ),
        ] {
            assert_eq!(sealed_file(&pairs, Delivery::Env).unwrap_err(), error);
        }
        let many: EnvValues = (0..70)
            .flat_map(|number| values(&[(format!("A{number}").as_str(), &long[3..])]))
            .collect();
        assert_eq!(
            sealed_file(&many, Delivery::Env).unwrap_err(),
            ValuesError::TooMany
        );
    }

    #[test]
    fn what_is_not_sealed_or_not_ours_is_refused() {
        let good = FieldTuple::new("procura.values.v1").text("A").text("1");
        assert!(receive_values(odd_file(good.as_bytes(), seals()), Delivery::Env).is_ok());
        for missing in [
            SealFlags::WRITE,
            SealFlags::GROW,
            SealFlags::SHRINK,
            SealFlags::SEAL,
        ] {
            let file = odd_file(good.as_bytes(), seals().difference(missing));
            assert_eq!(
                receive_values(file, Delivery::Env).err(),
                Some(ValuesError::Unsealed("the memory file is not sealed"))
            );
        }
        let file = tempfile::tempfile().unwrap();
        assert_eq!(
            receive_values(file, Delivery::Env).err(),
            Some(ValuesError::Unsealed("it is no memory file"))
        );
        let whole = good.as_bytes();
        let other = FieldTuple::new("procura.values.v2").text("A").text("1");
        let odd = FieldTuple::new("procura.values.v1").text("A");
        let bad_name = FieldTuple::new("procura.values.v1").text("A=").text("1");
        for bytes in [
            &[][..],
            &whole[..whole.len() - 1],
            &whole[..5],
            other.as_bytes(),
            odd.as_bytes(),
            bad_name.as_bytes(),
        ] {
            assert_eq!(
                receive_values(odd_file(bytes, seals()), Delivery::Env).err(),
                Some(ValuesError::Unsealed(
                    "the memory file does not hold values"
                ))
            );
        }
        let nul = FieldTuple::new("procura.values.v1").text("A").text("\0");
        assert_eq!(
            receive_values(odd_file(nul.as_bytes(), seals()), Delivery::Env).err(),
            Some(ValuesError::Nul("A".parse().unwrap()))
        );
    }
}
