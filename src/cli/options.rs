//! The rows: one for each option. Parsing and help read them, so that they
//! cannot differ.

use super::value::Kind;
use crate::wire::measurement::{MAX_DELAY, MAX_PROBES};

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Its long name.
    pub long: &'static str,
    /// Its one-letter name.
    pub short: Option<char>,
    /// Another long name.
    pub alias: Option<&'static str>,
    /// What help calls its value; empty for a flag.
    pub value: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds when it is not given.
    pub default: Option<&'static str>,
    /// Whether it may be given more than once.
    pub repeatable: bool,
    /// What it does.
    pub help: &'static str,
}

/// Rows that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What help calls them.
    pub title: &'static str,
    /// The rows.
    pub rows: &'static [Opt],
}

/// The largest payload of one packet.
pub const MAX_SIZE: u64 = 64 << 20;
/// The most bytes after a test packet's header: what UDP over IPv4 holds.
pub const MAX_PADDING: u64 = 65_507 - 14;

pub(super) const fn flag(long: &'static str, short: Option<char>, help: &'static str) -> Opt {
    Opt {
        long,
        short,
        alias: None,
        value: "",
        kind: Kind::Flag,
        default: None,
        repeatable: false,
        help,
    }
}

pub(super) const fn option(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    help: &'static str,
) -> Opt {
    Opt { long, short, alias: None, value, kind, default, repeatable: false, help }
}

pub(super) const SECONDS: Kind = Kind::Seconds { zero: false };
pub(super) const SECONDS_OR_ZERO: Kind = Kind::Seconds { zero: true };
const COUNT: Kind = Kind::Number { least: 0, most: u64::MAX };

const IPV4: Opt = flag("ipv4", Some('4'), "use IPv4 only");
const IPV6: Opt = flag("ipv6", Some('6'), "use IPv6 only");
const SOURCE: Opt =
    option("bind", None, "ADDR", Kind::Address, None, "address of this host to connect from");
const DSCP: Opt = option(
    "dscp",
    None,
    "N",
    Kind::Number { least: 0, most: 63 },
    None,
    "DSCP code point of outgoing packets, 0 to 63",
);
const LOG_DIR: Opt = option(
    "log-dir",
    None,
    "DIR",
    Kind::Directory,
    Some("logs"),
    "directory for the log and the CSV, created if missing",
);
const NO_FILES: Opt = flag("no-files", None, "write neither log nor CSV");
const JSON: Opt = flag("json", None, "print one JSON object instead of lines and summary");

/// What every command takes.
pub const COMMON: Group = Group {
    title: "General",
    rows: &[
        flag("verbose", Some('v'), "log at debug level; -vv at trace level"),
        flag("quiet", Some('q'), "log errors only"),
        flag("help", Some('h'), "print this and exit"),
    ],
};

const FREQUENCY: Opt = Opt {
    alias: Some("interval"),
    ..option(
        "frequency",
        Some('i'),
        "SECS",
        SECONDS_OR_ZERO,
        Some("1.0"),
        "time from one send to the next; 0 sends as soon as the reply is in",
    )
};
const PACKETS: Opt =
    option("count", Some('c'), "N", COUNT, Some("0"), "packets to send; 0 until stopped");
const DURATION: Opt = option(
    "duration",
    Some('w'),
    "SECS",
    SECONDS,
    None,
    "stop after this long; without --count, by this alone",
);
const METRICS: Opt = option(
    "metrics",
    None,
    "FILE",
    Kind::File,
    None,
    "keep FILE in Prometheus' text format, for node_exporter's textfile collector",
);
const MAX_LOSS: Opt =
    option("max-loss", None, "PCT", Kind::Percent, None, "exit 1 if more packets are lost");
const MAX_RTT: Opt =
    option("max-rtt", None, "SECS", SECONDS, None, "exit 1 if the p99 round-trip time is above");

/// When a client sends.
pub const SCHEDULE: Group = Group {
    title: "Schedule",
    rows: &[
        option(
            "size",
            Some('s'),
            "BYTES",
            Kind::Bytes { least: 1, most: MAX_SIZE },
            Some("64"),
            "payload of each packet, 1 to 64M",
        ),
        FREQUENCY,
        PACKETS,
        DURATION,
        option(
            "timeout",
            Some('W'),
            "SECS",
            SECONDS,
            Some("5.0"),
            "time to connect, and age at which an unanswered packet is late",
        ),
    ],
};

/// How a client connects.
pub const CONNECTION: Group = Group {
    title: "Connection",
    rows: &[
        IPV4,
        IPV6,
        SOURCE,
        DSCP,
        flag("no-reconnect", None, "stop at the first connection drop"),
    ],
};

/// What a client leaves behind.
pub const OUTPUT: Group = Group {
    title: "Output",
    rows: &[
        LOG_DIR,
        NO_FILES,
        flag("tcp-info", None, "add the kernel's view of the connection to each CSV row"),
        JSON,
        METRICS,
        MAX_LOSS,
        MAX_RTT,
    ],
};

/// The echo client's own.
pub const MESSAGE: Group = Group {
    title: "One message",
    rows: &[option(
        "message",
        None,
        "TEXT",
        Kind::Text,
        None,
        "send TEXT once, print what came back, exit; writes no files",
    )],
};

