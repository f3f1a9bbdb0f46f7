//! What is no key and no quote.

use procura_tpm::{AttestationKey, EndorsementKey, Quote, are_registers};

/// A `TPMS_ATTEST` of registers 0 and 23.
fn attest() -> Vec<u8> {
    let mut out = vec![0xFF, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 1, 9, 0, 2, 1, 2];
    out.extend(77u64.to_be_bytes());
    out.extend([0, 0, 0, 5, 0, 0, 0, 6, 1]);
    out.extend([0; 8]);
    out.extend([0, 0, 0, 1, 0, 0x0B, 3, 1, 0, 0x80, 0, 32]);
    out.extend([4; 32]);
    out
}

#[test]
fn a_quote_is_read_to_its_last_byte() {
    let quote = Quote::read(&attest()).unwrap();
    assert_eq!(
        (quote.clock, quote.reset_count, quote.restart_count),
        (77, 5, 6)
    );
    assert_eq!((quote.extra, quote.pcrs), (vec![1, 2], vec![0, 23]));
    assert_eq!(quote.pcr_digest, [4; 32]);
    let whole = attest();
    for length in 0..whole.len() {
        assert_eq!(Quote::read(&whole[..length]), None, "{length} bytes");
    }
    assert_eq!(Quote::read(&[whole.as_slice(), &[0]].concat()), None);
}

#[test]
fn what_is_no_quote_of_registers_of_one_bank_is_none() {
    // The magic, the kind, two banks, another bank, no register.
    for (position, byte) in [(3, 0x48), (5, 0x17), (41, 2), (43, 0x04), (45, 0)] {
        let mut changed = attest();
        assert_ne!(changed[position], byte);
        changed[position] = byte;
        if position == 45 {
            changed[47] = 0;
        }
        assert_eq!(Quote::read(&changed), None, "byte {position}");
    }
}

#[test]
fn keys_are_of_their_one_kind() {
    for bytes in [&[][..], &[0; 8], &[0, 0x23, 0, 0x0B, 0, 5, 4, 0x72]] {
        assert!(EndorsementKey::read(bytes).is_none());
        assert!(AttestationKey::read(bytes).is_none());
    }
}

#[test]
fn registers_are_ascending_and_there() {
    for good in [&[0][..], &[0, 7], &[23]] {
        assert!(are_registers(good), "{good:?}");
    }
    for bad in [&[][..], &[7, 0], &[0, 0], &[24]] {
        assert!(!are_registers(bad), "{bad:?}");
    }
}
