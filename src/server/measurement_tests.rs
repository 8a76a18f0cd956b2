use super::*;
use crate::server::Settings;
use crate::server::budget::Budget;
use crate::wire::measurement::MAX_SIZE;
use std::io::{Cursor, Read, Write};

struct Script {
    input: Cursor<Vec<u8>>,
    piece: usize,
    output: Vec<u8>,
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.piece.min(buffer.len());
        self.input.read(&mut buffer[..most])
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for Script {}

fn play(input: &str, piece: usize) -> (String, Account) {
    let input = Cursor::new(input.as_bytes().to_vec());
    let mut script = Script { input, piece, output: Vec::new() };
    let peer = "[::1]:4242".parse().unwrap();
    let context =
        Context { peer, local: peer, stopping: &|| false, settings: &Settings::default() };
    let account = serve(&mut script, &context);
    (String::from_utf8(script.output).unwrap(), account)
}

const SESSION: &str = "s RTT 5 3 0\nm hello 1\nm a b c 2\nm 3 3 3 3\nt\n";
const ANSWERS: &str =
    "200 OK: Ready\nm hello 1\nm a b c 2\nm 3 3 3 3\n200 OK: Closing Connection\n";

#[test]
fn a_session_is_the_same_however_its_bytes_come() {
    for piece in 1..=SESSION.len() {
        let (answers, account) = play(SESSION, piece);
        assert_eq!(answers, ANSWERS, "in pieces of {piece}");
        assert_eq!(account, Account { served: "3 probes".to_owned(), ending: Ending::Finished });
    }
}

#[test]
fn each_error_has_its_text_and_ends_the_session() {
    const SETUP: &str = "404 ERROR: Invalid Connection Setup Message\n";
    const PROBE: &str = "200 OK: Ready\n404 ERROR: Invalid Measurement Message\n";
    const END: &str = "200 OK: Ready\n404 ERROR: Invalid Connection Termination Message\n";
    for (input, expected) in [
        ("hello\n", SETUP),
        ("\n", SETUP),
        ("s RTT 5 3\n", SETUP),
        ("s RTT 5 3 0", SETUP),
        ("m hello 1\n", SETUP),
        ("t\n", SETUP),
        ("s RTT 5 3 0\nm hello 2\n", PROBE),
        ("s RTT 5 3 0\nm hello 0\n", PROBE),
        ("s RTT 5 3 0\nm hell 1\n", PROBE),
        ("s RTT 5 3 0\nm hello 1", PROBE),
        ("s RTT 5 3 0\nmHello_World_welcome_to_lit 0\n", PROBE),
        ("s RTT 5 3 0\nx\n", PROBE),
        ("s RTT 5 3 0\n\n", PROBE),
        ("s RTT 5 3 0\nt please\n", END),
        ("s RTT 5 3 0\ntt\n", END),
    ] {
        assert_eq!(play(input, 1 << 20).0, expected, "{input:?}");
        if input.ends_with('\n') {
            assert_eq!(play(&format!("{input}t\n"), 1 << 20).0, expected, "{input:?} and more");
        }
    }
}

#[test]
fn numbers_count_up_by_one_and_never_above_the_probes() {
    let (answers, account) = play("s RTT 1 2 0\nm a 1\nm a 2\nm a 3\n", 99);
    let expected = "200 OK: Ready\nm a 1\nm a 2\n404 ERROR: Invalid Measurement Message\n";
    assert_eq!(answers, expected);
    assert_eq!(account.served, "2 probes");
    let (answers, _) = play("s RTT 1 1 0\nm a 1\nbye\n", 99);
    assert!(answers.ends_with("404 ERROR: Invalid Connection Termination Message\n"), "{answers}");
}

#[test]
fn ending_early_is_allowed() {
    let (answers, account) = play("s TTPUT 5 30 0\nm hello 1\nt \n", 7);
    assert_eq!(answers, "200 OK: Ready\nm hello 1\n200 OK: Closing Connection\n");
    assert_eq!(account.ending, Ending::Finished);
    assert_eq!(play("s RTT 5 3 0\nm hello 1\n", 7).1.ending, Ending::PeerClosed);
}

#[test]
fn a_line_that_never_ends_is_cut_off_at_its_limit() {
    let endless = "x".repeat(1 << 20);
    let (answers, account) = play(&endless, 1 << 20);
    assert_eq!(answers, "404 ERROR: Invalid Connection Setup Message\n");
    assert!(matches!(account.ending, Ending::Refused(_)));
    let (answers, _) = play(&format!("s RTT 10 10 0\nm {endless}"), 512);
    assert!(answers.ends_with("404 ERROR: Invalid Measurement Message\n"), "{answers}");
}

#[test]
fn a_large_size_takes_no_memory_before_its_bytes_come() {
    let input = format!("s RTT {MAX_SIZE} 10 0\nm short");
    let mut script = Script { input: Cursor::new(input.into_bytes()), piece: 99, output: vec![] };
    let share = Budget::default().share([127, 0, 0, 1].into());
    let mut lines = Lines::new(&mut script, share);
    assert!(matches!(lines.next(MAX_SHORT_LINE), Ok(Next::Line(_))));
    assert!(matches!(lines.next(MAX_SIZE), Ok(Next::End { incomplete: true })));
    assert!(lines.pending.capacity() < 4096, "{}", lines.pending.capacity());
}

#[test]
fn the_delay_comes_before_the_echo() {
    let began = clock::now();
    let (answers, _) = play("s RTT 5 2 0.02\nm hello 1\nm hello 2\nt\n", 99);
    let took = clock::now().since(began);
    assert!(answers.ends_with("200 OK: Closing Connection\n"), "{answers}");
    assert!(took >= Duration::from_millis(40), "{took:?}");
}
