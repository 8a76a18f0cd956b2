use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::connection::PROBE;
use super::*;
use crate::os::socket::{self, ConnectOptions};

const GAP: Duration = Duration::from_millis(80);
const SILENT: Trial = Trial { gap: GAP, manner: Manner::Silent };

fn listener() -> TcpListener {
    let listener = socket::listen(&SocketAddr::from(([127, 0, 0, 1], 0)), false, 8).unwrap();
    listener.set_nonblocking(false).unwrap();
    listener
}

fn link_to(listener: &TcpListener) -> IdleLink {
    let addresses = vec![listener.local_addr().unwrap()];
    let options = ConnectOptions::default();
    let timeout = Duration::from_millis(400);
    IdleLink::new(Dialer { addresses, options, timeout }, Speaker::Client)
}

fn outcome(link: &mut IdleLink) -> (Ended, Option<Proof>) {
    loop {
        if let Some(Found { ended, proof, .. }) = link.next_ended().unwrap() {
            return (ended, proof);
        }
    }
}

/// What becomes of a connection to a peer that does so, and answers the fresh
/// connection after it.
fn fate(serve: impl FnOnce(TcpStream) + Send + 'static) -> (Ended, Option<Proof>) {
    fate_beside(serve, |stream| {
        echo_once(stream);
        echo_once(stream);
    })
}

/// The same with a peer that does something else with the fresh connections.
fn fate_beside(
    serve: impl FnOnce(TcpStream) + Send + 'static,
    beside: impl Fn(&mut TcpStream) + Send + 'static,
) -> (Ended, Option<Proof>) {
    let listener = listener();
    let mut link = link_to(&listener);
    let over = Arc::new(AtomicBool::new(false));
    let known = Arc::clone(&over);
    let server = thread::Builder::new().spawn(move || {
        serve(listener.accept().unwrap().0);
        // The proof, where one is wanted.
        listener.set_nonblocking(true).unwrap();
        while !known.load(Ordering::Relaxed) {
            if let Ok((mut stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                beside(&mut stream);
            }
            clock::sleep_until(clock::now() + Duration::from_millis(5));
        }
    });
    link.open(SILENT);
    let ended = outcome(&mut link);
    assert!(link.is_empty());
    over.store(true, Ordering::Relaxed);
    server.unwrap().join().unwrap();
    ended
}

fn echo_once(stream: &mut TcpStream) {
    let mut bytes = [0; PROBE.len()];
    stream.read_exact(&mut bytes).unwrap();
    stream.write_all(&bytes).unwrap();
}

#[test]
fn each_outcome_has_its_name() {
    let (ended, proof) = fate(|mut stream| {
        echo_once(&mut stream);
        echo_once(&mut stream);
    });
    assert_eq!((ended.outcome.name(), proof), ("alive", None));
    assert!(ended.silent >= GAP, "{ended:?}");
    let (ended, proof) = fate(|mut stream| {
        echo_once(&mut stream);
        stream.read_exact(&mut [0; PROBE.len()]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(ended.outcome.name(), "closed");
    assert!(matches!(proof, Some(Proof::Answered(_))), "{proof:?}");
    // Closed with bytes unread: the kernel sends a reset.
    let (ended, _) = fate(|mut stream| {
        echo_once(&mut stream);
        stream.read_exact(&mut [0; 1]).unwrap();
    });
    assert_eq!(ended.outcome.name(), "reset");
    let (ended, _) = fate(|mut stream| {
        echo_once(&mut stream);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(ended.outcome.name(), "unanswered");
    let (ended, _) = fate(|mut stream| echo_once(&mut stream));
    assert_eq!(ended.outcome, Outcome::ClosedIdle);
    assert!(ended.silent < GAP, "{ended:?}");
}

#[test]
fn a_service_that_answers_once_is_no_proof_of_silence() {
    let once = |stream: &mut TcpStream| {
        echo_once(stream);
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let (ended, proof) = fate_beside(move |mut stream| once(&mut stream), once);
    assert_eq!((ended.outcome.name(), proof), ("unanswered", Some(Proof::Mute)));
}

#[test]
fn what_is_no_echo_service_tests_nothing() {
    let twice = [*PROBE, *PROBE].concat();
    for greeting in [b"SSH-2.0-x\r\n".to_vec(), twice] {
        let (ended, _) = fate(move |mut stream| {
            stream.write_all(&greeting).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert_eq!(ended.outcome.name(), "untested", "{ended:?}");
    }
}

#[test]
fn a_death_beside_which_nothing_answers_is_the_services() {
    let listener = listener();
    let mut link = link_to(&listener);
    let server = thread::Builder::new().spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        echo_once(&mut stream);
    });
    link.open(SILENT);
    let (ended, proof) = outcome(&mut link);
    assert_eq!(ended.outcome, Outcome::ClosedIdle);
    assert!(matches!(proof, Some(Proof::Gone(_))), "{proof:?}");
    server.unwrap().join().unwrap();
}

#[test]
fn asked_early_a_connection_tells_how_long_it_was_silent() {
    let listener = listener();
    let mut link = link_to(&listener);
    let server = thread::Builder::new().spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        echo_once(&mut stream);
        echo_once(&mut stream);
    });
    link.open(Trial { gap: Duration::from_hours(1), manner: Manner::Silent });
    // The greeting comes back, then nothing happens.
    let began = clock::now();
    while clock::now().since(began) < GAP {
        assert!(link.next_ended().unwrap().is_none());
    }
    assert_eq!(link.ask_above(None), 1);
    let (ended, _) = outcome(&mut link);
    assert_eq!(ended.outcome.name(), "alive");
    assert!(ended.silent > Duration::ZERO && ended.silent < Duration::from_mins(1), "{ended:?}");
    server.unwrap().join().unwrap();
}
