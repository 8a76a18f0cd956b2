//! What the search for the longest silence found, in words.

use std::net::SocketAddr;
use std::time::Duration;

use super::connection::{Manner, Speaker, Trial};
use super::next::PERIODS;
use super::outcome::{Outcome, Proof, Tried};
use super::search::{Answer, Mixture, Range, keep_alive};
use crate::clock::{Wall, nanos};
use crate::text::format::{Brief, duration, short_seconds};

/// What Linux waits before its first keep-alive probe, unless told otherwise.
const LINUX_KEEP_ALIVE: Duration = Duration::from_hours(2);
/// What a NAT has to keep an established connection for at the least (RFC 5382,
/// REQ-5).
const RFC_5382: Duration = Duration::from_mins(124);

/// Limits that people meet, from their makers' own pages.
const KNOWN: [(Duration, &str); 5] = [
    (Duration::from_mins(4), "Azure's load balancer and outbound NAT, 4 min by default"),
    (Duration::from_secs(350), "AWS's NAT gateway and network load balancer, 350 s"),
    (Duration::from_mins(10), "GCP's firewall and load balancers, 10 min"),
    (Duration::from_mins(20), "GCP's Cloud NAT, 20 min"),
    (RFC_5382, "RFC 5382's least for a NAT, 2 h 4 min"),
];

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
    /// Who speaks first after each gap.
    pub speaker: Speaker,
    /// Patience with each answer.
    pub timeout: Duration,
}

/// What is going to be done.
pub fn header(run: &IdleRun) -> String {
    let speaks = match run.speaker {
        Speaker::Client => "this side",
        Speaker::Server => "the server",
    };
    let kept = match run.range.manner {
        Manner::KeepAlive(every) => format!(", with keep-alive every {}", span(every)),
        Manner::Silent | Manner::Speaking(_) => String::new(),
    };
    format!(
        "idle gaps to {} ({}): {} to {}, {} at once, timeout {}{kept}; {speaks} speaks first",
        run.host,
        run.address,
        short_seconds(run.range.from),
        short_seconds(run.range.to),
        run.range.width,
        short_seconds(run.timeout),
    )
}

/// The gaps of a round; `proves` is the interval that it is to prove.
pub fn round(number: u32, trials: &[Trial], proves: Option<Duration>) -> String {
    if let Some(interval) = proves {
        let held_for = trials.iter().map(|trial| trial.gap).max().unwrap_or_default();
        return format!(
            "round {number}: whether {} holds for {PERIODS} periods of {}, by keep-alive and by \
             speaking",
            span(interval),
            span(held_for / PERIODS)
        );
    }
    let [first, .., last] = trials else {
        let gap = trials.first().map(|trial| trial.gap).unwrap_or_default();
        return format!("round {number}: a gap of {}", span(gap));
    };
    format!("round {number}: {} gaps of {} to {}", trials.len(), span(first.gap), span(last.gap))
}

/// What came of one connection.
pub fn line(tried: &Tried) -> String {
    let manner = match tried.manner {
        Manner::Silent => String::new(),
        Manner::KeepAlive(every) => format!(" with keep-alive every {}", span(every)),
        Manner::Speaking(every) => format!(" speaking every {}", span(every)),
    };
    format!("{}{manner}: {}", span(tried.gap), outcome(tried))
}

/// Seconds to the millisecond, as short as can be.
pub(super) fn span(gap: Duration) -> Brief {
    // A whole second is what was meant where this host woke a moment late.
    let fine = nanos(gap).saturating_add(500_000) / 1_000_000;
    let coarse = if gap >= Duration::from_secs(1) { fine / 10 * 10 } else { fine };
    short_seconds(Duration::from_millis(coarse))
}

/// What came of one connection, without its gap.
pub(super) fn outcome(tried: &Tried) -> String {
    let told = match &tried.outcome {
        Outcome::Alive(after) => format!("alive, answered in {}", duration(nanos(*after))),
        Outcome::Disturbed(speech) => format!(
            "alive, but no silence: the peer's kernel spoke after {} (its keep-alive, or sent again)",
            span(speech.first)
        ),
        Outcome::Reset { after, smallest } => format!(
            "reset {} after the probe (the smallest round trip was {})",
            duration(nanos(*after)),
            duration(nanos(*smallest))
        ),
        Outcome::Closed => "the peer answered the probe by closing".to_owned(),
        Outcome::Silent => "forgotten: no answer to the probe".to_owned(),
        Outcome::Unanswered => {
            "the probe was acknowledged, but the program did not answer it".to_owned()
        }
        Outcome::Unreachable(None) => "unreachable, says this host".to_owned(),
        Outcome::Unreachable(Some(icmp)) => format!("unreachable: {icmp}"),
        Outcome::ClosedIdle => "closed by the peer during the gap".to_owned(),
        Outcome::ResetIdle => "reset during the gap".to_owned(),
        Outcome::Untested(reason) => format!("not tested: {reason}"),
    };
    match &tried.proof {
        Some(Proof::Gone(reason)) => {
            format!("{told}; a fresh connection was not answered: {reason}")
        }
        Some(Proof::Mute) => format!("{told}; a fresh connection was answered once and no more"),
        _ => told,
    }
}

