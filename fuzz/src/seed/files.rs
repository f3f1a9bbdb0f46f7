//! What servers, daemons and backups keep in files.

use super::Seeds;
use crate::story::STORY;
use crate::world::{AGENT, Counting, NOW, WORLD, key};
use crate::{backup, envelope, journal, row};
use procura_crypto::{Argon2Params, sha256};
use procura_types::{Alg, InstallationId, encoding};

/// One of each, as it is written, and some that were cut.
pub(super) fn all(seeds: &mut Seeds) {
    seeds.numbered(
        "config",
        [
            "listen = \"127.0.0.1:1\"\nrequest_seconds = 5\ndanger_unlocked_memory = true\n",
            "tls_cert = \"c.pem\"\ntls_key = \"k.pem\"\nlisten = \"0.0.0.0:443\"\n\0PROCURA_LISTEN=127.0.0.1:2\nPROCURA_MAX_CONNECTIONS=7\n",
        ],
    );
    let device = WORLD.directory.device(&WORLD.agent.public().thumbprint());
    let device = serde_json::to_vec(&**device.unwrap()).unwrap();
    seeds.add("row", "device", row::input("shop", &device));
    seeds.add("row", "inline", row::input("a/b", b"\0value"));
    let nothing = [&[1][..], &[0; 12], &sha256(b"")].concat();
    seeds.add("row", "no-chunks", row::input("", &nothing));
    let argon2 = Argon2Params::generate(&Counting::new()).unwrap();
    let envelope = encoding::b64url(&envelope::SEALED.under_key);
    let installation = serde_json::json!({
        "format": 1,
        "id": InstallationId::from_bytes([7; 16]),
        "created": NOW,
        "root_epoch": 1,
        "sentinel": envelope,
        "passphrase": { "argon2": argon2, "root": envelope },
        "server_key": WORLD.agent.public().to_jwk(),
        "ledger_vkey": STORY.vkey().to_string(),
    });
    seeds.add("installation", "made", installation.to_string());
    let source = |name: &str, keeper: serde_json::Value| {
        serde_json::json!({
            "name": name,
            "added": NOW,
            "keeper": keeper,
            "key": encoding::b64url(&[9; 32]),
            "root": envelope,
        })
    };
    let digest = encoding::b64url(&sha256(b"a share"));
    let sources = serde_json::json!([
        source(
            "passphrase",
            serde_json::json!({ "kind": "passphrase", "argon2": argon2 })
        ),
        source(
            "recovery",
            serde_json::json!({
                "kind": "shares",
                "set": encoding::b64url(&[5; 16]),
                "threshold": 2,
                "shares": [digest, digest, digest],
            }),
        ),
    ]);
    let mut present = installation;
    if let Some(fields) = present.as_object_mut() {
        fields.remove("passphrase");
        fields.insert("format".to_owned(), 2.into());
        fields.insert("sources_tag".to_owned(), digest.clone().into());
        fields.insert("sources".to_owned(), sources);
    }
    seeds.add("installation", "present", present.to_string());
    for (name, state) in [
        (
            "pending",
            serde_json::json!({ "pending": { "code_sha256": "00" } }),
        ),
        (
            "joined",
            serde_json::json!({ "joined": {
                "lineage": "alice//scribe", "label": "scribe", "namespace": "shop",
                "owner": AGENT, "server_key": WORLD.owner.public().to_jwk(),
                "ledger_vkey": STORY.vkey().to_string(),
                "seen": { "size": 10, "root": STORY.checkpoint.root },
            } }),
        ),
    ] {
        let device = serde_json::json!({
            "format": 1,
            "key": encoding::b64url(key(Alg::Ed25519, 4).to_secret_bytes().expose()),
            "uid": 1000, "created": NOW, "actor": AGENT,
            "installation": InstallationId::from_bytes([7; 16]),
            "url": "https://keys.example:7310", "state": state,
        });
        seeds.add("device_file", name, device.to_string());
    }
    let whole = backup::good(0);
    seeds.near("backup", "cut", &whole[..whole.len() - 1]);
    seeds.near("backup", "appended", [&whole[..], b"x"].concat());
    seeds.add("backup", "whole", whole);
    seeds.add("backup", "mended", backup::good(1));
    seeds.add("backup", "copy", backup::copy());
    seeds.add("replay_journal", "plain", journal::good(0));
    seeds.add("replay_journal", "mended", journal::good(3));
    let mut spool = STORY.entries[2].clone();
    spool.push(b'\n');
    seeds.add("spool", "refusal", spool.clone());
    spool.extend_from_slice(&STORY.entries[0]);
    spool.extend_from_slice(b"\nno entry\n{\"torn");
    seeds.add("spool", "foreign-lines", spool);
    let values = procura_types::FieldTuple::new("procura.values.v1")
        .text("API_KEY")
        .bytes(b"correct horse")
        .text("EMPTY")
        .bytes(b"");
    seeds.add("values", "two", values.into_bytes());
}
