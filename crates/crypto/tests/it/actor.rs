use procura_crypto::{agent_id, owner_id};
use procura_types::Alg;

/// Computed from `protocol.md` §1 and §2 with another language's hash library.
#[test]
fn known_ids() {
    let mut point = [0; 65];
    point[0] = 4;
    let owner = owner_id(Alg::P256, &point);
    assert_eq!(
        owner.to_string(),
        "QVVP1GN4rO3JEfewaFAh5vKFC1QAl5hg8MRlwVLLGx0"
    );
    let namespace = "dev".parse().unwrap();
    let label = "scribe".parse().unwrap();
    assert_eq!(
        agent_id(&owner, &namespace, &label, 1).to_string(),
        "LS2hRIv1uCrtw2OMKZN1geZo17BvxFl-cwmZe6eV8IE"
    );
}

#[test]
fn every_field_counts() {
    let owner = owner_id(Alg::Ed25519, &[7; 32]);
    let (dev, other) = ("dev".parse().unwrap(), "de".parse().unwrap());
    let (scribe, shifted) = ("scribe".parse().unwrap(), "vscribe".parse().unwrap());
    let ids = [
        owner,
        owner_id(Alg::P256, &[7; 32]),
        owner_id(Alg::Ed25519, &[8; 32]),
        agent_id(&owner, &dev, &scribe, 0),
        agent_id(&owner, &dev, &scribe, 1),
        agent_id(&owner, &other, &scribe, 0),
        // The same letters, with the boundary elsewhere.
        agent_id(&owner, &other, &shifted, 0),
        agent_id(&agent_id(&owner, &dev, &scribe, 0), &dev, &scribe, 0),
    ];
    for (at, id) in ids.iter().enumerate() {
        assert!(!ids[..at].contains(id), "{at}");
    }
}
