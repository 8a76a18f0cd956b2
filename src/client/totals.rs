//! What the kernel counted, over all connections of a run.

use std::collections::VecDeque;
use std::time::Duration;

use crate::probe::Look;
use crate::probe::link::TcpTotals;
use crate::wire::tcp_info::TcpInfo;

/// A run's totals with one more connection's figures.
pub(super) fn add(former: &TcpTotals, info: &TcpInfo) -> TcpTotals {
    let retransmits = match (former.retransmits, info.retransmits) {
        (None, None) => None,
        (before, now) => Some(before.unwrap_or(0) + u64::from(now.unwrap_or(0))),
    };
    let min_rtt_us = match (former.min_rtt_us, info.min_rtt_us) {
        (Some(before), Some(now)) => Some(before.min(now)),
        (before, now) => before.or(now),
    };
    TcpTotals {
        retransmits,
        rtt_us: info.rtt_us.or(former.rtt_us),
        min_rtt_us,
        cwnd: info.cwnd.or(former.cwnd),
        mss: info.mss.or(former.mss),
        congestion_control: former.congestion_control.clone(),
    }
}

/// Which outstanding probes had to wait for a segment to be sent again: the
/// kernel's counter at each send, to be compared with the one at its reply.
/// Runs of probes with the same counter are kept as one, so that this stays
/// small however many are outstanding.
#[derive(Debug, Default)]
pub(super) struct Retransmits {
    at_send: VecDeque<(u32, u64)>,
}

impl Retransmits {
    pub(super) fn on_send(&mut self, info: &TcpInfo) {
        let counter = info.retransmits.unwrap_or(0);
        match self.at_send.back_mut() {
            Some((last, probes)) if *last == counter => *probes += 1,
            _ => self.at_send.push_back((counter, 1)),
        }
    }

    pub(super) fn on_reply(&mut self, info: &TcpInfo) -> bool {
        let Some((counter, probes)) = self.at_send.front_mut() else { return false };
        let retransmitted = info.retransmits.unwrap_or(0) > *counter;
        *probes -= 1;
        if *probes == 0 {
            self.at_send.pop_front();
        }
        retransmitted
    }
}

/// How a connection stands that is silent.
pub(super) fn look(info: &TcpInfo) -> Look {
    let none = |value: Option<u32>| value == Some(0);
    let milliseconds = |ms| Duration::from_millis(u64::from(ms));
    Look {
        copies: info.retransmits,
        acknowledged_before: info.acknowledged_ms.map(milliseconds),
        nothing_missing: none(info.sacked) && none(info.lost) && info.time_outs == Some(0),
    }
}
