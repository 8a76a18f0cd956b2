//! Packets out of a capture file of any length, through one buffer.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use crate::wire::capture::{CaptureError, Captured, Format, Item};

/// Bytes read at a time: several of the longest packets.
const BUFFER: usize = 4 << 20;

/// Why a capture could not be read to its end.
#[derive(Debug)]
pub enum InputError {
    /// What the system said.
    Io(io::Error),
    /// What stands there is no capture, or not any more.
    Capture(CaptureError),
    /// It ends within a packet or a block.
    Cut,
    /// There is nothing in it.
    Empty,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("cannot be read on"),
            Self::Capture(error) => error.fmt(f),
            Self::Cut => f.write_str("cut off: it ends within a packet; all before it was read"),
            Self::Empty => f.write_str("empty: not even a capture's header"),
        }
    }
}

impl std::error::Error for InputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A capture being read.
pub struct Input<R> {
    from: R,
    format: Option<Format>,
    buffer: Vec<u8>,
    /// What of the buffer was filled and not used yet.
    start: usize,
    end: usize,
    /// Bytes to pass over that are not in the buffer.
    skip: usize,
}

impl<R: Read> Input<R> {
    /// Reads from the beginning of a capture.
    pub fn new(from: R) -> Self {
        Self { from, format: None, buffer: vec![0; BUFFER], start: 0, end: 0, skip: 0 }
    }

    /// What kind of file it is, once that is known.
    pub fn format(&self) -> Option<&'static str> {
        self.format.as_ref().map(Format::name)
    }

    /// The next packet and its bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// Why there is no further one, though the file does not end well.
    #[inline]
    pub fn packet(&mut self) -> Result<Option<(Captured, &[u8])>, InputError> {
        loop {
            let rest = &self.buffer[self.start..self.end];
            let item = match &mut self.format {
                Some(format) => format.item(rest).map_err(InputError::Capture)?,
                None => self.recognise()?,
            };
            match item {
                Item::Packet(captured, used) => {
                    let begin = self.start;
                    self.start += used;
                    let data = begin + captured.data.start..begin + captured.data.end;
                    return Ok(Some((captured, &self.buffer[data])));
                }
                Item::Skip(used) => self.pass(used),
                Item::More => {
                    if !self.fill()? {
                        return self.ended().map(|()| None);
                    }
                }
            }
        }
    }

    fn recognise(&mut self) -> Result<Item, InputError> {
        let rest = &self.buffer[self.start..self.end];
        let found = Format::recognise(rest).map_err(InputError::Capture)?;
        Ok(match found {
            Some((format, used)) => {
                self.format = Some(format);
                Item::Skip(used)
            }
            None => Item::More,
        })
    }

    fn pass(&mut self, count: usize) {
        let here = count.min(self.end - self.start);
        self.start += here;
        self.skip = count - here;
    }

    /// Reads more; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, InputError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        loop {
            let room = &mut self.buffer[self.end..];
            match self.from.read(room) {
                Ok(0) => return Ok(false),
                // Skipping only happens with nothing else in the buffer.
                Ok(count) if self.skip >= count => self.skip -= count,
                Ok(count) => {
                    self.start = std::mem::take(&mut self.skip);
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(InputError::Io(error)),
            }
        }
    }

    fn ended(&self) -> Result<(), InputError> {
        match (&self.format, self.end - self.start) {
            (None, 0) => Err(InputError::Empty),
            (Some(_), 0) if self.skip == 0 => Ok(()),
            _ => Err(InputError::Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives what it has in pieces of one size.
    struct Pieces<'bytes>(&'bytes [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            let (taken, rest) = self.0.split_at(count);
            buffer[..count].copy_from_slice(taken);
            self.0 = rest;
            Ok(count)
        }
    }

    fn packets(bytes: &[u8], piece: usize) -> (Vec<(i64, Vec<u8>)>, bool) {
        let mut input = Input::new(Pieces(bytes, piece));
        let mut all = Vec::new();
        loop {
            match input.packet() {
                Ok(Some((captured, bytes))) => all.push((captured.at.unwrap_or(0), bytes.to_vec())),
                Ok(None) => return (all, true),
                Err(_) => return (all, false),
            }
        }
    }

    fn file(lengths: &[u32]) -> Vec<u8> {
        let word = |value: u32| value.to_le_bytes();
        let mut file =
            [word(0xa1b2_c3d4), [2, 0, 4, 0], word(0), word(0), word(0), word(1)].concat();
        for (length, at) in lengths.iter().zip(0..) {
            file.extend([word(at), word(0), word(*length), word(*length)].concat());
            let byte = at.to_le_bytes()[0];
            file.extend(std::iter::repeat_n(byte, usize::try_from(*length).unwrap()));
        }
        file
    }

    #[test]
    fn a_file_of_several_buffers_is_read_to_its_end() {
        let lengths = vec![200_000; 100];
        let (all, good) = packets(&file(&lengths), 1 << 20);
        assert!(good);
        assert_eq!(all.len(), 100);
        assert!(all.iter().zip(0..).all(|((_, bytes), at)| bytes.iter().all(|&o| o == at)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_pieces_that_a_file_comes_in_make_no_difference(
            lengths in prop::collection::vec(0_u32..300, 0..20),
            piece in 1_usize..100,
        ) {
            let file = file(&lengths);
            let (all, good) = packets(&file, piece);
            prop_assert!(good);
            prop_assert_eq!(all.len(), lengths.len());
            prop_assert_eq!(&all, &packets(&file, 1 << 20).0);
        }
    }
}
