//! The commands: a row each.

use super::error::{Failure, UsageError};
use super::logging;
use super::matches::Matches;
use super::opt::{Group, Row};
use super::options::{
    Accuracy, Address, COUNT, Captured, FREQUENCY, Files, Format, Gaps, General, Message, Pace,
    Packets, Parallel, Pings, Reconnecting, ReportOutput, Results, Rotating, Route, Series,
    TestPackets, WARMUP,
};
use super::service_options::{Bounds, Listening, PlayedLoss, Reflecting, Running};
use super::{
    Status, analyze, client, idle, loopback, measure, path, ping, report, selftest, server, twamp,
};
use crate::server::service::{ECHO, MEASURE, PING, TWAMP};

/// What a command's arguments mean.
pub(super) trait Options: Sized + 'static {
    /// Makes it of what was typed. Nothing is opened and nothing is sent.
    ///
    /// # Errors
    ///
    /// Options that do not go together.
    fn of(matches: &Matches) -> Result<Self, UsageError>;

    /// Where diagnostics go.
    fn log(&self) -> logging::Destination {
        logging::Destination::default()
    }

    /// Does it.
    fn run(self) -> Result<Status, Failure>;
}

/// A command that is understood and has only to be done.
pub(super) type Task = Box<dyn FnOnce() -> Result<Status, Failure>>;

fn understand<O: Options>(matches: &Matches) -> Result<Task, UsageError> {
    let (general, options) = (General::of(matches), O::of(matches)?);
    Ok(Box::new(move || {
        logging::start(&general, &options.log())?;
        options.run()
    }))
}

/// One command.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its name.
    pub(super) name: &'static str,
    /// What it does, in one line.
    pub(super) about: &'static str,
    /// Its positional arguments; those in brackets may be left out.
    pub(super) positionals: &'static [&'static str],
    /// PORT, if it is not given.
    pub(super) port: Option<u16>,
    pub(super) groups: &'static [Group],
    /// Defaults that differ from the rows'.
    pub(super) defaults: &'static [(Row, &'static str)],
    /// What else help should say.
    pub(super) notes: &'static str,
    pub(super) understand: fn(&Matches) -> Result<Task, UsageError>,
}

/// The echo client's, also where it measures this host alone.
const CLIENT: &[Group] = &[
    Pace::GROUP,
    Packets::GROUP,
    Address::GROUP,
    Parallel::GROUP,
    Reconnecting::GROUP,
    Accuracy::GROUP,
    Files::GROUP,
    Rotating::GROUP,
    Format::GROUP,
    Results::GROUP,
    Message::GROUP,
    General::GROUP,
];

