//! Inputs that are good by construction, and some that are good but for one
//! thing: where corpora begin.

mod files;
mod tokens;

use crate::fields::push;
use crate::proof::{CODE, MESSAGE, SERVER};
use crate::story::STORY;
use crate::world::{AGENT, Counting, NOW, WORLD};
use crate::{age, envelope, export, foreign, passkey, request, shares, ssh};
use procura_crypto::sha256;
use procura_ledger::{grant_bytes, leaf_hash, push_entry};
use procura_proof::foreign::Foreign;
use procura_proof::join_message;
use procura_types::wire::JoinRequest;
use procura_types::{ActorId, InstallationId, Joins, LinkCodeText, Secret, Thumbprint, encoding};

/// An input whose verdict is known.
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// The name of its file: `good-…` is accepted, `near-…` refused.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

#[derive(Default)]
struct Seeds(Vec<Seed>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push(Seed {
            target,
            name: format!("good-{name}"),
            bytes: bytes.into(),
        });
    }

    fn near(&mut self, target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push(Seed {
            target,
            name: format!("near-{name}"),
            bytes: bytes.into(),
        });
    }

    fn numbered<B: Into<Vec<u8>>>(
        &mut self,
        target: &'static str,
        all: impl IntoIterator<Item = B>,
    ) {
        for (number, bytes) in all.into_iter().enumerate() {
            self.add(target, &format!("{number:02}"), bytes);
        }
    }
}

/// All of them. Signatures by P-256 differ from call to call.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = Seeds::default();
    texts(&mut seeds);
    proofs(&mut seeds);
    ssh_keys(&mut seeds);
    passkeys(&mut seeds);
    shares_of_a_secret(&mut seeds);
    texts_and_files(&mut seeds);
    tokens::ours(&mut seeds);
    tokens::of_providers(&mut seeds);
    connections(&mut seeds);
    ledger(&mut seeds);
    files::all(&mut seeds);
    bodies(&mut seeds);
    near_misses(&mut seeds);
    seeds.0
}

/// What a browser recorded, and some of it bent.
fn passkeys(seeds: &mut Seeds) {
    for (target, name, fine, bytes) in passkey::seeds() {
        if fine {
            seeds.add(target, &name, bytes);
        } else {
            seeds.near(target, &name, bytes);
        }
    }
}

fn texts(seeds: &mut Seeds) {
    let uuid = STORY.terms.grant.to_string();
    let actor = AGENT.to_string();
    seeds.numbered(
        "name",
        [
            "a-b1",
            "db/Pass_word.1/...",
            "API_KEY",
            &uuid,
            &actor,
            "approver",
        ],
    );
    seeds.numbered(
        "time",
        [
            "2026-11-21T09:12:37.123Z",
            "2000-02-29T23:59:59+01:00",
            "9999-12-31T23:59:59.999Z",
        ],
    );
    let joins = [
        Joins::Agent(AGENT),
        Joins::NewOperator,
        Joins::Operator(AGENT),
    ];
    seeds.numbered(
        "link_code",
        joins.map(|joins| {
            let code = LinkCodeText {
                code: Secret::new(CODE),
                server: SERVER,
                installation: InstallationId::from_bytes([7; 16]),
                joins,
                url: "https://keys.example:7310".to_owned(),
            };
            code.encode().expose().clone()
        }),
    );
    seeds.numbered(
        "server_url",
        [
            "http://127.0.0.1:7310",
            "https://Keys.Example/",
            "http://[::1]:80",
            "HTTP://localhost",
        ],
    );
    seeds.numbered(
        "dotenv",
        [
            "A=b\nexport B = c # d\nC\n",
            "\u{feff}A='x\ny' # z\r\nB=\"\\n\\\"$\\\r\nq\"\nC=`a'b`\nA=again\n",
        ],
    );
    for (name, tuples) in [
        ("two", [("shop", 7u64, "a\u{1}b"), ("shop\u{0}", 7, "")]),
        ("escaped", [("a\u{1}", 1, ""), ("a", 1, "")]),
    ] {
        let mut row = Vec::new();
        for (head, number, tail) in tuples {
            push(&mut row, head.as_bytes());
            row.extend_from_slice(&number.to_be_bytes());
            push(&mut row, tail.as_bytes());
        }
        seeds.add("row_key", name, row);
    }
}

