//! Events in words and as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Run, slow};
use crate::clock::{Anchor, nanos};
use crate::probe::event::{Answered, Trace};
use crate::probe::{
    Attempted, Cause, Connection, DropCause, Event, EventKind, Fate, Progress, Tally,
};
use crate::text::format::{Brief, count, duration, seconds};
use crate::text::object::Object;
use crate::text::timestamp::rfc3339;

/// A span as exact as it is known.
fn span(event: &Event) -> Brief {
    let exact = event.span();
    if event.resolution >= Duration::from_millis(10) && exact >= Duration::from_secs(1) {
        brief!("{:.2} s", exact.as_secs_f64())
    } else {
        rough(exact)
    }
}

fn rough(span: Duration) -> Brief {
    if span < Duration::from_secs(1) { duration(nanos(span)) } else { seconds(span) }
}

fn port(local: Option<SocketAddr>) -> Brief {
    local.map_or("".into(), |local| brief!(" (local port {})", local.port()))
}

/// That a stall or an outage has begun.
pub(super) fn begun(event: &Event) -> String {
    let silent = rough(event.span());
    let port = port(event.local);
    match event.kind {
        EventKind::Stall => format!("stall: nothing has come for {silent}{port}"),
        EventKind::MtuBlackHole => {
            format!("a small packet is answered and larger ones are not for {silent}{port}")
        }
        _ => format!("outage: nothing has come for {silent}{port}; trying other connections"),
    }
}

/// What happened, once all of it is known.
pub(super) fn event(event: &Event) -> String {
    let remote = event.remote.map_or_else(|| "-".to_owned(), |remote| remote.to_string());
    match event.kind {
        EventKind::Stall | EventKind::Outage => silence(event),
        EventKind::Pause => format!("this host stood still for {}", rough(event.span())),
        #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
        EventKind::ClockStep => {
            format!("the wall clock was set by {:+.6} s", event.clock_step as f64 / 1e9)
        }
        EventKind::AddressChange => {
            let former = event.former.map_or_else(|| "-".to_owned(), |former| former.to_string());
            format!("the name leads to {remote} now, no longer to {former}")
        }
        EventKind::MtuBlackHole => format!(
            "large packets were lost for {} and small ones passed (an MTU black hole): lower the \
             MTU or the MSS",
            rough(event.span())
        ),
        EventKind::DeadPort => {
            let local = event.local.map_or(0, |local| local.port());
            format!("{local} → {remote} was dead for {}", rough(event.span()))
        }
        EventKind::Trace => event.trace.map_or_else(String::new, trace) + &port(event.local),
    }
}

fn trace(trace: Trace) -> String {
    let mut text = answered(trace.now);
    if trace.over {
        text.insert_str(0, "after the silence: ");
    }
    if let Some((ago, before)) = trace.before {
        let ago = ago.as_secs();
        if before == trace.now {
            put!(text, ", as {ago} s before");
        } else {
            put!(text, "; {ago} s before: {}", answered(before));
        }
    }
    text
}

fn answered(answered: Answered) -> String {
    let Answered { last, all, of, refused } = answered;
    let mut text = match last {
        Some(_) if all => format!("all {of} hops answered"),
        Some((from, place)) => format!("last hop that answered: {from} ({place} of {of})"),
        None => format!("no hop of {of} answered"),
    };
    if let Some(refused) = refused {
        put!(text, ", {refused}");
    }
    text
}

fn silence(event: &Event) -> String {
    let what = if event.kind == EventKind::Stall { "stall" } else { "outage" };
    let after = event.resumed_after.map(seconds);
    let fate = match event.fate.unwrap_or(Fate::Unknown) {
        Fate::Survived => match after {
            Some(after) => {
                format!("the connection survived and resumed {after} after the path")
            }
            None => "the connection survived".to_owned(),
        },
        Fate::Forgotten => format!(
            "the connection was forgotten: its own port is answered when it connects anew{}",
            after.map(|after| format!(", {after} after the path was back")).unwrap_or_default()
        ),
        Fate::DeadPorts => {
            let local = event.local.map_or(0, |local| local.port());
            let remote = event.remote.map_or_else(String::new, |remote| remote.to_string());
            format!("{local} → {remote} is dead, other local ports are answered")
        }
        Fate::Reset => "the connection was reset".to_owned(),
        Fate::Closed => "the peer closed the connection".to_owned(),
        Fate::TimedOut => "this host's kernel gave the connection up".to_owned(),
        Fate::Unknown => "what became of the connection is unknown".to_owned(),
    };
    // A closed or reset connection says itself whose doing it was.
    let ended = matches!(event.fate, Some(Fate::Closed | Fate::Reset | Fate::TimedOut));
    let why = if ended { "" } else { slow::silence(event.cause) };
    format!("{what} {}{}, {fate}{why}", span(event), port(event.local))
}

/// What came of an attempt.
pub(super) fn attempt(attempted: &Attempted) -> String {
    let local = attempted.local.map_or_else(|| "-".to_owned(), |local| local.to_string());
    let remote = attempted.remote;
    let came = match &attempted.progress {
        Progress::Connected => "connected".to_owned(),
        Progress::Partly => "got through in part".to_owned(),
        Progress::Answered => "answered".to_owned(),
        Progress::PortTaken(why) => format!("the local port cannot be used: {why}"),
        Progress::Failed(why) => format!("failed: {why}"),
    };
    format!("reconnect attempt {} from {local} to {remote}: {came}", attempted.id)
}

