//! What the network says of a ping that fails: the exact line, the time until it
//! was known, the exit status, for root and for an ordinary user.

use std::thread;

use crate::common::{Process, eventually};
use crate::routed::{CLIENT, Host, NOWHERE, ROUTER, Routed, SERVER, USERS, User, outcome};

/// Far below any time-out, far above what a busy machine needs.
const AT_ONCE: f64 = 700.0;

/// A lost ping's reason and the milliseconds until it was known.
fn lost((status, line): &(i32, String)) -> (&str, f64) {
    assert_eq!(*status, 1, "{line}");
    let told = line.strip_prefix("Packet 1 lost: ").and_then(|rest| rest.rsplit_once("; "));
    let (reason, after) = told.unwrap_or_else(|| panic!("no loss: {line}"));
    let after = after.strip_prefix("known after ").or(after.strip_prefix("RTT "));
    let number = after.and_then(|after| after.strip_suffix(" ms")?.parse().ok());
    (reason, number.unwrap_or_else(|| panic!("no time: {line}")))
}

/// Both users lose their ping to `address` for `reason`, and know it at once.
fn is_told(routed: &Routed, address: &str, reason: &str) {
    for user in USERS {
        let outcome = routed.ping(user, &[address, "-W", "5"]);
        let (told, after) = lost(&outcome);
        assert_eq!(told, reason, "{user:?}");
        assert!(after < AT_ONCE, "{user:?}: {outcome:?}");
    }
}

/// Both users lose their ping to `address` without a word.
fn times_out(routed: &Routed, address: &str) {
    for user in USERS {
        let outcome = routed.ping(user, &[address, "-W", "0.3"]);
        let (told, after) = lost(&outcome);
        assert_eq!(told, "timed out", "{user:?}");
        assert!((299.0..AT_ONCE).contains(&after), "{user:?}: {outcome:?}");
    }
}

// The kernel sends five such errors to one peer and then one a second, so each
// kind has a router of its own.
#[test]
fn a_router_with_an_unreachable_route_is_named() {
    let Some(routed) = Routed::new() else { return };
    let [v4, v6] = ROUTER;
    // The second has no route there at all.
    is_told(
        &routed,
        NOWHERE[0],
        &format!("Destination Network Unreachable, from {v4} (ICMP type 3 code 0)"),
    );
    routed
        .ip(Host::Router, "route add unreachable 10.207.9.0/24\nroute add unreachable fd07:9::/64");
    is_told(
        &routed,
        NOWHERE[0],
        &format!("Destination Host Unreachable, from {v4} (ICMP type 3 code 1)"),
    );
    is_told(
        &routed,
        NOWHERE[1],
        &format!("Destination Network Unreachable (no route), from {v6} (ICMPv6 type 1 code 0)"),
    );
}

#[test]
fn a_router_that_prohibits_is_named_and_a_blackhole_is_silence() {
    let Some(routed) = Routed::new() else { return };
    let [v4, v6] = ROUTER;
    routed.ip(Host::Router, "route add prohibit 10.207.9.0/24\nroute add prohibit fd07:9::/64");
    is_told(
        &routed,
        NOWHERE[0],
        &format!("communication administratively prohibited, from {v4} (ICMP type 3 code 13)"),
    );
    is_told(
        &routed,
        NOWHERE[1],
        &format!("communication administratively prohibited, from {v6} (ICMPv6 type 1 code 1)"),
    );
    routed.ip(
        Host::Router,
        "route replace blackhole 10.207.9.0/24\nroute replace blackhole fd07:9::/64",
    );
    for address in NOWHERE {
        times_out(&routed, address);
    }
}

#[test]
fn routes_of_this_host_itself_are_told_as_its_own() {
    let Some(routed) = Routed::new() else { return };
    for (kind, reason) in [
        ("unreachable", "No route to host (os error 113)"),
        ("prohibit", "Permission denied (os error 13), a route or rule of its own prohibits it"),
        (
            "blackhole",
            "Invalid argument (os error 22), by a blackhole route or a source address that does \
             not fit",
        ),
    ] {
        routed.ip(
            Host::Client,
            &format!("route replace {kind} 10.207.9.0/24\nroute replace {kind} fd07:9::/64"),
        );
        for address in NOWHERE {
            is_told(&routed, address, &format!("this host could not send: {reason}"));
        }
    }
    routed.ip(Host::Client, "route del default\nroute del default via fd07:1::fe");
    routed.ip(Host::Client, "route del blackhole 10.207.9.0/24\nroute del blackhole fd07:9::/64");
    for address in NOWHERE {
        let reason = "this host could not send: Network is unreachable (os error 101)";
        is_told(&routed, address, reason);
    }
}