/// How a connection ends, as the half of a sentence.
fn how(tried: &Tried, speaker: Speaker) -> &'static str {
    match &tried.outcome {
        Outcome::Silent if speaker == Speaker::Server => {
            "what the server says never comes: something on the path (a NAT, a firewall, a load \
             balancer) has forgotten it and drops what comes, without a word"
        }
        Outcome::Silent => {
            "something on the path (a NAT, a firewall, a load balancer) has forgotten it and drops \
             what comes, without a word"
        }
        Outcome::Reset { after, smallest } if *after < *smallest / 2 => {
            "a reset answers, and sooner than the peer could: a NAT, firewall or load balancer on \
             the near part of the path has forgotten it"
        }
        Outcome::Reset { .. } => {
            "a reset answers: something on the path, or the peer, has forgotten it"
        }
        Outcome::Unanswered => {
            "the peer's program answers no more: its kernel, or a proxy in its place, acknowledges \
             what comes"
        }
        Outcome::Closed | Outcome::ClosedIdle => "the peer, or a proxy in its place, closes it",
        Outcome::Unreachable(_) => "the network reports that the peer cannot be reached",
        Outcome::ResetIdle => "a reset ends it, from the peer or from something on the path",
        Outcome::Alive(_) | Outcome::Disturbed(_) | Outcome::Untested(_) => "nothing is known",
    }
}

/// The answer in one sentence.
pub fn sentence(answer: &Answer<'_>, run: &IdleRun) -> String {
    let kept = match run.range.manner {
        Manner::KeepAlive(every) => format!(" with a keep-alive every {}", span(every)),
        Manner::Silent | Manner::Speaking(_) => String::new(),
    };
    if let Some(death) = answer.gone {
        return without_service(death, answer, run);
    }
    let stopped = if answer.complete { "" } else { " (stopped before all was tried)" };
    match (answer.lived, answer.died) {
        (None, None) => "Nothing is known: no gap was tried to its end.".to_owned(),
        (Some(lived), None) if answer.peer_speaks.is_some() => format!(
            "A connection survives {}{kept} of silence; longer ones are not known{stopped}.",
            span(lived)
        ),
        (Some(lived), None) if answer.complete => {
            format!("No limit was found: a connection{kept} survives {} of silence.", span(lived))
        }
        (Some(lived), None) => format!(
            "A connection{kept} survives {} of silence; longer gaps are not known{stopped}.",
            span(lived)
        ),
        (lived, Some(died)) => {
            let known = match lived {
                Some(lived) => {
                    format!("A connection{kept} survives {} of silence", span(lived))
                }
                None => "No gap was survived".to_owned(),
            };
            format!("{known}; after {} {}{stopped}.", span(died.silence()), how(died, run.speaker))
        }
    }
}

/// The sentence where no fresh connection was answered beside `death`.
fn without_service(death: &Tried, answer: &Answer<'_>, run: &IdleRun) -> String {
    let Some(Proof::Gone(reason)) = &death.proof else {
        return "The service answers the first word of a connection and no second, without any \
                silence between them: no limit can be found with it."
            .to_owned();
    };
    let known = match (answer.lived, answer.died) {
        (None, None) => "no gap was survived until then".to_owned(),
        (Some(lived), None) => {
            format!("until then a connection survived {} of silence", span(lived))
        }
        (lived, Some(died)) => format!(
            "until then connections survived {} of silence, and after {} {}",
            span(lived.unwrap_or_default()),
            span(died.silence()),
            how(died, run.speaker)
        ),
    };
    let found = if answer.died.is_none() { "no limit was found" } else { "not all was tried" };
    format!(
        "The service went away: {} into this run nothing answered any more ({reason}), so {found}; \
         {known}.",
        span(death.moment)
    )
}

/// What belongs to the answer: for whom it holds and what speaks against it, a
/// line each.
pub fn remarks(answer: &Answer<'_>, run: &IdleRun) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(Mixture { died, of, from, to }) = answer.mixture {
        lines.push(format!(
            "{died} of {of} gaps of {} to {} died, others lived: the paths differ (equal paths, or \
             several NATs or back ends); the lowest death counts.",
            span(from),
            span(to)
        ));
    }
    let accidents = answer.accidents.iter().map(|once| once.silence());
    if let (Some(least), Some(most)) = (accidents.clone().min(), accidents.max()) {
        lines.push(match answer.accidents.len() {
            1 => format!(
                "A connection died after {} of silence and others lived longer: that did not come \
                 again.",
                span(least)
            ),
            several => format!(
                "{several} connections died after {} to {} and others lived longer: that did not \
                 come again.",
                span(least),
                span(most)
            ),
        });
    }
    if let Some(every) = answer.peer_speaks {
        lines.push(format!(
            "The peer's kernel speaks by itself after {} (keep-alive): longer silences cannot be \
             had with it.",
            span(every)
        ));
    }
    if answer.lived.is_some() || answer.died.is_some() {
        lines.push(match run.speaker {
            Speaker::Client => "That holds when this side speaks first after the silence; what \
                                the server says first is another question (--from-server)."
                .to_owned(),
            Speaker::Server => {
                "That holds when the server speaks first after the silence.".to_owned()
            }
        });
    }
    lines.extend(known_limits(answer).map(|name| format!("That is the known limit of {name}.")));
    if let Some(died) = answer.died.filter(|died| is_forgotten(died) && died.silence() < RFC_5382) {
        lines.push(format!(
            "RFC 5382 asks a NAT to keep an established connection for 2 h 4 min at the least, not \
             for {}.",
            span(died.silence())
        ));
    }
    lines
}