/// That there is a connection again.
pub(super) fn up(connection: &Connection) -> String {
    let local = connection.local.map_or_else(|| "-".to_owned(), |local| local.to_string());
    format!(
        "reconnected to {} from {local}, connect {}",
        connection.remote,
        duration(nanos(connection.connect))
    )
}

/// That a connection has ended, by whom and why.
pub(super) fn down(cause: &DropCause, local: Option<SocketAddr>, lived: Duration) -> String {
    let port = local.map_or_else(String::new, |local| format!("local port {}, ", local.port()));
    format!("TCP CONNECTION DROP: {cause}; {port}the connection had stood {}", seconds(lived))
}

/// The summary's lines: how many of each, the longest, and who ended what.
pub(super) fn summary(tally: &Tally) -> String {
    let mut text = String::new();
    for (kind, word) in [
        (EventKind::Stall, "stall"),
        (EventKind::Outage, "outage"),
        (EventKind::DeadPort, "dead port"),
        (EventKind::MtuBlackHole, "MTU black hole"),
        (EventKind::AddressChange, "change of address"),
    ] {
        let spans = tally.events.of(kind);
        if spans.count == 0 {
            continue;
        }
        let many = if spans.count == 1 { word.to_owned() } else { plural(word) };
        put!(text, "{} {many}", spans.count);
        if kind != EventKind::AddressChange {
            let (longest, total) = (rough(spans.longest), rough(spans.total));
            put!(text, ", the longest {longest}, {total} in all");
        }
        text.push('\n');
    }
    let worst = tally.events.kept.iter().filter(|event| {
        !matches!(event.kind, EventKind::Stall | EventKind::Pause | EventKind::ClockStep)
    });
    for one in worst.take(MOST_TOLD) {
        put!(text, "  {}\n", event(one));
    }
    let by = tally.drops_by;
    if tally.drops > 0 {
        let each =
            [(by.peer, "the peer"), (by.path, "the path"), (by.kernel, "this host's kernel")];
        let each = each.into_iter().chain([(by.us, "echotest")]).filter(|(number, _)| *number > 0);
        let each: Vec<String> = each.map(|(number, who)| format!("{number} by {who}")).collect();
        put!(text, "{}: {}\n", count(tally.drops, "drop"), each.join(", "));
    }
    text
}

/// Events that the summary tells one by one.
const MOST_TOLD: usize = 16;

fn plural(word: &str) -> String {
    match word {
        "change of address" => "changes of address".to_owned(),
        word => format!("{word}s"),
    }
}

/// An event as the contract lays it out.
pub(super) fn object(run: &Run, tally: &Tally, one: &Event) -> Object {
    let anchor = Anchor { mono: tally.start, wall: run.start };
    Object::new()
        .text("kind", one.kind.name())
        .text("start", rfc3339(anchor.wall(one.begin)).as_str())
        .number("duration_s", one.span().as_secs_f64(), 6)
        .number("resolution_s", one.resolution.as_secs_f64(), 6)
        .text("cause", one.cause.map(Cause::name))
        .whole("flow", u64::from(one.flow))
        .whole("local_port", one.local.map(|local| u64::from(local.port())))
        .text("fate", one.fate.map(Fate::name))
        .boolean("survived", one.fate.map(|fate| fate == Fate::Survived))
        .text("text", event(one).as_str())
}

/// Drops by who ended the connection.
pub(super) fn drops_by(tally: &Tally) -> Object {
    let by = tally.drops_by;
    Object::new()
        .whole("peer", by.peer)
        .whole("path", by.path)
        .whole("kernel", by.kernel)
        .whole("us", by.us)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::clock::Mono;
    use crate::wire::icmp::IcmpError;

    #[test]
    fn who_answered_is_told_beside_who_did_before() {
        let from = Some(IpAddr::from([10, 0, 2, 1]));
        let refused = IcmpError { version6: false, kind: 3, code: 1, mtu: None, from };
        let last = |place: usize| Some((IpAddr::from([10, 0, 1, 1]), place));
        let all = Answered { last: last(3), all: true, of: 3, refused: None };
        let some = Answered { last: last(1), all: false, of: 3, refused: Some(refused) };
        let told = |now: Answered, before: Option<Answered>| {
            let before = before.map(|before| (Duration::from_millis(3900), before));
            let mut one = Event::new(EventKind::Trace, Mono(0), Mono(0));
            one.trace = Some(Trace { now, before, over: before.is_none() });
            event(&one)
        };
        assert_eq!(
            told(some, Some(all)),
            "last hop that answered: 10.0.1.1 (1 of 3), Destination Host Unreachable, \
             from 10.0.2.1 (ICMP type 3 code 1); 3 s before: all 3 hops answered"
        );
        assert_eq!(told(all, None), "after the silence: all 3 hops answered");
        let none = Answered { last: None, all: false, of: 2, refused: None };
        assert_eq!(told(none, Some(none)), "no hop of 2 answered, as 3 s before");
    }
}
