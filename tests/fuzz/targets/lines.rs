//! What a peer of the client sends: replies of echo and of the measurement protocol
//! in pieces, pings' answers.
#![no_main]

use echotest::client::measurement::MeasurementCodec;
use echotest::client::{Codec, EchoCodec};
use echotest::wire::measurement::{Reply, Setup};
use echotest::wire::ping;
use libfuzzer_sys::fuzz_target;

/// Feeds a codec as the link does.
fn feed(codec: &mut dyn Codec, sent: u64, pieces: &[&[u8]]) {
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (used, _) = codec.decode(rest, sent);
            assert!(0 < used && used <= rest.len(), "{used} of {}", rest.len());
            rest = &rest[used..];
        }
    }
    let _ = codec.at_end();
}

// A size, how many were sent, and pieces that end with zero bytes.
fuzz_target!(|input: (u8, u8, &[u8])| {
    let (size, sent, bytes) = input;
    let pieces: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let (size, sent) = (usize::from(size).max(1), u64::from(sent));
    feed(&mut EchoCodec::new(size), sent, &pieces);
    feed(&mut MeasurementCodec::new(size), sent, &pieces);
    for piece in &pieces {
        let _ = Reply::read(piece);
        if let Some(setup) = Setup::read(piece) {
            assert_eq!(Setup::read(setup.line().trim_end().as_bytes()), Some(setup));
        }
    }
    if let [request, came, ..] = pieces[..] {
        let _ = (ping::number(request), ping::read(request, came));
        let _ = (ping::reply(request), ping::lost(request));
    }
});
