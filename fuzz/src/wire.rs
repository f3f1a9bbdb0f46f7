//! Every body of the API, from any bytes.

use crate::Verdict;
use procura_types::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Whether it is a `T`; then what is written of it reads as the same.
pub(crate) fn stable<T: Serialize + DeserializeOwned>(data: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(data) else {
        return false;
    };
    let own = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&own).expect("its own form");
    assert!(
        serde_json::to_vec(&again).unwrap() == own,
        "its own form is stable"
    );
    true
}

/// A request's body: no field that we do not know is let in.
fn strict<T: DeserializeOwned>(data: &[u8]) -> bool {
    if serde_json::from_slice::<T>(data).is_err() {
        return false;
    }
    if let Ok(Value::Object(mut fields)) = serde_json::from_slice(data) {
        fields.insert("no_such_field".to_owned(), Value::Null);
        let more = serde_json::to_vec(&fields).unwrap();
        assert!(
            serde_json::from_slice::<T>(&more).is_err(),
            "an unknown field"
        );
    }
    true
}

macro_rules! any_of {
    ($check:ident, $data:ident: $($name:ident),*) => {
        [$($check::<wire::$name>($data)),*].contains(&true)
    };
}

pub(crate) fn wire(data: &[u8]) -> Verdict {
    let asked = any_of!(strict, data:
        AgentCreate, Approve, AttestationPut, CallerReport, EntryQuery, InitRequest, JoinRequest, NamespaceCreate,
        OperatorInvite, PassphraseChange, ProjectPut, PublicJwk, RolesPut, RunEnd, RunRequest,
        SecretExport, SecretImport, SecretPut, SecretRollback, SecretSet, ServicePut, SessionRequest, Opening, ShareBrought, UnsealSourceAdd, UnsealSourceRemove, UnsealSourceTest, VerifyQuestion);
    let told = any_of!(stable, data:
        AccessRequest, Agent, AgentCreate, AgentList, Approve, CallerReport, ConsistencyAnswer,
        Device, EntryList, EntryQuery, Grant, GrantList, InitAnswer, JoinAnswer, JoinRequest,
        LinkCode, NamespaceCreate, NamespaceInfo, NamespaceList, Operator, OperatorInvite,
        OperatorList, Problem, Project, ProjectList, ProjectPut, ProofAnswer, PublicJwk, Receipt,
        RequestList, RevokedActors, RolesPut, RunAnswer, RunEnd, RunningChild, RunRequest,
        ExportDocument, SecretExport, SecretExported, SecretHistory, SecretImport, SecretImported, SecretList, SecretPut,
        SecretRollback, SecretRolledBack, SecretRow, SecretSet, SecretUndeleted, SecretValue, SecretVersion, SecretWritten, Service,
        ServiceList, ServicePut, SessionAnswer, SessionRequest, Status, VerifyAnswer, VerifyQuestion,
        Withdrawn);
    if let Ok(put) = serde_json::from_slice::<wire::SecretPut>(data)
        && let Ok(value) = put.value_b64.decode()
    {
        let again = wire::ValueB64::encode(value.expose());
        let text = |value: &wire::ValueB64| serde_json::to_vec(value).unwrap();
        assert!(text(&again) == text(&put.value_b64), "one spelling");
    }
    Verdict::of(asked || told)
}
