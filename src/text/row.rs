//! A row of a CSV under construction. Rows are written between a reply and the
//! next send, hundreds of thousands a second: what this costs is in the rate.

/// The longest row: thirteen numbers of at most 20 digits, a time, separators:
/// 300, and some room.
pub const LONGEST: usize = 384;

/// A row, from its last column to its first: digits come out of a division in
/// that order.
pub struct Row {
    text: [u8; LONGEST],
    start: usize,
}

/// `00` to `99`, so that a division gives two digits.
#[allow(clippy::cast_possible_truncation, reason = "below 100; `try_from` is not const")]
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + value as u8 / 10, b'0' + value as u8 % 10];
        value += 1;
    }
    pairs
};

/// Two digits; `value` is below 100.
#[inline]
fn pair(value: u32) -> [u8; 2] {
    PAIRS[(value % 100) as usize]
}

/// The last eight digits of a number, zeros in front. Together they cost a
/// third of what four single pairs do.
#[inline]
pub fn eight_digits(value: u32) -> [u8; 8] {
    let (high, low) = (value / 10_000, value % 10_000);
    let pairs = [pair(high / 100), pair(high), pair(low / 100), pair(low)];
    *pairs.as_flattened().first_chunk().unwrap_or(&[b'0'; 8])
}

impl Default for Row {
    /// An empty row.
    fn default() -> Self {
        Self { text: [0; LONGEST], start: LONGEST }
    }
}

impl Row {
    /// Begins the next.
    pub fn clear(&mut self) {
        self.start = LONGEST;
    }

    /// What is there so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }

    /// Of a length known when this is compiled: a call to copy two bytes would
    /// take longer than to divide by a hundred.
    #[inline]
    pub fn bytes<const N: usize>(&mut self, bytes: &[u8; N]) {
        if let Some(end) = self.text[..self.start].last_chunk_mut() {
            *end = *bytes;
            self.start -= N;
        }
    }

    /// Of any length; a row without it has none of that copying.
    pub fn text(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let end = self.start;
            self.start -= bytes.len();
            self.text[self.start..end].copy_from_slice(bytes);
        }
    }

    /// What stands between columns.
    #[inline]
    pub fn comma(&mut self) {
        self.bytes(b",");
    }

    /// A number, or nothing where there is none.
    #[allow(clippy::cast_possible_truncation, reason = "eight digits and fewer")]
    pub fn number(&mut self, value: Option<u64>) {
        let Some(mut value) = value else { return };
        while value >= 100_000_000 {
            self.bytes(&eight_digits((value % 100_000_000) as u32));
            value /= 100_000_000;
        }
        let mut value = value as u32;
        while value >= 100 {
            self.bytes(&pair(value));
            value /= 100;
        }
        match pair(value) {
            [b'0', ones] => self.bytes(&[ones]),
            tens_and_ones => self.bytes(&tens_and_ones),
        }
    }

    /// Nanoseconds as microseconds with three decimals, or nothing.
    pub fn thousandths(&mut self, value: Option<u64>) {
        let Some(value) = value else { return };
        self.bytes(&pair((value % 100) as u32));
        self.bytes(&[b'.', b'0' + (value / 100 % 10) as u8]);
        self.number(Some(value / 1000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        let ends = (0..20).map(|power| 10_u64.pow(power)).flat_map(|end| [end - 1, end, end + 1]);
        for value in ends.chain([0, 7, 1_795_202_401_120_000_999, 12_034_056_078_u64, u64::MAX]) {
            let mut row = Row::default();
            row.thousandths(Some(value));
            row.comma();
            row.number(Some(value));
            let expected = format!("{value},{}.{:03}", value / 1000, value % 1000);
            assert_eq!(row.as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn a_row_begins_anew_and_never_grows_beyond_its_room() {
        let mut row = Row::default();
        row.number(Some(12));
        row.clear();
        assert_eq!(row.as_bytes(), b"");
        for _ in 0..LONGEST {
            row.number(Some(u64::MAX));
        }
        assert!(row.as_bytes().len() <= LONGEST);
    }
}
