//! Names with several addresses, and names that change: over a hosts file that
//! only the client sees.

use std::path::PathBuf;
use std::process::Command;

use crate::common::{Process, Scratch, Server, echotest, eventually, have, root};
use crate::routed::{Host, NOWHERE, Routed, SERVER, User};

/// A hosts file in place of the system's, for one command.
struct Hosts(Scratch);

impl Hosts {
    fn new() -> Option<Self> {
        (root() && have("unshare")).then(|| Self(Scratch::new()))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("hosts")
    }

    /// The name `many.test` has these addresses from now on.
    fn set(&self, addresses: &[&str]) {
        let line = |address: &&str| format!("{address} many.test\n");
        let text: String = addresses.iter().map(line).collect();
        // In place: the client sees this file, not its name.
        std::fs::write(self.path(), text).expect("a hosts file");
    }

    /// `command` with this file.
    fn seen_by(&self, command: &Command) -> Command {
        let mut inside = Command::new("unshare");
        inside.args(["-m", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
        inside.arg(self.path()).arg(command.get_program()).args(command.get_args());
        inside
    }

    /// Our client, pinging the name.
    fn client(&self, port: &str, arguments: &[&str]) -> Process {
        let mut command = echotest();
        command.args(["ping", "many.test", port, "--no-files"]).args(arguments);
        Process::start(&mut self.seen_by(&command))
    }
}

fn server(address: &str) -> Server {
    let mut command = echotest();
    Server::from(command.args(["server", "ping", "--loss", "0", "-p", "0", "--bind", address]))
}

#[test]
fn every_address_of_a_name_is_pinged_in_turn() {
    let Some(hosts) = Hosts::new() else { return };
    hosts.set(&["127.0.0.2", "127.0.0.3"]);
    let server = server("127.0.0.3");
    let ended =
        hosts.client(&server.port(), &["--all-addresses", "-c", "6", "-i", "0.02"]).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    let refused = " to 127.0.0.2 lost: connection refused";
    assert_eq!(ended.stdout.matches(refused).count(), 3, "{ended:?}");
    assert_eq!(ended.stdout.matches(" to 127.0.0.3 is ").count(), 3, "{ended:?}");
    assert!(ended.stdout.contains("3 received, 3 lost"), "{ended:?}");
    let header = ended.stdout.lines().next().unwrap();
    assert!(header.contains("name looked up in "), "{header}");
    assert_eq!(ended.stdout.matches("looked up").count(), 1, "{ended:?}");
}

#[test]
fn an_address_that_refuses_gives_way_to_the_next_within_the_same_ping() {
    let Some(hosts) = Hosts::new() else { return };
    hosts.set(&["127.0.0.2", "127.0.0.3"]);
    let server = server("127.0.0.3");
    let ended = hosts.client(&server.port(), &["-c", "4", "-i", "0.02"]).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.stdout.matches(" to 127.0.0.3 is ").count(), 4, "{ended:?}");
}

#[test]
fn an_address_that_is_dead_costs_the_pings_of_one_time_out() {
    let (Some(hosts), Some(routed)) = (Hosts::new(), Routed::new()) else { return };
    routed.ip(Host::Router, "route add blackhole 10.207.9.0/24");
    for addresses in [[NOWHERE[0], SERVER[0]], [SERVER[0], NOWHERE[0]]] {
        hosts.set(&addresses);
        let mut command = routed.inside(Host::Client, User::Root);
        command.args(["ping", "many.test", "--no-files", "-c", "8", "-i", "0.2", "-W", "0.5"]);
        let ended = Process::start(&mut hosts.seen_by(&command)).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
        let lost = ended.stdout.matches(" to 10.207.9.1 lost: timed out").count();
        let received = ended.stdout.matches(" to 10.207.2.1 is ").count();
        assert_eq!(lost + received, 8, "{ended:?}");
        assert!(lost <= 4, "{ended:?}");
        // Once found, it is kept to.
        let end = ended.stdout.rfind(" lost: ").unwrap_or(0);
        assert!(ended.stdout[end..].contains("of packet 8 to 10.207.2.1 is "), "{ended:?}");
    }
}

#[test]
fn a_name_is_looked_up_again_after_failures() {
    let Some(hosts) = Hosts::new() else { return };
    hosts.set(&["127.0.0.2"]);
    let server = server("127.0.0.3");
    let process = hosts.client(&server.port(), &["--re-resolve", "3", "-i", "0.02"]);
    let steady = hosts.client(&server.port(), &["-i", "0.02"]);
    for one in [&process, &steady] {
        eventually("pings fail", || one.stdout().contains("Packet 5 lost"));
    }
    hosts.set(&["127.0.0.3"]);
    eventually("the new address is pinged", || process.stdout().contains("Response received"));
    process.signal("INT");
    let ended = process.finish();
    assert!(ended.status == 0 && ended.stderr.contains("the name now leads to"), "{ended:?}");
    steady.signal("INT");
    let ended = steady.finish();
    assert!(ended.status == 1 && !ended.stdout.contains("Response received"), "{ended:?}");
}
