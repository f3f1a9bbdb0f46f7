use crate::vectors::unhex;
use procura_crypto::{Argon2Params, KdfError, SystemEntropy, derive_passphrase_key};
use serde_json::json;

fn params(memory_kib: u32, passes: u32) -> Argon2Params {
    Argon2Params {
        memory_kib,
        passes,
        salt: std::array::from_fn(|at| u8::try_from(at).unwrap()),
    }
}

/// Computed with another implementation of RFC 9106 (that of OpenSSL).
#[test]
fn known_answers() {
    for (passphrase, passes, key) in [
        (
            "correct horse battery staple",
            3,
            "0d1a3c6523c8f06e4e0af9c515aa5b5448cfebd6838f2d52c3d8b6ef8ddc3c2e",
        ),
        (
            "",
            3,
            "cabd8eb65ac84e96b96e15047b5d84c21dcf0d387defa2220c7d4a6ddbf92a6c",
        ),
        (
            "pä$ß",
            4,
            "a90f3ddba06651ed6442d0add56d461df52cb267549212026dcc3ff70b76f76f",
        ),
    ] {
        let derived = derive_passphrase_key(passphrase, &params(64 * 1024, passes)).unwrap();
        assert_eq!(derived.expose()[..], unhex(key));
    }
}

#[test]
fn bounds_hold_when_deriving() {
    for (memory_kib, passes, expected) in [
        (64 * 1024 - 1, 3, KdfError::ParamsTooWeak),
        (64 * 1024, 2, KdfError::ParamsTooWeak),
        (0, 0, KdfError::ParamsTooWeak),
        (4 * 1024 * 1024 + 1, 3, KdfError::ParamsTooCostly),
        (64 * 1024, 65, KdfError::ParamsTooCostly),
        (u32::MAX, u32::MAX, KdfError::ParamsTooCostly),
    ] {
        let derived = derive_passphrase_key("any", &params(memory_kib, passes));
        assert_eq!(derived.err(), Some(expected), "{memory_kib} {passes}");
    }
}

#[test]
fn bounds_hold_when_reading() {
    let good = json!({"memory_kib": 65536, "passes": 3, "salt": "AAECAwQFBgcICQoLDA0ODw"});
    let read: Argon2Params = serde_json::from_value(good.clone()).unwrap();
    assert_eq!(read, params(64 * 1024, 3));
    assert_eq!(serde_json::to_value(&read).unwrap(), good);

    for (field, value, expected) in [
        ("memory_kib", json!(65535), KdfError::ParamsTooWeak),
        ("passes", json!(2), KdfError::ParamsTooWeak),
        ("passes", json!(1000), KdfError::ParamsTooCostly),
        ("salt", json!("AAEC"), KdfError::Salt),
    ] {
        let mut changed = good.clone();
        changed[field] = value;
        let error = serde_json::from_value::<Argon2Params>(changed).unwrap_err();
        assert_eq!(error.to_string(), expected.to_string(), "{field}");
    }
    let mut unknown = good;
    unknown["lanes"] = json!(2);
    let error = serde_json::from_value::<Argon2Params>(unknown).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `lanes`"));
}

#[test]
fn fresh_parameters_are_the_least_with_a_salt_of_their_own() {
    let [one, two] = [(), ()].map(|()| Argon2Params::generate(&SystemEntropy).unwrap());
    assert_eq!((one.memory_kib, one.passes), (64 * 1024, 3));
    assert_ne!(one.salt, two.salt);
}
