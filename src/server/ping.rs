//! The ping server: each message comes back in upper case, or, with a chance
//! that the user chose, `LOST`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Account, Connection, Context, Ending};
use crate::stats::random::mix;
use crate::text::format::count;
use crate::wire::ping::{self, MAX_MESSAGE};

/// A message without a line end is complete when nothing follows it for so
/// long: the exercise's own client sends none.
const LINE_END_WITHIN: Duration = Duration::from_millis(50);

/// Which messages are answered `LOST`.
#[derive(Debug)]
pub struct Losses {
    /// The chance, in 2^-64.
    chance: u64,
    always: bool,
    seed: Option<u64>,
    /// Messages without a number of their own.
    unnumbered: AtomicU64,
}

impl Losses {
    /// A chance of `percent` from 0 to 100. With a `seed`, what becomes of a
    /// message depends on the seed and the message's number alone, so that runs
    /// repeat whatever other clients do meanwhile.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of 2^64, saturating"
    )]
    pub fn new(percent: f64, seed: Option<u64>) -> Self {
        let chance = (percent / 100.0 * u64::MAX as f64) as u64;
        Self { chance, always: percent >= 100.0, seed, unnumbered: AtomicU64::new(0) }
    }

    fn takes(&self, message: &[u8]) -> bool {
        let number = match self.seed {
            Some(seed) => {
                let own = ping::number(message);
                let number = own.unwrap_or_else(|| self.unnumbered.fetch_add(1, Ordering::Relaxed));
                mix(mix(seed).wrapping_add(number))
            }
            // The standard library's own source of randomness.
            None => RandomState::new().build_hasher().finish(),
        };
        self.always || number < self.chance
    }
}

/// Serves one client.
pub fn serve(connection: &mut dyn Connection, context: &Context<'_>) -> Account {
    let mut figures = Figures::default();
    let ending =
        converse(connection, context, &mut figures).unwrap_or_else(|error| Ending::of_read(&error));
    let Figures { answered, lost } = figures;
    Account { served: format!("{}, {lost} of them lost", count(answered, "ping")), ending }
}

#[derive(Default)]
struct Figures {
    answered: u64,
    lost: u64,
}

fn converse(
    connection: &mut dyn Connection,
    context: &Context<'_>,
    figures: &mut Figures,
) -> io::Result<Ending> {
    let mut pending = Vec::new();
    while let Some(message) = next_message(connection, context, &mut pending)? {
        answer(connection, context, &message, figures)?;
    }
    Ok(Ending::PeerClosed)
}

/// The next message, with its line end if it has one; `None` at the end.
fn next_message(
    connection: &mut dyn Connection,
    context: &Context<'_>,
    pending: &mut Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    loop {
        let line = pending.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        if let Some(end) = line.or((pending.len() >= MAX_MESSAGE).then_some(MAX_MESSAGE)) {
            let rest = pending.split_off(end.min(MAX_MESSAGE));
            return Ok(Some(std::mem::replace(pending, rest)));
        }
        let waiting = !pending.is_empty();
        connection.wait_at_most(if waiting {
            Some(LINE_END_WITHIN)
        } else {
            context.settings.idle_timeout
        })?;
        let mut piece = [0; MAX_MESSAGE];
        match connection.read(&mut piece) {
            Ok(0) if waiting => return Ok(Some(std::mem::take(pending))),
            Ok(0) => return Ok(None),
            Ok(count) => pending.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && waiting => {
                return Ok(Some(std::mem::take(pending)));
            }
            Err(error) => return Err(error),
        }
    }
}

fn answer(
    connection: &mut dyn Connection,
    context: &Context<'_>,
    message: &[u8],
    figures: &mut Figures,
) -> io::Result<()> {
    let lost = context.settings.losses.takes(message);
    let reply = if lost { ping::lost(message) } else { ping::reply(message) };
    connection.write_all(&reply)?;
    figures.answered += 1;
    figures.lost += u64::from(lost);
    // After the reply is out: what is logged must not be in the round trip.
    context.settings.messages.tell(|| {
        log::info!("Message sent by client = {} from {}", shown(message), context.peer);
        if lost {
            log::info!("Packet lost");
        } else {
            log::info!("Response sent back = {}", shown(&reply));
        }
    });
    Ok(())
}

/// A message as a log may hold it: no byte of a stranger's can start a line or
/// move a terminal's cursor.
fn shown(message: &[u8]) -> String {
    let message = message.trim_ascii_end();
    let cut = if message.len() > MOST_SHOWN { "…" } else { "" };
    format!("{}{cut}", message[..message.len().min(MOST_SHOWN)].escape_ascii())
}

/// Bytes of a message that a log line holds.
const MOST_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Settings;
    use std::io::{Read, Write};

    /// Pieces in, one at each read; an empty one is silence.
    struct Script {
        pieces: Vec<&'static [u8]>,
        output: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.pieces.is_empty() {
                return Ok(0);
            }
            let piece = self.pieces.remove(0);
            if piece.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
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

    fn play(pieces: &[&'static [u8]], percent: f64) -> (String, Account) {
        let mut script = Script { pieces: pieces.to_vec(), output: Vec::new() };
        let settings = Settings { losses: Losses::new(percent, Some(1)), ..Settings::default() };
        let peer = "[::1]:4242".parse().unwrap();
        let context = Context { peer, local: peer, stopping: &|| false, settings: &settings };
        let account = serve(&mut script, &context);
        (String::from_utf8(script.output).unwrap(), account)
    }

    #[test]
    fn messages_come_back_in_upper_case_however_they_are_cut() {
        let (output, account) = play(&[b"pi", b"ng 1 x\nping ", b"2 y\n"], 0.0);
        assert_eq!(output, "PING 1 X\nPING 2 Y\n");
        assert_eq!(account.served, "2 pings, 0 of them lost");
        assert_eq!(account.ending, Ending::PeerClosed);
    }

    #[test]
    fn without_a_line_end_silence_ends_a_message() {
        assert_eq!(play(&[b"ping 1 x", b"", b"ping 2 y", b""], 0.0).0, "PING 1 XPING 2 Y");
        assert_eq!(play(&[b"ping 1 x"], 0.0).0, "PING 1 X");
        assert_eq!(play(&[b"ping 1 x", b""], 100.0).0, "LOST");
        assert_eq!(play(&[b""], 0.0).1.ending, Ending::Idle);
    }

    #[test]
    fn no_message_is_longer_than_the_limit() {
        static LONG: [u8; 1024] = [b'a'; 1024];
        let (output, account) = play(&[&LONG, &LONG], 0.0);
        assert_eq!(output, "A".repeat(2048));
        assert_eq!(account.served, "2 pings, 0 of them lost");
    }

    #[test]
    fn a_seed_repeats_its_losses_and_chances_hold() {
        let losses = |seed| {
            let losses = Losses::new(20.0, Some(seed));
            let lost = |number: &u64| losses.takes(format!("ping {number} x").as_bytes());
            (1..=20_000).filter(lost).collect::<Vec<u64>>()
        };
        assert_eq!(losses(1), losses(1));
        assert_ne!(losses(1), losses(2));
        let random = Losses::new(20.0, None);
        let chance = (0..20_000).filter(|_| random.takes(b"ping 1 x")).count();
        for lost in [losses(1).len(), losses(2).len(), chance] {
            assert!((3700..4300).contains(&lost), "{lost} of 20,000");
        }
        assert!((0..1000).all(|_| Losses::new(100.0, None).takes(b"x")));
        assert!(!(0..1000).any(|_| Losses::new(0.0, None).takes(b"x")));
    }
}
