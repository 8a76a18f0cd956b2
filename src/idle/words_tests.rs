use super::*;
use crate::idle::search::Verified;

fn run() -> IdleRun {
    IdleRun {
        host: "h".to_owned(),
        address: ([10, 0, 0, 1], 7).into(),
        start: Wall(0),
        range: Range {
            from: Duration::from_secs(10),
            to: Duration::from_hours(1),
            precision: None,
            width: 24,
            manner: Manner::Silent,
            verify: true,
        },
        speaker: Speaker::Client,
        timeout: Duration::from_secs(5),
    }
}

fn tried(seconds: u64, outcome: Outcome) -> Tried {
    let gap = Duration::from_secs(seconds);
    let proof = Some(Proof::Answered(Duration::ZERO));
    Tried { round: 1, manner: Manner::Silent, gap, outcome, moment: gap, proof }
}

fn answer(lived: Option<u64>, died: Option<&Tried>) -> Answer<'_> {
    Answer {
        lived: lived.map(Duration::from_secs),
        died,
        mixture: None,
        accidents: Vec::new(),
        peer_speaks: None,
        gone: None,
        verified: None,
        complete: true,
    }
}

#[test]
fn the_answer_is_a_plain_sentence_with_the_interval_to_set() {
    let died = tried(352, Outcome::Silent);
    let found = answer(Some(349), Some(&died));
    let text = sentence(&found, &run());
    assert!(text.starts_with("A connection survives 349 s of silence; after 352 s some"));
    assert!(advice(&found, &run()).contains("tcp_keepalive_time=174 "));
    let remarks = remarks(&found, &run()).join("\n");
    assert!(remarks.contains("AWS's NAT gateway") && remarks.contains("RFC 5382"), "{remarks}");
    assert!(remarks.contains("this side speaks first"), "{remarks}");
    let text = sentence(&answer(Some(349), None), &run());
    assert!(text.starts_with("No limit was found"), "{text}");
}

#[test]
fn a_proof_is_told_and_a_refuted_interval_is_not_advised() {
    let died = tried(352, Outcome::Silent);
    let mut found = answer(Some(349), Some(&died));
    let mut proof = Verified {
        interval: Duration::from_secs(174),
        held_for: Duration::from_secs(704),
        keep_alive: Some(true),
        speaking: Some(true),
    };
    found.verified = Some(proof);
    let text = advice(&found, &run());
    assert!(text.contains("174 s held for two periods of 352 s."), "{text}");
    proof.keep_alive = Some(false);
    found.verified = Some(proof);
    let text = advice(&found, &run());
    assert!(text.contains("an application that speaks every 174 s does"), "{text}");
    assert!(!text.contains("tcp_keepalive_time"), "{text}");
}

#[test]
fn a_close_that_was_seen_is_the_limit_itself() {
    let died = tried(60, Outcome::ClosedIdle);
    let found = answer(None, Some(&died));
    assert_eq!(keep_alive(&found), Some(30));
    assert!(advice(&found, &run()).contains("does not count there"));
}

#[test]
fn a_reset_that_comes_too_soon_is_not_the_peers() {
    let reset = |after| Outcome::Reset {
        after: Duration::from_millis(after),
        smallest: Duration::from_millis(20),
    };
    let told = |after| how(&tried(9, reset(after)), Speaker::Client);
    assert!(told(1).contains("sooner than the peer could"));
    assert!(told(20).contains("or the peer"));
}

#[test]
fn a_service_that_goes_away_has_no_limit() {
    let mut found = answer(Some(2), None);
    let gone = Some(Proof::Gone("connection refused".to_owned()));
    let death = Tried { proof: gone, ..tried(4, Outcome::Silent) };
    found.gone = Some(&death);
    let text = sentence(&found, &run());
    assert!(text.starts_with("The service went away: 4 s into this run"), "{text}");
    assert!(text.contains("no limit was found; until then a connection survived 2 s"), "{text}");
    assert!(!advice(&found, &run()).contains("interval to set"));
    // What was found before is not lost.
    let died = tried(3, Outcome::Silent);
    let found = Answer { gone: Some(&death), ..answer(Some(2), Some(&died)) };
    let text = sentence(&found, &run());
    assert!(text.contains("not all was tried; until then connections survived 2 s"), "{text}");
    assert!(text.contains("after 3 s something on the path"), "{text}");
}

#[test]
fn a_service_that_answers_once_has_no_limit() {
    let death = Tried { proof: Some(Proof::Mute), ..tried(4, Outcome::Silent) };
    let found = Answer { gone: Some(&death), ..answer(None, None) };
    let text = sentence(&found, &run()) + &advice(&found, &run());
    assert!(text.starts_with("The service answers the first word"), "{text}");
    assert!(!text.contains("on the path") && text.contains("echotest server"), "{text}");
}
