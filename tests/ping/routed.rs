//! Two hosts and a router between them, in network namespaces of their own, IPv4
//! and IPv6. All of it goes when a test ends, however it ends.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Ended, Process, Scratch, Server, eventually, have, root};

/// The router's addresses on the client's side.
pub(crate) const ROUTER: [&str; 2] = ["10.207.1.254", "fd07:1::fe"];
/// The client's own.
pub(crate) const CLIENT: [&str; 2] = ["10.207.1.1", "fd07:1::1"];
/// The server's.
pub(crate) const SERVER: [&str; 2] = ["10.207.2.1", "fd07:2::1"];
/// A network that no route leads to, unless a test adds one.
pub(crate) const NOWHERE: [&str; 2] = ["10.207.9.1", "fd07:9::1"];

/// Which of the three.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Host {
    Client,
    Router,
    Server,
}

/// Who runs the client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum User {
    Root,
    Nobody,
}

pub(crate) const USERS: [User; 2] = [User::Root, User::Nobody];

/// Our ping server beyond a router.
pub(crate) struct Routed {
    names: [String; 3],
    binary: PathBuf,
    server: Option<Server>,
    /// Holds the binary: the build directory may be closed to others.
    _scratch: Scratch,
}

impl Routed {
    /// With a server that loses nothing, reachable over both families.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !(root() && have("ip") && have("nft") && have("setpriv")) {
            return None;
        }
        let set = format!("et{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let names = ["c", "r", "s"].map(|end| format!("{set}{end}"));
        let scratch = Scratch::new();
        let binary = scratch.path().join("echotest");
        std::fs::copy(env!("CARGO_BIN_EXE_echotest"), &binary).expect("a copy of the binary");
        let mut routed = Self { names, binary, server: None, _scratch: scratch };
        routed.build();
        let mut server = routed.inside(Host::Server, User::Root);
        routed.server = Some(Server::from(server.args(["server", "ping", "--loss", "0"])));
        for address in SERVER {
            eventually("the server can be reached", || routed.ping(User::Root, &[address]).0 == 0);
        }
        Some(routed)
    }

    fn build(&self) {
        let [client, router, server] = &self.names;
        for name in &self.names {
            ip(&["netns", "add", name], "");
            // Addresses are there at once, and no error is held back. A kernel
            // without one of these needs it less.
            shell(
                name,
                "for setting in ipv4/ip_forward=1 ipv6/conf/all/forwarding=1 \
                 ipv6/conf/all/accept_dad=0 ipv6/conf/default/accept_dad=0 \
                 ipv4/icmp_ratelimit=0 ipv6/icmp/ratelimit=0 ipv4/icmp_msgs_per_sec=100000 \
                 ipv4/icmp_msgs_burst=10000; \
                 do echo ${setting#*=} > /proc/sys/net/${setting%=*} || true; done 2>/dev/null",
            );
        }
        for (host, end) in [(client, "c"), (server, "s")] {
            let link = ["link", "add", "eth0", "type", "veth", "peer", "name", end, "netns"];
            ip(&[&["-n", host], &link[..], &[router]].concat(), "");
        }
        for (host, side) in [(Host::Client, 1), (Host::Server, 2)] {
            self.ip(
                host,
                &format!(
                    "link set lo up\nlink set eth0 up\naddr add 10.207.{side}.1/24 dev eth0\n\
                     addr add fd07:{side}::1/64 dev eth0 nodad\n\
                     route add default via 10.207.{side}.254\n\
                     route add default via fd07:{side}::fe\n"
                ),
            );
        }
        let side = |side: u32, link: &str| {
            format!(
                "link set {link} up\naddr add 10.207.{side}.254/24 dev {link}\n\
                 addr add fd07:{side}::fe/64 dev {link} nodad\n"
            )
        };
        self.ip(Host::Router, &format!("link set lo up\n{}{}", side(1, "c"), side(2, "s")));
    }

    fn name(&self, host: Host) -> &str {
        &self.names[host as usize]
    }

    /// Settings of a host, one a line, as `ip -batch` reads them.
    pub(crate) fn ip(&self, host: Host, lines: &str) {
        ip(&["-n", self.name(host), "-batch", "-"], lines);
    }

    /// The same for IPv6, where the lines do not say it.
    pub(crate) fn ip6(&self, host: Host, lines: &str) {
        ip(&["-6", "-n", self.name(host), "-batch", "-"], lines);
    }

    /// A rule of a host's firewall: in `hook`, at `priority`, nothing else.
    pub(crate) fn rule(&self, host: Host, hook: &str, rule: &str) {
        let kind = if hook == "output" { "route" } else { "filter" };
        let table = format!(
            "table inet test {{\nchain only {{\ntype {kind} hook {hook} priority -150\n{rule}\n}}\n}}\n"
        );
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(host), "nft", "-f", "-"]);
        feed(&mut command, &format!("table inet test {{}}\ndelete table inet test\n{table}"));
    }

    /// The binary, run on `host` by `user`.
    pub(crate) fn inside(&self, host: Host, user: User) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(host)]);
        if user == User::Nobody {
            command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg("--bounding-set=-all");
        }
        command.arg(&self.binary);
        command
    }

    /// A client that pings with these arguments and writes no files.
    pub(crate) fn start(&self, user: User, arguments: &[&str]) -> Process {
        let mut command = self.inside(Host::Client, user);
        Process::start(command.args(["ping", "--no-files", "-c", "1"]).args(arguments))
    }

    /// One ping: exit status, and what it printed of it.
    pub(crate) fn ping(&self, user: User, arguments: &[&str]) -> (i32, String) {
        outcome(&self.start(user, arguments).finish())
    }
}

/// The exit status of a single ping, and what it printed of it.
pub(crate) fn outcome(ended: &Ended) -> (i32, String) {
    let line = ended.stdout.lines().find(|line| line.contains("acket 1 "));
    (ended.status, line.unwrap_or_else(|| panic!("no ping in {ended:?}")).to_owned())
}

impl Drop for Routed {
    fn drop(&mut self) {
        drop(self.server.take());
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

fn shell(name: &str, script: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name, "sh", "-c", script]);
    assert!(command.status().expect("ip").success(), "{script}");
}

fn ip(arguments: &[&str], input: &str) {
    feed(Command::new("ip").args(arguments), input);
}

/// Runs `command` with `input`; it must succeed.
fn feed(command: &mut Command, input: &str) {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("a process");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    assert!(child.wait().expect("its end").success(), "{command:?}: {input}");
}
