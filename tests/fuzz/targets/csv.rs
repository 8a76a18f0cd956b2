//! Files of results, ours and other tools', told as text, as JSON and as a page.
#![no_main]

use echotest::report::terminal::Style;
use echotest::report::{Reader, Report, html, json, run, terminal};
use libfuzzer_sys::fuzz_target;

// Two files with a zero byte between them.
fuzz_target!(|input: &[u8]| {
    let mut read = Vec::new();
    for (place, bytes) in input.splitn(2, |byte| *byte == 0).enumerate() {
        let Ok(reader) = Reader::new("file", bytes) else { continue };
        if let Ok(one) = run::read(reader, "file", "label", place) {
            read.push(one);
        }
    }
    if read.is_empty() {
        return;
    }
    let report = Report::new(read);
    let texts = [
        terminal::text(&report, Style::new(Some(80), true)),
        json::text(&report),
        html::page(&report),
    ];
    assert!(texts.iter().all(|text| !text.contains("NaN") && !text.contains('\x1b')));
});
