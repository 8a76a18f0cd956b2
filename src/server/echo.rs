//! Echo (RFC 862): every byte goes back, in order, until the peer is done.

use std::collections::TryReserveError;
use std::io::ErrorKind;

use super::{Account, Connection, Context, Ending};

/// Bytes taken at a time at first: one page, so that an idle client costs no
/// more, and small enough to need no memory map of its own, of which the kernel
/// grants a process only so many.
const FIRST_BUFFER: usize = 4 * 1024;
/// And at most: bulk echo over loopback ran at 13 to 20 Gbit/s with this,
/// against 6 with 8 KiB.
const LARGEST_BUFFER: usize = 256 * 1024;
/// How much a buffer grows that was filled to its end.
const GROWTH: usize = 8;

/// Serves one client.
pub fn serve(connection: &mut dyn Connection, _context: &Context<'_>) -> Account {
    let mut echoed = 0_u64;
    let ending = echo(connection, &mut echoed);
    Account { served: format!("{echoed} bytes"), ending }
}

fn echo(connection: &mut dyn Connection, echoed: &mut u64) -> Ending {
    let mut buffer = Vec::new();
    if let Err(error) = enlarge(&mut buffer, FIRST_BUFFER) {
        return Ending::Failed(error.to_string());
    }
    loop {
        let count = match connection.read(&mut buffer) {
            Ok(0) => return Ending::PeerClosed,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Ending::of_read(&error),
        };
        if let Err(error) = connection.write_all(&buffer[..count]) {
            return Ending::of_write(&error);
        }
        *echoed += u64::try_from(count).unwrap_or(0);
        if count == buffer.len() && count < LARGEST_BUFFER {
            // Without the memory it goes on as it is.
            let _ = enlarge(&mut buffer, (count * GROWTH).min(LARGEST_BUFFER));
        }
    }
}

/// Memory that cannot be had is one session's misfortune, not the server's end.
fn enlarge(buffer: &mut Vec<u8>, size: usize) -> Result<(), TryReserveError> {
    buffer.try_reserve_exact(size.saturating_sub(buffer.len()))?;
    buffer.resize(size, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Settings;
    use std::io::{self, Cursor, Read, Write};

    /// Bytes in, bytes out, and an end.
    struct Script {
        input: Cursor<Vec<u8>>,
        piece: usize,
        output: Vec<u8>,
        end: Option<ErrorKind>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.piece.min(buffer.len());
            match self.input.read(&mut buffer[..most])? {
                0 => self.end.map_or(Ok(0), |kind| Err(kind.into())),
                count => Ok(count),
            }
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.output.write(&bytes[..bytes.len().min(self.piece)])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Connection for Script {}

    fn play(input: &[u8], piece: usize, end: Option<ErrorKind>) -> (Vec<u8>, Account) {
        let input = Cursor::new(input.to_vec());
        let mut script = Script { input, piece, output: Vec::new(), end };
        let peer = "[::1]:4242".parse().unwrap();
        let context =
            Context { peer, local: peer, stopping: &|| false, settings: &Settings::default() };
        let account = serve(&mut script, &context);
        (script.output, account)
    }

    #[test]
    fn every_byte_comes_back_whatever_the_pieces() {
        let sent: Vec<u8> = (0..=250).cycle().take(500_000).collect();
        for piece in [777, 4096, 1 << 20] {
            let (output, account) = play(&sent, piece, None);
            assert!(output == sent, "in pieces of {piece}");
            assert_eq!(account.served, "500000 bytes");
            assert_eq!(account.ending, Ending::PeerClosed);
        }
    }

    #[test]
    fn a_silent_peer_and_a_reset_are_told_apart() {
        assert_eq!(play(b"x", 9, Some(ErrorKind::WouldBlock)).1.ending, Ending::Idle);
        assert_eq!(play(b"x", 9, Some(ErrorKind::ConnectionReset)).1.ending, Ending::Reset);
    }
}
