//! What the search for the longest silence found, in words and as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::{Wall, nanos};
use crate::probe::gaps::{Answer, Fate, Range, Search, Tried};
use crate::text::format::{duration, short_seconds};
use crate::text::object::Object;
use crate::text::timestamp::rfc3339;

/// What Linux waits before its first keep-alive probe, unless told otherwise.
const LINUX_KEEP_ALIVE: Duration = Duration::from_hours(2);

/// What is the same for the whole search.
#[derive(Debug, Clone)]
pub struct IdleRun {
    /// The host as the user gave it.
    pub host: String,
    /// The address that answered.
    pub address: SocketAddr,
    /// When it began.
    pub start: Wall,
    /// What is searched.
    pub range: Range,
    /// Patience with each answer.
    pub timeout: Duration,
}

/// What is going to be done.
pub fn header(run: &IdleRun) -> String {
    format!(
        "idle gaps to {} ({}): {} to {}, {} at once, timeout {}",
        run.host,
        run.address,
        short_seconds(run.range.from),
        short_seconds(run.range.to),
        run.range.width,
        short_seconds(run.timeout)
    )
}

/// The gaps of a round.
pub fn round(number: u32, gaps: &[Duration]) -> String {
    let [first, .., last] = gaps else {
        let gap = gaps.first().copied().unwrap_or_default();
        return format!("round {number}: a gap of {}", span(gap));
    };
    format!("round {number}: {} gaps of {} to {}", gaps.len(), span(*first), span(*last))
}

/// What came of one gap.
pub fn line(tried: &Tried) -> String {
    format!("{}: {}", span(tried.gap), outcome(&tried.fate))
}

/// Seconds to the millisecond, as short as can be.
fn span(gap: Duration) -> String {
    short_seconds(Duration::from_millis(nanos(gap).saturating_add(500_000) / 1_000_000))
}

fn outcome(fate: &Fate) -> String {
    match fate {
        Fate::Alive(after) => format!("alive, answered in {}", duration(nanos(*after))),
        Fate::Reset { after, usual } => format!(
            "reset {} after the probe (the first was answered in {})",
            duration(nanos(*after)),
            duration(nanos(*usual))
        ),
        Fate::Closed => "the peer answered the probe by closing".to_owned(),
        Fate::Silent => "forgotten: no answer to the probe".to_owned(),
        Fate::Unreachable(None) => "unreachable, says this host".to_owned(),
        Fate::Unreachable(Some(icmp)) => format!("unreachable: {icmp}"),
        Fate::ClosedIdle => "closed by the peer during the gap".to_owned(),
        Fate::ResetIdle => "reset during the gap".to_owned(),
        Fate::Untested(reason) => format!("not tested: {reason}"),
    }
}

/// How a connection ends, as the half of a sentence.
fn how(tried: &Tried) -> &'static str {
    match &tried.fate {
        Fate::Silent => {
            "something on the path (a NAT, a firewall, a load balancer) has forgotten it and drops \
             what comes, without a word"
        }
        Fate::Reset { after, usual } if *after < *usual / 2 => {
            "a reset answers, and sooner than the peer could: a NAT, firewall or load balancer on \
             the near part of the path has forgotten it"
        }
        Fate::Reset { .. } => {
            "a reset answers: something on the path, or the peer, has forgotten it"
        }
        Fate::Closed | Fate::ClosedIdle => "the peer, or a proxy in its place, closes it",
        Fate::Unreachable(_) => "the network reports that the peer cannot be reached",
        Fate::ResetIdle => "a reset ends it, from the peer or from something on the path",
        Fate::Alive(_) | Fate::Untested(_) => "nothing is known",
    }
}

/// The answer in one sentence.
pub fn sentence(answer: &Answer<'_>) -> String {
    let stopped = if answer.complete { "" } else { " (stopped before all was tried)" };
    match (answer.lived, answer.died) {
        (None, None) => "Nothing is known: no gap was tried to its end.".to_owned(),
        (Some(lived), None) if answer.complete => {
            format!("No limit was found: a connection lives through {} of silence.", span(lived))
        }
        (Some(lived), None) => format!(
            "A connection lives through {} of silence; longer gaps are not known{stopped}.",
            span(lived)
        ),
        (lived, Some(died)) => {
            let known = match lived {
                Some(lived) => format!("A connection lives through {} of silence", span(lived)),
                None => "No gap was lived through".to_owned(),
            };
            format!("{known}; after {} {}{stopped}.", span(died.gap), how(died))
        }
    }
}

/// The keep-alive interval to set, in whole seconds; `None` where none is
/// needed or known, or where it would be below a second.
pub fn keep_alive(answer: &Answer<'_>) -> Option<u64> {
    let died = answer.died?;
    // An end that was seen is as exact as a limit can be.
    let limit = if died.fate.is_seen() { died.gap } else { answer.lived? };
    Some((limit / 2).as_secs()).filter(|seconds| *seconds > 0)
}

