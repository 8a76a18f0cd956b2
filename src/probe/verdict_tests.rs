use super::*;

/// A path of 20.4 ms, nothing special.
const CALM: Evidence = Evidence {
    departed: Some(20),
    copy: None,
    acked: Some(20_400),
    arrived: Some(20_400),
    smallest: Some(20_400),
    retransmits: Some(0),
    dsack: Some(false),
    holes: Some(0),
    backed_off: false,
    window: None,
    not_held: true,
    one_segment: true,
    in_parts: None,
};

fn told(evidence: Evidence, rtt_us: u64) -> Cause {
    verdict(&evidence, Duration::from_micros(rtt_us))
}

#[test]
fn a_request_that_was_lost_and_sent_again() {
    let lost = Evidence {
        copy: Some(247_000),
        acked: Some(267_500),
        arrived: Some(267_500),
        retransmits: Some(1),
        ..CALM
    };
    assert_eq!(told(lost, 267_700), Cause::OutboundLoss);
    assert_eq!(told(Evidence { acked: None, ..lost }, 267_700), Cause::Unknown);
    assert_eq!(told(Evidence { smallest: None, ..lost }, 267_700), Cause::Unknown);
    assert_eq!(told(Evidence { dsack: None, ..lost }, 267_700), Cause::Unknown);
}

#[test]
fn a_reply_that_was_lost() {
    // The next packet's reply brought the acknowledgement, out of order.
    let once = Evidence { acked: Some(220_500), arrived: Some(220_500), holes: Some(1), ..CALM };
    assert_eq!(told(once, 240_900), Cause::InboundLoss);
    // More replies came behind the hole, every 5 ms: the stamp is the last one's.
    let many = Evidence { acked: Some(25_400), arrived: Some(45_400), holes: Some(5), ..CALM };
    assert_eq!(told(many, 50_600), Cause::InboundLoss);
    assert_eq!(told(Evidence { acked: None, ..many }, 50_600), Cause::Unknown);
    // Its copy was lost as well, and ours was needless.
    let twice = Evidence {
        copy: Some(226_000),
        acked: Some(247_000),
        arrived: Some(420_300),
        retransmits: Some(1),
        dsack: Some(true),
        holes: Some(1),
        ..CALM
    };
    assert_eq!(told(twice, 440_800), Cause::InboundLoss);
    // Nothing came behind it: the answer to our copy came alone.
    let alone = Evidence {
        copy: Some(220_000),
        acked: Some(240_500),
        arrived: Some(255_000),
        retransmits: Some(1),
        dsack: Some(true),
        ..CALM
    };
    assert_eq!(told(alone, 255_100), Cause::InboundLoss);
}

#[test]
fn a_path_that_took_longer() {
    let later = Evidence { acked: Some(80_600), arrived: Some(80_600), ..CALM };
    assert_eq!(told(later, 80_800), Cause::Path);
    // A probe for a lost tail left meanwhile: 10 ms before the answer, too late for it.
    let probed = Evidence { copy: Some(70_400), retransmits: Some(1), dsack: Some(true), ..later };
    assert_eq!(told(probed, 80_900), Cause::Path);
    // A probe of the next packet's left, and it had arrived.
    let probed = Evidence { retransmits: Some(1), dsack: Some(true), ..later };
    assert_eq!(told(probed, 80_900), Cause::Path);
    assert_eq!(told(Evidence { dsack: Some(false), ..probed }, 80_900), Cause::Unknown);
    // On the way back the next reply overtook it.
    let overtaken = Evidence { acked: Some(70_700), arrived: Some(70_700), holes: Some(1), ..CALM };
    assert_eq!(told(overtaken, 80_900), Cause::Path);
    // Several overtook it.
    let overtaken = Evidence { acked: Some(25_400), arrived: Some(30_400), holes: Some(2), ..CALM };
    assert_eq!(told(overtaken, 35_600), Cause::Path);
    // Everything came much later, and the copy's answer can be either's.
    let slow = Evidence {
        copy: Some(226_000),
        acked: Some(300_000),
        arrived: Some(300_000),
        retransmits: Some(1),
        dsack: Some(true),
        ..CALM
    };
    assert_eq!(told(slow, 300_100), Cause::Path);
}

#[test]
fn a_peer_whose_kernel_had_it() {
    let stopped = Evidence { arrived: Some(311_500), ..CALM };
    assert_eq!(told(stopped, 311_600), Cause::Peer);
    let delayed = Evidence { acked: Some(70_500), ..stopped };
    assert_eq!(told(delayed, 311_600), Cause::Peer);
    let probed =
        Evidence { copy: Some(62_000), acked: Some(70_500), retransmits: Some(1), ..stopped };
    assert_eq!(told(probed, 311_600), Cause::Peer);
    assert_eq!(told(Evidence { acked: None, ..stopped }, 311_600), Cause::Unknown);
}

#[test]
fn this_host() {
    let got_late = Evidence { ..CALM };
    assert_eq!(told(got_late, 320_000), Cause::HereReceiving);
    // The peer's program stood still for 2 s; this one was 10 ms late to read.
    let stopped = Evidence { arrived: Some(2_010_000), ..CALM };
    assert_eq!(told(stopped, 2_020_000), Cause::Peer);
    let dropped = Evidence {
        departed: Some(626_000),
        acked: Some(646_400),
        arrived: Some(646_400),
        backed_off: true,
        ..CALM
    };
    assert_eq!(told(dropped, 646_500), Cause::HereSending);
    let late = Evidence { departed: Some(300_000), backed_off: false, ..dropped };
    assert_eq!(told(late, 646_500), Cause::HereSending);
    // A window may have been missing: nobody looked.
    assert_eq!(told(Evidence { not_held: false, ..late }, 646_500), Cause::Unknown);
}

#[test]
fn a_window_that_was_missing() {
    let waited = Evidence {
        departed: Some(452_000),
        acked: Some(472_400),
        arrived: Some(472_400),
        window: Some(Window::Congestion),
        not_held: false,
        ..CALM
    };
    assert_eq!(told(waited, 472_500), Cause::Window);
    assert_eq!(told(Evidence { window: Some(Window::Peer), ..waited }, 472_500), Cause::Window);
}

#[test]
fn without_evidence_nothing_is_named() {
    assert_eq!(told(Evidence::default(), 500_000), Cause::Unknown);
    let no_stamp = Evidence { departed: None, ..CALM };
    assert_eq!(told(no_stamp, 500_000), Cause::Unknown);
    let short_info = Evidence { holes: None, dsack: None, retransmits: None, ..CALM };
    assert_eq!(told(short_info, 500_000), Cause::Unknown);
    // A segment in front of the last one was sent again: of which way is unknown.
    let part = Evidence { retransmits: Some(1), acked: Some(500_000), ..CALM };
    let part = Evidence { holes: Some(1), arrived: Some(500_000), one_segment: false, ..part };
    assert_eq!(told(part, 500_100), Cause::Unknown);
    let part = Evidence { holes: Some(0), ..part };
    assert_eq!(told(part, 500_100), Cause::OutboundLoss);
    // Of one segment its own stamp would tell.
    assert_eq!(told(Evidence { one_segment: true, ..part }, 500_100), Cause::Unknown);
}
