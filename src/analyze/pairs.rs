//! The client's file and the capture joined, as a CSV: a row a packet.

use super::join::{MAX_PAIRS, Pair};
use crate::clock::Wall;
use crate::text::format::Brief;
use crate::text::timestamp::rfc3339;

/// The columns: the client's five, so that `report` reads it, then what the capture
/// adds. `wire_us` is the time on the wire, `host_us` what this host added to it,
/// `sent_again` how many segments of either end were. With flows `flow` follows.
pub const HEADER: &str =
    "packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us,wire_us,host_us,sent_again";

/// The whole text, and whether there are more pairs than are kept.
pub fn csv(pairs: &[Pair]) -> (String, bool) {
    let flows = pairs.iter().any(|pair| pair.row.flow.is_some());
    let mut text = HEADER.to_owned() + if flows { ",flow\n" } else { "\n" };
    for pair in pairs {
        let row = pair.row;
        let wire = pair.on_the_wire();
        put!(
            text,
            "{},{},{},{},{},{},{},{}",
            row.number,
            rfc3339(Wall(row.sent)),
            row.sent,
            row.received(),
            micros(row.rtt),
            micros(wire),
            micros(row.rtt.saturating_sub(wire)),
            pair.request.sent_again,
        );
        if let Some(flow) = row.flow {
            put!(text, ",{flow}");
        }
        text.push('\n');
    }
    (text, pairs.len() >= MAX_PAIRS)
}

fn micros(nanos: u64) -> Brief {
    brief!("{}.{:03}", nanos / 1000, nanos % 1000)
}