/// Every command, in the order of the overview.
pub(crate) const COMMANDS: [Command; 11] = [
    Command {
        name: "client",
        about: "time every round trip of one TCP connection to an echo service",
        positionals: &["HOST", "[PORT]"],
        port: Some(ECHO.port),
        groups: CLIENT,
        defaults: &[],
        notes: "Times are seconds, or have a suffix: 500ms, 250us, 2m, 1h.\n\
                Ctrl-C ends the run with a summary, Ctrl-\\ shows one and goes on.\n\
                \n\
                Exit status: 0 at least one reply came; 1 none came, or --max-loss or --max-rtt\n\
                was exceeded; 2 anything else.\n\
                \n\
                Examples:\n  \
                echotest client 10.0.0.1\n  \
                echotest client db.example 7 --size 1024 --frequency 0.5 --count 100\n  \
                echotest client ::1 7 -i 0 -c 100000 --no-files --json\n",
        understand: understand::<client::Options>,
    },
    Command {
        name: "server",
        about: "serve a protocol: echo, measure, ping or twamp",
        positionals: &["[PROTOCOL]"],
        port: None,
        groups: &[
            Listening::GROUP,
            Bounds::GROUP,
            PlayedLoss::GROUP,
            Reflecting::GROUP,
            Running::GROUP,
            General::GROUP,
        ],
        defaults: &[],
        notes: "PROTOCOL is echo if not given. Ctrl-C or SIGTERM stops it: no new clients are\n\
                taken, and open sessions get two seconds.\n\
                \n\
                Exit status: 0 stopped; 2 could not start.\n",
        understand: understand::<server::Options>,
    },
    Command {
        name: "measure",
        about: "measure round-trip time and throughput in three phases",
        positionals: &["HOST", "[PORT]"],
        port: Some(MEASURE.port),
        groups: &[Series::GROUP, Address::GROUP, Files::GROUP, Format::GROUP, General::GROUP],
        defaults: &[],
        notes: "The server is 'echotest server measure'. One probe is under way at a time.\n\
                Throughput is payload bits over round-trip time.\n\
                \n\
                Exit status: 0 at least one reply came; 1 none came; 2 anything else, such as an\n\
                error that the server reports.\n",
        understand: understand::<measure::Options>,
    },
    Command {
        name: "ping",
        about: "ping over TCP, a connection for each, with the network's own errors",
        positionals: &["HOST", "[PORT]"],
        port: Some(PING.port),
        groups: &[
            Pace::GROUP,
            Pings::GROUP,
            Address::GROUP,
            Files::GROUP,
            Rotating::GROUP,
            Format::GROUP,
            Results::GROUP,
            General::GROUP,
        ],
        defaults: &[],
        notes: "The server is 'echotest server ping'. With --connect any open port will do.\n\
                Round-trip times run from the request to its answer; connecting is a series of\n\
                its own. With CAP_NET_RAW, ICMP errors in mid-stream\n\
                are named too. Ctrl-C ends it with the figures.\n\
                \n\
                Exit status: 0 at least one reply came; 1 none came, or --max-loss or --max-rtt\n\
                was exceeded; 2 anything else.\n\
                \n\
                Examples:\n  \
                echotest ping 10.0.0.1 -c 10\n  \
                echotest ping www.example 443 --connect --all-addresses\n",
        understand: understand::<ping::Options>,
    },
    Command {
        name: "twamp",
        about: "two-way active measurement over UDP (TWAMP, TWAMP Light, STAMP)",
        positionals: &["HOST", "[PORT]"],
        port: Some(TWAMP.port),
        groups: &[
            Pace::GROUP,
            TestPackets::GROUP,
            Address::GROUP,
            Files::GROUP,
            Rotating::GROUP,
            Format::GROUP,
            Results::GROUP,
            General::GROUP,
        ],
        defaults: &[(COUNT.row, "10"), (FREQUENCY.row, "0.1")],
        notes: "It is TCP's for the control connection, UDP's with --light. The server is\n\
                'echotest server twamp' or any reflector in unauthenticated mode.\n\
                Round-trip times are without the time that the reflector held a packet. One-way\n\
                delays hold the difference of the two clocks: where these are not synchronised,\n\
                each way is told above its smallest delay. With -q nothing is printed unless\n\
                something is wrong, for cron.\n\
                \n\
                Exit status: 0 at least one reply came; 1 none came, or --max-loss or --max-rtt\n\
                was exceeded; 2 anything else.\n\
                \n\
                Examples:\n  \
                echotest twamp 10.0.0.1\n  \
                echotest twamp 10.0.0.1 --light -c 1000 -i 0.01 --dscp 46\n  \
                echotest twamp 10.0.0.1 -q --json --max-loss 1 --max-rtt 50ms >> twamp.jsonl\n",
        understand: understand::<twamp::Options>,
    },
    Command {
        name: "idle",
        about: "find the silence after which something on the path ends a connection",
        positionals: &["HOST", "[PORT]"],
        port: Some(ECHO.port),
        groups: &[Gaps::GROUP, Address::GROUP, General::GROUP],
        defaults: &[],
        notes: "Any TCP echo service will do. A connection for each gap shows that it works,\n\
                says nothing for the gap (keep-alive is off), and is asked\n\
                again; all at once, so that a round takes as long as its longest gap. Once a\n\
                gap has ended a connection, longer ones are not waited for. A death counts if a\n\
                fresh connection is answered just then. Last, the keep-alive interval that\n\
                follows is tried for two periods of the limit. Ctrl-C asks the connections that\n\
                are silent so far and ends with what is known.\n\
                \n\
                Exit status: 0 a gap was tried to its end; 1 no connection or no reply;\n\
                2 anything else, also if the service went away meanwhile.\n\
                \n\
                Examples:\n  \
                echotest idle 10.0.0.1\n  \
                echotest idle nat.example 7007 --from 60 --to 20m --precision 5\n  \
                echotest idle nat.example --from-server --to 10m\n",
        understand: understand::<idle::Options>,
    },
    Command {
        name: "path",
        about: "show the routers that a connection goes by, and how large a packet fits",
        positionals: &["HOST", "[PORT]"],
        port: Some(ECHO.port),
        groups: &[Route::GROUP, Address::GROUP, General::GROUP],
        defaults: &[],
        notes: "Hops are asked by connection attempts from the flow's own port, so that routers\n\
                which choose among equal paths by ports choose as for a connection; no right is\n\
                needed. Routers often give one host one answer a second: with many flows the\n\
                rest is asked for at that pace. A hop that does not answer is unknown, not bad.\n\
                With CAP_NET_RAW the first flow's hops are asked inside an established\n\
                connection as well, and told where they are others.\n\
                With --mtu the way there needs any TCP service, the way back an echo service;\n\
                with CAP_NET_RAW who says that a packet is too big is named.\n\
                \n\
                Exit status: 0 every flow reached the target; 1 one did not; 2 anything else.\n\
                \n\
                Examples:\n  \
                echotest path db.example 443\n  \
                echotest path 10.0.0.1 --flows 16 --source-ports 40001 --bad 40003 --bad 40007\n  \
                echotest path 10.0.0.1 7 --mtu\n",
        understand: understand::<path::Options>,
    },
    Command {
        name: "loopback",
        about: "measure this host alone: server and client in one process",
        positionals: &[],
        port: None,
        groups: CLIENT,
        defaults: &[(COUNT.row, "10"), (FREQUENCY.row, "0.1"), (WARMUP.row, "3")],
        notes: "Checks an installation and shows this host's own floor, below which no\n\
                round trip to another host can come.\n",
        understand: understand::<loopback::Options>,
    },
    Command {
        name: "analyze",
        about: "explain a packet capture: what happened, and how long it took on the wire",
        positionals: &["CAPTURE…"],
        port: None,
        groups: &[Captured::GROUP, General::GROUP],
        defaults: &[],
        notes: "CAPTURE is a pcap or pcapng file, or - for standard input; several are one\n\
                capture in pieces (tcpdump -C, -G), in the order of their first packets. Each\n\
                TCP connection is told step by step; of long ones the ordinary middle is left\n\
                out, unless with --verbose. Tunnels (VXLAN, Geneve, GRE, ERSPAN, MPLS and\n\
                others) are looked into. Ctrl-C on standard input ends the capture, not the\n\
                analysis; a second one ends the reading.\n\
                \n\
                Exit status: 0 read to its end; 1 no such TCP connection in it; 2 anything\n\
                else, after what could be read.\n\
                \n\
                Examples:\n  \
                echotest analyze capture.pcap\n  \
                tcpdump -i any -w - tcp port 7 | echotest analyze -\n  \
                echotest analyze capture.pcap --csv logs/echo_client_20261120_192001_timings.csv\n",
        understand: understand::<analyze::Options>,
    },
    Command {
        name: "report",
        about: "look at what a run measured, or compare several",
        positionals: &["TIMINGS…"],
        port: None,
        groups: &[ReportOutput::GROUP, General::GROUP],
        defaults: &[],
        notes: "TIMINGS are CSV files of this tool, or of any other with the same five columns;\n\
                - is standard input. For one file: summary, histogram and time line. For several:\n\
                a table side by side, and how each differs from the first.\n\
                \n\
                An outage is two or more packets lost in a row. The width is that of COLUMNS or\n\
                the terminal, else 80; in a locale that is not UTF-8 the plots are ASCII.\n\
                \n\
                Exit status: 0 there is a round trip in the files; 1 there is none; 2 anything\n\
                else, such as a file that cannot be read.\n\
                \n\
                Examples:\n  \
                echotest report logs/echo_client_20261120_192001_timings.csv\n  \
                echotest report a.csv b.csv --label direct --label balancer --html report.html\n",
        understand: understand::<report::Options>,
    },
    Command {
        name: "selftest",
        about: "injects known trouble on this host, and shows what is told of it",
        positionals: &[],
        port: None,
        groups: &[General::GROUP],
        defaults: &[],
        notes: "Servers within this process delay, stall, reset, corrupt and forget, a client\n\
                measures them, and a table shows what was injected beside what was told. Takes\n\
                some seconds and no rights. Cuts and losses of a path need one: scripts and\n\
                tests of the source make them between network namespaces.\n\
                \n\
                Exit status: 0 no wrong cause was told; 1 one was; 2 anything else.\n\
                \n\
                Examples:\n  \
                echotest selftest\n",
        understand: understand::<selftest::Options>,
    },
];

impl Command {
    /// What help says besides the options.
    pub(super) fn notes(&self) -> String {
        let port = self.port.map(|port| format!("PORT is {port} if not given.\n"));
        port.unwrap_or_default() + self.notes
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &'static Row> + use<> {
        self.groups.iter().flat_map(|group| group.rows)
    }

    pub(super) fn has(&self, row: &Row) -> bool {
        self.rows().any(|own| own.long == row.long)
    }

    /// Its groups of rows, those of one title in one.
    pub(super) fn titled(&self) -> impl Iterator<Item = (&'static str, Vec<&'static Row>)> {
        let same = |one: &Group, other: &Group| one.title == other.title;
        self.groups
            .chunk_by(same)
            .map(|groups| (groups[0].title, groups.iter().flat_map(|group| group.rows).collect()))
    }
}

/// The command of this name.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    const ALL: &[Command] = &COMMANDS;
    ALL.iter().find(|command| command.name == name)
}
