//! TCP ping: a line of text each way. The request is
//! `ping NUMBER YYYY-MM-DD HH:MM:SS.ffffff`; the reply is the same in upper
//! case, or `LOST`.

/// The most bytes of a message.
pub const MAX_MESSAGE: usize = 1024;
/// What the server answers where it plays a loss.
pub const LOST: &[u8] = b"LOST";

/// The request numbered `number`, with its line end; `time` is an RFC 3339
/// time of day in UTC.
pub fn request(number: u64, time: &str) -> Vec<u8> {
    let time = time.trim_end_matches('Z').replacen('T', " ", 1);
    format!("ping {number} {time}\n").into_bytes()
}

/// The reply to `request`, which keeps its line end if it has one.
pub fn reply(request: &[u8]) -> Vec<u8> {
    request.to_ascii_uppercase()
}

/// The answer that says `LOST`, with a line end if `request` has one.
pub fn lost(request: &[u8]) -> Vec<u8> {
    let end: &[u8] = if request.ends_with(b"\n") { b"\n" } else { b"" };
    [LOST, end].concat()
}

/// The number in a request, if it is one.
pub fn number(request: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(request).ok()?;
    let mut words = text.split_ascii_whitespace();
    (words.next()? == "ping").then(|| words.next()?.parse().ok())?
}

/// What the bytes that came so far mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The beginning of an answer.
    Part,
    /// The reply, complete.
    Reply,
    /// A loss, played by the server.
    Lost,
    /// Neither.
    Wrong,
}

/// Reads what came in answer to `request`. A line end may be missing.
pub fn read(request: &[u8], came: &[u8]) -> Answer {
    let expected = reply(request.trim_ascii_end());
    let text = came.trim_ascii_end();
    if text == expected {
        Answer::Reply
    } else if text == LOST {
        Answer::Lost
    } else if expected.starts_with(came) || LOST.starts_with(came) {
        Answer::Part
    } else {
        Answer::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_seeds_message_and_its_answers() {
        let request = request(3, "2024-09-09T12:00:00.123456Z");
        assert_eq!(request, b"ping 3 2024-09-09 12:00:00.123456\n");
        assert_eq!(reply(&request), b"PING 3 2024-09-09 12:00:00.123456\n");
        assert_eq!(number(&request), Some(3));
        assert_eq!(lost(&request), b"LOST\n");
        assert_eq!(lost(b"ping 3"), b"LOST");
        assert_eq!(number(b"pong 3 x"), None);
        assert_eq!(number(b"ping"), None);
    }

    #[test]
    fn answers_come_in_pieces_and_with_or_without_a_line_end() {
        let request = request(3, "2024-09-09T12:00:00.123456Z");
        let whole = reply(&request);
        for length in 0..whole.len() - 1 {
            assert_eq!(read(&request, &whole[..length]), Answer::Part, "{length}");
        }
        assert_eq!(read(&request, &whole[..whole.len() - 1]), Answer::Reply);
        assert_eq!(read(&request, &whole), Answer::Reply);
        assert_eq!(read(&request, b"LO"), Answer::Part);
        assert_eq!(read(&request, b"LOST"), Answer::Lost);
        assert_eq!(read(&request, b"LOST\r\n"), Answer::Lost);
        assert_eq!(read(&request, b"ping 3"), Answer::Wrong);
        let other = super::request(2, "2024-09-09T12:00:00.123456Z");
        assert_eq!(read(&request, &reply(&other)), Answer::Wrong);
    }

    proptest! {
        #[test]
        fn no_input_makes_a_parser_panic(request: Vec<u8>, came: Vec<u8>) {
            let _ = (read(&request, &came), number(&request), reply(&request), lost(&request));
        }
    }
}