/// What the measurement protocol measures.
pub const SERIES: Group = Group {
    title: "Series",
    rows: &[
        option(
            "type",
            None,
            "TYPE",
            Kind::Choice(&["rtt", "ttput"]),
            None,
            "rtt for round-trip times alone, ttput for throughput alone (default: both)",
        ),
        option(
            "size",
            Some('s'),
            "N[,N…]",
            Kind::ByteList { least: 1, most: MAX_SIZE },
            None,
            "payload sizes (default: rtt 1,100,200,400,800,1000; ttput 1K,2K,4K,8K,16K,32K)",
        ),
        option(
            "probes",
            Some('c'),
            "N",
            Kind::Number { least: 1, most: MAX_PROBES },
            Some("10"),
            "probes of each size",
        ),
        option(
            "server-delay",
            None,
            "SECS",
            Kind::SecondsUpTo { most: MAX_DELAY },
            Some("0"),
            "what the server waits before each echo, up to 60",
        ),
        option(
            "timeout",
            Some('W'),
            "SECS",
            SECONDS,
            Some("5.0"),
            "time to connect and for each reply, the server's delay not counted",
        ),
    ],
};

/// How the measurement client connects.
pub const ADDRESS: Group = Group { title: "Connection", rows: &[IPV4, IPV6, SOURCE, DSCP] };

/// What the measurement client leaves behind.
pub const FILES: Group = Group { title: "Output", rows: &[LOG_DIR, NO_FILES, JSON] };

/// What a report shows, and where.
pub const REPORT: Group = Group {
    title: "Output",
    rows: &[
        Opt {
            repeatable: true,
            ..option(
                "label",
                None,
                "NAME",
                Kind::Text,
                None,
                "what to call the file, repeatable: the first is for the first file",
            )
        },
        option(
            "html",
            None,
            "FILE",
            Kind::File,
            None,
            "write the report as one self-contained page as well",
        ),
        flag("json", None, "print one JSON object instead of tables and plots"),
    ],
};

/// When pings are made, and of what.
pub const PINGS: Group = Group {
    title: "Pings",
    rows: &[
        FREQUENCY,
        PACKETS,
        DURATION,
        option(
            "timeout",
            Some('W'),
            "SECS",
            SECONDS,
            Some("1.0"),
            "age at which a ping is lost, connecting included",
        ),
        flag("connect", None, "time the TCP handshake alone; any open port will do"),
        flag("all-addresses", None, "ping every address of the name in turn"),
        option(
            "re-resolve",
            None,
            "N",
            Kind::Number { least: 1, most: u64::MAX },
            None,
            "look the name up again after N failures in a row",
        ),
    ],
};

/// What pings leave behind.
pub const RESULTS: Group =
    Group { title: "Output", rows: &[LOG_DIR, NO_FILES, JSON, METRICS, MAX_LOSS, MAX_RTT] };

/// When test packets are sent, and what they are.
pub const TEST_PACKETS: Group = Group {
    title: "Test packets",
    rows: &[
        FREQUENCY,
        PACKETS,
        DURATION,
        option(
            "timeout",
            Some('W'),
            "SECS",
            SECONDS,
            Some("2.0"),
            "age at which a packet is lost, and patience with the control connection",
        ),
        option(
            "padding",
            None,
            "BYTES",
            Kind::Bytes { least: 0, most: MAX_PADDING },
            Some("27"),
            "bytes after the 14 of a test packet; below 27 replies are longer than packets",
        ),
        flag("light", None, "no control connection: a TWAMP Light or STAMP reflector on UDP PORT"),
        option(
            "test-ports",
            None,
            "LOW-HIGH",
            Kind::Ports,
            None,
            "UDP ports to send from (default: any free one), and to ask the reflector for",
        ),
        flag("send-result", None, "tell the reflector the result, for its log"),
    ],
};

/// Which silences are tried.
pub const GAPS: Group = Group {
    title: "Gaps",
    rows: &[
        option("from", None, "SECS", SECONDS, Some("10"), "shortest gap of the first round"),
        option(
            "to",
            None,
            "SECS",
            SECONDS,
            Some("1h"),
            "longest gap; the first round doubles up to it",
        ),
        option(
            "precision",
            None,
            "SECS",
            SECONDS,
            None,
            "how closely the limit is bracketed (default: 1 % of it, but no closer than 1 s)",
        ),
        option(
            "parallel",
            None,
            "N",
            Kind::Number { least: 1, most: 62 },
            Some("24"),
            "connections at once, 1 to 62; more take fewer rounds",
        ),
        option(
            "timeout",
            Some('W'),
            "SECS",
            SECONDS,
            Some("5.0"),
            "time to connect, and time without an answer after which a connection is forgotten",
        ),
        JSON,
    ],
};

/// What of a capture is looked at, and with what it is compared.
pub const CAPTURED: Group = Group {
    title: "Capture",
    rows: &[
        option(
            "port",
            None,
            "N",
            Kind::Number { least: 1, most: 65535 },
            None,
            "connections with this port alone",
        ),
        option(
            "csv",
            None,
            "TIMINGS",
            Kind::File,
            None,
            "the client's own file, to be compared packet by packet",
        ),
        JSON,
    ],
};

/// How exactly a client measures, and what that costs.
pub const ACCURACY: Group = Group {
    title: "Accuracy",
    rows: &[
        option(
            "timestamps",
            None,
            "WHOSE",
            Kind::Choice(&["kernel"]),
            None,
            "kernel: split each round trip by the kernel's own stamps",
        ),
        flag("precise", None, "look at the clock for the last 100 us before each send"),
        BUSY_POLL,
        flag("floor", None, "measure this host over loopback first, and show that beside"),
    ],
};

pub(super) const BUSY_POLL: Opt =
    flag("busy-poll", None, "look for bytes all the time instead of sleeping; costs a core");