fn ssh_keys(seeds: &mut Seeds) {
    let public = WORLD.agent.public();
    let line = ssh::line(public, "agent@host, no. 7");
    seeds.add("ssh_public_key", "line", format!("{line}\n"));
    seeds.add("ssh_public_key", "bare", ssh::line(public, "").trim_end());
    seeds.add(
        "ssh_public_key",
        "odd",
        [line.as_bytes(), b"\t\xff\x1b"].concat(),
    );
    for (name, near) in [
        ("two-lines", format!("{line}\n{line}\n")),
        ("options", format!("no-pty {line}")),
        ("other-type", line.replacen("ssh-ed25519", "ssh-rsa", 1)),
        (
            "other-type-inside",
            line.replacen("AAAAC3NzaC1lZDI1NTE5", "AAAAC3NzaC1lZDI1NTE4", 1),
        ),
        ("cut", line.split_at(70).0.to_owned()),
    ] {
        seeds.near("ssh_public_key", name, near);
    }
    seeds.add("ssh_private_key", "plain", ssh::file(4));
    seeds.add(
        "ssh_private_key",
        "crlf",
        ssh::file(5).replace('\n', "\r\n"),
    );
    seeds.near("ssh_private_key", "encrypted", ssh::locked(4));
    seeds.near("ssh_private_key", "public", line);
}

fn texts_and_files(seeds: &mut Seeds) {
    let file = age::file(b"text");
    seeds.add("age_file", "short", file.clone());
    seeds.add("age_file", "empty", age::file(b""));
    seeds.near("age_file", "cut", file[..file.len() - 1].to_vec());
    let mut changed = file.clone();
    changed[30] ^= 1;
    seeds.near("age_file", "changed", changed);
    for (name, text) in [
        ("plain", "a={{ x }} ${Y}\r\n"),
        ("variables", "a={{procura:A}}&{{procura:B_1}}{{procura:A}}"),
        ("escaped", "{{procura:}}A}} {{{procura:A}}}"),
    ] {
        seeds.add("template", name, text);
    }
    for (name, text) in [
        ("open", "{{procura:A"),
        ("space", "{{procura: A}}"),
        ("loader", "{{procura:LD_PRELOAD}}"),
    ] {
        seeds.near("template", name, text);
    }
}

fn shares_of_a_secret(seeds: &mut Seeds) {
    let texts = shares::texts(3, 4);
    seeds.numbered("share", texts.iter().map(String::as_str));
    seeds.add("share", "lower", texts[0].to_ascii_lowercase());
    seeds.add("share", "lines", texts[1].replace('-', " -\r\n"));
    seeds.add("share", "numbers", shares::numbered(255, 255));
    for (name, near) in [
        ("threshold", shares::numbered(1, 1)),
        ("index", shares::numbered(2, 0)),
        ("cut", texts[0].replacen("-1-A", "-1-", 1)),
        ("other-version", texts[0].replacen("-1-", "-2-", 1)),
        ("no-dashes", texts[0].replace('-', "")),
        ("mistyped", shares::grouped(&[7; 54], "000")),
        ("bits-over", shares::grouped(&[7; 54], "001")),
        ("two", texts.concat()),
    ] {
        seeds.near("share", name, near);
    }

    let texts = shares::mnemonics(2, 3);
    seeds.numbered("mnemonic", texts.iter().map(String::as_str));
    seeds.add("mnemonic", "upper", texts[0].to_ascii_uppercase());
    seeds.add("mnemonic", "lines", texts[1].replace(' ', "\r\n"));
    // Vectors of the standard, without sharing, extendable and in groups; and those
    // with a wrong checksum, padding, number of groups, and length.
    for (name, text) in [
        ("bare", shares::VECTORS[0]),
        ("extendable", shares::VECTORS[1]),
        ("grouped", shares::VECTORS[2]),
    ] {
        seeds.add("mnemonic", name, text);
    }
    for (name, text) in [
        ("checksum", shares::VECTORS[3]),
        ("padding", shares::VECTORS[4]),
        ("groups", shares::VECTORS[5]),
        ("length", shares::VECTORS[6]),
        ("unknown", &texts[0][1..]),
    ] {
        seeds.near("mnemonic", name, text);
    }
}

