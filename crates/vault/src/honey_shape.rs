//! Decoys in the exact shape of what services hand out, so that neither people nor
//! programs tell them from it, and random, so that each is known again.

use procura_types::{Entropy, EntropyError, HoneyShape, Secret, SecretBytes};

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The smallest account number of AWS, which have twelve digits, and how many there are.
const FIRST_ACCOUNT: u64 = 100_000_000_000;
const ACCOUNTS: u64 = 900_000_000_000;

/// Roles and databases as they are called.
const USERS: [&str; 8] = [
    "app",
    "billing",
    "orders",
    "reporting",
    "payments",
    "backend",
    "ledger",
    "analytics",
];

/// A decoy that was made.
pub(crate) struct Decoy {
    /// What is handed out.
    pub(crate) value: SecretBytes,
    /// What of it is found by itself.
    pub(crate) parts: Vec<SecretBytes>,
}

impl Decoy {
    fn whole(value: String) -> Self {
        Self {
            value: Secret::new(value.into_bytes()),
            parts: Vec::new(),
        }
    }
}

/// Makes a decoy.
///
/// # Errors
/// When there is no randomness.
pub(crate) fn make(shape: HoneyShape, entropy: &dyn Entropy) -> Result<Decoy, EntropyError> {
    Ok(match shape {
        HoneyShape::Aws => {
            let (id, key) = (aws_key_id(entropy)?, letters(BASE64, 40, entropy)?);
            Decoy {
                value: Secret::new(
                    format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {key}\n")
                        .into_bytes(),
                ),
                parts: vec![Secret::new(id.into_bytes()), Secret::new(key.into_bytes())],
            }
        }
        HoneyShape::Github => {
            let random = letters(BASE62, 30, entropy)?;
            let check = base62(crc32fast::hash(random.as_bytes()));
            Decoy::whole(format!("ghp_{random}{check}"))
        }
        HoneyShape::Openai => {
            let (first, last) = (
                letters(BASE64URL, 74, entropy)?,
                letters(BASE64URL, 74, entropy)?,
            );
            Decoy::whole(format!("sk-proj-{first}T3BlbkFJ{last}"))
        }
        HoneyShape::Stripe => Decoy::whole(format!("sk_live_51{}", letters(BASE62, 97, entropy)?)),
        HoneyShape::Postgresql => {
            let user = one_of(&USERS, entropy)?;
            let password = letters(BASE62, 32, entropy)?;
            // `.internal` is never delegated: whoever tries the decoy reaches nobody.
            let host = letters(BASE32, 8, entropy)?.to_ascii_lowercase();
            let value = format!(
                "postgresql://{user}:{password}@db-{host}.prod.internal:5432/{user}?sslmode=require"
            );
            Decoy {
                value: Secret::new(value.into_bytes()),
                parts: vec![Secret::new(password.into_bytes())],
            }
        }
    })
}

/// `AKIA` and 16 symbols of Base32, which are 10 bytes. The first bit of them is set,
/// and the 40 behind it are the number of the account.
fn aws_key_id(entropy: &dyn Entropy) -> Result<String, EntropyError> {
    let account = FIRST_ACCOUNT + below(ACCOUNTS, entropy)?;
    let mut tail = [0; 8];
    entropy.fill_secret(&mut tail)?;
    let head = 1 << 47 | account << 7 | (u64::from_be_bytes(tail) & 0x7f);
    let mut bits = u128::from(head) << 32 | u128::from(u64::from_be_bytes(tail) >> 32);
    let mut symbols = Vec::with_capacity(16);
    for _ in 0..16 {
        let low = usize::try_from(bits & 31).unwrap_or(0);
        symbols.extend(BASE32.get(low).map(|letter| char::from(*letter)));
        bits >>= 5;
    }
    let symbols: String = symbols.into_iter().rev().collect();
    Ok(format!("AKIA{symbols}"))
}

/// A number in Base62, six digits.
fn base62(mut number: u32) -> String {
    let mut digits = Vec::with_capacity(6);
    for _ in 0..6 {
        let low = usize::try_from(number % 62).unwrap_or(0);
        digits.extend(BASE62.get(low).map(|letter| char::from(*letter)));
        number /= 62;
    }
    digits.into_iter().rev().collect()
}

