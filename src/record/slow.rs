//! The slow packets and their causes, as a table, in words and as JSON.

use crate::probe::{Cause, Explained, Slow, Tally, Window};
use crate::text::format::duration;
use crate::text::object::Object;
use crate::text::series::micros;

/// What happened to packets of this cause.
fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::HereSending => "sent late by this host",
        Cause::Window => "waited for a window",
        Cause::OutboundLoss => "lost on the way out and sent again",
        Cause::InboundLoss => "lost on the way back and sent again",
        Cause::Peer => "answered late by the peer's program",
        Cause::HereReceiving => "received late by this program",
        Cause::Path => "delayed on the path, which way is unknown",
        Cause::Unknown => "unknown",
    }
}

/// Why a packet was slow, behind its line.
pub(super) fn packet(explained: Explained) -> String {
    let window = match explained.window {
        Some(Window::Peer) => ", the peer's",
        Some(Window::Congestion) => ", the path's",
        None => "",
    };
    match (explained.held_up, explained.cause) {
        (true, _) => "; held up behind the packet before it".to_owned(),
        (false, Cause::Unknown) => "; slow, why is unknown".to_owned(),
        (false, cause) => format!("; {}{window}", words(cause)),
    }
}

/// Why nothing came, behind an event.
pub(super) fn silence(cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::HereSending) => "; this host sent late",
        Some(Cause::Window) => "; it waited for a window",
        Some(Cause::OutboundLoss) => "; lost on the way out and sent again",
        Some(Cause::InboundLoss) => "; lost on the way back",
        Some(Cause::Peer) => "; the peer's kernel was reached, its program did not answer",
        Some(Cause::HereReceiving) => "; this program was late to read",
        Some(Cause::Path) => "; on the path",
        Some(Cause::Unknown) | None => "",
    }
}

/// The table, if a packet was slow.
pub(super) fn table(slow: &Slow) -> String {
    let (1.., Some(above)) = (slow.packets, slow.above()) else { return String::new() };
    let mut lines: Vec<(u64, String)> = Vec::new();
    for cause in Cause::ALL {
        let Some(group) = slow.group(cause) else { continue };
        let number = group.rtt.count();
        lines.push((number, line(number, cause, slow)));
    }
    // The most frequent first; what is unknown last.
    let unknown = slow.count(Cause::Unknown);
    lines.sort_by_key(|(number, text)| (text.ends_with("unknown"), std::cmp::Reverse(*number)));
    if slow.held_up > 0 {
        let place = usize::from(lines.len() > usize::from(unknown > 0));
        lines.insert(place, (slow.held_up, format!("  {} held up behind these", slow.held_up)));
    }
    // A median that a long outage has moved has moved the bound.
    let least = slow.least_above().filter(|least| above - least > least / 4);
    let range = least.map_or_else(String::new, |least| format!("{} to ", duration(least)));
    let mut text = format!("slow packets: {} above {range}{}\n", slow.packets, duration(above));
    for (_, line) in lines {
        text += &line;
        text.push('\n');
    }
    text
}

fn line(number: u64, cause: Cause, slow: &Slow) -> String {
    let Some(group) = slow.group(cause) else { return String::new() };
    let median = group.rtt.percentile(50.0).map_or("".into(), duration);
    let worst = group.rtt.max().map_or("".into(), duration);
    let times = if number == 1 { worst } else { brief!("{median} p50, {worst} at the worst") };
    let what = match cause {
        Cause::Window if group.peers_window == number => "waited for the peer's window",
        Cause::Window if group.peers_window == 0 => "waited for the congestion window",
        cause => words(cause),
    };
    let head = format!("  {number} {what}");
    match (cause, group.acked.percentile(50.0)) {
        (Cause::Unknown, _) => head,
        (Cause::Peer, Some(acked)) => {
            format!(
                "{head:<40}  {times}; its kernel had {} after {}",
                them(number),
                duration(acked)
            )
        }
        _ => format!("{head:<40}  {times}"),
    }
}

fn them(number: u64) -> &'static str {
    if number == 1 { "it" } else { "them" }
}

/// As the contract lays it out.
#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
pub(super) fn object(tally: &Tally) -> Object {
    let slow = &tally.slow;
    let causes = Cause::ALL
        .iter()
        .fold(Object::new(), |object, cause| object.whole(cause.name(), slow.count(*cause)));
    micros(Object::new(), "above_us", slow.least_above().map(|above| above as f64))
        .whole("packets", slow.packets)
        .object("causes", causes)
        .whole("held_up_behind", slow.held_up)
}
