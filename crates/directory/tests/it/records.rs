//! Records made from a few small numbers.

use procura_crypto::{PublicKey, SigningKey, SystemEntropy};
use procura_directory::{
    ActorKind, ActorRecord, DeviceRecord, ForeignRecord, GrantRecord, NamespaceRecord, RolesRecord,
    TokenHash, TokenRecord, TokensEndedRecord,
};
use procura_types::wire::{GrantItem, ProjectTokenKind, Receipt, RoleAssignment};
use procura_types::{ActorId, Alg, Delivery, GrantId, Role, Thumbprint, Timestamp, TokenId};
use std::sync::LazyLock;

pub(crate) static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    SigningKey::generate_ed25519(&SystemEntropy)
        .unwrap()
        .public()
        .clone()
});

pub(crate) fn time(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn actor_id(number: u8) -> ActorId {
    ActorId::from_bytes([number; 32])
}

pub(crate) fn thumbprint(number: u8) -> Thumbprint {
    Thumbprint::from_bytes([number; 32])
}

pub(crate) fn grant_id(number: u8) -> GrantId {
    GrantId::from_bytes([number; 16])
}

pub(crate) fn owner(number: u8, name: &str) -> ActorRecord {
    ActorRecord {
        id: actor_id(number),
        kind: ActorKind::Owner {
            name: name.parse().unwrap(),
            alg: Alg::P256,
            root_key: KEY.clone(),
        },
        owner: actor_id(number),
        created: time(1),
        revoked: None,
        sources: Vec::new(),
        display_name: None,
    }
}

pub(crate) fn agent(number: u8, parent: u8, label: &str, incarnation: u32) -> ActorRecord {
    ActorRecord {
        id: actor_id(number),
        kind: ActorKind::Agent {
            parent: actor_id(parent),
            namespace: "shop".parse().unwrap(),
            label: label.parse().unwrap(),
            incarnation,
        },
        owner: actor_id(1),
        created: time(1),
        revoked: None,
        sources: Vec::new(),
        display_name: None,
    }
}

pub(crate) fn revoked(mut actor: ActorRecord) -> ActorRecord {
    actor.revoked = Some(time(9));
    actor
}

pub(crate) fn device(number: u8, actor: u8) -> DeviceRecord {
    DeviceRecord {
        thumbprint: thumbprint(number),
        actor: actor_id(actor),
        key: KEY.clone(),
        created: time(1),
        revoked: None,
    }
}

pub(crate) fn roles(actor: u8, roles: &[(Role, Option<&str>)]) -> RolesRecord {
    RolesRecord {
        actor: actor_id(actor),
        roles: roles
            .iter()
            .map(|(role, namespace)| RoleAssignment {
                role: *role,
                namespace: namespace.map(|name| name.parse().unwrap()),
            })
            .collect(),
    }
}

pub(crate) fn namespace(name: &str) -> NamespaceRecord {
    NamespaceRecord {
        name: name.parse().unwrap(),
        created: time(1),
        display_name: None,
        ended: None,
    }
}

pub(crate) fn item(name: &str, path: &str) -> GrantItem {
    GrantItem {
        name: name.parse().unwrap(),
        path: path.parse().unwrap(),
    }
}

/// For the project `web` in `shop`, from 10 until 20.
pub(crate) fn grant(number: u8, agent: u8, items: Vec<GrantItem>) -> GrantRecord {
    GrantRecord {
        id: grant_id(number),
        namespace: "shop".parse().unwrap(),
        agent: actor_id(agent),
        project: "web".parse().unwrap(),
        delivery: Delivery::Env,
        items,
        from: time(10),
        until: time(20),
        withdrawn: None,
        receipt: Receipt {
            grant: Vec::new(),
            approver: actor_id(1),
            device: thumbprint(1),
            key: KEY.to_jwk(),
            time: time(1),
            signature: Vec::new(),
            assertion: None,
        },
    }
}

/// An id that stands for an agent.
pub(crate) fn foreign(id: &str, actor: u8) -> ForeignRecord {
    ForeignRecord {
        id: id.parse().unwrap(),
        actor: actor_id(actor),
        device: None,
        created: time(1),
        released: None,
    }
}

/// Of an agent from 3 to 6 and device 1 for `KEY` of the project `web`, by grant 1, from
/// 10 until 18; even ones are opaque.
pub(crate) fn token(number: u8) -> TokenRecord {
    let opaque = number.is_multiple_of(2);
    TokenRecord {
        id: TokenId::from_bytes([number; 16]),
        kind: if opaque {
            ProjectTokenKind::Opaque
        } else {
            ProjectTokenKind::Signed
        },
        namespace: "shop".parse().unwrap(),
        project: "web".parse().unwrap(),
        agent: actor_id(3 + number % 4),
        device: thumbprint(1),
        foreign: None,
        delivery: Delivery::Env,
        items: vec![item("KEY", "a/key")],
        grant: grant_id(1),
        generation: 0,
        seq: 1,
        hash: opaque.then(|| TokenHash::from_bytes([number; 32])),
        issued: time(10),
        until: time(18),
        revoked: None,
    }
}

/// All tokens of the project `web` up to this generation.
pub(crate) fn tokens_ended(generation: u64) -> TokensEndedRecord {
    TokensEndedRecord {
        namespace: "shop".parse().unwrap(),
        project: "web".parse().unwrap(),
        generation,
        time: time(11),
    }
}
