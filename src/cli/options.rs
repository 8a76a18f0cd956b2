//! The options of the commands that measure and of those that look at results:
//! a struct for each group of them. `opt.rs` says how to add one.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::opt::{
    Chosen, Opt, Times, address, bytes, choice, code_point, directory, file, flag, number, options,
    percent, ports, repeated_flag, seconds, seconds_or_zero, seconds_up_to, size_or_age, sizes,
    text,
};
use crate::record::rotation::Limit;
use crate::wire::measurement::{MAX_DELAY, MAX_PROBES};
use crate::wire::twamp_control::TEST_PORTS;

/// The largest payload of one packet.
pub const MAX_SIZE: u64 = 64 << 20;
/// The most bytes after a test packet's header: what UDP over IPv4 holds.
pub const MAX_PADDING: u64 = 65_507 - 14;
/// The most connections that `idle` opens at once: what one wait watches.
const MAX_PARALLEL: u64 = 62;

/// The sizes of the exercise that the measurement protocol comes from.
pub(super) const ROUND_TRIP_SIZES: [usize; 6] = [1, 100, 200, 400, 800, 1000];
pub(super) const THROUGHPUT_SIZES: [usize; 6] =
    [1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10];

options! {
    /// What every command takes.
    General "General" {
        verbose: Times =
            repeated_flag("verbose", "log at debug level; -vv at trace level").short('v');
        quiet: Times = repeated_flag("quiet", "the summary and errors alone; -qq errors alone").short('q');
        help: bool = flag("help", "print this and exit").short('h');
    }
}

/// Packets to send, unless the command has another.
pub(super) const COUNT: Opt<Chosen<u64>> =
    number("count", 0, u64::MAX, "packets to send; 0 until stopped")
        .short('c')
        .default("0")
        .noting_who_chose();

pub(super) const WARMUP: Opt<u64> =
    number("warmup", 0, 1 << 20, "first packets that are sent and not counted").default("0");

pub(super) const FREQUENCY: Opt<Duration> = seconds_or_zero(
    "frequency",
    "time from one send to the next; 0 sends as soon as the reply is in",
)
.short('i')
.alias("interval")
.default("1.0");

options! {
    /// When packets are sent.
    Pace "Schedule" {
        frequency: Duration = FREQUENCY;
        count: Chosen<u64> = COUNT;
        duration: Option<Duration> =
            seconds("duration", "stop after this long; without --count, by this alone").short('w');
    }
}

options! {
    /// What the echo client sends, and what is late.
    Packets "Schedule" {
        size: usize = bytes("size", 1, MAX_SIZE, "payload of each packet, 1 to 64M")
            .short('s')
            .default("64");
        warmup: u64 = WARMUP;
        timeout: Duration =
            seconds("timeout", "time to connect, and age at which an unanswered packet is late")
                .short('W')
                .default("5.0");
    }
}

options! {
    /// From where and how a client connects.
    Address "Connection" {
        ipv4: bool = flag("ipv4", "use IPv4 only").short('4');
        ipv6: bool = flag("ipv6", "use IPv6 only").short('6');
        bind: Option<IpAddr> = address("bind", "address of this host to connect from");
        interface: Option<String> =
            text("interface", "NAME", "leave by this interface or VRF (SO_BINDTODEVICE)");
        dscp: Option<u8> = code_point(
            "dscp",
            "DSCP code point of outgoing packets, 0 to 63 or a name such as EF, AF41, CS6",
        );
    }
}

/// The most connections to one target at once.
pub(super) const MAX_FLOWS: u64 = 256;

pub(super) const SOURCE_PORTS: Opt<Option<RangeInclusive<u16>>> = ports(
    "source-ports",
    "their local ports, in order; one is the first of as many as there are flows",
);

options! {
    /// How many connections, from which ports, and to whom else.
    Parallel "Flows" {
        flows: usize = number(
            "flows",
            1,
            MAX_FLOWS,
            "connections to each target at once, 1 to 256, in turn on one schedule",
        )
        .default("1");
        source_ports: Option<RangeInclusive<u16>> = SOURCE_PORTS;
        against: Vec<String> = text(
            "against",
            "HOST[:PORT]",
            "a further target on the same schedule, repeatable",
        )
        .repeatable();
    }
}

options! {
    /// What the echo client does with its connection.
    Reconnecting "Connection" {
        no_reconnect: bool = flag("no-reconnect", "stop at the first connection drop");
        retry: bool = flag(
            "retry",
            "keep trying until the first connection stands, also where the name leads nowhere",
        );
        no_scouts: bool = flag("no-scouts", "one connection at a time, also during an outage");
        re_resolve: Option<Duration> =
            seconds("re-resolve", "look the name up again this often, beside at each reconnect");
        trace_on_trouble: bool = flag(
            "trace-on-trouble",
            "ask the routers on the way when a stall begins and ends (needs CAP_NET_RAW)",
        );
    }
}

