//! The hops of a connection that stands, in namespaces: five routers one behind the
//! other, of which the third translates addresses. What is sent to ask them must
//! reach the last of them and never the server.

mod common;

use common::lab::Lab;
use common::{Impaired, Process, eventually, figure};

const TARGET: &str = "10.205.6.2";
const TARGET6: &str = "fd00:cd:6::2";

/// `c`, the routers `1` to `5`, and `s`; the link behind router N is 10.205.(N+1).
fn lab() -> Option<Lab> {
    Lab::new("ete", &["c", "1", "2", "3", "4", "5", "s"], [TARGET, TARGET6], |prefix| {
        format!(
            "P={prefix}
            for n in c 1 2 3 4 5 s; do
              ip netns add $P$n; ip -n $P$n link set lo up
              ip netns exec $P$n sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
                net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
                net.ipv6.conf.default.accept_dad=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
            done
            link() {{
              ip link add n$3 netns $P$1 type veth peer name p$3 netns $P$2
              ip -n $P$1 addr add 10.205.$3.1/24 dev n$3; ip -n $P$2 addr add 10.205.$3.2/24 dev p$3
              ip -n $P$1 addr add fd00:cd:$3::1/64 dev n$3 nodad
              ip -n $P$2 addr add fd00:cd:$3::2/64 dev p$3 nodad
              ip -n $P$1 link set n$3 up; ip -n $P$2 link set p$3 up
            }}
            link c 1 1; link 1 2 2; link 2 3 3; link 3 4 4; link 4 5 5; link 5 s 6
            onward() {{ ip -n $P$1 route add default via 10.205.$2; ip -n $P$1 -6 route add default via fd00:cd:$3; }}
            onward c 1.2 1::2
            for r in 1 2 3 4 5; do
              n=$((r+1)); onward $r $n.2 $n::2
              for j in 1 2 3 4; do
                if [ $j -lt $r ]; then
                  ip -n $P$r route add 10.205.$j.0/24 via 10.205.$r.1
                  ip -n $P$r -6 route add fd00:cd:$j::/64 via fd00:cd:$r::1
                fi
              done
            done
            onward s 6.1 6::1
            ip netns exec ${{P}}3 nft 'add table inet n; add chain inet n p {{ type nat hook postrouting priority 100; }};
              add rule inet n p oifname n4 masquerade'
            for n in 5 s; do
              ip netns exec $P$n nft 'add table inet t; add chain inet t p {{ type filter hook prerouting priority 0; }};
                add rule inet t p tcp dport 7007 tcp flags & (syn | rst) == 0 meta length {{ 40, 60 }} counter'
            done"
        )
    })
}

/// Segments that came there and are empty and without options: a kernel's own
/// have time stamps.
fn questions_at(lab: &Lab, name: &str) -> u64 {
    let listed = lab.within(name, "nft list table inet t");
    let (_, count) = listed.split_once("counter packets ").expect("a counter");
    count.split(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}

#[test]
fn routers_answer_inside_a_connection_and_the_server_gets_none_of_it() {
    let Some(lab) = lab() else { return };
    let _server = lab.server();
    let silent = "type time-exceeded drop";
    lab.rule("2", "output", &format!("icmp {silent}; add rule inet x output icmpv6 {silent}"));
    for (target, hop) in [(TARGET, "10.205.{}.2"), (TARGET6, "fd00:cd:{}::2")] {
        let ended = lab.path(&[target, "7007", "-c", "1", "--json"]);
        assert_eq!(ended.status, 0, "{ended:?}");
        let (_, inside) = ended.stdout.split_once("\"established\":[").expect("an array");
        let hops: Vec<&str> = inside.split("{\"hop\":").skip(1).collect();
        assert_eq!(hops.len(), 5, "{inside}");
        for (number, told) in (1..).zip(hops) {
            let address =
                format!("{number},\"address\":\"{}\"", hop.replace("{}", &number.to_string()));
            let silent = format!("{number},\"address\":null");
            assert!(told.starts_with(if number == 2 { &silent } else { &address }), "{inside}");
        }
    }
    assert!(questions_at(&lab, "5") >= 2);
    assert_eq!(questions_at(&lab, "s"), 0);
}

#[test]
fn where_a_firewall_treats_connection_attempts_otherwise_both_are_told() {
    let Some(lab) = lab() else { return };
    let _server = lab.server();
    let ended = lab.path(&[TARGET, "7007", "-c", "1"]);
    let same = "inside an established connection the same routers answer\n";
    assert!(ended.stdout.ends_with(same), "{ended:?}");
    // One that drops SYNs with a small time to live.
    lab.rule("4", "prerouting", "tcp flags syn ip ttl < 3 drop");
    let ended = lab.path(&[TARGET, "7007", "-c", "1"]);
    assert!(ended.stdout.contains("  4  no answer\n"), "{ended:?}");
    assert!(ended.stdout.contains("  hop 4: 10.205.4.2; of a connection attempt: no answer\n"));
    assert_eq!(questions_at(&lab, "s"), 0);
}

#[test]
fn a_client_in_trouble_tells_who_on_the_way_still_answers() {
    let Some(lab) = lab() else { return };
    let _server = lab.server();
    let start = |target: &str| {
        let mut command = Impaired::echotest_in(&lab.namespace("c"));
        let options = ["-i", "0.05", "--trace-on-trouble", "--no-files", "--json"];
        Process::start(command.args(["client", target, "7007"]).args(options))
    };
    let clients = [start(TARGET), start(TARGET6)];
    eventually("both have asked while all is well", || questions_at(&lab, "5") >= 2);
    lab.rule("4", "forward", "drop");
    let told = |client: &Process, text: &str| client.stderr().contains(text);
    eventually("both have asked in the silence", || {
        clients.iter().all(|client| told(client, "(4 of 5)"))
    });
    lab.rule("4", "forward", "accept");
    eventually("both have asked after it", || {
        clients.iter().all(|client| told(client, "after the silence: "))
    });
    for (client, fourth) in clients.into_iter().zip(["10.205.4.2", "fd00:cd:4::2"]) {
        client.signal("INT");
        let ended = client.finish();
        let (_, events) = ended.stdout.split_once("\"events\":[").expect("events");
        let silent = format!("last hop that answered: {fourth} (4 of 5); ");
        assert!(events.contains(&silent), "{ended:?}");
        assert!(events.contains(" s before: all 5 hops answered (local port "), "{ended:?}");
        assert!(events.contains("after the silence: all 5 hops answered"), "{ended:?}");
        assert_eq!(figure(&ended.stdout, "packets.corrupt"), Some(0.0), "{ended:?}");
        assert_eq!(figure(&ended.stdout, "connections.drops"), Some(0.0), "{ended:?}");
    }
    assert_eq!(questions_at(&lab, "s"), 0);
}
