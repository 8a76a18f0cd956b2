//! What a run was made with: who reads its figures later should not have to
//! guess.

use std::fs;
use std::thread::available_parallelism;

use super::Run;
use crate::text::object::Object;
use crate::wire::tcp_info::TcpInfo;

/// The host, the connection and the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The kernel's release.
    pub kernel: Option<String>,
    /// Processors that this program may use.
    pub processors: Option<usize>,
    /// Their model.
    pub model: Option<String>,
    /// The machine, as its firmware or its processor names it.
    pub machine: Option<String>,
    /// Whether there is a hypervisor below.
    pub virtual_machine: Option<bool>,
    /// The congestion control of the connection.
    pub congestion_control: Option<String>,
    /// The largest segment to send, in bytes.
    pub mss: Option<u32>,
    /// The TCP options that both ends agreed on.
    pub tcp_options: Option<String>,
    /// The command line.
    pub command_line: String,
}

fn first_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// A field of `/proc/cpuinfo`.
fn processor(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

impl Manifest {
    /// Looks at this host, and takes the connection's view where there is one.
    pub fn gather(info: Option<TcpInfo>, congestion_control: Option<String>) -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = processor(&processors, "flags");
        let hypervisor = flags.map(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
        let firmware = |name| first_line(&format!("/sys/class/dmi/id/{name}"));
        let machine: Vec<String> =
            ["sys_vendor", "product_name"].into_iter().filter_map(firmware).collect();
        Self {
            kernel: first_line("/proc/sys/kernel/osrelease"),
            processors: available_parallelism().ok().map(usize::from),
            model: processor(&processors, "model name"),
            machine: Some(machine.join(" ")).filter(|text| !text.is_empty()),
            virtual_machine: hypervisor,
            congestion_control,
            mss: info.and_then(|info| info.mss),
            tcp_options: info.and_then(|info| info.options).map(options),
            command_line: command_line(std::env::args()),
        }
    }

    /// Its lines in the log.
    pub fn lines(&self) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        let below = match self.virtual_machine {
            Some(true) => "virtual machine",
            Some(false) => "no hypervisor",
            None => "hypervisor unknown",
        };
        let mut lines = vec![
            format!("command line: {}", self.command_line),
            format!(
                "host: Linux {}, {} processors of {}, {below}, {}",
                text(&self.kernel),
                self.processors.unwrap_or(0),
                text(&self.model),
                text(&self.machine)
            ),
        ];
        if let Some(mss) = self.mss {
            lines.push(format!(
                "tcp: congestion control {}, MSS {mss}, options {}",
                text(&self.congestion_control),
                text(&self.tcp_options)
            ));
        }
        lines
    }

    pub(super) fn object(&self, run: &Run) -> Object {
        let Self { kernel, model, machine, congestion_control, tcp_options, .. } = self;
        let local = run.local.map(|local| local.to_string());
        let object = Object::new()
            .text("version", env!("CARGO_PKG_VERSION"))
            .text("kernel", kernel.as_deref())
            .whole("processors", self.processors.and_then(|count| u64::try_from(count).ok()))
            .text("model", model.as_deref())
            .text("machine", machine.as_deref());
        let object = match self.virtual_machine {
            Some(value) => object.boolean("virtual_machine", value),
            None => object.raw("virtual_machine", "null"),
        };
        object
            .text("congestion_control", congestion_control.as_deref())
            .whole("mss", self.mss.map(u64::from))
            .text("tcp_options", tcp_options.as_deref())
            .text("local", local.as_deref())
            .text("remote", run.address.to_string().as_str())
            .text("command_line", self.command_line.as_str())
    }
}

/// The bits of `tcpi_options` (`linux/tcp.h`).
fn options(bits: u8) -> String {
    const NAMES: [(u8, &str); 4] =
        [(1, "timestamps"), (2, "SACK"), (4, "window scaling"), (8, "ECN")];
    let agreed = NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name);
    let agreed: Vec<&str> = agreed.collect();
    if agreed.is_empty() { "none".to_owned() } else { agreed.join(", ") }
}

/// Words with anything but the plainest characters in quotes, as a shell would
/// take them.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,%+@[]".contains(c);
    let quoted = |word: String| {
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_given_to_a_shell_again() {
        let words = ["echotest", "client", "::1", "--message", "it's me", ""];
        let line = command_line(words.iter().map(ToString::to_string));
        assert_eq!(line, "echotest client ::1 --message 'it'\\''s me' ''");
    }

    #[test]
    fn options_are_named() {
        assert_eq!(options(0b1111), "timestamps, SACK, window scaling, ECN");
        assert_eq!(options(0), "none");
    }
}
