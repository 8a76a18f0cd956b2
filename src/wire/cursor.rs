//! Reading and writing a message field by field, in the order of its RFC's
//! picture. All integers are big-endian.

/// Bytes that are read from the front.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'bytes> {
    rest: &'bytes [u8],
}

impl<'bytes> Reader<'bytes> {
    /// Reads `bytes`.
    pub fn new(bytes: &'bytes [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `N` bytes; `None` if fewer are left.
    pub fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    /// The next `count` bytes; `None` if fewer are left.
    pub fn take(&mut self, count: usize) -> Option<&'bytes [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// Passes over bytes that mean nothing here.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    /// What has not been read.
    pub fn rest(&self) -> &'bytes [u8] {
        self.rest
    }
}

/// A message of `N` bytes under construction; what is not written is zero.
#[derive(Debug, Clone, Copy)]
pub struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    /// An empty message.
    pub fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    /// Appends bytes; those beyond the message's end are left out.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        let room = self.bytes.get_mut(self.at..).unwrap_or_default();
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.at = self.at.saturating_add(bytes.len());
        self
    }

    /// Appends bytes that must be zero.
    #[must_use]
    pub fn zeros(mut self, count: usize) -> Self {
        self.at = self.at.saturating_add(count);
        self
    }

    /// Appends one byte.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    /// Appends two bytes.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends four bytes.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends eight bytes.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// The message.
    pub fn finish(self) -> [u8; N] {
        self.bytes
    }
}

impl<const N: usize> Default for Writer<N> {
    fn default() -> Self {
        Self::new()
    }
}
