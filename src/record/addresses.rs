//! What a run measured at each of its addresses, where there were several.

use super::Run;
use crate::probe::{AtAddress, Tally};
use crate::text::format::{count, duration};
use crate::text::object::Object;
use crate::text::series::percentiles_of;

/// As many addresses as a heading names.
const NAMED: usize = 3;

/// Where the run went, for its heading.
pub(super) fn heading(run: &Run, all: &[AtAddress]) -> String {
    if all.is_empty() {
        return run.address.to_string();
    }
    let named: Vec<String> = all.iter().take(NAMED).map(|at| at.remote.to_string()).collect();
    let more = if all.len() > NAMED { ", …" } else { "" };
    named.join(", ") + more
}

/// A line for each address.
pub(super) fn lines(all: &[AtAddress]) -> String {
    let mut text = String::new();
    for at in all {
        put!(text, "at {}: {}, {} received", at.remote, count(at.sent, "packet"), at.received);
        if let (Some(p50), Some(p99)) = (at.rtt.percentile(50.0), at.rtt.percentile(99.0)) {
            put!(text, ", rtt p50/p99 = {}/{}", duration(p50), duration(p99));
        }
        text.push('\n');
    }
    text
}

/// An object for each address.
pub(super) fn objects(tally: &Tally) -> Vec<Object> {
    let each = tally.by_address().into_iter().map(|at| {
        Object::new()
            .text("address", at.remote.to_string().as_str())
            .whole("sent", at.sent)
            .whole("received", at.received)
            .object("rtt_us", percentiles_of(&at.rtt))
    });
    each.collect()
}
