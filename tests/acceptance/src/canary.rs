//! Looking for a planted value everywhere that it must not be.

use std::path::{Path, PathBuf};

/// A search for some bytes; remembers where they were found.
pub struct Search<'a> {
    needles: Vec<Vec<u8>>,
    found: Vec<String>,
    looked: usize,
    value: &'a str,
}

impl<'a> Search<'a> {
    /// For a value as it is, in base64 at each of the three offsets, and in hexadecimal.
    #[must_use]
    pub fn new(value: &'a str) -> Self {
        assert!(
            value.len() >= 24,
            "a canary must be long enough not to occur by chance"
        );
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut needles = vec![value.as_bytes().to_vec(), hex.into_bytes()];
        for offset in 0..3 {
            let whole = (value.len() - offset) / 3 * 3;
            let standard = base64(&value.as_bytes()[offset..offset + whole]);
            needles.push(standard.replace('+', "-").replace('/', "_").into_bytes());
            needles.push(standard.into_bytes());
        }
        Self {
            needles,
            found: Vec::new(),
            looked: 0,
            value,
        }
    }

    /// Looks at some bytes.
    pub fn bytes(&mut self, place: &str, bytes: &[u8]) {
        self.looked += 1;
        let contains =
            |needle: &Vec<u8>| bytes.windows(needle.len()).any(|window| window == needle);
        if self.needles.iter().any(contains) {
            self.found.push(place.to_owned());
        }
    }

    /// Looks at every file below a folder, whatever its kind; sockets and pipes have no content.
    pub fn folder(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                self.folder(&path);
            } else if kind.is_file() {
                self.bytes(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }

    /// Looks at the arguments and environment of every process but `except`.
    pub fn processes(&mut self, except: &[u32]) {
        for entry in std::fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            let pid = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse::<u32>().ok());
            if !pid.is_some_and(|pid| !except.contains(&pid) && pid != std::process::id()) {
                continue;
            }
            for file in ["cmdline", "environ"] {
                let file: PathBuf = path.join(file);
                // Processes end while we look, and some are not ours to read.
                if let Ok(bytes) = std::fs::read(&file) {
                    self.bytes(&file.display().to_string(), &bytes);
                }
            }
        }
    }

    /// Asserts that the value was nowhere, and that something was looked at.
    ///
    /// # Panics
    /// Names the places where it was, never the value.
    pub fn assert_nowhere(self) {
        assert!(
            self.looked > 0 && !self.value.is_empty(),
            "nothing was looked at"
        );
        assert!(
            self.found.is_empty(),
            "a planted value was found in {:#?}",
            self.found
        );
    }
}

/// Base64 without padding; the harness links nothing for it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit =
        |bits: u32, place: u32| char::from(DIGITS[usize::try_from(bits >> place & 63).unwrap()]);
    bytes
        .chunks_exact(3)
        .flat_map(|three| {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            [18, 12, 6, 0].map(|place| digit(bits, place))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found() {
        let value = "canary-0123456789-abcdefgh";
        for text in [
            format!("x{value}y"),
            "Y2FuYXJ5LTAxMjM0NTY3ODktYWJjZGVmZ2g".to_owned(),
            // The same with one byte before it, hence at another offset.
            "eGNhbmFyeS0wMTIzNDU2Nzg5LWFiY2RlZmdo".to_owned(),
            "63616e6172792d303132333435363738392d6162636465666768".to_owned(),
        ] {
            let mut search = Search::new(value);
            search.bytes("here", text.as_bytes());
            assert_eq!(search.found, ["here"], "{text}");
        }
        let mut search = Search::new(value);
        search.bytes("here", b"canary-0123456789-abcdefg");
        search.assert_nowhere();
    }
}
