//! The way of flows as people read it, within 80 columns.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::hops::{Fork, Hop, Trail};
use super::inside::Said;
use super::sizes::{Verdict, Why};
use crate::clock::nanos;
use crate::text::format::{Unit, count};

/// What was asked for, for all texts.
#[derive(Debug)]
pub struct PathRun {
    /// The target as the user gave it.
    pub host: String,
    /// Its address.
    pub address: SocketAddr,
    /// Source ports of flows that are known to be bad.
    pub bad: Vec<u16>,
}

impl PathRun {
    fn is_bad(&self, trail: &Trail) -> bool {
        self.bad.contains(&trail.port)
    }
}

/// Columns of a line.
const WIDTH: usize = 80;

/// The first line.
pub fn header(run: &PathRun, trails: &[Trail]) -> String {
    let from = match trails {
        [one] => format!("port {}", one.port),
        [first, .., last] if last.port.wrapping_sub(first.port) as usize == trails.len() - 1 => {
            format!("ports {} to {}", first.port, last.port)
        }
        _ => count(trails.len() as u64, "port").into(),
    };
    format!("path to {} ({}) from {from}\n", run.host, run.address)
}

/// The table of hops.
pub fn table(run: &PathRun, trails: &[Trail]) -> String {
    let longest = trails.iter().map(|trail| trail.hops.len() - trail.dark()).max().unwrap_or(0);
    let mut text = String::new();
    for number in 1..=longest {
        text += &hop_lines(run, trails, number);
    }
    let dark = trails.iter().filter(|trail| !trail.is_reached()).map(Trail::dark).max();
    if dark > Some(0) {
        let _ = writeln!(text, "{:>3}  no answer, nor from beyond", longest + 1);
    }
    text
}

/// One hop: a line for each address there.
fn hop_lines(run: &PathRun, trails: &[Trail], number: usize) -> String {
    let fork = Fork::at(trails, number);
    if fork.branches.is_empty() {
        return format!("{number:>3}  no answer\n");
    }
    let mut text = String::new();
    for (place, (address, flows)) in fork.branches.iter().enumerate() {
        let hops = || flows.iter().filter_map(|&flow| trails[flow].hops.get(number - 1));
        let answers = hops().flat_map(|hop| &hop.answers);
        let times: Vec<u64> =
            answers.filter(|(from, _)| from == address).map(|(_, took)| nanos(*took)).collect();
        let label = if place == 0 { number.to_string() } else { String::new() };
        let mut line = format!("{label:>3}  {address:<15}  {}", times_text(&times));
        if trails.len() == 1 {
            let sent: u32 = hops().map(|hop| hop.sent).sum();
            let _ = write!(line, "  {} of {sent} answered", times.len());
        }
        if let Some(end) = end_text(run, trails, number, *address) {
            let _ = write!(line, "  {end}");
        }
        text += &line;
        text.push('\n');
        let name = |hop: &Hop| Some(hop.names.iter().find(|(one, _)| one == address)?.1.clone());
        if let Some(name) = hops().find_map(name) {
            put!(text, "       {name}\n");
        }
        if fork.branches.len() > 1 && trails.len() > 1 {
            let ports: Vec<u16> = flows.iter().map(|&flow| trails[flow].port).collect();
            text += &ports_text(&ports);
        }
    }
    text
}

/// What the end said, or who let nothing pass.
fn end_text(run: &PathRun, trails: &[Trail], number: usize, address: IpAddr) -> Option<String> {
    let last = |trail: &&Trail| trail.hops.len() == number;
    let ends: Vec<&Trail> = trails.iter().filter(last).collect();
    let said = |hop: &Hop| hop.refused.filter(|said| said.from.is_none_or(|from| from == address));
    if let Some(said) = ends.iter().filter_map(|trail| trail.hops.last()).find_map(said) {
        return Some(said.text().to_owned());
    }
    let end = ends.iter().find_map(|trail| trail.end)?;
    (address == run.address.ip()).then(|| end.name().to_owned())
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn times_text(times: &[u64]) -> String {
    let (Some(&least), Some(&most)) = (times.iter().min(), times.iter().max()) else {
        return String::new();
    };
    let mean = times.iter().sum::<u64>() as f64 / times.len() as f64;
    let unit = Unit::for_largest(most);
    let numbers = unit.numbers(&[Some(least as f64), Some(mean), Some(most as f64)]);
    format!("{numbers} {}", unit.name())
}

/// Ports in short: runs as `40001-40004`, over as many lines as it takes.
fn ports_text(ports: &[u16]) -> String {
    const INDENT: &str = "       ";
    let mut lines = format!("{INDENT}source ports");
    let mut width = lines.len();
    for run in ports.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
        let piece = match run {
            [first, .., last] => format!(" {first}-{last}"),
            [one] => format!(" {one}"),
            [] => continue,
        };
        if width + piece.len() > WIDTH {
            put!(lines, "\n{INDENT}");
            width = INDENT.len();
        }
        width += piece.len();
        lines += &piece;
    }
    lines + "\n"
}

