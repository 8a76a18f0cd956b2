//! Whole numbers out of bytes; `None` where the bytes do not reach.

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least significant.
    Little,
    /// The most significant, as on the network.
    Big,
}

impl Order {
    /// Sixteen bits at an offset.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let two = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(two),
            Self::Big => u16::from_be_bytes(two),
        })
    }

    /// Thirty-two bits at an offset.
    #[inline]
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let four = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(four),
            Self::Big => u32::from_be_bytes(four),
        })
    }

    /// Sixty-four bits at an offset, signed.
    pub(super) fn i64(self, bytes: &[u8], at: usize) -> Option<i64> {
        let eight = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => i64::from_le_bytes(eight),
            Self::Big => i64::from_be_bytes(eight),
        })
    }
}

/// Sixteen bits in network order.
#[inline]
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Thirty-two bits in network order.
#[inline]
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_either_order_or_not_at_all() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(Order::Little.u16(&bytes, 1), Some(0x0302));
        assert_eq!(Order::Big.u32(&bytes, 4), Some(0x0506_0708));
        assert_eq!(Order::Big.i64(&bytes, 0), Some(0x0102_0304_0506_0708));
        assert_eq!((be16(&bytes, 6), be16(&bytes, 7)), (Some(0x0708), None));
        assert_eq!((be32(&bytes, 4), be32(&bytes, usize::MAX)), (Some(0x0506_0708), None));
    }
}
