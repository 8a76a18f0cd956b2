//! The manual page, from the same rows that parse the command line.

use super::command::{COMMANDS, Command};
use super::help::capitalised;
use super::matches::default_of;
use super::opt::Row;
use super::topics::{TOPICS, Terms};

/// When this version was made. Not when it is built: two builds are to be alike.
const RELEASED: &str = "2026-11-21";

/// The whole page, for `man -l`.
pub(super) fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH ECHOTEST 1 \"{RELEASED}\" \"echotest {version}\" \"User Commands\"\n\
         .SH NAME\nechotest \\- time every round trip of a long\\-lived TCP connection\n\
         .SH SYNOPSIS\n.B echotest\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n.br\n\
         .B echotest help\n[\\fICOMMAND\\fR | \\fBman\\fR | \\fBcompletions\\fR \
         \\fBbash\\fR|\\fBzsh\\fR|\\fBfish\\fR]\n.br\n.B echotest \\-\\-version\n\
         .SH DESCRIPTION\n"
    );
    paragraph(
        &mut page,
        "echotest leaves one TCP connection open between two hosts, for minutes or for weeks, \
         and times every round trip on it. It says which packets were slow, late or lost, when \
         the connection dropped and how long that lasted, and keeps every packet in a CSV file.",
    );
    paragraph(
        &mut page,
        "Options may stand before or after arguments. Times are seconds unless a suffix says \
         otherwise: 0.5, 500ms, 250us, 10ns, 2m, 1h. Sizes are bytes, or K and M (1024-based).",
    );
    page += ".SH COMMANDS\n";
    for command in &COMMANDS {
        about(&mut page, command);
    }
    for topic in &TOPICS {
        let title = if topic.name == "status" { "exit status" } else { topic.name };
        put!(page, ".SH {}\n", title.to_ascii_uppercase());
        terms(&mut page, topic.terms);
    }
    page += ".SH STANDARDS\n";
    paragraph(
        &mut page,
        "RFC 862 (echo), RFC 3393 (jitter as IPDV), RFC 5357 and RFC 6038 (TWAMP), RFC 8762 and \
         RFC 8972 (STAMP), RFC 9293 (TCP).",
    );
    page
}

fn terms(page: &mut String, terms: Terms) {
    for (term, meaning) in terms {
        *page += &format!(".TP\n.B {}\n{}\n", escaped(term), escaped(meaning));
    }
}

/// Below a heading a paragraph begins by itself.
fn begin_paragraph(page: &mut String) {
    let last = page.lines().next_back().unwrap_or_default();
    if !last.starts_with(".SH") && !last.starts_with(".SS") {
        page.push_str(".PP\n");
    }
}

fn about(page: &mut String, command: &Command) {
    let arguments = command.positionals.iter().map(|name| format!(" {}", argument(name)));
    let arguments: String = arguments.collect();
    *page += &format!(".SS \"echotest {}{arguments} [OPTIONS]\"\n", command.name);
    paragraph(page, &capitalised(command.about));
    for (title, rows) in command.titled() {
        options(page, command, title, &rows);
    }
    notes(page, &command.notes());
}

/// An argument's name inside a quoted title.
fn argument(name: &str) -> String {
    escaped(name).replace('"', "\\(dq")
}

fn options(page: &mut String, command: &Command, title: &str, rows: &[&Row]) {
    begin_paragraph(page);
    *page += &format!("{}:\n", escaped(title));
    for row in rows {
        let default = default_of(command, row);
        *page += &format!(".TP\n{}\n{}\n", names(row), escaped(&sentence(&row.help(), default)));
    }
}

/// `\fB-i\fR, \fB--frequency\fR, \fB--interval\fR \fISECS\fR`.
fn names(row: &Row) -> String {
    let short = row.short.map(|short| format!("-{short}"));
    let long = [Some(row.long), row.alias].into_iter().flatten().map(|name| format!("--{name}"));
    let names = short.into_iter().chain(long);
    let names: Vec<String> = names.map(|name| format!("\\fB{}\\fR", escaped(&name))).collect();
    let value = if row.value.is_empty() {
        String::new()
    } else {
        format!(" \\fI{}\\fR", escaped(row.value))
    };
    names.join(", ") + &value
}

fn sentence(help: &str, default: Option<&str>) -> String {
    let default = default.map(|text| format!(" (default {text})")).unwrap_or_default();
    format!("{help}{default}")
}

/// Paragraphs; indented lines stay as they are.
fn notes(page: &mut String, notes: &str) {
    for part in notes.split("\n\n").filter(|part| !part.is_empty()) {
        begin_paragraph(page);
        let mut literal = false;
        for line in part.lines() {
            if line.starts_with(' ') != literal {
                literal = !literal;
                *page += if literal { ".RS 4\n.nf\n" } else { ".fi\n.RE\n" };
            }
            *page += &format!("{}\n", escaped(line.trim_start()));
        }
        if literal {
            *page += ".fi\n.RE\n";
        }
    }
}

fn paragraph(page: &mut String, text: &str) {
    begin_paragraph(page);
    *page += &format!("{}\n", escaped(text));
}

/// Text that says to roff what it says to us, in ASCII.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '.' if escaped.is_empty() => escaped.push_str("\\&."),
            '…' => escaped.push_str("..."),
            ascii if ascii.is_ascii() => escaped.push(ascii),
            other => put!(escaped, "\\[u{:04X}]", u32::from(other)),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_every_command_is_there() {
        let page = page();
        for command in &COMMANDS {
            assert!(page.contains(&format!(".SS \"echotest {}", command.name)));
            for row in command.rows() {
                assert!(page.contains(&names(row)), "{} {}", command.name, row.long);
            }
        }
        assert!(page.is_ascii());
    }

    #[test]
    fn no_text_is_a_request() {
        assert_eq!(escaped(".x -y \\ 'z…"), "\\&.x \\-y \\e \\(aqz...");
    }
}