/// The result in a few sentences.
pub fn summary(run: &PathRun, trails: &[Trail]) -> String {
    let mut text = format!("--- {} path ---\n", run.address);
    text += &reach(trails);
    for trail in trails {
        if let Some(failed) = &trail.failed {
            let _ = writeln!(text, "source port {}: {failed}", trail.port);
        }
    }
    if trails.len() > 1 {
        text += &forks_text(trails);
    }
    text + &wandering(trails) + &blame(run, trails)
}

fn reach(trails: &[Trail]) -> String {
    let reached: Vec<&Trail> = trails.iter().filter(|trail| trail.is_reached()).collect();
    let flows = count(trails.len() as u64, "flow");
    if reached.is_empty() {
        let last = trails.iter().max_by_key(|trail| trail.hops.len() - trail.dark());
        let lit = last.map_or(0, |trail| trail.hops.len() - trail.dark());
        let hop = last.and_then(|trail| trail.hops.get(lit.wrapping_sub(1)));
        return match hop.and_then(|hop| Some((hop, *hop.addresses().first()?))) {
            Some((Hop { refused: Some(said), .. }, _)) => format!("not reached: {said}\n"),
            Some((_, address)) => {
                format!("not reached: the last that answered is hop {lit}, {address}\n")
            }
            None => "not reached: nobody on the way answered\n".to_owned(),
        };
    }
    let lengths = reached.iter().map(|trail| trail.hops.len());
    let (least, most) = (lengths.clone().min().unwrap_or(0), lengths.max().unwrap_or(0));
    let hops = if least == most {
        count(most as u64, "hop").into()
    } else {
        format!("{least} to {most} hops")
    };
    match (trails.len(), reached.len()) {
        (1, _) => format!("reached over {hops}\n"),
        (all, some) if all == some => format!("{flows}, all reached over {hops}\n"),
        (_, some) => format!("{flows}, {some} reached over {hops}\n"),
    }
}

/// Where flows part, and where they meet again.
fn forks_text(trails: &[Trail]) -> String {
    let forks = Fork::all(trails);
    let mut text = String::new();
    for group in forks.chunk_by(|one, next| one.hop + 1 == next.hop) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let ways = group.iter().map(|fork| fork.branches.len()).max().unwrap_or(0);
        let _ = write!(text, "flows part at hop {} ({ways} ways)", first.hop);
        let meeting = Fork::at(trails, last.hop + 1);
        match meeting.branches.as_slice() {
            [(address, _)] => {
                let _ = write!(text, ", meet again at hop {}, {address}", meeting.hop);
            }
            _ => text += ", and are not seen to meet again",
        }
        text.push('\n');
    }
    if forks.is_empty() {
        text += "all flows go by the same routers, as far as they are known\n";
    }
    text
}

