//! What an approver signs: the exact terms of a grant as bytes, and the message
//! around them (`protocol.md` §9, `spec/ledger.md`).

use crate::LedgerError;
use procura_types::wire::GrantItem;
use procura_types::{
    ActorId, Delivery, FieldTuple, GrantId, InstallationId, Namespace, ProjectName, Timestamp,
};
use std::str::FromStr;

const GRANT: &str = "procura.grant.v1";
const RECEIPT: &str = "procura.receipt.v1";

/// All that a grant fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTerms {
    /// In which installation.
    pub installation: InstallationId,
    /// Which grant; equal to the id of the request that it answers.
    pub grant: GrantId,
    /// In which namespace.
    pub namespace: Namespace,
    /// To which agent, and no other actor.
    pub agent: ActorId,
    /// For which project.
    pub project: ProjectName,
    /// How values are delivered.
    pub delivery: Delivery,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Which values under which names; in the bytes they stand sorted by name.
    pub items: Vec<GrantItem>,
}

/// The exact bytes of a grant: `T("procura.grant.v1", installation id (16),
/// grant id (16), namespace, agent (32), project, delivery, u64 from ms,
/// u64 until ms, u32 count, then name and path of each item by name)`.
#[must_use]
pub fn grant_bytes(terms: &GrantTerms) -> Vec<u8> {
    let mut items: Vec<&GrantItem> = terms.items.iter().collect();
    items.sort();
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let head = FieldTuple::new(GRANT)
        .bytes(terms.installation.as_bytes())
        .bytes(terms.grant.as_bytes())
        .text(terms.namespace.as_str())
        .bytes(terms.agent.as_bytes())
        .text(terms.project.as_str())
        .text(terms.delivery.as_str())
        .u64(terms.from.as_millis())
        .u64(terms.until.as_millis())
        .u32(count);
    items
        .iter()
        .fold(head, |tuple, item| {
            tuple.text(item.name.as_str()).text(item.path.as_str())
        })
        .into_bytes()
}

/// What the approver's key signs: `T("procura.receipt.v1", grant bytes)`.
#[must_use]
pub fn receipt_message(grant: &[u8]) -> Vec<u8> {
    FieldTuple::new(RECEIPT).bytes(grant).into_bytes()
}

const fn malformed(problem: &'static str) -> LedgerError {
    LedgerError::malformed("grant bytes", problem)
}

impl GrantTerms {
    /// Reads what [`grant_bytes`] writes and nothing else: items ascend by name,
    /// each name once, and no byte is left over.
    pub fn parse(bytes: &[u8]) -> Result<Self, LedgerError> {
        let mut fields = bytes
            .split_first()
            .and_then(|(len, rest)| rest.split_at_checked(usize::from(*len)))
            .filter(|(domain, _)| *domain == GRANT.as_bytes())
            .map(|(_, rest)| Fields(rest))
            .ok_or(malformed("are not in the domain procura.grant.v1"))?;
        let mut terms = Self {
            installation: InstallationId::from_bytes(fields.array()?),
            grant: GrantId::from_bytes(fields.array()?),
            namespace: fields.parsed()?,
            agent: ActorId::from_bytes(fields.array()?),
            project: fields.parsed()?,
            delivery: fields
                .text()?
                .parse()
                .map_err(|_| malformed("name a delivery that is not known"))?,
            from: fields.moment()?,
            until: fields.moment()?,
            items: Vec::new(),
        };
        let count = u32::from_be_bytes(fields.array()?);
        for _ in 0..count {
            let item = GrantItem {
                name: fields.parsed()?,
                path: fields.parsed()?,
            };
            if terms
                .items
                .last()
                .is_some_and(|last| last.name >= item.name)
            {
                return Err(malformed("have items that do not ascend by name"));
            }
            terms.items.push(item);
        }
        if fields.0.is_empty() {
            Ok(terms)
        } else {
            Err(malformed("have bytes left over"))
        }
    }
}

/// The rest of a field tuple.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self) -> Result<&'a [u8], LedgerError> {
        let ends = malformed("end too early");
        let Some((len, rest)) = self.0.split_first_chunk::<4>() else {
            return Err(ends);
        };
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let Some((field, rest)) = rest.split_at_checked(len) else {
            return Err(ends);
        };
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LedgerError> {
        self.bytes()?
            .try_into()
            .map_err(|_| malformed("have a field of the wrong length"))
    }

    fn text(&mut self) -> Result<&'a str, LedgerError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| malformed("have a field that is not UTF-8"))
    }

    fn parsed<T: FromStr>(&mut self) -> Result<T, LedgerError> {
        self.text()?
            .parse()
            .map_err(|_| malformed("have a name that is not valid"))
    }

    fn moment(&mut self) -> Result<Timestamp, LedgerError> {
        let millis = u64::from_be_bytes(self.array()?);
        let moment = Timestamp::from_millis(millis);
        // Later than the year 9999 would not come back as the same bytes.
        if moment.as_millis() == millis {
            Ok(moment)
        } else {
            Err(malformed("have a time after the year 9999"))
        }
    }
}
