//! The server's rows.

use super::options::{Group, Opt, SECONDS, SECONDS_OR_ZERO, flag, option};
use super::value::Kind;

const LIMIT: Kind = Kind::Number { least: 1, most: 1 << 20 };

/// Where and how a server listens.
pub const LISTEN: Group = Group {
    title: "Listening",
    rows: &[
        option(
            "port",
            Some('p'),
            "N",
            Kind::Number { least: 0, most: 65535 },
            None,
            "port to listen on; 0 takes any free one (default: echo 7, measure 9900, ping 12001, twamp 862)",
        ),
        Opt {
            repeatable: true,
            ..option(
                "bind",
                None,
                "ADDR",
                Kind::Address,
                None,
                "address to listen on, repeatable (default: every address, IPv6 and IPv4)",
            )
        },
    ],
};

/// What bounds a server.
pub const LIMITS: Group = Group {
    title: "Limits",
    rows: &[
        option(
            "max-clients",
            None,
            "N",
            LIMIT,
            Some("1024"),
            "clients served at once; one more is closed at once and logged",
        ),
        option("max-per-host", None, "N", LIMIT, Some("256"), "the same for one source address"),
        option(
            "idle-timeout",
            None,
            "SECS",
            SECONDS_OR_ZERO,
            None,
            "close a connection that is silent this long; 0 never (default: echo 0, measure and ping 60, twamp 900)",
        ),
    ],
};

/// How a server runs.
pub const SERVICE: Group = Group {
    title: "Running",
    rows: &[
        option(
            "log-file",
            None,
            "FILE",
            Kind::File,
            None,
            "log there as well; opened again on SIGHUP",
        ),
        flag("daemon", None, "leave the terminal; exit 0 once it listens"),
        option(
            "pid-file",
            None,
            "FILE",
            Kind::File,
            None,
            "written once listening, removed on a clean stop",
        ),
        flag("inetd", None, "serve the one connected socket on standard input, then exit"),
    ],
};

/// The ping server's own.
pub const PLAYED_LOSS: Group = Group {
    title: "Ping",
    rows: &[
        option(
            "loss",
            None,
            "PCT",
            Kind::Percent,
            None,
            "chance that a message is answered LOST (default 20)",
        ),
        option(
            "seed",
            None,
            "N",
            Kind::Number { least: 0, most: u64::MAX },
            None,
            "makes the losses repeatable: they depend on N and the message's number alone",
        ),
    ],
};

/// The TWAMP server's own.
pub const REFLECTING: Group = Group {
    title: "TWAMP",
    rows: &[
        option(
            "test-ports",
            None,
            "LOW-HIGH",
            Kind::Ports,
            None,
            "UDP ports of test sessions; given, clients' own wishes outside are not met \
             (default 18760-19960)",
        ),
        option("max-sessions", None, "N", LIMIT, None, "test sessions at once (default 1024)"),
        option(
            "max-sessions-per-host",
            None,
            "N",
            LIMIT,
            None,
            "the same for one client's address (default 256)",
        ),
        option(
            "max-rate",
            None,
            "N",
            Kind::Number { least: 1, most: 1_000_000_000 },
            None,
            "packets a second that one sender has reflected (default 500000)",
        ),
        option(
            "ref-wait",
            None,
            "SECS",
            SECONDS,
            None,
            "end a test session that is silent this long (default 900)",
        ),
    ],
};
