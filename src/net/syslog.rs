//! The system's log (`/dev/log`), for when standard error is not ours to use.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

/// Where the system's logger listens.
const PATH: &str = "/dev/log";
/// Facility 3, `daemon`, in its place (RFC 5424, section 6.2.1).
const DAEMON: u8 = 3 << 3;

/// How bad a line is (RFC 5424, section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Error conditions.
    Error = 3,
    /// Warning conditions.
    Warning = 4,
    /// Informational messages.
    Info = 6,
    /// Debug-level messages.
    Debug = 7,
}

/// A line as the system's logger takes it; it adds time and host itself.
pub fn line(severity: Severity, text: &str) -> String {
    let priority = DAEMON | severity as u8;
    format!("<{priority}>echotest[{}]: {text}", std::process::id())
}

/// Takes one formatted line a write.
#[derive(Debug, Default)]
pub struct Syslog {
    socket: Option<UnixDatagram>,
}

impl Write for Syslog {
    /// Never fails: where no logger listens, the line is lost.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.socket.is_none() {
            self.socket = UnixDatagram::unbound().ok();
        }
        let text = line.trim_ascii_end();
        if let Some(socket) = &self.socket
            && socket.send_to(text, PATH).is_err()
        {
            // The logger was started again, or is not there.
            self.socket = None;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
