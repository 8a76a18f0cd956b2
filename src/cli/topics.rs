//! What else the binary explains on a host without its README: `echotest help TOPIC`,
//! and the same texts as sections of the manual.

/// Terms and what they mean.
pub(super) type Terms = &'static [(&'static str, &'static str)];

/// Something to be explained.
pub(super) struct Topic {
    /// What it is asked for by, and the manual's heading.
    pub(super) name: &'static str,
    pub(super) terms: Terms,
}

/// All of them, in the manual's order.
pub(super) const TOPICS: [Topic; 12] = [
    Topic { name: "status", terms: &STATUSES },
    Topic { name: "environment", terms: &ENVIRONMENT },
    Topic { name: "signals", terms: &SIGNALS },
    Topic { name: "files", terms: &FILES },
    Topic { name: "figures", terms: &FIGURES },
    Topic { name: "causes", terms: &CAUSES },
    Topic { name: "ping", terms: &PING },
    Topic { name: "twamp", terms: &TWAMP },
    Topic { name: "captures", terms: &CAPTURES },
    Topic { name: "services", terms: &SERVICES },
    Topic { name: "security", terms: &SECURITY },
    Topic { name: "examples", terms: &EXAMPLES },
];

/// The topic of this name.
pub(super) fn find(name: &str) -> Option<&'static Topic> {
    const ALL: &[Topic] = &TOPICS;
    ALL.iter().find(|topic| topic.name == name)
}

/// Columns of a line, and before what a term means.
const WIDTH: usize = 80;
const INDENT: &str = "    ";

/// A topic for the terminal.
pub(super) fn text(topic: &Topic) -> String {
    let mut text = String::new();
    for (term, meaning) in topic.terms {
        put!(text, "{term}\n{INDENT}");
        let mut width = INDENT.len();
        for word in meaning.split(' ') {
            if width + 1 + word.len() > WIDTH {
                put!(text, "\n{INDENT}");
                width = INDENT.len();
            } else if width > INDENT.len() {
                text.push(' ');
                width += 1;
            }
            width += word.len();
            text.push_str(word);
        }
        text.push('\n');
    }
    text
}

const CAUSES: [(&str, &str); 9] = [
    (
        "slow packets",
        "Those above the median by a quarter of it, and by 1 ms at least, or above --slow. A cause \
         stands on what was seen of that very packet (time stamps of the kernel, acknowledgements, \
         counters), or it is unknown.",
    ),
    ("outbound_loss", "Lost on the way out, and sent again."),
    ("inbound_loss", "Its reply, or that reply's acknowledgement, was lost on the way back."),
    (
        "peer",
        "The peer's kernel had acknowledged it, and its program did not answer. Below the 40 ms of \
         a delayed acknowledgement that cannot be told from the path.",
    ),
    ("path", "Nothing was lost, and departure to arrival took longer; which way is unknown."),
    ("window", "It waited for the peer's window (its program does not read) or for the path's."),
    ("here_sending, here_receiving", "This host sent it late, or this program read it late."),
    ("held up", "It came with the slow packet in front of it, whose cause it shares."),
    (
        "survived, forgotten, dead_ports",
        "What became of a connection in an outage: it went on; something on the path had lost it, \
         as a fresh one from the same port is answered; or this port's way alone is dead.",
    ),
];

/// Why a ping has no answer.
const PING: [(&str, &str); 8] = [
    (
        "timed out",
        "Nothing came: a firewall drops it, or the host is down, which its last router says after \
         some 3 s (-W 5).",
    ),
    ("connection refused", "A reset: nothing listens there, or a firewall rejects."),
    ("ICMP 3/0, 3/1", "No route; the last router finds no such host. ICMPv6 1/0, 1/3."),
    ("ICMP 3/2, 3/3", "Protocol or port unreachable: mostly a firewall. ICMPv6 1/4."),
    ("ICMP 3/9, 3/10, 3/13", "Prohibited by a firewall. ICMPv6 1/1, 1/5."),
    ("ICMP 3/4", "A link is too narrow: fragmentation needed. ICMPv6 2/0."),
    ("ICMP 11/0", "Too many hops, mostly a routing loop. ICMPv6 3/0."),
    (
        "who sent it",
        "Known while connecting; of a connection that stands only with CAP_NET_RAW (setcap \
         cap_net_raw+ep echotest).",
    ),
];

/// What the figures of two-way active measurement mean.
const TWAMP: [(&str, &str); 4] = [
    ("rtt", "Without the time for which the reflector says that it held the packet."),
    (
        "outbound, inbound",
        "Differences of two clocks, true as far as both are synchronised. Where they are not: what \
         packets took above the smallest of their way. How the smallest round trip divides nobody \
         can know; the clocks' offset is told within half of it.",
    ),
    (
        "lost outbound, inbound",
        "By the reflector's own numbers; unknown where it copies ours, or where nothing came after \
         a loss.",
    ),
    ("hops", "By the time to live, which begins at 255."),
];

const CAPTURES: [(&str, &str); 4] = [
    (
        "tcpdump -i any -s 128 -w run.pcap tcp port 7",
        "At the client, while it measures. Then: echotest analyze run.pcap --csv …_timings.csv",
    ),
    (
        "--csv TIMINGS",
        "What each packet took on the wire, and what this host added; --csv-out keeps it.",
    ),
    ("--peer CAPTURE", "The same seen from the other end: which way lost or delayed a packet."),
    (
        "differences to Wireshark",
        "Bytes that the capture has seen before are sent again, not out of order; the sum of both \
         is the same.",
    ),
];

