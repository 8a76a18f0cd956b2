//! The way of a connection, found in namespaces: four equal paths that the client's
//! host chooses by ports, a router behind them, a target. Every hop and every size
//! is known.
#![allow(clippy::disallowed_methods, reason = "tests use std's sockets and clock")]

mod common;

use std::collections::BTreeSet;

use common::lab::{Lab, sh};
use common::{Server, figure, run};

const TARGET: &str = "10.203.30.2";
const TARGET6: &str = "fd00:cb:30::2";

/// `c` with links to the routers `m1` to `m4`, those with links to `r`, and `r` with
/// one to `s`. What of `c`'s traffic goes by which of the four, nft counts.
fn lab() -> Option<Lab> {
    Lab::new("etp", &["c", "m1", "m2", "m3", "m4", "r", "s"], [TARGET, TARGET6], |prefix| {
        format!(
            "P={prefix}
            for n in c m1 m2 m3 m4 r s; do
              ip netns add $P$n; ip -n $P$n link set lo up
              ip netns exec $P$n sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
                net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1 \
                net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
                net.ipv6.conf.default.accept_dad=0
            done
            link() {{
              ip link add $2 netns $P$1 type veth peer name $1 netns $P$2
              ip -n $P$1 addr add 10.203.$3.1/24 dev $2; ip -n $P$2 addr add 10.203.$3.2/24 dev $1
              ip -n $P$1 addr add fd00:cb:$3::1/64 dev $2 nodad
              ip -n $P$2 addr add fd00:cb:$3::2/64 dev $1 nodad
              ip -n $P$1 link set $2 up; ip -n $P$2 link set $1 up
            }}
            for i in 1 2 3 4; do link c m$i 1$i; link m$i r 2$i; done
            link r s 30
            ip -n ${{P}}c addr add 10.203.1.1/32 dev lo; ip -n ${{P}}c addr add fd00:cb:1::1/128 dev lo nodad
            ways() {{ for i in 1 2 3 4; do printf ' nexthop via %s' $(printf $1 $i); done; }}
            ip -n ${{P}}c route add 10.203.30.0/24 src 10.203.1.1 $(ways 10.203.1%d.2)
            ip -n ${{P}}c -6 route add fd00:cb:30::/64 src fd00:cb:1::1 $(ways fd00:cb:1%d::2)
            for i in 1 2 3 4; do
              ip -n ${{P}}m$i route add 10.203.30.0/24 via 10.203.2$i.2
              ip -n ${{P}}m$i route add 10.203.1.0/24 via 10.203.1$i.1
              ip -n ${{P}}m$i -6 route add fd00:cb:30::/64 via fd00:cb:2$i::2
              ip -n ${{P}}m$i -6 route add fd00:cb:1::/64 via fd00:cb:1$i::1
              ip netns exec ${{P}}m$i nft 'add table ip t; add set ip t ports {{ type inet_service; flags dynamic; }};
                add chain ip t f {{ type filter hook prerouting priority 0; }};
                add rule ip t f tcp dport 7007 add @ports {{ tcp sport }}'
            done
            ip -n ${{P}}r route add 10.203.1.0/24 via 10.203.21.1
            ip -n ${{P}}r -6 route add fd00:cb:1::/64 via fd00:cb:21::1
            ip -n ${{P}}s route add default via 10.203.30.1
            ip -n ${{P}}s -6 route add default via fd00:cb:30::1"
        )
    })
}