options! {
    /// What a run leaves behind.
    Files "Output" {
        log_dir: PathBuf = directory("log-dir", "directory for the log and the CSV, created if missing")
            .default("logs");
        no_files: bool = flag("no-files", "write neither log nor CSV");
    }
}

options! {
    /// When a run begins new files.
    Rotating "Output" {
        rotate: Option<Limit> = size_or_age(
            "rotate",
            1 << 10,
            "begin new files at this size of the CSV or at this age, such as 100M or 1d",
        );
        keep: Option<usize> =
            number("keep", 1, 1 << 20, "with --rotate: keep the last N pairs of files");
        compress: Option<String> = text(
            "compress",
            "CMD",
            "with --rotate: run CMD FILE on each file that is closed, such as gzip or \"zstd --rm\"",
        );
    }
}

options! {
    /// What else is said of a run.
    Results "Output" {
        metrics: Option<PathBuf> = file(
            "metrics",
            "FILE",
            "keep FILE in Prometheus' text format, for node_exporter's textfile collector",
        );
        metrics_label: Vec<String> = text(
            "metrics-label",
            "NAME=VALUE",
            "a further label of all metrics, repeatable: what tells two runs apart",
        )
        .repeatable();
        max_loss: Option<f64> = percent("max-loss", "exit 1 if more packets are lost");
        max_rtt: Option<Duration> =
            seconds("max-rtt", "exit 1 if the p99 round-trip time is above");
    }
}

options! {
    /// In which form results are printed.
    Format "Output" {
        json: bool = JSON;
    }
}

pub(super) const JSON: Opt<bool> =
    flag("json", "print one JSON object instead of lines and summary");

options! {
    /// How exactly a client measures, and what that costs.
    Accuracy "Accuracy" {
        tcp_info: bool = flag("tcp-info", "add the kernel's view of the connection to each CSV row");
        timestamps: Option<String> = choice(
            "timestamps",
            "WHOSE",
            &["kernel"],
            "kernel: split each round trip by the kernel's own stamps",
        );
        slow: Option<Duration> = seconds(
            "slow",
            "round trips above this are explained (default: p50 + the larger of 1 ms and p50/4)",
        );
        explain: bool = flag(
            "explain",
            "add connection, acked_us and cause to each CSV row; causes also with -i 0",
        );
        precise: bool = flag("precise", "look at the clock for the last 100 us before each send");
        busy_poll: bool = BUSY_POLL;
        floor: bool = flag("floor", "measure this host over loopback first, and show that beside");
    }
}

pub(super) const BUSY_POLL: Opt<bool> =
    flag("busy-poll", "look for bytes all the time instead of sleeping; costs a core");

options! {
    /// The echo client's other way.
    Message "One message" {
        message: Option<String> = text(
            "message",
            "TEXT",
            "send TEXT once, print what came back, exit; writes no files",
        );
    }
}

/// `1,100,200`, or `1K,2K` where all are whole.
fn listed(sizes: &[usize]) -> String {
    let kibibytes = sizes.iter().all(|size| size.is_multiple_of(1 << 10));
    let text = |size: &usize| {
        if kibibytes { format!("{}K", size >> 10) } else { size.to_string() }
    };
    sizes.iter().map(text).collect::<Vec<_>>().join(",")
}

options! {
    /// What the measurement protocol measures.
    Series "Series" {
        kind: Option<String> = choice(
            "type",
            "TYPE",
            &["rtt", "ttput"],
            "rtt for round-trip times alone, ttput for throughput alone (default: both)",
        );
        sizes: Option<Box<[usize]>> = sizes("size", 1, MAX_SIZE, "payload sizes (default: {})")
            .short('s')
            .defined(|| {
                format!("rtt {}; ttput {}", listed(&ROUND_TRIP_SIZES), listed(&THROUGHPUT_SIZES))
            });
        probes: u64 = number("probes", 1, MAX_PROBES, "probes of each size")
            .short('c')
            .default("10");
        server_delay: Duration = seconds_up_to(
            "server-delay",
            MAX_DELAY,
            "what the server waits before each echo, up to 3h",
        )
        .default("0");
        timeout: Duration = seconds(
            "timeout",
            "time to connect and for each reply, the server's delay not counted",
        )
        .short('W')
        .default("5.0");
    }
}

options! {
    /// What a report shows, and where.
    ReportOutput "Output" {
        labels: Vec<String> = text(
            "label",
            "NAME",
            "what to call the file, repeatable: the first is for the first file",
        )
        .repeatable();
        html: Option<PathBuf> =
            file("html", "FILE", "write the report as one self-contained page as well");
        json: bool = flag("json", "print one JSON object instead of tables and plots");
    }
}

