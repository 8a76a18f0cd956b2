//! A capture of either format, told as text and as JSON, also beside itself as the
//! other end's.
#![no_main]

use echotest::analyze::slowest::Slowest;
use echotest::analyze::table::Wish;
use echotest::analyze::text::{BothEnds, Found};
use echotest::analyze::{Capture, Input, json, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let mut capture = Capture::new(Wish { port: None, all_steps: true, packets: true });
    let mut slowest = Slowest::new(3);
    let mut done = |place, answered: echotest::analyze::requests::Answered| {
        if let Some(nanos) = answered.on_the_wire() {
            slowest.take(nanos, (place, answered));
        }
    };
    while let Ok(Some((captured, bytes))) = input.packet() {
        capture.take(&captured, bytes, &mut done);
    }
    capture.end(&mut done);
    let both = Some(BothEnds::new("far", &capture, &capture));
    let files = ["near".to_owned()];
    let format = input.format();
    let found =
        Found { files: &files, format, capture: &capture, joined: None, both, slowest: &slowest };
    assert!(json::found(&found, None).finish().ends_with('}'));
    assert!(!text::found(&found, true).contains('\x1b'), "an escape sequence is printed");
});