#[test]
fn each_way_of_a_firewall_to_reject_has_its_line() {
    let Some(routed) = Routed::new() else { return };
    for (place, kind, reason) in [
        (0, "net-unreachable", "Destination Network Unreachable, from R (ICMP type 3 code 0)"),
        (0, "host-unreachable", "Destination Host Unreachable, from R (ICMP type 3 code 1)"),
        (0, "prot-unreachable", "Destination Protocol Unreachable, from R (ICMP type 3 code 2)"),
        (0, "port-unreachable", "Destination Port Unreachable, from R (ICMP type 3 code 3)"),
        (
            0,
            "net-prohibited",
            "destination network administratively prohibited, from R (ICMP type 3 code 9)",
        ),
        (
            0,
            "host-prohibited",
            "destination host administratively prohibited, from R (ICMP type 3 code 10)",
        ),
        (
            0,
            "admin-prohibited",
            "communication administratively prohibited, from R (ICMP type 3 code 13)",
        ),
        (
            1,
            "no-route",
            "Destination Network Unreachable (no route), from R (ICMPv6 type 1 code 0)",
        ),
        (
            1,
            "admin-prohibited",
            "communication administratively prohibited, from R (ICMPv6 type 1 code 1)",
        ),
        (
            1,
            "addr-unreachable",
            "Destination Host Unreachable (address unreachable), from R (ICMPv6 type 1 code 3)",
        ),
        (1, "port-unreachable", "Destination Port Unreachable, from R (ICMPv6 type 1 code 4)"),
        (
            1,
            "policy-fail",
            "administratively prohibited (source address failed a policy), from R (ICMPv6 type 1 \
             code 5)",
        ),
        (
            1,
            "reject-route",
            "Destination Network Unreachable (reject route), from R (ICMPv6 type 1 code 6)",
        ),
    ] {
        let protocol = ["icmp", "icmpv6"][place];
        let rule = format!("tcp dport 12001 reject with {protocol} type {kind}");
        routed.rule(Host::Router, "forward", &rule);
        is_told(&routed, SERVER[place], &reason.replace('R', ROUTER[place]));
    }
    routed.rule(Host::Router, "forward", "tcp dport 12001 drop");
    for address in SERVER {
        times_out(&routed, address);
    }
}

#[test]
fn a_reset_is_a_refusal_with_its_round_trip() {
    const REFUSED: &str = "connection refused: the host answers, nothing listens on this port";
    let Some(routed) = Routed::new() else { return };
    for address in SERVER {
        for (user, more) in USERS.iter().zip([&[][..], &["--connect"]]) {
            let outcome = routed.ping(*user, &[&[address, "9", "-W", "5"], more].concat());
            assert_eq!(lost(&outcome).0, REFUSED);
            assert!(outcome.1.contains("port; RTT "), "{outcome:?}");
            assert!(lost(&outcome).1 < AT_ONCE, "{outcome:?}");
        }
    }
    routed.rule(Host::Router, "forward", "tcp dport 12001 reject with tcp reset");
    for address in SERVER {
        is_told(&routed, address, REFUSED);
    }
}

#[test]
fn a_hop_too_many_is_told_by_the_router_at_which_it_ended() {
    let Some(routed) = Routed::new() else { return };
    routed.rule(
        Host::Client,
        "output",
        "tcp dport 12001 ip ttl set 1; tcp dport 12001 ip6 hoplimit set 1",
    );
    let [v4, v6] = ROUTER;
    is_told(&routed, SERVER[0], &format!("TTL exceeded, from {v4} (ICMP type 11 code 0)"));
    is_told(
        &routed,
        SERVER[1],
        &format!("TTL exceeded (hop limit), from {v6} (ICMPv6 type 3 code 0)"),
    );
}