/// A number below `bound`, all of them alike.
fn below(bound: u64, entropy: &dyn Entropy) -> Result<u64, EntropyError> {
    let even = u64::MAX - u64::MAX % bound;
    loop {
        let mut bytes = [0; 8];
        entropy.fill_secret(&mut bytes)?;
        let number = u64::from_be_bytes(bytes);
        if number < even {
            return Ok(number % bound);
        }
    }
}

/// `count` letters of an alphabet, all of them alike.
fn letters(alphabet: &[u8], count: usize, entropy: &dyn Entropy) -> Result<String, EntropyError> {
    let bound = u64::try_from(alphabet.len()).unwrap_or(1);
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let at = usize::try_from(below(bound, entropy)?).unwrap_or(0);
        text.extend(alphabet.get(at).map(|letter| char::from(*letter)));
    }
    Ok(text)
}

fn one_of<'a>(words: &[&'a str], entropy: &dyn Entropy) -> Result<&'a str, EntropyError> {
    let bound = u64::try_from(words.len()).unwrap_or(1);
    let at = usize::try_from(below(bound, entropy)?).unwrap_or(0);
    Ok(words.get(at).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;
    use std::collections::BTreeSet;

    fn text(decoy: &Decoy) -> String {
        String::from_utf8(decoy.value.expose().clone()).unwrap()
    }

    #[test]
    fn the_key_id_of_aws_has_an_account_of_twelve_digits() {
        for _ in 0..200 {
            let id = aws_key_id(&SystemEntropy).unwrap();
            let symbols = id.strip_prefix("AKIA").unwrap();
            assert_eq!(symbols.len(), 16, "{id}");
            // As it is read by everybody who looks for the account of a key.
            let bits = symbols.bytes().fold(0u128, |bits, symbol| {
                let value = BASE32.iter().position(|known| *known == symbol).unwrap();
                bits << 5 | u128::try_from(value).unwrap()
            });
            let head = u64::try_from(bits >> 32).unwrap();
            let account = (head & 0x7fff_ffff_ff80) >> 7;
            assert_eq!(account.to_string().len(), 12, "{id}: {account}");
            assert_eq!(head >> 47, 1, "{id}");
        }
    }

    #[test]
    fn the_checksum_of_github_is_theirs() {
        // A token that was published and revoked.
        assert_eq!(
            base62(crc32fast::hash(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ")),
            "0mLq17"
        );
        let token = text(&make(HoneyShape::Github, &SystemEntropy).unwrap());
        let body = token.strip_prefix("ghp_").unwrap();
        let (random, check) = body.split_at(30);
        assert_eq!(base62(crc32fast::hash(random.as_bytes())), check);
        assert_eq!(token.len(), 40);
    }

    #[test]
    fn each_has_its_shape_and_none_comes_twice() {
        let alnum = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        for shape in HoneyShape::ALL {
            let made: BTreeSet<String> = (0..20)
                .map(|_| text(&make(shape, &SystemEntropy).unwrap()))
                .collect();
            assert_eq!(made.len(), 20, "{shape}");
            for value in made {
                match shape {
                    HoneyShape::Aws => {
                        let lines: Vec<&str> = value.lines().collect();
                        assert_eq!(lines[0], "[default]");
                        let id = lines[1].strip_prefix("aws_access_key_id = ").unwrap();
                        let key = lines[2].strip_prefix("aws_secret_access_key = ").unwrap();
                        assert_eq!((id.len(), key.len()), (20, 40));
                        assert!(key.bytes().all(|byte| BASE64.contains(&byte)), "{key}");
                    }
                    HoneyShape::Github => assert!(alnum(&value[4..])),
                    HoneyShape::Openai => {
                        assert_eq!((value.len(), &value[82..90]), (164, "T3BlbkFJ"));
                    }
                    HoneyShape::Stripe => {
                        assert_eq!(value.len(), 107);
                        assert!(alnum(value.strip_prefix("sk_live_").unwrap()));
                    }
                    HoneyShape::Postgresql => {
                        let rest = value.strip_prefix("postgresql://").unwrap();
                        let (login, place) = rest.split_once('@').unwrap();
                        assert_eq!(login.split_once(':').unwrap().1.len(), 32);
                        assert!(place.contains(".prod.internal:5432/"), "{place}");
                    }
                }
            }
        }
    }
}
