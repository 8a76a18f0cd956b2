//! One text there and back: what the echo exercise's first client does.

use std::io;
use std::ops::ControlFlow;

use crate::clock::Mono;
use crate::net::{Heard, Stream};
use crate::os::{clock, signals};

/// Sends `text` and gives what came back: as many bytes as were sent, or
/// fewer when the peer closed or `until` came first.
///
/// # Errors
///
/// What the system says of reading or writing.
pub fn exchange(stream: &Stream, text: &[u8], until: Mono) -> io::Result<Vec<u8>> {
    let received = ask(stream, text, until, |received| received.len() >= text.len())?;
    stream.finish_sending();
    Ok(received)
}

/// Sends `text` and gives what came back until it is `complete`, the peer
/// closed, or `until` came.
///
/// # Errors
///
/// What the system says of reading or writing.
pub fn ask(
    stream: &Stream,
    text: &[u8],
    until: Mono,
    complete: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let mut unsent = text;
    let mut received = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while !complete(&received) {
        unsent = push(stream, unsent)?;
        match pull(stream, &mut buffer, until, !unsent.is_empty())? {
            ControlFlow::Continue(count) => received.extend_from_slice(&buffer[..count]),
            ControlFlow::Break(()) => break,
        }
    }
    Ok(received)
}

fn push<'text>(stream: &Stream, unsent: &'text [u8]) -> io::Result<&'text [u8]> {
    if unsent.is_empty() {
        return Ok(unsent);
    }
    match stream.send(unsent).1 {
        Ok(sent) => Ok(&unsent[sent..]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(unsent),
        Err(error) => Err(error),
    }
}

fn pull(
    stream: &Stream,
    buffer: &mut [u8],
    until: Mono,
    for_room: bool,
) -> io::Result<ControlFlow<(), usize>> {
    let (at, heard) = stream.receive(buffer, clock::now(), until, for_room);
    Ok(match heard? {
        Heard::Bytes(count) => ControlFlow::Continue(count),
        Heard::End => ControlFlow::Break(()),
        Heard::Nothing | Heard::Room | Heard::Stamps
            if at >= until || signals::stop_requests() > 0 =>
        {
            ControlFlow::Break(())
        }
        Heard::Nothing | Heard::Room | Heard::Stamps => ControlFlow::Continue(0),
    })
}
