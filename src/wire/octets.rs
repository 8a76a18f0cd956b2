//! Whole numbers out of octets; `None` where the octets do not reach.

/// Which octet of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least significant.
    Little,
    /// The most significant, as on the network.
    Big,
}

impl Order {
    /// Sixteen bits at an offset.
    pub(super) fn u16(self, octets: &[u8], at: usize) -> Option<u16> {
        let two = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(two),
            Self::Big => u16::from_be_bytes(two),
        })
    }

    /// Thirty-two bits at an offset.
    #[inline]
    pub(super) fn u32(self, octets: &[u8], at: usize) -> Option<u32> {
        let four = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(four),
            Self::Big => u32::from_be_bytes(four),
        })
    }

    /// Sixty-four bits at an offset, signed.
    pub(super) fn i64(self, octets: &[u8], at: usize) -> Option<i64> {
        let eight = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => i64::from_le_bytes(eight),
            Self::Big => i64::from_be_bytes(eight),
        })
    }
}

/// Sixteen bits in network order.
#[inline]
pub(super) fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Thirty-two bits in network order.
#[inline]
pub(super) fn be32(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_either_order_or_not_at_all() {
        let octets = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(Order::Little.u16(&octets, 1), Some(0x0302));
        assert_eq!(Order::Big.u32(&octets, 4), Some(0x0506_0708));
        assert_eq!(Order::Big.i64(&octets, 0), Some(0x0102_0304_0506_0708));
        assert_eq!((be16(&octets, 6), be16(&octets, 7)), (Some(0x0708), None));
        assert_eq!((be32(&octets, 4), be32(&octets, usize::MAX)), (Some(0x0506_0708), None));
    }
}
