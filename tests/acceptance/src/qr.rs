//! Reads a QR code off a screen (ISO/IEC 18004): by what is dark there, as a camera does,
//! and with nothing of the library that drew it. There is no dirt on a screen, so nothing
//! is corrected, and a picture that is not whole yields another text or none.

/// Of versions 1 to 6 at level M: codewords of a block that correct, blocks, and codewords
/// of a block that say something.
const LEVEL_M: [(usize, usize, usize); 6] = [
    (10, 1, 16),
    (16, 1, 28),
    (26, 1, 44),
    (18, 2, 32),
    (24, 2, 43),
    (16, 4, 27),
];

/// Where the format stands beside the upper left corner, its first bit first.
const FORMAT: [(usize, usize); 15] = [
    (8, 0),
    (8, 1),
    (8, 2),
    (8, 3),
    (8, 4),
    (8, 5),
    (8, 7),
    (8, 8),
    (7, 8),
    (5, 8),
    (4, 8),
    (3, 8),
    (2, 8),
    (1, 8),
    (0, 8),
];

/// What the format is mixed with, so that it is never all light.
const FORMAT_MASK: u32 = 0b101_0100_0001_0010;

/// What two characters of the smaller set are numbers of.
const ALPHANUMERIC: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/// The text of the one QR code on a screen, drawn in half blocks of dark on light.
///
/// # Panics
/// When there is none, or none that this can read.
#[must_use]
pub fn read_qr(screen: &str) -> String {
    let modules = modules(screen);
    let size = modules.len();
    let version = size.saturating_sub(17) / 4;
    assert!(
        size == 17 + 4 * version && (1..=6).contains(&version),
        "{size} modules are no QR code of version 1 to 6"
    );
    let format = FORMAT.iter().fold(0, |bits, &(row, column)| {
        (bits << 1) | u32::from(modules[row][column])
    }) ^ FORMAT_MASK;
    assert_eq!(format >> 13, 0, "it is of another level than M");
    let codewords = codewords(&modules, version, (format >> 10) & 7);
    let (correcting, blocks, data) = LEVEL_M[version - 1];
    assert_eq!(codewords.len(), blocks * (data + correcting));
    // The blocks take turns: one codeword of each.
    let codewords = &codewords;
    let in_order = (0..blocks).flat_map(|block| {
        let of_the_block = codewords.iter().skip(block).step_by(blocks);
        of_the_block.take(data).copied()
    });
    text(&in_order.collect::<Vec<u8>>())
}

/// What is dark, row by row, from corner to corner without the margin.
fn modules(screen: &str) -> Vec<Vec<bool>> {
    let mut rows: Vec<Vec<bool>> = Vec::new();
    for line in screen.lines() {
        if line.contains(['█', '▀', '▄']) {
            rows.push(line.chars().map(|part| "█▀".contains(part)).collect());
            rows.push(line.chars().map(|part| "█▄".contains(part)).collect());
        }
    }
    let first = |row: &Vec<bool>| row.iter().position(|dark| *dark);
    let last = |row: &Vec<bool>| row.iter().rposition(|dark| *dark);
    let left = rows.iter().filter_map(first).min();
    let left = left.unwrap_or_else(|| panic!("there is no QR code in\n{screen}"));
    let right = rows.iter().filter_map(last).max().unwrap();
    let top = rows.iter().position(|row| first(row).is_some()).unwrap();
    let size = right + 1 - left;
    let is_dark = |row: usize, column: usize| {
        let row = rows.get(top + row);
        row.and_then(|row| row.get(left + column)) == Some(&true)
    };
    (0..size)
        .map(|row| (0..size).map(|column| is_dark(row, column)).collect())
        .collect()
}

/// Whether a module says where, and of what kind, the code is, and nothing else.
fn is_a_pattern(version: usize, row: usize, column: usize) -> bool {
    let size = 17 + 4 * version;
    let in_a_corner =
        (row < 9 && (column < 9 || column >= size - 8)) || (column < 9 && row >= size - 8);
    let aligns = |place: usize| place.abs_diff(size - 7) <= 2;
    row == 6 || column == 6 || in_a_corner || (version > 1 && aligns(row) && aligns(column))
}

/// Whether a mask turns a module from dark to light, or back.
fn is_turned(mask: u32, row: usize, column: usize) -> bool {
    let product = row * column;
    let sum = match mask {
        0 => row + column,
        1 => row,
        2 => return column.is_multiple_of(3),
        3 => return (row + column).is_multiple_of(3),
        4 => row / 2 + column / 3,
        5 => return product % 2 + product % 3 == 0,
        6 => product % 2 + product % 3,
        _ => (row + column) % 2 + product % 3,
    };
    sum.is_multiple_of(2)
}

/// The codewords as they stand in the picture: in pairs of columns from the right, up and
/// down in turns.
fn codewords(modules: &[Vec<bool>], version: usize, mask: u32) -> Vec<u8> {
    let size = modules.len();
    let (mut bits, mut column, mut up) = (Vec::new(), size - 1, true);
    while column > 0 {
        // The column that only counts is none of a pair.
        if column == 6 {
            column -= 1;
        }
        for step in 0..size {
            let row = if up { size - 1 - step } else { step };
            for column in [column, column - 1] {
                if !is_a_pattern(version, row, column) {
                    bits.push(modules[row][column] != is_turned(mask, row, column));
                }
            }
        }
        up = !up;
        column = column.saturating_sub(2);
    }
    let byte = |bits: &[bool]| {
        bits.iter()
            .fold(0_u8, |byte, bit| (byte << 1) | u8::from(*bit))
    };
    bits.chunks_exact(8).map(byte).collect()
}

/// The bits of the codewords that say something.
struct Bits<'a> {
    codewords: &'a [u8],
    read: usize,
}

impl Bits<'_> {
    fn left(&self) -> usize {
        self.codewords.len() * 8 - self.read
    }

    fn take(&mut self, count: usize) -> usize {
        (0..count).fold(0, |number, _| {
            let bit = (self.codewords[self.read / 8] >> (7 - self.read % 8)) & 1;
            self.read += 1;
            number * 2 + usize::from(bit)
        })
    }
}

/// What is said, in whichever modes.
fn text(codewords: &[u8]) -> String {
    let mut bits = Bits { codewords, read: 0 };
    let mut said: Vec<u8> = Vec::new();
    while bits.left() >= 4 {
        match bits.take(4) {
            0 => break,
            1 => {
                let mut count = bits.take(10);
                while count > 0 {
                    let digits = count.min(3);
                    let number = bits.take(digits * 3 + 1);
                    said.extend(format!("{number:0digits$}").bytes());
                    count -= digits;
                }
            }
            2 => {
                let mut count = bits.take(9);
                while count > 1 {
                    let pair = bits.take(11);
                    said.extend([ALPHANUMERIC[pair / 45], ALPHANUMERIC[pair % 45]]);
                    count -= 2;
                }
                if count == 1 {
                    said.push(ALPHANUMERIC[bits.take(6)]);
                }
            }
            4 => {
                let count = bits.take(8);
                said.extend((0..count).map(|_| u8::try_from(bits.take(8)).unwrap()));
            }
            mode => panic!("mode {mode} is none of a text"),
        }
    }
    String::from_utf8(said).unwrap()
}
