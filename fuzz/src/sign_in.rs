//! What browsers send of a web login, and what people type to sign in.

use crate::Verdict;
use procura_crypto::{RecoveryCode, TotpHash, totp_code, totp_matches};
use procura_proof::WebLoginCookie;
use procura_types::Timestamp;

const NAME: &str = "procura-login";
const SECRET: &[u8] = b"12345678901234567890";
/// Within the second step.
const NOW: Timestamp = Timestamp::from_secs(59);

/// A cookie has one spelling, which stands in the request, and there is one of it. Lines
/// of the field stand below each other.
pub(crate) fn web_cookie(input: &[u8]) -> Verdict {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let Ok(Some(cookie)) = WebLoginCookie::find(lines.iter().copied(), NAME) else {
        return Verdict::Refused;
    };
    let text = cookie.text();
    let pair = format!("{NAME}={}", text.expose());
    let places = input.windows(pair.len());
    assert!(places.into_iter().any(|place| place == pair.as_bytes()));
    let alone = WebLoginCookie::find([pair.as_bytes()], NAME).unwrap();
    assert_eq!(alone.unwrap().digest(), cookie.digest());
    let twice = lines.into_iter().chain([pair.as_bytes()]);
    assert!(WebLoginCookie::find(twice, NAME).is_err());
    Verdict::Accepted
}

/// A recovery code has one form to be shown in, and six digits are the code of a step
/// around now or nothing; no text is both.
pub(crate) fn sign_in_code(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let step = totp_matches(TotpHash::Sha1, SECRET, text, NOW);
    let digits: String = text.chars().filter(|letter| *letter != ' ').collect();
    let codes = (0..=2).map(|step| totp_code(TotpHash::Sha1, SECRET, step));
    let found = codes
        .into_iter()
        .position(|code| format!("{code:06}") == digits);
    assert_eq!(step, found.map(|found| u64::try_from(found).unwrap()));
    let Some(code) = RecoveryCode::read(text) else {
        return Verdict::of(step.is_some());
    };
    assert_eq!(step, None);
    let shown = code.text();
    assert_eq!(shown.expose().len(), 19);
    let again = RecoveryCode::read(shown.expose()).unwrap();
    assert_eq!(again.hash(), code.hash());
    Verdict::Accepted
}
