//! Rows of any bytes behind any key: what a table reads is what was written, or
//! the row is refused by name.

use crate::Verdict;
use crate::fields::{Fields, push};
use crate::spool::store;
use crate::world::{Counting, NOW};
use procura_crypto::sha256;
use procura_directory::DeviceRecord;
use procura_store::{Batch, Blob, Kind, Store, StoreError, Table, Value};
use procura_types::{BatchId, EntropyError, Namespace, SecretBytes};
use std::sync::LazyLock;
use tokio::runtime::Runtime;

/// A value that is stored as it is, so that other types read it from any bytes.
struct Raw(Vec<u8>);

impl Value for Raw {
    const CHUNKED: bool = false;
    fn encode(&self) -> Option<SecretBytes> {
        Some(SecretBytes::new(self.0.clone()))
    }
    fn decode(plain: SecretBytes) -> Option<Self> {
        Some(Self(plain.expose().clone()))
    }
}

const RAW: Table<String, Raw> = Table::new("row", Kind::Ordinary);
const BLOBS: Table<String, Blob> = Table::new("row", Kind::Ordinary);
const DEVICES: Table<String, DeviceRecord> = Table::new("row", Kind::Ordinary);
const NAMED: Table<Namespace, Raw> = Table::new("row", Kind::Ordinary);

static OPEN: LazyLock<(Store, Runtime, Counting)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    (store(), runtime.unwrap(), Counting::new())
});

fn commit(change: impl FnOnce(&mut Batch)) -> bool {
    let (store, runtime, entropy) = &*OPEN;
    let id: Result<_, EntropyError> = BatchId::generate(NOW, entropy);
    let mut batch = Batch::new(id.unwrap());
    change(&mut batch);
    runtime.block_on(store.commit(batch)).is_ok()
}

/// An input of this key and these bytes.
pub(crate) fn input(key: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, key.as_bytes());
    out.extend_from_slice(bytes);
    out
}

pub(crate) fn row(data: &[u8]) -> Verdict {
    let mut fields = Fields::new(data);
    let key = String::from_utf8_lossy(fields.field()).into_owned();
    let bytes = fields.rest();
    let store = &OPEN.0;
    if !commit(|batch| RAW.put(batch, &key, &Raw(bytes.to_vec()))) {
        return Verdict::Refused;
    }
    let raw = RAW.get(store, &key).unwrap().expect("it was written");
    assert!(raw.value.0 == bytes);
    let accepted = match BLOBS.get(store, &key) {
        Ok(Some(blob)) => {
            // In the row, or an empty value in no chunks at all.
            let empty = [&[1][..], &[0; 12], &sha256(b"")].concat();
            let inline = bytes
                .split_first()
                .is_some_and(|(tag, rest)| *tag == 0 && blob.value.as_bytes() == rest);
            assert!(inline || (bytes == empty && blob.value.as_bytes().is_empty()));
            true
        }
        Ok(None) => panic!("the row is there"),
        Err(StoreError::Shape { .. } | StoreError::Corrupt { .. }) => false,
        Err(other) => panic!("{other}"),
    };
    let device = match DEVICES.get(store, &key) {
        Ok(read) => {
            let read = read.expect("the row is there").value;
            let own = serde_json::to_vec(&read).unwrap();
            let again: DeviceRecord = serde_json::from_slice(&own).expect("its own form");
            assert_eq!(serde_json::to_vec(&again).unwrap(), own);
            true
        }
        Err(StoreError::Shape { .. }) => false,
        Err(other) => panic!("{other}"),
    };
    if let Ok(name) = key.parse::<Namespace>() {
        let named = NAMED.get(store, &name).unwrap().expect("names are keys");
        assert!(named.value.0 == bytes);
    }
    assert!(commit(|batch| RAW.delete(batch, &key)));
    assert!(RAW.get(store, &key).unwrap().is_none());
    Verdict::of(accepted || device)
}