#[test]
fn a_dead_host_on_the_link_is_known_when_nobody_answered_for_its_address() {
    let Some(routed) = Routed::new() else { return };
    // A host for each user: the kernel's error may miss one of two that wait for
    // the same neighbour, and its next comes only with the next three questions.
    thread::scope(|scope| {
        for (host, user) in (77..).zip(USERS) {
            for (side, [v4, v6]) in (1..).zip([CLIENT, ROUTER]) {
                let told4 = format!("Destination Host Unreachable, from {v4} (ICMP type 3 code 1)");
                let told6 = format!(
                    "Destination Host Unreachable (address unreachable), from {v6} (ICMPv6 type 1 \
                     code 3)"
                );
                for (address, reason) in [
                    (format!("10.207.{side}.{host}"), told4),
                    (format!("fd07:{side}::{host}"), told6),
                ] {
                    let routed = &routed;
                    scope.spawn(move || {
                        let outcome = routed.ping(user, &[&address, "-W", "20"]);
                        let (told, after) = lost(&outcome);
                        assert_eq!(told, reason, "{user:?}");
                        assert!((1000.0..19_000.0).contains(&after), "{outcome:?}");
                    });
                }
            }
        }
    });
}

// --- On a connection that stands ---

/// Only packets with bytes in them: the handshake gets through.
const REQUESTS: &str = "tcp dport 12001 tcp flags & psh == psh";

#[test]
fn a_route_that_goes_in_mid_stream_is_told_with_its_router_to_root() {
    let Some(routed) = Routed::new() else { return };
    let both = "rule add fwmark 1 table 100\nroute add unreachable default table 100";
    routed.ip(Host::Router, both);
    routed.ip6(Host::Router, both);
    routed.rule(Host::Router, "prerouting", &format!("{REQUESTS} meta mark set 1"));
    let [v4, v6] = ROUTER;
    for (address, reason) in SERVER.into_iter().zip([
        format!("Destination Host Unreachable, from {v4} (ICMP type 3 code 1)"),
        format!("Destination Network Unreachable (no route), from {v6} (ICMPv6 type 1 code 0)"),
    ]) {
        let outcome = routed.ping(User::Root, &[address, "-W", "0.5"]);
        assert_eq!(lost(&outcome).0, format!("timed out; meanwhile: {reason}"));
    }
}

#[test]
fn an_ordinary_user_learns_in_mid_stream_what_the_kernel_was_told() {
    let Some(routed) = Routed::new() else { return };
    let rule = format!("{REQUESTS} reject with icmpx type host-unreachable");
    routed.rule(Host::Router, "forward", &rule);
    for address in SERVER {
        // The first error may find the socket in use; the next comes with the
        // request's second sending, a fifth of a second later.
        let outcome = routed.ping(User::Nobody, &[address, "-W", "1.5"]);
        let reason = "timed out; meanwhile: No route to host (os error 113)";
        assert_eq!(lost(&outcome).0, reason);
    }
    let outcome = routed.ping(User::Root, &[SERVER[0], "-W", "0.5"]);
    assert!(outcome.1.contains(&format!("from {}", ROUTER[0])), "{outcome:?}");
}

#[test]
fn a_router_with_a_narrow_link_asks_for_fragments() {
    let Some(routed) = Routed::new() else { return };
    // A SYN fits, a request does not. For IPv6 no link is that narrow.
    routed.ip(Host::Router, "route replace 10.207.2.0/24 dev s mtu lock 70");
    let outcome = routed.ping(User::Root, &[SERVER[0], "-W", "0.1"]);
    let reason = "timed out; meanwhile: fragmentation needed, MTU 70, from";
    let told = format!("{reason} {} (ICMP type 3 code 4)", ROUTER[0]);
    assert_eq!(lost(&outcome).0, told);
    // The kernel has learnt it meanwhile.
    assert_eq!(routed.ping(User::Root, &[SERVER[0], "-W", "5"]).0, 0);
}

