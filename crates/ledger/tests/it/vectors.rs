//! Published vectors: `spec/vectors/merkle` and `spec/vectors/c2sp`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_ledger::{
    Checkpoint, Frontier, Hash, LedgerError, Note, Vkey, leaf_hash, node_hash, verify_inclusion,
};
use procura_types::encoding::hex;
use serde::Deserialize;

const ROOTS: &str = include_str!("../../../../spec/vectors/merkle/roots.json");
const INCLUSION: &str = include_str!("../../../../spec/vectors/merkle/inclusion.json");
const NOTE: &str = include_str!("../../../../spec/vectors/c2sp/signed-note-example.txt");
const VKEY: &str = include_str!("../../../../spec/vectors/c2sp/signed-note-example.vkey");
const COSIGNED: &str =
    include_str!("../../../../spec/vectors/c2sp/cosigned-checkpoint-example.txt");

#[derive(Deserialize)]
struct Roots {
    leaf_inputs_hex: Vec<String>,
    roots_by_size_hex: Vec<String>,
    hasher: std::collections::BTreeMap<String, String>,
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn merkle_roots() {
    let roots: Roots = serde_json::from_str(ROOTS).unwrap();
    let mut tree = Frontier::new();
    assert_eq!(hex(tree.root().as_bytes()), roots.roots_by_size_hex[0]);
    for (input, root) in roots
        .leaf_inputs_hex
        .iter()
        .zip(&roots.roots_by_size_hex[1..])
    {
        tree.push(leaf_hash(&unhex(input)));
        assert_eq!(&hex(tree.root().as_bytes()), root);
    }
    assert_eq!(tree.size(), 8);
    assert_eq!(
        hex(leaf_hash(b"L123456").as_bytes()),
        roots.hasher["leaf(\"L123456\")"]
    );
    assert_eq!(hex(leaf_hash(b"").as_bytes()), roots.hasher["leaf(\"\")"]);
    assert_eq!(hex(Hash::empty_root().as_bytes()), roots.hasher["empty"]);
}

#[test]
fn merkle_node_of_the_vectors_has_texts_for_children() {
    // The vector hashes "N123" and "N456", which are no hashes: only the prefix
    // can be held against it, by hashing the same bytes.
    let roots: Roots = serde_json::from_str(ROOTS).unwrap();
    assert_eq!(
        hex(&procura_crypto::sha256(b"\x01N123N456")),
        roots.hasher["node(\"N123\",\"N456\")"]
    );
    let (left, right) = (leaf_hash(b"a"), leaf_hash(b"b"));
    let bytes = [&[1][..], left.as_bytes(), right.as_bytes()].concat();
    assert_eq!(
        node_hash(&left, &right).as_bytes(),
        &procura_crypto::sha256(&bytes)
    );
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inclusion {
    file: String,
    leaf_idx: u64,
    tree_size: u64,
    root: Option<String>,
    leaf_hash: Option<String>,
    proof: Option<Vec<String>>,
    want_err: bool,
}

#[test]
fn merkle_inclusion() {
    let cases: Vec<Inclusion> = serde_json::from_str(INCLUSION).unwrap();
    let (mut good, mut bad) = (0, 0);
    for case in cases {
        // A root, leaf or path element that is not 32 bytes is refused by the type.
        let hash = |text: Option<&String>| -> Option<Hash> {
            let bytes = STANDARD.decode(text?).unwrap();
            bytes.try_into().ok().map(Hash::from_bytes)
        };
        let proof: Option<Vec<Hash>> = case
            .proof
            .unwrap_or_default()
            .iter()
            .map(|text| hash(Some(text)))
            .collect();
        let verified = match (
            hash(case.leaf_hash.as_ref()),
            hash(case.root.as_ref()),
            proof,
        ) {
            (Some(leaf), Some(root), Some(proof)) => {
                verify_inclusion(&leaf, case.leaf_idx, case.tree_size, &proof, &root).is_ok()
            }
            _ => false,
        };
        assert_eq!(verified, !case.want_err, "{}", case.file);
        if verified { good += 1 } else { bad += 1 }
    }
    assert!(good >= 5 && bad >= 50, "{good} good, {bad} bad");
}

#[test]
fn signed_note_example() {
    let vkey: Vkey = VKEY.trim_end().parse().unwrap();
    assert_eq!(vkey.to_string(), VKEY.trim_end());
    assert_eq!(vkey.name(), "example.com/foo");
    let note = Note::parse(NOTE).unwrap();
    assert_eq!(note.open(&[vkey]).unwrap(), "This is an example message.\n");
}

#[test]
fn cosigned_checkpoint_example() {
    // The key is not published with the example: its form is what can be
    // tested, and that a checkpoint without a known signature is refused.
    let vkey: Vkey = VKEY.trim_end().parse().unwrap();
    assert!(matches!(
        Checkpoint::open(COSIGNED, &vkey),
        Err(LedgerError::Unsigned { name }) if name == "example.com/foo"
    ));
    let (body, _) = COSIGNED.split_once("\n\n").unwrap();
    let checkpoint = Checkpoint::parse_body(&format!("{body}\n")).unwrap();
    assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(
        checkpoint.root.to_string(),
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    );
    assert_eq!(checkpoint.body().unwrap(), format!("{body}\n"));
}
