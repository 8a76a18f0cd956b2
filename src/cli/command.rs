//! The commands: a row each.

use super::error::Failure;
use super::matches::Matches;
use super::options::{
    ACCURACY, ADDRESS, CAPTURED, COMMON, CONNECTION, FILES, GAPS, Group, MESSAGE, OUTPUT, PINGS,
    REPORT, RESULTS, SCHEDULE, SERIES, TEST_PACKETS,
};
use super::service_options::{LIMITS, LISTEN, PLAYED_LOSS, REFLECTING, SERVICE};
use super::{Status, analyze, client, idle, loopback, measure, ping, report, server, twamp};

/// One command.
#[derive(Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Its positional arguments; those in brackets may be left out.
    pub positionals: &'static [&'static str],
    /// Its options.
    pub groups: &'static [Group],
    /// Defaults that differ from the rows'.
    pub defaults: &'static [(&'static str, &'static str)],
    /// What else help should say.
    pub notes: &'static str,
    /// Does it.
    pub run: fn(&Matches) -> Result<Status, Failure>,
}

/// Every command, in the order of the overview.
pub const COMMANDS: [Command; 9] = [
    Command {
        name: "client",
        about: "time every round trip of one TCP connection to an echo service",
        positionals: &["HOST", "[PORT]"],
        groups: &[SCHEDULE, CONNECTION, ACCURACY, OUTPUT, MESSAGE, COMMON],
        defaults: &[],
        notes: "PORT is 7 if not given. Times are seconds, or have a suffix: 500ms, 250us, 2m, 1h.\n\
                Ctrl-C ends the run with a summary, Ctrl-\\ shows one and goes on.\n\
                \n\
                Exit status: 0 at least one reply came; 1 none came, or --max-loss or --max-rtt\n\
                was exceeded; 2 anything else.\n\
                \n\
                Examples:\n  \
                echotest client 10.0.0.1\n  \
                echotest client db.example 7 --size 1024 --frequency 0.5 --count 100\n  \
                echotest client ::1 7 -i 0 -c 100000 --no-files --json\n",
        run: client::run,
    },
    Command {
        name: "server",
        about: "serve a protocol: echo, measure, ping or twamp",
        positionals: &["[PROTOCOL]"],
        groups: &[LISTEN, LIMITS, PLAYED_LOSS, REFLECTING, SERVICE, COMMON],
        defaults: &[],
        notes: "PROTOCOL is echo if not given. Ctrl-C or SIGTERM stops it: no new clients are\n\
                taken, and open sessions get two seconds.\n\
                \n\
                Exit status: 0 stopped; 2 could not start.\n",
        run: server::run,
    },
    Command {
        name: "measure",
        about: "measure round-trip time and throughput in three phases",
        positionals: &["HOST", "[PORT]"],
        groups: &[SERIES, ADDRESS, FILES, COMMON],
        defaults: &[],
        notes: "PORT is 9900 if not given; the server is 'echotest server measure'. One probe is\n\
                under way at a time. Throughput is payload bits over round-trip time.\n\
                \n\
                Exit status: 0 at least one reply came; 1 none came; 2 anything else, such as an\n\
                error that the server reports.\n",
        run: measure::run,
    },
    Command {
        name: "ping",
        about: "ping over TCP, a connection for each, with the network's own errors",
        positionals: &["HOST", "[PORT]"],
        groups: &[PINGS, ADDRESS, RESULTS, COMMON],
        defaults: &[],
        notes: "PORT is 12001 if not given; the server is 'echotest server ping'. With --connect\n\
                any open port will do. Round-trip times run from the request to its answer;\n\
                connecting is a series of its own. With CAP_NET_RAW, ICMP errors in mid-stream\n\
                are named too. Ctrl-C ends it with the figures.\n\
                \n\
                Exit status: 0 at least one reply came; 1 none came, or --max-loss or --max-rtt\n\
                was exceeded; 2 anything else.\n\
                \n\
                Examples:\n  \
                echotest ping 10.0.0.1 -c 10\n  \
                echotest ping www.example 443 --connect --all-addresses\n",
        run: ping::run,
    },
    Command {
        name: "twamp",
        about: "two-way active measurement over UDP (TWAMP, TWAMP Light, STAMP)",
        positionals: &["HOST", "[PORT]"],
        groups: &[TEST_PACKETS, ADDRESS, RESULTS, COMMON],
        defaults: &[("count", "10"), ("frequency", "0.1")],
        notes: "PORT is 862 if not given: TCP for the control connection, UDP with --light. The\n\
                server is 'echotest server twamp' or any reflector in unauthenticated mode.\n\
                Round-trip times are without the time that the reflector held a packet. One-way\n\
                delays hold the difference of the two clocks. With -q nothing is printed unless\n\
                something is wrong, for cron.\n\
                \n\
                Exit status: 0 at least one reply came; 1 none came, or --max-loss or --max-rtt\n\
                was exceeded; 2 anything else.\n\
                \n\
                Examples:\n  \
                echotest twamp 10.0.0.1\n  \
                echotest twamp 10.0.0.1 --light -c 1000 -i 0.01 --dscp 46\n  \
                echotest twamp 10.0.0.1 -q --json --max-loss 1 --max-rtt 50ms >> twamp.jsonl\n",
        run: twamp::run,
    },
    Command {
        name: "idle",
        about: "find the silence after which something on the path ends a connection",
        positionals: &["HOST", "[PORT]"],
        groups: &[GAPS, ADDRESS, COMMON],
        defaults: &[],
        notes: "PORT is 7 if not given; any TCP echo service will do. A connection for each gap\n\
                shows that it works, says nothing for the gap (keep-alive is off), and is asked\n\
                again; all at once, so that a round takes as long as its longest gap. Once a\n\
                gap has ended a connection, longer ones are not waited for. Ctrl-C ends it with\n\
                what is known by then.\n\
                \n\
                Exit status: 0 a gap was tried to its end; 1 no connection or no reply;\n\
                2 anything else.\n\
                \n\
                Examples:\n  \
                echotest idle 10.0.0.1\n  \
                echotest idle nat.example 7007 --from 60 --to 20m --precision 5\n",
        run: idle::run,
    },
    Command {
        name: "loopback",
        about: "measure this host alone: server and client in one process",
        positionals: &[],
        groups: &[SCHEDULE, CONNECTION, ACCURACY, OUTPUT, MESSAGE, COMMON],
        defaults: &[("count", "10"), ("frequency", "0.1")],
        notes: "Checks an installation and shows this host's own floor, below which no\n\
                round trip to another host can come.\n",
        run: loopback::run,
    },
    Command {
        name: "analyze",
        about: "explain a packet capture: what happened, and how long it took on the wire",
        positionals: &["CAPTURE"],
        groups: &[CAPTURED, COMMON],
        defaults: &[],
        notes: "CAPTURE is a pcap or pcapng file, or - for standard input. Each TCP connection is\n\
                told step by step; of long ones the ordinary middle is left out, unless with\n\
                --verbose. Sequence numbers are judged by Wireshark's rules.\n\
                \n\
                Exit status: 0 read to its end; 2 anything else, after what could be read.\n\
                \n\
                Examples:\n  \
                echotest analyze capture.pcap\n  \
                tcpdump -i any -w - tcp port 7 | echotest analyze -\n  \
                echotest analyze capture.pcap --csv logs/echo_client_20261120_192001_timings.csv\n",
        run: analyze::run,
    },
    Command {
        name: "report",
        about: "look at what a run measured, or compare several",
        positionals: &["TIMINGS…"],
        groups: &[REPORT, COMMON],
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
        run: report::run,
    },
];

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Command> {
    const ALL: &[Command] = &COMMANDS;
    ALL.iter().find(|command| command.name == name)
}
