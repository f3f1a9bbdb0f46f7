//! What the chip of a host says, and lists of releases.

use crate::Verdict;
use procura_ledger::released_programs;
use procura_tpm::{AttestationKey, EndorsementKey, Quote, are_registers};

/// Quotes: read to their last byte or not at all.
pub(crate) fn tpm_quote(data: &[u8]) -> Verdict {
    let read = Quote::read(data);
    if let Some(quote) = &read {
        assert!(are_registers(&quote.pcrs));
        let shorter = &data[..data.len() - 1];
        assert_eq!(Quote::read(shorter), None, "a byte is missing");
        let longer = [data, &[0]].concat();
        assert_eq!(Quote::read(&longer), None, "a byte follows");
    }
    // A key of one kind is none of the other.
    let keys = (EndorsementKey::read(data), AttestationKey::read(data));
    assert!(!matches!(keys, (Some(_), Some(_))));
    Verdict::of(read.is_some())
}

/// Lists of programs: what is read prints as one that reads the same.
pub(crate) fn release(data: &[u8]) -> Verdict {
    let read = std::str::from_utf8(data)
        .ok()
        .and_then(|text| released_programs(text).ok());
    if let Some(programs) = &read {
        let lines: String = programs
            .iter()
            .map(|program| {
                format!(
                    "{} {} {}\n",
                    program.sha256, program.version, program.target
                )
            })
            .collect();
        assert_eq!(&released_programs(&lines).expect("what was read"), programs);
        assert!(programs.is_sorted());
    }
    Verdict::of(read.is_some())
}