/// Hops at which one flow's packets go now here, now there.
fn wandering(trails: &[Trail]) -> String {
    let many = |trail: &Trail| {
        trail.hops.iter().position(|hop| hop.addresses().len() > 1).map(|place| place + 1)
    };
    let flows = trails.iter().filter(|trail| many(trail).is_some()).count();
    trails.iter().filter_map(many).min().map_or_else(String::new, |hop| {
        format!(
            "from hop {hop} on packets of the same ports take different ways ({} of {} so):\n  \
             routers there choose by something else than ports\n",
            flows,
            count(trails.len() as u64, "flow")
        )
    })
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Which addresses bad flows alone go by.
fn blame(run: &PathRun, trails: &[Trail]) -> String {
    if run.bad.is_empty() {
        return String::new();
    }
    let is_bad = |flow: usize| run.is_bad(&trails[flow]);
    let mut text = String::new();
    for fork in Fork::all(trails) {
        if let Some((bad, good)) = fork.blames(is_bad) {
            let _ = writeln!(
                text,
                "hop {} differs: bad flows go by {}, good ones by {}",
                fork.hop,
                listed(&bad),
                listed(&good)
            );
        }
    }
    if text.is_empty() {
        text += "no router is on the way of the bad flows alone\n";
    }
    text
}

/// Where hops inside a connection that stands are others than those that connection
/// attempts found.
pub fn inside(trail: &Trail, said: &[Said]) -> String {
    let named = |known: &[IpAddr]| match known {
        [] => "no answer".to_owned(),
        known => listed(known),
    };
    let mut text = String::new();
    for (place, (said, hop)) in said.iter().zip(&trail.hops).enumerate() {
        let from = said.and_then(|(said, _)| said.from);
        let refused = said.map(|(said, _)| said).filter(|said| !said.is_passed_out());
        let known = hop.addresses();
        let same = from.map_or(known.is_empty(), |from| known.contains(&from));
        if same && refused.is_none() {
            continue;
        }
        let inside = match (refused, from) {
            (Some(said), _) => said.to_string(),
            (None, from) => named(from.as_slice()),
        };
        put!(text, "  hop {}: {inside}; of a connection attempt: {}\n", place + 1, named(&known));
        // The first router is this host's own choice.
        if place == 0 && refused.is_none() && from.is_some() && hop.is_known() {
            return "a packet inside an established connection leaves this host another way than \n\
                    a connection attempt, so that its hops are not compared: try --interface\n"
                .to_owned();
        }
    }
    let answered = said.iter().any(Option::is_some);
    match (answered, text.is_empty()) {
        _ if said.is_empty() => text,
        (true, true) => "inside an established connection the same routers answer\n".to_owned(),
        (false, _) => "inside an established connection no router answers\n".to_owned(),
        _ => format!("inside an established connection other hops are seen:\n{text}"),
    }
}

/// The largest packet that passes to the target, and on the way back.
pub fn sizes(there: Option<&Verdict>, back: Option<&Verdict>, version6: bool) -> String {
    let headers = if version6 { 60 } else { 40 };
    let line = |(way, verdict, peer): (&str, Option<&Verdict>, &str)| {
        let verdict = verdict?;
        let Some(passes) = verdict.passes else {
            return Some(format!("{way}: not even a small packet passes\n"));
        };
        let segment = passes.saturating_sub(headers);
        let why = match (verdict.why, verdict.fails) {
            (Why::Vanish, Some(fails)) => format!(
                "{fails} vanish without an ICMP:\n  set the MSS to {segment} or the MTU to {passes}"
            ),
            (Why::Told(from), _) => {
                let who = from.map_or("a router".to_owned(), |from| from.to_string());
                format!("more is too big, says an ICMP from {who}")
            }
            (Why::Peer, _) => format!("{peer}, an MSS of {segment}"),
            _ => "no more is sent: this host's MTU, or an ICMP of the\n  \
                  last ten minutes"
                .to_owned(),
        };
        Some(format!("{way}: {passes} bytes pass, {why}\n"))
    };
    let ways = [
        ("there", there, "the most that the peer takes"),
        ("back", back, "the most that the peer sends"),
    ];
    ways.into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::hops::{Answer, End};
    use super::*;

    fn trails(seconds: &[u8]) -> (PathRun, Vec<Trail>) {
        let target = IpAddr::from([10, 0, 9, 2]);
        let walk = |(flow, &second): (usize, &u8)| {
            let mut trail = Trail::new(40001 + u16::try_from(flow).unwrap(), target, 30, 1);
            let hops = [[10, 0, 1, 1], [10, 0, second, 2], [10, 0, 20, 1]];
            for (place, hop) in hops.into_iter().enumerate() {
                trail.asked(place + 1);
                let took = Duration::from_micros(100 * (place as u64 + 1));
                trail.learn(place + 1, Answer::Router(hop.into(), took));
                if place == 0 {
                    trail.hops[0].names.push((hop.into(), "first.example".to_owned()));
                }
            }
            trail.asked(4);
            trail.learn(4, Answer::End(End::SynAck, Duration::from_micros(400)));
            trail
        };
        let run = PathRun { host: "far".to_owned(), address: (target, 7).into(), bad: vec![40002] };
        (run, seconds.iter().enumerate().map(walk).collect())
    }

    #[test]
    fn one_flow_is_a_line_a_hop() {
        let (mut run, trails) = trails(&[12]);
        run.bad.clear();
        let text = header(&run, &trails) + &table(&run, &trails) + &summary(&run, &trails);
        let expected = "path to far (10.0.9.2:7) from port 40001\n  \
             1  10.0.1.1         100.0/100.0/100.0 us  1 of 1 answered\n       \
             first.example\n  \
             2  10.0.12.2        200.0/200.0/200.0 us  1 of 1 answered\n  \
             3  10.0.20.1        300.0/300.0/300.0 us  1 of 1 answered\n  \
             4  10.0.9.2         400.0/400.0/400.0 us  1 of 1 answered  SYN-ACK\n\
             --- 10.0.9.2:7 path ---\n\
             reached over 4 hops\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn where_flows_part_and_meet_and_who_is_to_blame() {
        let (run, trails) = trails(&[11, 13, 12, 11]);
        let text = table(&run, &trails) + &summary(&run, &trails);
        assert!(
            text.contains(
                "     10.0.13.2        200.0/200.0/200.0 us\n       source ports 40002\n"
            )
        );
        assert!(text.contains("source ports 40001 40004\n"), "{text}");
        let told = "4 flows, all reached over 4 hops\n\
             flows part at hop 2 (3 ways), meet again at hop 3, 10.0.20.1\n\
             hop 2 differs: bad flows go by 10.0.13.2, good ones by 10.0.11.2, 10.0.12.2\n";
        assert!(text.ends_with(told), "{text}");
    }

    #[test]
    fn sizes_come_with_what_to_do() {
        let black = Verdict { passes: Some(1400), fails: Some(1401), why: Why::Vanish };
        let peer = Verdict { passes: Some(1240), fails: None, why: Why::Peer };
        assert_eq!(
            sizes(Some(&black), Some(&peer), false),
            "there: 1400 bytes pass, 1401 vanish without an ICMP:\n  \
             set the MSS to 1360 or the MTU to 1400\n\
             back: 1240 bytes pass, the most that the peer sends, an MSS of 1200\n"
        );
    }
}
