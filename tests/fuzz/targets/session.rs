//! Sessions of the server over bytes that come in pieces: no more is answered than
//! was asked, and each session ends.
#![no_main]

use std::io::{self, Read, Write};

use echotest::server::service::{ECHO, MEASURE, PING};
use echotest::server::{Connection, Context, Settings};
use echotest::wire::measurement::Setup;
use libfuzzer_sys::fuzz_target;

/// What a reply may be longer than all that was asked: a refusal's text.
const REFUSAL: usize = 256;

struct Script<'input> {
    pieces: std::slice::Iter<'input, &'input [u8]>,
    piece: &'input [u8],
    written: usize,
}

impl Read for Script<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(next) = self.pieces.next() else { return Ok(0) };
            self.piece = next;
        }
        self.piece.read(buffer)
    }
}

impl Write for Script<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for Script<'_> {}

// Pieces end with zero bytes.
fuzz_target!(|input: &[u8]| {
    let pieces: Vec<&[u8]> = input.split(|byte| *byte == 0).collect();
    let all = pieces.concat();
    let first = all.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // A setup may ask the server to wait.
    let waits = Setup::read(first).is_some_and(|setup| !setup.delay.is_zero());
    let peer = "192.0.2.1:4242".parse().expect("an address");
    let settings = Settings::default();
    let context = Context { peer, local: peer, stopping: &|| false, settings: &settings };
    for service in [ECHO, PING, MEASURE].into_iter().take(if waits { 2 } else { 3 }) {
        let mut script = Script { pieces: pieces.iter(), piece: &[], written: 0 };
        let _ = (service.serve)(&mut script, &context);
        assert!(script.written <= all.len() + REFUSAL, "{} is amplified", service.name);
    }
});
