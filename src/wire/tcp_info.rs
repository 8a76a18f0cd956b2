//! The kernel's own view of a TCP connection (`TCP_INFO`), from its bytes.
//!
//! `struct tcp_info` (`linux/tcp.h`) only ever grows at its end, and an older
//! kernel fills in less of it.

/// What the kernel knows of a connection: about 0.5 us to ask for. A field is
/// `None` where the kernel is too old to tell it or has not measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpInfo {
    /// Smoothed round-trip time in microseconds (RFC 6298).
    pub rtt_us: Option<u32>,
    /// Mean deviation of the round-trip time in microseconds (RFC 6298).
    pub rttvar_us: Option<u32>,
    /// Smallest round-trip time lately seen, in microseconds.
    pub min_rtt_us: Option<u32>,
    /// Segments sent again since the connection began.
    pub retransmits: Option<u32>,
    /// Congestion window in segments.
    pub cwnd: Option<u32>,
    /// Largest segment that is sent, in bytes.
    pub mss: Option<u32>,
    /// Largest segment of the peer's that came, in bytes.
    pub peer_mss: Option<u32>,
    /// The options that both ends agreed on, a bit each: 1 time stamps, 2 SACK,
    /// 4 window scaling, 8 ECN.
    pub options: Option<u8>,
    /// Time-outs in a row without an acknowledgement.
    pub time_outs: Option<u8>,
    /// Segments that the peer has though one before them is missing.
    pub sacked: Option<u32>,
    /// Segments that the kernel takes for lost.
    pub lost: Option<u32>,
    /// Milliseconds since the peer's last acknowledgement.
    pub acknowledged_ms: Option<u32>,
    /// Segments that came, empty ones and keep-alives included.
    pub segments_in: Option<u32>,
    /// By how many doublings the retransmission timer is backed off.
    pub backoff: Option<u8>,
    /// Segments that were sent and are not acknowledged.
    pub unacked: Option<u32>,
    /// Bytes that wait in this host because they may not be sent yet.
    pub not_sent: Option<u32>,
    /// Bytes that the peer's kernel has acknowledged, the SYN included.
    pub bytes_acked: Option<u64>,
    /// How often the peer said that it got something twice (RFC 2883).
    pub dsack_dups: Option<u32>,
    /// Segments of the peer's that came before an earlier one.
    pub out_of_order: Option<u32>,
}

/// Bytes of `struct tcp_info` that are read: up to and with `tcpi_rcv_ooopack`
/// (Linux 5.5).
pub const LENGTH: usize = 228;

/// Where the fields lie in `struct tcp_info` (`linux/tcp.h`).
mod field {
    pub(super) const RETRANSMITS: usize = 2;
    pub(super) const BACKOFF: usize = 4;
    pub(super) const OPTIONS: usize = 5;
    pub(super) const SND_MSS: usize = 16;
    pub(super) const RCV_MSS: usize = 20;
    pub(super) const UNACKED: usize = 24;
    pub(super) const SACKED: usize = 28;
    pub(super) const LOST: usize = 32;
    pub(super) const LAST_ACK_RECV: usize = 56;
    pub(super) const RTT: usize = 68;
    pub(super) const RTTVAR: usize = 72;
    pub(super) const SND_CWND: usize = 80;
    pub(super) const TOTAL_RETRANS: usize = 100;
    pub(super) const BYTES_ACKED: usize = 120;
    pub(super) const SEGS_IN: usize = 140;
    pub(super) const NOTSENT_BYTES: usize = 144;
    pub(super) const MIN_RTT: usize = 148;
    pub(super) const DSACK_DUPS: usize = 216;
    pub(super) const RCV_OOOPACK: usize = 224;
}

impl TcpInfo {
    /// Reads what the kernel has filled in, in this host's byte order.
    pub fn parse(filled: &[u8]) -> Self {
        let number = |at: usize| {
            let (bytes, _) = filled.get(at..)?.split_first_chunk()?;
            Some(u32::from_ne_bytes(*bytes))
        };
        Self {
            rtt_us: number(field::RTT).filter(|&rtt| rtt > 0),
            rttvar_us: number(field::RTTVAR),
            min_rtt_us: number(field::MIN_RTT).filter(|&rtt| rtt != u32::MAX),
            retransmits: number(field::TOTAL_RETRANS),
            cwnd: number(field::SND_CWND),
            mss: number(field::SND_MSS),
            peer_mss: number(field::RCV_MSS),
            options: filled.get(field::OPTIONS).copied(),
            time_outs: filled.get(field::RETRANSMITS).copied(),
            sacked: number(field::SACKED),
            lost: number(field::LOST),
            acknowledged_ms: number(field::LAST_ACK_RECV),
            segments_in: number(field::SEGS_IN),
            backoff: filled.get(field::BACKOFF).copied(),
            unacked: number(field::UNACKED),
            not_sent: number(field::NOTSENT_BYTES),
            bytes_acked: filled
                .get(field::BYTES_ACKED..)
                .and_then(|rest| rest.split_first_chunk())
                .map(|(bytes, _)| u64::from_ne_bytes(*bytes)),
            dsack_dups: number(field::DSACK_DUPS),
            out_of_order: number(field::RCV_OOOPACK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_kernels_shorter_answer_leaves_the_rest_unknown() {
        let mut bytes = [0_u8; 104];
        bytes[field::TOTAL_RETRANS..].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[field::RTT..field::RTT + 4].copy_from_slice(&250_u32.to_ne_bytes());
        let info = TcpInfo::parse(&bytes);
        assert_eq!(info.retransmits, Some(7));
        assert_eq!(info.rtt_us, Some(250));
        assert_eq!(info.min_rtt_us, None);
        assert_eq!(TcpInfo::parse(&[]), TcpInfo::default());
    }
}