#[test]
fn a_connection_that_recovers_is_no_loss() {
    let Some(routed) = Routed::new() else { return };
    // The first request alone is rejected; its second sending gets through.
    let rule = format!(
        "{REQUESTS} limit rate over 1/day burst 1 packets accept; \
         {REQUESTS} reject with icmpx type host-unreachable"
    );
    for user in USERS {
        routed.rule(Host::Router, "forward", &rule);
        let (status, line) = routed.ping(user, &[SERVER[0], "-W", "5"]);
        assert_eq!(status, 0, "{line}");
        let rtt: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(rtt > 100.0, "the kernel sent again: {line}");
    }
}

#[test]
fn another_programs_errors_are_never_ours() {
    let Some(routed) = Routed::new() else { return };
    routed
        .ip(Host::Client, "addr add 10.207.1.2/24 dev eth0\naddr add fd07:1::2/64 dev eth0 nodad");
    // To the same port of the same host; only the other's source is rejected,
    // ours is swallowed.
    routed.rule(
        Host::Router,
        "forward",
        &format!(
            "ip saddr 10.207.1.2 {REQUESTS} reject with icmp type host-unreachable; \
             ip6 saddr fd07:1::2 {REQUESTS} reject with icmpv6 type no-route; {REQUESTS} drop"
        ),
    );
    for (place, other) in ["10.207.1.2", "fd07:1::2"].into_iter().enumerate() {
        let ours = ["--bind", CLIENT[place], SERVER[place], "-W", "1"];
        let theirs = ["--bind", other, SERVER[place], "-W", "0.2", "-c", "3", "-i", "0.2"];
        let ours = routed.start(User::Root, &ours);
        let theirs = routed.start(User::Root, &theirs).finish();
        assert_eq!(theirs.stdout.matches("meanwhile: Destination").count(), 3, "{theirs:?}");
        let ours = ours.finish();
        assert!(ours.took > theirs.took / 2, "they did not meet");
        assert_eq!(lost(&outcome(&ours)).0, "timed out");
    }
}

#[test]
fn a_rule_of_this_host_may_answer_while_connecting_is_still_at_work() {
    let Some(routed) = Routed::new() else { return };
    // The error is there before `connect` returns.
    routed.rule(Host::Client, "output", "tcp dport 12001 reject with icmpx type admin-prohibited");
    let [v4, v6] = CLIENT;
    is_told(
        &routed,
        SERVER[0],
        &format!("communication administratively prohibited, from {v4} (ICMP type 3 code 13)"),
    );
    is_told(
        &routed,
        SERVER[1],
        &format!("communication administratively prohibited, from {v6} (ICMPv6 type 1 code 1)"),
    );
}

#[test]
fn errors_are_in_the_csv_the_json_and_the_summary_too() {
    let Some(routed) = Routed::new() else { return };
    let rule = "tcp dport 12001 reject with icmp type host-prohibited";
    routed.rule(Host::Router, "forward", rule);
    let scratch = crate::common::Scratch::new();
    let mut command = routed.inside(Host::Client, User::Root);
    command.args(["ping", SERVER[0], "-c", "1", "--log-dir"]).arg(scratch.path());
    let process = Process::start(&mut command);
    eventually("the row is there", || scratch.entries().len() == 2);
    assert_eq!(process.finish().status, 1);
    let row = crate::common::rows(&crate::common::file(scratch.path(), ".csv")).remove(0);
    assert_eq!((row.received_ns, row.rtt.as_str()), (None, ""));
    let known_after: f64 = row.more[3].parse().unwrap();
    assert!(known_after > 0.0 && known_after < AT_ONCE * 1e3, "{row:?}");
    assert_eq!(row.more[..3], [SERVER[0], "", "icmp"]);
    assert_eq!(row.more[4..], ["3", "10", ROUTER[0]]);
    let ended = routed.start(User::Root, &[SERVER[0], "-c", "2", "-i", "0", "--json"]).finish();
    let told = format!(
        "\"icmp\":[{{\"says\":\"destination host administratively prohibited\",\"from\":\"{}\",\
         \"version\":4,\"type\":3,\"code\":10,\"mtu\":null,\"count\":2}}]",
        ROUTER[0]
    );
    assert!(ended.stdout.contains(&told), "{ended:?}");
    let ended = routed.start(User::Root, &[SERVER[0], "-c", "2", "-i", "0"]).finish();
    let told = "the network said, 2 times: destination host administratively prohibited, from ";
    assert!(ended.stdout.contains(told), "{ended:?}");
}