/// Source ports whose packets a router has seen.
fn ports_over(lab: &Lab, router: u32) -> BTreeSet<u16> {
    let listed = lab.within(&format!("m{router}"), "nft list set ip t ports");
    let (_, elements) = listed.split_once("elements").unwrap_or_default();
    let words = elements.split(|c: char| !c.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Nobody remembers what fits where.
fn forget(lab: &Lab) {
    for name in ["c", "s"] {
        let name = lab.namespace(name);
        sh(&format!("ip -n {name} route flush cache; ip -6 -n {name} route flush cache"));
    }
}

#[test]
fn on_this_host_the_target_is_the_first_hop() {
    let server = Server::start(&["echo"]);
    let port = server.port();
    let ended = run(["path", "127.0.0.1", &port, "--json", "--mtu"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(
        ended.stdout.contains(r#""addresses":["127.0.0.1"],"sent":3,"answered":3"#),
        "{ended:?}"
    );
    let passes = |way: &str| figure(&ended.stdout, &format!("mtu.{way}.passes"));
    assert!(passes("there") > Some(1500.0), "{ended:?}");
    assert_eq!(passes("back"), passes("there"), "{ended:?}");
    server.stop();
    // Nothing listens: the host is reached all the same.
    let ended = run(["path", "127.0.0.1", &port]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("RST\n") && ended.stdout.contains("reached over 1 hop\n"));
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (arguments, told) in [
        (&["path", "::1", "--bad", "5"][..], "--bad 5: it is none of --source-ports"),
        (&["path", "::1", "--flows", "3", "--source-ports", "40000-40001"], "are too few"),
        (&["path", "::1", "--max-hops", "0"], "--max-hops"),
    ] {
        let ended = run(arguments.iter().copied());
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}

#[test]
fn the_ways_of_flows_are_those_that_the_routers_saw() {
    let Some(lab) = lab() else { return };
    let _server = lab.server();
    let flows = ["--flows", "12", "--source-ports", "40001"];
    let ended = lab.path(&[&[TARGET, "7007", "--json", "-c", "1"], &flows[..]].concat());
    assert_eq!(ended.status, 0, "{ended:?}");
    let told = |router: u32| -> BTreeSet<u16> {
        let address = format!("{{\"address\":\"10.203.1{router}.2\",\"local_ports\":[");
        let Some((_, ports)) = ended.stdout.split_once(&address) else { return BTreeSet::new() };
        let (ports, _) = ports.split_once(']').expect("an end");
        ports.split(',').map(|port| port.parse().expect("a port")).collect()
    };
    for router in 1..=4 {
        assert_eq!(told(router), ports_over(&lab, router), "m{router}: {}", ended.stdout);
    }
    // Each flow ends at the third hop; the second is the same router for all, which
    // the links to it give four addresses.
    assert_eq!(ended.stdout.matches("\"length\":3").count(), 12, "{}", ended.stdout);
    let bad: Vec<String> = ports_over(&lab, 2).iter().map(u16::to_string).collect();
    let marks: Vec<&str> = bad.iter().flat_map(|port| ["--bad", port]).collect();
    let ended = lab.path(&[&[TARGET, "7007", "-c", "1"], &flows[..], &marks].concat());
    assert!(
        ended.stdout.contains("hop 1 differs: bad flows go by 10.203.12.2, good ones by ")
            || bad.is_empty(),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("12 flows, all reached over 3 hops\n"), "{ended:?}");
    // The first flow's way is that of its connection.
    let same = "inside an established connection the same routers answer\n";
    assert!(ended.stdout.contains(same), "{ended:?}");
    let wide = |line: &&str| line.chars().count() > 80 && !line.contains(" differs: ");
    assert_eq!(ended.stdout.lines().find(wide), None);
}

#[test]
fn routers_that_say_nothing_are_unknown_and_the_rest_is_right() {
    let Some(lab) = lab() else { return };
    let _server = lab.server();
    // Its usual six answers do not last for all that follows.
    lab.within("r", "sysctl -qw net.ipv4.icmp_ratelimit=0");
    lab.rule("r", "output", "meta l4proto icmp drop");
    let ended = lab.path(&[TARGET, "7007"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("  2  no answer\n"), "{ended:?}");
    assert!(ended.stdout.contains("  3  10.203.30.2 ") && ended.stdout.contains("SYN-ACK\n"));
    // A firewall that says so, one that does not, and a host that is not there.
    lab.rule("r", "forward", "tcp dport 7007 tcp flags syn reject with icmp admin-prohibited");
    let ended = lab.path(&[TARGET, "7007", "-W", "0.3"]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stdout.contains("communication administratively prohibited, from 10.203.2"));
    lab.rule("r", "forward", "tcp dport 7007 tcp flags syn drop");
    let ended = lab.path(&[TARGET, "7007", "-W", "0.3"]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stdout.contains("not reached: the last that answered is hop 2, 10.203.2"));
}

#[test]
fn addresses_that_are_translated_on_the_way_and_the_other_family() {
    let Some(lab) = lab() else { return };
    let _server = lab.server();
    lab.within(
        "r",
        "nft 'add table ip n; add chain ip n p { type nat hook postrouting priority 100; };
         add rule ip n p oifname s masquerade'",
    );
    for (target, second) in [(TARGET, "10.203.2"), (TARGET6, "fd00:cb:2")] {
        let ended = lab.path(&[target, "7007", "--json"]);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert_eq!(ended.stdout.matches(r#""sent":3,"answered":3"#).count(), 3, "{ended:?}");
        assert!(
            ended.stdout.contains(&format!("\"hop\":2,\"addresses\":[\"{second}")),
            "{ended:?}"
        );
        assert!(ended.stdout.contains("\"forks\":[]"), "{ended:?}");
    }
}

/// What passes, what does not, and why, of both ways.
fn sizes(lab: &Lab, target: &str) -> [(Option<f64>, Option<f64>, String); 2] {
    let ended = lab.path(&[target, "7007", "--mtu", "--json", "-c", "1", "-W", "0.7"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    ["there", "back"].map(|way| {
        let figure = |name: &str| figure(&ended.stdout, &format!("mtu.{way}.{name}"));
        let (_, rest) = ended.stdout.split_once(&format!("\"{way}\":{{")).expect("a way");
        let why = rest.split("\"why\":\"").nth(1).expect("why").split('"').next();
        (figure("passes"), figure("fails"), why.expect("why").to_owned())
    })
}

#[test]
fn the_largest_packet_is_exact_each_way_and_told_why() {
    let Some(lab) = lab() else { return };
    let _server = lab.server();
    let whole = |why: &str| (Some(1500.0), None, why.to_owned());
    assert_eq!(sizes(&lab, TARGET), [whole("interface"), whole("interface")]);
    let black = |passes: f64| (Some(passes), Some(passes + 1.0), "black hole".to_owned());
    lab.rule("r", "forward", "oifname s meta length > 1377 drop");
    assert_eq!(sizes(&lab, TARGET), [black(1377.0), whole("interface")]);
    lab.rule("r", "forward", "iifname s meta length > 1301 drop");
    assert_eq!(sizes(&lab, TARGET6), [whole("interface"), black(1301.0)]);
    lab.rule("r", "forward", "accept");
    for target in [TARGET, TARGET6] {
        sh(&format!("ip -n {} link set s mtu 1400", lab.namespace("r")));
        let told = (Some(1400.0), Some(1401.0), "icmp".to_owned());
        let [outward, inward] = sizes(&lab, target);
        assert_eq!((outward, inward.0), (told, Some(1400.0)));
        forget(&lab);
    }
    sh(&format!("ip -n {} link set s mtu 1500", lab.namespace("r")));
    sh(&format!("ip -n {} route change default via 10.203.30.1 advmss 1200", lab.namespace("s")));
    let peer = (Some(1240.0), None, "peer".to_owned());
    assert_eq!(sizes(&lab, TARGET)[0], peer);
}

#[test]
fn names_are_looked_up_where_that_is_asked_for() {
    let server = Server::start(&["echo"]);
    for (option, named) in [("--names", true), ("-c3", false)] {
        let ended = run(["path", "127.0.0.1", &server.port(), option]);
        assert_eq!(ended.stdout.contains("\n       localhost"), named, "{ended:?}");
    }
}
