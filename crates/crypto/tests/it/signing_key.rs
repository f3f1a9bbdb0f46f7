use crate::entropies::{Broken, Constant};
use crate::vectors::{bytes, load, unhex};
use procura_crypto::{KeyError, SignatureAlgorithm, SigningKey, SystemEntropy};
use procura_types::{Entropy, EntropyError};

#[test]
fn keys_sign_and_read_back() {
    for (generate, algorithm, alg) in [
        (
            SigningKey::generate_ed25519 as fn(&dyn Entropy) -> _,
            SignatureAlgorithm::Ed25519,
            3,
        ),
        (
            SigningKey::generate_p256,
            SignatureAlgorithm::EcdsaP256Sha256,
            1,
        ),
    ] {
        let key: SigningKey = generate(&SystemEntropy).unwrap();
        assert_eq!(key.public().algorithm(), algorithm);
        let stored = key.to_secret_bytes();
        assert_eq!((stored.expose().len(), stored.expose()[0]), (33, alg));
        let again = SigningKey::from_secret_bytes(stored.expose()).unwrap();
        assert_eq!(again.public(), key.public());

        let signature = again.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        assert!(key.public().verify(b"message", &signature));
        assert!(!key.public().verify(b"another", &signature));
        let other: SigningKey = generate(&SystemEntropy).unwrap();
        assert!(!other.public().verify(b"message", &signature));
        for bit in 0..512 {
            let mut changed = signature.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.public().verify(b"message", &changed), "bit {bit}");
        }
    }
}

#[test]
fn rfc_6979_key_has_its_public_key() {
    let file = load("kdf/rfc6979_p256.json");
    let private = [vec![1], bytes(&file["private_key_x"])].concat();
    let key = SigningKey::from_secret_bytes(&private).unwrap();
    let point = [vec![4], bytes(&file["Ux"]), bytes(&file["Uy"])].concat();
    assert_eq!(key.public().as_bytes(), point);
}

#[test]
fn other_bytes_are_no_key() {
    for other in [
        vec![],
        vec![3],
        vec![0; 33],
        [vec![2], vec![7; 32]].concat(),
        [vec![3], vec![7; 31]].concat(),
        [vec![3], vec![7; 33]].concat(),
        [vec![1], vec![7; 65]].concat(),
    ] {
        assert!(matches!(
            SigningKey::from_secret_bytes(&other),
            Err(KeyError::Malformed)
        ));
    }
    // A scalar of P-256 is between 1 and the order less 1.
    let order = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    for scalar in [vec![0; 32], order, vec![0xff; 32]] {
        assert!(matches!(
            SigningKey::from_secret_bytes(&[vec![1], scalar].concat()),
            Err(KeyError::NotOnCurve)
        ));
    }
}

#[test]
fn keys_come_from_the_entropy_given() {
    let [one, two] = [(), ()].map(|()| SigningKey::generate_ed25519(&Constant(7)).unwrap());
    assert_eq!(one.public(), two.public());
    for result in [
        SigningKey::generate_ed25519(&Broken),
        SigningKey::generate_p256(&Broken),
        // Never below the order: gives up instead of turning for ever.
        SigningKey::generate_p256(&Constant(0xff)),
    ] {
        assert!(matches!(result, Err(KeyError::Entropy(EntropyError))));
    }
}