const SERVICES: [(&str, &str); 4] = [
    (
        "xinetd",
        "service echo { type = UNLISTED; port = 7; socket_type = stream; wait = no; user = nobody; \
         server = /usr/local/bin/echotest; server_args = server --inetd }",
    ),
    (
        "systemd",
        "A socket unit (ListenStream=7) and a service with ExecStart=/usr/local/bin/echotest \
         server: passed sockets are taken, and readiness and stopping are told.",
    ),
    (
        "by hand",
        "echotest server --port 7007 --daemon --pid-file FILE --log-file FILE; over SSH: ssh -t.",
    ),
    ("a client for weeks", "echotest client HOST --retry -q --rotate 1d --keep 30 --log-dir DIR"),
];

const SECURITY: [(&str, &str); 4] = [
    (
        "who is served",
        "Everybody who reaches the port: keep others off with --allow or a firewall. Nothing is \
         authenticated or encrypted.",
    ),
    (
        "rights",
        "Once it listens a server is nobody, or --user; it has no capability and opens no file but \
         its log and its pid file.",
    ),
    ("bounds", "Per host (IPv6: one /64) and in all: --max-clients, --max-per-host, memory, log."),
    (
        "amplification",
        "No datagram is answered with more bytes than came but for the 41 of a reply, and none \
         from ports below 1024 but 862.",
    ),
];

const STATUSES: [(&str, &str); 3] = [
    ("0", "At least one reply came; a server stopped as asked."),
    ("1", "No reply came, or a threshold was exceeded."),
    (
        "2",
        "Anything else: a bad option, a name that does not resolve, a file that cannot be read or \
         written, rows that could not be stored.",
    ),
];

const ENVIRONMENT: [(&str, &str); 4] = [
    ("RUST_LOG", "What is logged, in place of -v and -q."),
    ("NO_COLOR", "If set, there is no colour and no line is drawn anew."),
    ("COLUMNS", "The width of a report; the terminal's if not set, else 80."),
    ("LC_ALL, LC_CTYPE, LANG", "Where the first that is set is not UTF-8, plots are ASCII."),
];

/// What a running command does when it is told to.
const SIGNALS: [(&str, &str); 5] = [
    (
        "SIGINT, SIGTERM",
        "The run ends with its summary, and rows that are under way are written; a second one \
         leaves at once, with exit status 2.",
    ),
    ("SIGHUP", "The same, as the terminal has gone; a server opens its log file anew."),
    (
        "SIGUSR1",
        "The run's files are opened anew: rows go on in a new file where the old one was moved \
         away.",
    ),
    ("SIGQUIT", "Ctrl-\\ shows the summary so far, and the run goes on."),
    ("SIGPIPE, SIGXFSZ", "Ignored: what cannot be written is told, and measuring goes on."),
];

/// What a run leaves.
const FILES: [(&str, &str); 4] = [
    (
        "logs/echo_client_YYYYMMDD_HHMMSS_timings.csv",
        "A row for each packet: packet_num, timestamp (RFC 3339, UTC), send_time_ns and \
         receive_time_ns (nanoseconds since 1970, whose difference is exactly the round trip by \
         the monotonic clock), rtt_us. The last two are empty for a packet that was lost. Further \
         columns follow with --tcp-info, --timestamps, --explain and --flows.",
    ),
    (
        "logs/echo_client_YYYYMMDD_HHMMSS.log",
        "Lost packets, drops and outages with their causes, and the summary.",
    ),
    (
        "--json, on standard output",
        "One object, also of a run that came to nothing: host, address, start, duration_s, config, \
         packets (sent, received, lost, late, corrupt, skipped, loss_percent), rtt_us (min, mean, \
         max, stddev, p50 to p99_9, jitter), response_us (from due time), send_lateness_us, \
         connections, tcp, slow (with causes), events, drops_by, addresses, flows, targets, \
         comparisons, findings, manifest, not_recorded, files; error says why a run ended.",
    ),
    ("FILE of --metrics", "Counters and a histogram for Prometheus, replaced as a whole."),
];

/// What the words of a summary mean.
const FIGURES: [(&str, &str); 8] = [
    ("rtt", "The round trip of one packet, from just before it is sent to just after it is read."),
    ("p50, p90, p99, p99.9", "Percentiles by nearest rank."),
    ("jitter", "The mean difference of neighbouring round trips; across a loss there is none."),
    ("lost", "Packets without a reply when their connection or the run had ended."),
    ("late", "Packets whose reply came after the timeout."),
    ("corrupt", "Packets whose reply was not what had been sent."),
    ("retransmissions", "Segments that the kernel sent again; such a packet is slow and not lost."),
    ("drop, outage", "A connection that ended before its time; a time without any answer."),
];

/// What is typed most.
const EXAMPLES: [(&str, &str); 5] = [
    ("echotest server --port 7007", "Answers, until Ctrl-C."),
    ("echotest client 10.0.0.1 7007 -i 0.1 -w 60", "Ten packets a second for a minute."),
    (
        "echotest client 10.0.0.1 7007 --against 10.1.0.1:7007",
        "Two paths on one schedule, compared round by round.",
    ),
    ("echotest report a_timings.csv b_timings.csv --html page.html", "Two runs compared."),
    ("tcpdump -w - tcp port 7007 | echotest analyze -", "A capture explained, after Ctrl-C."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_fits_the_terminal_and_is_found() {
        for topic in &TOPICS {
            let text = text(find(topic.name).unwrap());
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= WIDTH, "{}: {longest}", topic.name);
        }
        assert!(find("nothing").is_none());
    }
}
