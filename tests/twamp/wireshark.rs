//! What Wireshark's dissectors make of our packets.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Impaired, Process, Scratch, Server, eventually, have};

/// What tshark prints of the fields of the packets that a filter lets through.
fn fields(capture: &Path, more: &[&str], filter: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(more).args(["-Y", filter, "-T", "fields"]);
    for name in names {
        command.args(["-e", name]);
    }
    let output = command.stderr(Stdio::null()).output().expect("tshark");
    assert!(output.status.success(), "{filter}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Captures on the near side of the path while `act` is under way.
fn captured(path: &Impaired, scratch: &Scratch, act: impl FnOnce()) -> std::path::PathBuf {
    let file = scratch.path().join("twamp.pcap");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &path.near, "tcpdump", "-i", "path", "-U", "-Z", "root", "-w"]);
    command.arg(&file).args(["udp or tcp port 862"]);
    let tcpdump = Process::start(&mut command);
    eventually("tcpdump captures", || tcpdump.stderr().contains("listening on"));
    act();
    // The last packets are in the file when it has stopped growing.
    let mut last = 0;
    eventually("the capture is complete", || {
        let length = fs::metadata(&file).map_or(0, |data| data.len());
        std::mem::replace(&mut last, length) == length && length > 24
    });
    tcpdump.signal("INT");
    tcpdump.finish();
    file
}

#[test]
fn the_dissectors_agree_on_every_field() {
    if !(have("tcpdump") && have("tshark")) {
        return;
    }
    // Between namespaces, as elsewhere another test may be at the port that is
    // asked for, and its datagrams in the capture.
    let Some(path) = Impaired::new(&[]) else { return };
    for (host, ip) in [("10.201.0.2", "ip"), ("fd00:e7::2", "ipv6")] {
        let scratch = Scratch::new();
        let mut command = Impaired::echotest_in(&path.far);
        // The dissector goes by the port: control is TCP 862.
        let server = Server::from(command.args(["server", "twamp", "--bind", host]));
        let mut json = String::new();
        let capture = captured(&path, &scratch, || {
            let client = |more: &[&str]| {
                let mut command = Impaired::echotest_in(&path.near);
                command.args(["twamp", host, "-i", "0.02", "--no-files"]).args(more);
                let ended = Process::start(&mut command).finish();
                assert_eq!(ended.status, 0, "{ended:?}");
                ended.stdout
            };
            json = client(&["-c", "5", "--dscp", "46", "--json", "--padding", "50"]);
            client(&["--light", "-c", "3"]);
        });
        drop(server);
        let all = |filter: &str, names: &[&str]| fields(&capture, &[], filter, names);
        let malformed = all("_ws.malformed", &["frame.number"]);
        assert_eq!(malformed, Vec::<Vec<String>>::new(), "{ip}");

        let greeting = all("twamp.control.modes && tcp.srcport == 862", &["twamp.control.modes"]);
        assert_eq!(greeting[0][0].trim_start_matches("0x").trim_start_matches('0'), "1", "{ip}");
        let request = all(
            "twamp.control.command == 5",
            &[
                "twamp.control.sender_port",
                "twamp.control.receiver_port",
                "twamp.control.padding_length",
                "twamp.control.ipvn",
            ],
        );
        assert_eq!(request.len(), 1, "{ip}: {request:?}");
        assert_eq!(request[0][2..], ["50", if ip == "ip" { "4" } else { "6" }], "{ip}");
        let port =
            json.split(&if ip == "ip" { format!("{host}:") } else { format!("[{host}]:") }).nth(1);
        let port: String = port.unwrap().chars().take_while(char::is_ascii_digit).collect();
        assert_eq!(request[0][1], port, "the port that was asked for was free");

        let decode = ["-d".to_owned(), format!("udp.port=={port},twamp.test")];
        let decode: Vec<&str> = decode.iter().map(String::as_str).collect();
        let ttl = if ip == "ip" { "ip.ttl" } else { "ipv6.hlim" };
        let dscp = if ip == "ip" { "ip.dsfield.dscp" } else { "ipv6.tclass.dscp" };
        let names = [
            "twamp.test.seq_number",
            "twamp.test.sender_seq_number",
            "twamp.test.sender_ttl",
            "udp.length",
            ttl,
            dscp,
            "twamp.test.error_estimate.multiplier",
        ];
        let replies = fields(&capture, &decode, &format!("udp.srcport == {port}"), &names);
        assert_eq!(replies.len(), 5, "{ip}: {replies:?}");
        for (reply, number) in replies.iter().zip(0..) {
            let number = f64::from(number).to_string();
            // 8 bytes of UDP, 14 of header, 50 of padding.
            assert_eq!(reply[..6], [&number, &number, "255", "72", "255", "46"], "{ip}");
            assert_ne!(reply[6], "0", "a multiplier of zero breaks others");
        }
        let sent = fields(&capture, &decode, &format!("udp.dstport == {port}"), &[ttl, dscp]);
        assert_eq!(sent, vec![vec!["255".to_owned(), "46".to_owned()]; 5], "{ip}");
        let malformed = fields(&capture, &decode, "_ws.malformed", &["frame.number"]);
        assert_eq!(malformed, Vec::<Vec<String>>::new(), "{ip}");
    }
}