fn is_forgotten(died: &Tried) -> bool {
    matches!(died.outcome, Outcome::Silent | Outcome::Reset { .. } | Outcome::Unreachable(_))
}

/// The well-known limits that lie in what is left open.
pub(super) fn known_limits(answer: &Answer<'_>) -> impl Iterator<Item = &'static str> {
    let died = answer.died.map(Tried::silence);
    // An end that was seen is a moment late, never early.
    let least = answer.lived.unwrap_or_default().max(died.unwrap_or_default() * 9 / 10);
    let fits = move |limit: Duration| died.is_some_and(|died| limit > least && limit <= died);
    KNOWN.iter().filter(move |(limit, _)| fits(*limit)).map(|(_, name)| *name)
}

/// What to do about it, in lines.
pub fn advice(answer: &Answer<'_>, run: &IdleRun) -> String {
    if let Some(death) = answer.gone {
        let what = match death.proof {
            Some(Proof::Mute) => "Ask an echo service that goes on (echotest server)",
            _ => "Start again when the service stays",
        };
        return format!("{what}; no keep-alive interval can be advised.\n");
    }
    if matches!(run.range.manner, Manner::KeepAlive(_)) {
        return String::new();
    }
    let Some(died) = answer.died else {
        return match answer.lived {
            Some(lived) if lived >= LINUX_KEEP_ALIVE => {
                "Linux's own keep-alive (every 7200 s where a program asks for it) is enough.\n"
                    .to_owned()
            }
            Some(lived) => format!(
                "Up to there no keep-alive is needed for what that side says first; longer \
                 silences than {} were not tried.\n",
                span(lived)
            ),
            None => String::new(),
        };
    };
    let proven = proven(answer);
    let Some(seconds) = keep_alive(answer) else {
        return match answer.verified {
            Some(proof) if answer.mixture.is_some() => format!(
                "Every {} did not hold every connection: on one of the paths the limit is lower. To \
                 find it: --to {} with more connections at once.\n",
                span(proof.interval),
                span(proof.interval * 2)
            ),
            Some(proof) if proof.speaking == Some(true) => format!(
                "TCP keep-alive does not hold it; an application that speaks every {} does.\n{proven}",
                span(proof.interval)
            ),
            Some(proof) => format!("Not even every {} holds it.\n{proven}", span(proof.interval)),
            None => "That is too short for TCP keep-alive: the application has to speak itself.\n"
                .to_owned(),
        };
    };
    let mut text = format!(
        "Keep-alive interval to set: {seconds} s (half of it, in whole seconds)\n{proven}  \
         whole host:    sysctl -w net.ipv4.tcp_keepalive_time={seconds}   \
         (for programs that set SO_KEEPALIVE)\n  \
         one program:   setsockopt SO_KEEPALIVE=1, TCP_KEEPIDLE={seconds}\n  \
         ssh:           ServerAliveInterval {seconds}\n"
    );
    let unproven = answer.verified.is_none();
    if unproven
        && matches!(died.outcome, Outcome::ClosedIdle | Outcome::Closed | Outcome::Unanswered)
    {
        text.push_str(
            "If it is the server's own time-out, TCP keep-alive does not count there: raise that \
             time-out,\nor have the application speak (ssh's does).\n",
        );
    }
    text
}

/// What the proof of the interval showed, a line.
fn proven(answer: &Answer<'_>) -> String {
    let Some(proof) = answer.verified else { return "It was not tried.\n".to_owned() };
    let periods = format!("two periods of {}", span(proof.held_for / PERIODS));
    let interval = span(proof.interval);
    match (proof.keep_alive, proof.speaking) {
        (Some(false), Some(false)) => format!(
            "Tried: neither keep-alive nor data every {interval} kept a connection for {periods}, so \
             it is\nnot silence alone that ends it.\n"
        ),
        (Some(true), _) => format!("{interval} held for {periods}.\n"),
        (Some(false), _) => format!(
            "Tried: with keep-alive every {interval} the connection did not live for {periods}. If \
             it is the\nserver's own time-out, TCP keep-alive does not count there: raise that \
             time-out.\n"
        ),
        (None, _) => format!("Whether {interval} holds was not tried to its end.\n"),
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