/// What to do about it, in lines.
pub fn advice(answer: &Answer<'_>) -> String {
    let Some(died) = answer.died else {
        return match answer.lived {
            Some(lived) if lived >= LINUX_KEEP_ALIVE => {
                "Linux's own keep-alive (every 7200 s where a program asks for it) is enough.\n"
                    .to_owned()
            }
            Some(lived) => format!(
                "Up to there no keep-alive is needed; longer silences than {} were not tried.\n",
                span(lived)
            ),
            None => String::new(),
        };
    };
    let Some(seconds) = keep_alive(answer) else {
        return "That is too short for TCP keep-alive: the application has to speak itself.\n"
            .to_owned();
    };
    let mut text = format!(
        "Keep-alive interval to set: {seconds} s (half of it)\n  \
         whole host:    sysctl -w net.ipv4.tcp_keepalive_time={seconds}   \
         (for programs that set SO_KEEPALIVE)\n  \
         one program:   setsockopt SO_KEEPALIVE=1, TCP_KEEPIDLE={seconds}\n  \
         ssh:           ServerAliveInterval {seconds}\n"
    );
    if matches!(died.fate, Fate::ClosedIdle | Fate::Closed) {
        text.push_str(
            "If it is the server's own time-out, TCP keep-alive does not count there: raise that \
             time-out,\nor have the application speak (ssh's does).\n",
        );
    }
    text
}

/// Everything as one object.
pub fn object(run: &IdleRun, search: &Search, elapsed: Duration) -> Object {
    let answer = search.answer();
    let seconds = |gap: Duration| gap.as_secs_f64();
    let config = Object::new()
        .number("from_s", seconds(run.range.from), 3)
        .number("to_s", seconds(run.range.to), 3)
        .number("precision_s", run.range.precision.map(seconds), 3)
        .whole("parallel", u64::try_from(run.range.width).ok())
        .number("timeout_s", seconds(run.timeout), 9);
    let idle = Object::new()
        .boolean("complete", answer.complete)
        .boolean("limit_found", answer.died.is_some())
        .number("lived_s", answer.lived.map(seconds), 3)
        .number("died_s", answer.died.map(|died| seconds(died.gap)), 3)
        .text("how", answer.died.map(|died| died.fate.name()))
        .whole("keep_alive_s", keep_alive(&answer))
        .text("text", sentence(&answer).as_str());
    Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", "idle")
        .text("host", run.host.as_str())
        .text("address", run.address.to_string().as_str())
        .text("start", rfc3339(run.start).as_str())
        .number("duration_s", seconds(elapsed), 6)
        .object("config", config)
        .object("idle", idle)
        .array("gaps", search.tried().iter().map(gap))
}

#[allow(clippy::cast_precision_loss, reason = "microseconds are no finer than a double")]
fn gap(tried: &Tried) -> Object {
    let after = match tried.fate {
        Fate::Alive(after) | Fate::Reset { after, .. } => Some(nanos(after) as f64 / 1e3),
        _ => None,
    };
    Object::new()
        .whole("round", u64::from(tried.round))
        .number("gap_s", tried.gap.as_secs_f64(), 3)
        .text("result", tried.fate.name())
        .number("answered_us", after, 3)
        .text("text", outcome(&tried.fate).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(seconds: u64, fate: Fate) -> Tried {
        Tried { round: 1, gap: Duration::from_secs(seconds), fate }
    }

    #[test]
    fn the_answer_is_a_plain_sentence_with_the_interval_to_set() {
        let died = tried(352, Fate::Silent);
        let lived = Some(Duration::from_secs(349));
        let answer = Answer { lived, died: Some(&died), complete: true };
        let text = sentence(&answer);
        assert!(text.starts_with("A connection lives through 349 s of silence; after 352 s some"));
        assert_eq!(keep_alive(&answer), Some(174));
        assert!(advice(&answer).contains("tcp_keepalive_time=174 "));
        let answer = Answer { lived, died: None, complete: true };
        assert!(sentence(&answer).starts_with("No limit was found"), "{}", sentence(&answer));
        assert_eq!(keep_alive(&answer), None);
    }

    #[test]
    fn a_close_that_was_seen_is_the_limit_itself() {
        let died = tried(60, Fate::ClosedIdle);
        let answer = Answer { lived: None, died: Some(&died), complete: true };
        assert_eq!(keep_alive(&answer), Some(30));
        assert!(advice(&answer).contains("does not count there"));
    }

    #[test]
    fn a_reset_that_comes_too_soon_is_not_the_peers() {
        let fate = |after| Fate::Reset {
            after: Duration::from_millis(after),
            usual: Duration::from_millis(20),
        };
        assert!(how(&tried(9, fate(1))).contains("sooner than the peer could"));
        assert!(how(&tried(9, fate(19))).contains("or the peer"));
        assert_eq!(keep_alive(&Answer { lived: None, died: None, complete: false }), None);
    }
}