options! {
    /// What pings are.
    Pings "Pings" {
        timeout: Duration = seconds("timeout", "age at which a ping is lost, connecting included")
            .short('W')
            .default("1.0");
        connect: bool = flag("connect", "time the TCP handshake alone; any open port will do");
        flows: usize = number(
            "flows",
            1,
            MAX_FLOWS,
            "with --connect: pings from so many local ports in each interval, 1 to 256",
        )
        .default("1");
        source_ports: Option<RangeInclusive<u16>> = SOURCE_PORTS;
        all_addresses: bool = flag("all-addresses", "ping every address of the name in turn");
        re_resolve: Option<u64> = number(
            "re-resolve",
            1,
            u64::MAX,
            "look the name up again after N failures in a row",
        );
    }
}

options! {
    /// What test packets are.
    TestPackets "Test packets" {
        timeout: Duration = seconds(
            "timeout",
            "age at which a packet is lost, and patience with the control connection",
        )
        .short('W')
        .default("2.0");
        padding: usize = bytes(
            "padding",
            0,
            MAX_PADDING,
            "bytes after the 14 of a test packet; below 27 replies are longer than packets",
        )
        .default("27");
        light: bool =
            flag("light", "no control connection: a TWAMP Light or STAMP reflector on UDP PORT");
        test_ports: Option<RangeInclusive<u16>> = ports(
            "test-ports",
            "UDP ports to send from (default: any free one), and to ask the reflector for \
             (default: {})",
        )
        .defined(|| format!("{}-{}", TEST_PORTS.start(), TEST_PORTS.end()));
        send_result: bool = flag("send-result", "tell the reflector the result, for its log");
        start_delay: Duration = seconds_or_zero(
            "start-delay",
            "wait before the first packet, for a reflector that opens its port late",
        )
        .default("0");
        stamp_tlv: Vec<String> = choice(
            "stamp-tlv",
            "NAME",
            &["all", "padding", "location", "timestamp", "cos", "direct", "access", "telemetry"],
            "with --light: ask for this extension of RFC 8972, repeatable: all, padding, \
             location, timestamp, cos, direct, access, telemetry",
        )
        .repeatable();
    }
}

options! {
    /// Which silences are tried.
    Gaps "Gaps" {
        from: Duration = seconds("from", "shortest gap of the first round").default("10");
        to: Duration =
            seconds("to", "longest gap; the first round doubles up to it").default("1h");
        precision: Option<Duration> = seconds(
            "precision",
            "how closely the limit is bracketed (default: 1 % of it, but no closer than 1 s)",
        );
        parallel: usize = number(
            "parallel",
            1,
            MAX_PARALLEL,
            "connections at once, 1 to 62; more take fewer rounds",
        )
        .default("24");
        timeout: Duration = seconds(
            "timeout",
            "time to connect, and time without an answer after which a connection is forgotten",
        )
        .short('W')
        .default("5.0");
        from_server: bool = flag(
            "from-server",
            "after each gap the server speaks first: PORT is our own server measure's (9900)",
        );
        keepalive: Option<Duration> = seconds(
            "keepalive",
            "whether TCP keep-alive this often holds a connection that says nothing else",
        );
        no_verify: bool =
            flag("no-verify", "advise the keep-alive interval without trying it first");
        json: bool = flag("json", "print one JSON object instead of lines and summary");
    }
}

options! {
    /// What of a capture is looked at, and with what it is compared.
    Captured "Capture" {
        port: Option<u16> = number("port", 1, 65535, "connections with this port alone");
        csv: Option<PathBuf> =
            file("csv", "TIMINGS", "the client's own file, to be compared packet by packet");
        csv_out: Option<PathBuf> =
            file("csv-out", "FILE", "with --csv: write what both say of each packet there");
        peer: Option<PathBuf> =
            file("peer", "CAPTURE", "the same traffic captured at the other end");
        slowest: usize = number(
            "slowest",
            0,
            100_000,
            "requests that are told one by one, the slowest first",
        )
        .default("10");
        json: bool = flag("json", "print one JSON object instead of lines and summary");
    }
}

options! {
    /// Whose way is asked for, and how.
    Route "Path" {
        flows: usize =
            number("flows", 1, MAX_FLOWS, "ways of so many source ports, 1 to 256").default("1");
        source_ports: Option<RangeInclusive<u16>> = SOURCE_PORTS;
        bad: Vec<u16> = number(
            "bad",
            1,
            65535,
            "source port of a bad flow, repeatable: by whom do these go, and no other?",
        )
        .repeatable();
        max_hops: usize = number("max-hops", 1, 255, "hops that are asked at most").default("30");
        count: u16 = number("count", 1, 1000, "how often each hop is asked").short('c').default("3");
        mtu: bool = flag("mtu", "find the largest packet that passes, each way");
        names: bool = flag("names", "look up the names of those who answer");
        timeout: Duration =
            seconds("timeout", "time for the target, and longest for a hop, to answer")
                .short('W')
                .default("1.0");
        json: bool = JSON;
    }
}
