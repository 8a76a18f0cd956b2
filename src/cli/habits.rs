//! What people type by habit, and what they meant.

use std::net::{IpAddr, Ipv6Addr};

use super::command::{COMMANDS, Command};

/// The nearest of some words, if one is near enough to be a slip of the finger.
pub(super) fn nearest<'words>(
    typed: &str,
    words: impl Iterator<Item = &'words str>,
) -> Option<&'words str> {
    let most = if typed.chars().count() < 4 { 1 } else { 2 };
    let near = words.map(|word| (distance(typed, word), word));
    near.filter(|(far, _)| *far <= most).min().map(|(_, word)| word)
}

/// Letters to put in, take out, change, or swap with their neighbour (Damerau 1964,
/// each place touched once).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let change = rows[i][j] + usize::from(a != b);
            let mut least = change.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(usize::MAX)
}

/// What was meant by an option that the command does not have.
pub(super) fn option(command: &Command, written: &str) -> String {
    let name = written.trim_start_matches('-');
    let has = |long| command.rows().any(|row| row.long == long);
    let takes_port = command.positionals.iter().any(|name| name.contains("PORT"));
    match name {
        "n" if has("count") => "; did you mean '-c', '--count'?".to_owned(),
        "t" if has("duration") => "; '-w', '--duration' is how long to go on, and '-W', \
             '--timeout' how long to wait"
            .to_owned(),
        "p" | "port" if takes_port => {
            format!("; PORT is an argument: echotest {} HOST PORT", command.name)
        }
        _ if written.starts_with("--") => {
            let names = command.rows().flat_map(|row| [Some(row.long), row.alias]).flatten();
            nearest(name, names)
                .map_or_else(String::new, |near| format!("; did you mean '--{near}'?"))
        }
        // A long option with one hyphen is read as a cluster of short ones.
        _ => String::new(),
    }
}

/// What was meant by a first argument that is no command.
pub(super) fn command(typed: &str) -> String {
    let bare = typed.trim_start_matches('-');
    let names = || COMMANDS.iter().map(|command| command.name);
    if let Some(near) = nearest(bare, names().chain(["help"])) {
        return format!("; did you mean 'echotest {near}'?");
    }
    match bare {
        "mode" | "s" | "c" => "; the command comes first: 'echotest server', 'echotest client \
             HOST'"
            .to_owned(),
        _ => String::new(),
    }
}

/// What is wrong with a HOST that holds more than a host, if that can be seen.
pub(super) fn host(command: &Command, typed: &str) -> Option<String> {
    let right = |host: &str, port: &str| {
        format!("HOST {typed:?}: write the port apart: echotest {} {host} {port}", command.name)
    };
    if let Some((_, rest)) = typed.split_once("://") {
        let place = rest.split(['/', '?']).next().unwrap_or(rest);
        let (host, port) = apart(place).unwrap_or((place, "[PORT]"));
        return Some(right(host, port));
    }
    if let Some((host, port)) = apart(typed) {
        return Some(right(host, port));
    }
    let link_local = typed.parse().is_ok_and(|ip: Ipv6Addr| ip.is_unicast_link_local());
    link_local
        .then(|| format!("HOST {typed:?}: a link-local address needs its interface: {typed}%eth0"))
}

/// `HOST:PORT` or `[ADDRESS]:PORT`, taken apart.
fn apart(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_port && (bare.is_some() || !host.contains(':'))).then_some((bare.unwrap_or(host), port))
}

/// Whether HOST and PORT stand in each other's place.
pub(super) fn swapped(host: &str, port: &str) -> bool {
    let number = host.parse::<u16>().is_ok();
    number && (port.parse::<IpAddr>().is_ok() || port.contains('.') || port.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::find;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        let words = || ["client", "server", "count", "duration"].into_iter();
        for (typed, meant) in [
            ("clinet", Some("client")),
            ("sever", Some("server")),
            ("cout", Some("count")),
            ("durations", Some("duration")),
            ("frobnicate", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, words()), meant, "{typed}");
        }
    }

    #[test]
    fn a_host_that_holds_a_port_is_taken_apart() {
        let client = find("client").unwrap();
        for (typed, right) in [
            ("10.0.0.1:7007", "client 10.0.0.1 7007"),
            ("[::1]:7", "client ::1 7"),
            ("http://db.example:80/x?y", "client db.example 80"),
            ("tcp://db.example", "client db.example [PORT]"),
            ("fe80::2", "fe80::2%eth0"),
        ] {
            let said = host(client, typed).unwrap();
            assert!(said.ends_with(right), "{typed}: {said}");
        }
        for typed in ["10.0.0.1", "::1", "[::1]", "2001:db8::7", "fe80::2%eth0", "db.example"] {
            assert_eq!(host(client, typed), None, "{typed}");
        }
    }
}
