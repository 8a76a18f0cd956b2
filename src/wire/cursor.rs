//! Reading and writing a message field by field, in the order of its RFC's
//! picture. All integers are big-endian.

/// Octets that are read from the front.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'octets> {
    rest: &'octets [u8],
}

impl<'octets> Reader<'octets> {
    /// Reads `octets`.
    pub fn new(octets: &'octets [u8]) -> Self {
        Self { rest: octets }
    }

    /// The next `N` octets; `None` if fewer are left.
    pub fn octets<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    /// The next `count` octets; `None` if fewer are left.
    pub fn take(&mut self, count: usize) -> Option<&'octets [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// Passes over octets that mean nothing here.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    /// One octet.
    pub fn u8(&mut self) -> Option<u8> {
        self.octets::<1>().map(|[octet]| octet)
    }

    /// Two octets.
    pub fn u16(&mut self) -> Option<u16> {
        self.octets().map(u16::from_be_bytes)
    }

    /// Four octets.
    pub fn u32(&mut self) -> Option<u32> {
        self.octets().map(u32::from_be_bytes)
    }

    /// Eight octets.
    pub fn u64(&mut self) -> Option<u64> {
        self.octets().map(u64::from_be_bytes)
    }

    /// What has not been read.
    pub fn rest(&self) -> &'octets [u8] {
        self.rest
    }
}

/// A message of `N` octets under construction; what is not written is zero.
#[derive(Debug, Clone, Copy)]
pub struct Writer<const N: usize> {
    octets: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    /// An empty message.
    pub fn new() -> Self {
        Self { octets: [0; N], at: 0 }
    }

    /// Appends octets; those beyond the message's end are left out.
    #[must_use]
    pub fn octets(mut self, octets: &[u8]) -> Self {
        let room = self.octets.get_mut(self.at..).unwrap_or_default();
        for (place, octet) in room.iter_mut().zip(octets) {
            *place = *octet;
        }
        self.at = self.at.saturating_add(octets.len());
        self
    }

    /// Appends octets that must be zero.
    #[must_use]
    pub fn zeros(mut self, count: usize) -> Self {
        self.at = self.at.saturating_add(count);
        self
    }

    /// Appends one octet.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.octets(&[value])
    }

    /// Appends two octets.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.octets(&value.to_be_bytes())
    }

    /// Appends four octets.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.octets(&value.to_be_bytes())
    }

    /// Appends eight octets.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.octets(&value.to_be_bytes())
    }

    /// The message.
    pub fn finish(self) -> [u8; N] {
        self.octets
    }
}

impl<const N: usize> Default for Writer<N> {
    fn default() -> Self {
        Self::new()
    }
}