fn connections(seeds: &mut Seeds) {
    let post = |fields: &str, body: &str| {
        format!("POST /x?y HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
    };
    let get = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, stream) in [
        ("get", get.to_owned()),
        ("length", post("Content-Length: 3", "abc")),
        (
            "chunks",
            post(
                "Transfer-Encoding: chunked",
                "3;n=v\r\nabc\r\n0\r\nT: u\r\n\r\n",
            ),
        ),
        ("two", post("Content-Length: 1", "x") + "\r\n" + get),
        (
            "absolute",
            "GET http://A:1/x HTTP/1.0\r\nhost: a:1\r\n\r\n".to_owned(),
        ),
    ] {
        seeds.add("http1", name, stream);
    }
    for (name, stream) in [
        (
            "both-lengths",
            post(
                "Content-Length: 3\r\nTransfer-Encoding: chunked",
                "0\r\n\r\n",
            ),
        ),
        (
            "two-lengths",
            post("Content-Length: 3\r\nContent-Length: 3", "abc"),
        ),
        ("two-hosts", post("Host: a", "")),
        ("space-before-colon", post("Content-Length : 3", "abc")),
        ("folded", post("X: y\r\n Content-Length: 3", "abc")),
        ("bare-newline", post("X: y\nContent-Length: 3", "abc")),
        ("bare-return", post("X: y\rContent-Length: 3", "abc")),
        (
            "chunk-size",
            post("Transfer-Encoding: chunked", "0x3\r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "chunk-newline",
            post("Transfer-Encoding: chunked", "3\nabc\r\n0\r\n\r\n"),
        ),
        (
            "other-host",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ),
        (
            "fragment",
            "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ),
        ("nameless", "GET /x HTTP/1.0\r\n\r\n".to_owned()),
        ("cut", post("Content-Length: 4", "abc")),
    ] {
        seeds.near("http1", name, stream);
    }
}

fn proofs(seeds: &mut Seeds) {
    seeds.numbered("request", request::proven(&Counting::new()));
    for (target, profile) in [
        ("key_server_v1", Foreign::KeyServerV1),
        ("guide_v1", Foreign::GuideV1),
        ("hmac_v1", Foreign::HmacV1),
        ("hmac_v2", Foreign::HmacV2),
    ] {
        seeds.numbered(target, foreign::proven(profile));
        for (name, request) in foreign::near(profile) {
            seeds.near(target, name, request);
        }
    }
    let base = |path: &[u8], query: &[u8], picks: &[u8]| {
        let mut base = vec![1, 0];
        push(&mut base, path);
        push(&mut base, query);
        base.push(1);
        push(&mut base, b"body");
        push(&mut base, picks);
        for (name, value) in [(0, &b"ab  c"[..]), (0, b"d"), (2, b"e"), (3, b"f")] {
            base.push(name);
            push(&mut base, value);
        }
        base
    };
    // `PLAIN` of that module: + is 42, = 43, & 44.
    let query = [0, 38, 1, 39, 2, 38, 3];
    let all = base(b"\x0c\x0a\x0d", &query, &[0, 1, 2, 3, 4, 5, 11]);
    seeds.add("signature_base", "all", all);
    let plus = base(b"", &[0, 42, 1, 43, 2, 42, 3, 44, 4], &[5, 11]);
    seeds.add("signature_base", "plus", plus);
    seeds.near("signature_base", "doubled", base(b"", b"", &[3, 3]));
    let ambiguous = base(b"", &[0, 43, 1, 44, 0, 43, 2], &[5]);
    seeds.near("signature_base", "ambiguous", ambiguous);
    seeds.add("signature_base", "none", [0; 4]);
    seeds.add("session_id", "issued", WORLD.session.session_id.as_str());
    for (name, signer, alg) in [("ed25519", &WORLD.agent, 0), ("p256", &WORLD.owner, 1)] {
        let signature = signer.sign(MESSAGE).unwrap();
        seeds.add("signature", name, [&[alg], &signature[..]].concat());
        let public = signer.public();
        seeds.add("public_key", &format!("{name}-raw"), public.as_bytes());
        let jwk = serde_json::to_vec(&public.to_jwk()).unwrap();
        seeds.add("public_key", &format!("{name}-jwk"), jwk);
        let (code_sha256, device) = (sha256(&CODE), public.thumbprint());
        let message = join_message(&SERVER, &code_sha256, &AGENT, &device);
        let join = JoinRequest {
            code_sha256: code_sha256.to_vec(),
            actor_id: AGENT,
            device_key: public.to_jwk(),
            signature: signer.sign(&message).unwrap().to_vec(),
        };
        seeds.add("join", name, serde_json::to_vec(&join).unwrap());
    }
    seeds.add("envelope", "key", envelope::SEALED.under_key.clone());
    seeds.add("envelope", "dek", envelope::SEALED.under_dek.clone());
}

fn ledger(seeds: &mut Seeds) {
    let entries = &STORY.entries;
    seeds.numbered("entry", entries.iter().cloned());
    for (number, chosen) in [&[0, 1, 2, 3][..], &[0, 4, 5], &[1, 6, 7, 8], &[0, 1, 9]]
        .iter()
        .enumerate()
    {
        let mut bundle = Vec::new();
        for index in *chosen {
            push_entry(&mut bundle, &entries[*index]).unwrap();
        }
        seeds.add("audit", &format!("{number:02}"), bundle);
    }
    seeds.add("bundle", "three", b"\0\x01a\0\0\0\x02bc".as_slice());
    let leaves: Vec<u8> = entries
        .iter()
        .flat_map(|entry| *leaf_hash(entry).as_bytes())
        .collect();
    seeds.add("tile", "leaves", leaves);
    let frontier: procura_ledger::Frontier = entries.iter().map(|entry| leaf_hash(entry)).collect();
    seeds.add("tile", "frontier", frontier.to_bytes());
    seeds.add("tile", "root", frontier.root().to_string());
    seeds.numbered(
        "tile_path",
        [
            "tile/0/000",
            "tile/entries/x001/234.p/5",
            "tile/63/x018/x446/x744/x073/x709/x551/615",
        ],
    );
    seeds.add("grant", "two-items", grant_bytes(&STORY.terms));
    seeds.add("vkey", "own", STORY.vkey().to_string());
    let example = include_str!("../../spec/vectors/c2sp/signed-note-example.vkey");
    seeds.add("vkey", "c2sp", example.trim());
    seeds.add("note", "own", STORY.note.as_str());
    let example = include_str!("../../spec/vectors/c2sp/signed-note-example.txt");
    seeds.add("note", "c2sp", example);
    seeds.add("checkpoint", "signed", STORY.note.as_str());
    let body = STORY.checkpoint.body().unwrap();
    seeds.add("checkpoint", "body", format!("{body}an extension\n"));
    seeds.add("export", "as-it-is", [0]);
    seeds.add("export", "files", export::listed(&STORY.files));
    for (name, numbers) in [
        ("small", [5u64, 7, 5, 7]),
        ("tiles", [256, 300, 1 << 40, 299]),
    ] {
        let bytes = numbers.map(u64::to_be_bytes).concat();
        seeds.add("inclusion", name, bytes.clone());
        seeds.add("consistency", name, bytes);
    }
}

/// A body of each kind, and a message of each.
fn bodies(seeds: &mut Seeds) {
    let text = include_str!("bodies.jsonl")
        .replace("<uuid>", &STORY.terms.grant.to_string())
        .replace("<id>", &ActorId::from_bytes([5; 32]).to_string())
        .replace("<thumbprint>", &Thumbprint::from_bytes([6; 32]).to_string())
        .replace("<time>", &NOW.to_string())
        .replace("<b64>", &encoding::b64url(&[1; 64]))
        .replace(
            "<jwk>",
            &serde_json::to_string(&WORLD.agent.public().to_jwk()).unwrap(),
        );
    for line in text.lines() {
        let (target, rest) = line.split_once(' ').unwrap();
        let (name, body) = rest.split_once(' ').unwrap();
        let target = crate::target(target).unwrap().name;
        seeds.add(target, name, body);
    }
}

/// Good but for one thing, which chance does not often find.
fn near_misses(seeds: &mut Seeds) {
    let mut tail = vec![0];
    let bundle = u16::try_from(STORY.files["tile/entries/000.p/10"].len()).unwrap();
    for at in [bundle, bundle + 1] {
        tail.extend([2, 2]);
        tail.extend_from_slice(&at.to_be_bytes());
        tail.push(0);
    }
    seeds.near("export", "an-entry-more", tail);

    for (name, path) in [
        ("slashes", "//admin"),
        ("dots", "/public/../admin"),
        ("escaped-slash", "/public%2F..%2fadmin"),
        ("escaped-dots", "/public/%2e%2E/admin"),
        ("escaped-twice", "/%2561dmin"),
        ("parameter", "/admin;x=/public"),
        ("backslash", "/public\\..\\admin"),
        ("case", "/ADMIN/"),
        ("dot-at-the-end", "/admin./x"),
        ("space-at-the-end", "/admin%20"),
        ("full-width", "/%EF%BD%81dmin"),
        ("overlong", "/public/%C0%AE%C0%AE/admin"),
    ] {
        seeds.near("route", name, path);
    }
    let line = format!(
        r#"{{"ts":"{NOW}","event":"observed","service":"web","passed":41,"would_reject":-1}}"#
    );
    seeds.near("observed", "less-than-none", line);

    for (name, items) in [("twice", ["A", "A"]), ("descending", ["B", "A"])] {
        let mut terms = STORY.terms.clone();
        terms.items.truncate(1);
        let mut grant = grant_bytes(&terms);
        grant.truncate(grant.len() - 4 - "API_KEY".len() - 4 - "stripe/key".len());
        let count = grant.len() - 4;
        grant[count..].copy_from_slice(&2u32.to_be_bytes());
        for item in items {
            for field in [item, "x"] {
                grant.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
                grant.extend_from_slice(field.as_bytes());
            }
        }
        seeds.near("grant", name, grant);
    }

    for (name, chosen) in [
        ("no-intent", &[7][..]),
        ("id-twice", &[0, 0]),
        ("never-joined", &[4]),
        ("approved-twice", &[0, 4, 4]),
    ] {
        let mut bundle = Vec::new();
        for index in chosen {
            push_entry(&mut bundle, &STORY.entries[*index]).unwrap();
        }
        seeds.near("audit", name, bundle);
    }

    let text = |index: usize| String::from_utf8(STORY.entries[index].clone()).unwrap();
    for (name, from, to) in [
        ("less-than-none", "\"count\":4711", "\"count\":-1"),
        ("ends-before", "\"until\":\"2", "\"until\":\"1"),
        ("newer", "\"v\":1", "\"v\":2"),
        ("unknown-field", "\"v\":1", "\"v\":1,\"w\":1"),
        ("doubled-field", "\"v\":1", "\"v\":1,\"v\":1"),
    ] {
        let changed = text(3).replace(from, to);
        assert_ne!(changed, text(3));
        seeds.near("entry", name, changed);
    }

    let refused = text(2);
    for (name, after, field) in [
        (
            "actor",
            "\"reason\":\"bad_signature\"",
            format!("\"actor\":\"{AGENT}\""),
        ),
        (
            "owner",
            "\"reason\":\"bad_signature\"",
            format!("\"owner\":\"{AGENT}\""),
        ),
        (
            "device",
            "\"reason\":\"bad_signature\"",
            format!("\"device\":\"{SERVER}\""),
        ),
        (
            "namespace",
            "\"reason\":\"bad_signature\"",
            "\"namespace\":\"shop\"".to_owned(),
        ),
        (
            "resource",
            "\"reason\":\"bad_signature\"",
            "\"resource\":\"db\"".to_owned(),
        ),
        ("caller", "\"profile\":\"none\"", "\"caller\":{}".to_owned()),
    ] {
        let line = refused.replace(after, &format!("{after},{field}"));
        assert_ne!(line, refused);
        seeds.near("spool", name, format!("{line}\n"));
    }
    for (name, from, to) in [
        ("allowed", "\"deny\"", "\"allow\""),
        ("outcome", "\"intent\"", "\"outcome\""),
        ("other-spelling", "{\"v\":1", "{ \"v\":1"),
    ] {
        let line = refused.replace(from, to);
        assert_ne!(line, refused);
        seeds.near("spool", name, format!("{line}\n"));
    }
}
