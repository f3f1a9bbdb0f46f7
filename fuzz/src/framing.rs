//! The bytes of one HTTP/1 connection, as the server follows them.

use crate::Verdict;
use crate::gate::by_hyper;
use procura_server::Framing;

/// What was let through in these pieces, where requests ended in it, and what of the
/// last one there is.
fn follow(data: &[u8], piece: usize) -> (Vec<u8>, Option<Framing>) {
    let mut framing = Framing::default();
    let mut bytes = data.to_vec();
    let mut through = 0;
    for part in bytes.chunks_mut(piece) {
        if framing.follow(part).is_err() {
            // The connection is at its end, wherever in the piece that was.
            return (Vec::new(), None);
        }
        through += part.len();
    }
    bytes.truncate(through);
    (bytes, Some(framing))
}

/// Whether the next byte begins a request.
fn is_between(framing: &Framing) -> bool {
    let mut next = framing.clone();
    let follows = next.follow(&mut [b'x']).is_ok();
    follows && !framing.in_head() && next.in_head()
}

/// Where requests end that were followed to their ends.
fn ends(data: &[u8]) -> Vec<usize> {
    let mut framing = Framing::default();
    let (mut ends, mut inside, mut begun) = (Vec::new(), false, 0);
    for (at, byte) in data.iter().enumerate() {
        if framing.follow(&mut [*byte]).is_err() || framing.refused() {
            break;
        }
        let between = is_between(&framing);
        if inside && between {
            // Empty lines before a request are none.
            if data[begun..=at] != *b"\r\n" {
                ends.push(at + 1);
            }
            begun = at + 1;
        }
        inside = !between;
    }
    ends
}

/// A connection: it does not matter in which pieces its bytes come; and the parser
/// behind sees requests that end where they were seen to end, or fewer, and no other.
pub(crate) fn framing(data: &[u8]) -> Verdict {
    let whole = follow(data, data.len().max(1));
    for piece in [1, 2, 5] {
        assert_eq!(follow(data, piece), whole, "pieces of {piece} matter");
    }
    let (through, state) = whole;
    let Some(state) = state else {
        return Verdict::Refused;
    };
    let ends = ends(data);
    // A head that is refused is ended for the parser.
    let end: &[u8] = if state.refused() { b"\r\n\r\n" } else { b"" };
    let seen = by_hyper(&[&through[..], end].concat()).len();
    assert!(seen <= ends.len(), "{seen} requests out of {}", ends.len());
    for (before, end) in ends.iter().enumerate().take(seen) {
        assert_eq!(by_hyper(&through[..*end]).len(), before + 1);
        assert_eq!(by_hyper(&through[..*end - 1]).len(), before);
    }
    let all = seen == ends.len() && ends.last() == Some(&data.len());
    Verdict::of(all && !state.refused())
}
