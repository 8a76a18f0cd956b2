//! What the search for the longest silence found, as one JSON object.

use std::time::Duration;

use super::connection::{Manner, Speaker};
use super::outcome::{Outcome, Proof, Tried};
use super::search::{Answer, Search, keep_alive};
use super::words::{IdleRun, known_limits, outcome, sentence};
use crate::clock::nanos;
use crate::text::object::Object;
use crate::text::timestamp::rfc3339;

fn seconds(gap: Duration) -> f64 {
    gap.as_secs_f64()
}

/// Everything as one object; `error` is why the search came to nothing.
pub fn object(run: &IdleRun, search: &Search, elapsed: Duration, error: Option<&str>) -> Object {
    let answer = search.answer();
    let keep_alive = match run.range.manner {
        Manner::KeepAlive(every) => Some(every.as_secs()),
        Manner::Silent | Manner::Speaking(_) => None,
    };
    let config = Object::new()
        .number("from_s", seconds(run.range.from), 3)
        .number("to_s", seconds(run.range.to), 3)
        .number("precision_s", run.range.precision.map(seconds), 3)
        .whole("parallel", u64::try_from(run.range.width).ok())
        .number("timeout_s", seconds(run.timeout), 9)
        .whole("keep_alive_s", keep_alive)
        .text("speaks_first", if run.speaker == Speaker::Client { "client" } else { "server" });
    Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", "idle")
        .text("host", run.host.as_str())
        .text("address", run.address.to_string().as_str())
        .text("start", rfc3339(run.start).as_str())
        .number("duration_s", seconds(elapsed), 6)
        .object("config", config)
        .object("idle", idle(&answer, run))
        .array("gaps", search.tried().iter().map(gap))
        .text("error", error)
}

fn idle(answer: &Answer<'_>, run: &IdleRun) -> Object {
    let counted = |number: usize| u64::try_from(number).ok();
    let mixture = answer.mixture.map(|mixture| {
        Object::new()
            .whole("died", counted(mixture.died))
            .whole("of", counted(mixture.of))
            .number("from_s", seconds(mixture.from), 3)
            .number("to_s", seconds(mixture.to), 3)
    });
    let gone = answer.gone.is_some_and(|death| death.proof != Some(Proof::Mute));
    let verified = answer.verified.map(|proof| {
        Object::new()
            .whole("interval_s", proof.interval.as_secs())
            .number("held_for_s", seconds(proof.held_for), 3)
            .boolean("keep_alive", proof.keep_alive)
            .boolean("speaking", proof.speaking)
    });
    Object::new()
        .boolean("complete", answer.complete)
        .boolean("limit_found", answer.died.is_some())
        .number("lived_s", answer.lived.map(seconds), 3)
        .number("died_s", answer.died.map(|died| seconds(died.silence())), 3)
        .text("how", answer.died.map(|died| died.outcome.name()))
        .whole("keep_alive_s", keep_alive(answer))
        .object("mixture", mixture)
        .object("verified", verified)
        .whole("accidents", counted(answer.accidents.len()))
        .number("peer_speaks_s", answer.peer_speaks.map(seconds), 3)
        .boolean("service_gone", gone)
        .text("known_limit", known_limits(answer).next())
        .text("text", sentence(answer, run).as_str())
}

#[allow(clippy::cast_precision_loss, reason = "microseconds are no finer than a double")]
fn gap(tried: &Tried) -> Object {
    let after = match tried.outcome {
        Outcome::Alive(after) | Outcome::Reset { after, .. } => Some(nanos(after) as f64 / 1e3),
        _ => None,
    };
    Object::new()
        .whole("round", u64::from(tried.round))
        .text("manner", tried.manner.name())
        .number("gap_s", seconds(tried.gap), 3)
        .text("result", tried.outcome.name())
        .number("answered_us", after, 3)
        .text("text", outcome(tried).as_str())
}
