//! Help, printed from the rows.

use super::command::{COMMANDS, Command};
use super::matches::default_of;
use super::opt::Row;
use super::topics;

/// Where the explanations begin.
const INDENT: usize = 28;

/// `echotest 0.1.0`.
pub(super) fn version() -> String {
    format!("echotest {}\n", env!("CARGO_PKG_VERSION"))
}

/// What there is.
pub(super) fn overview() -> String {
    let mut text = String::from(
        "echotest: time every round trip of a long-lived TCP connection\n\n\
         Usage: echotest COMMAND [ARGS] [OPTIONS]\n\nCommands:\n",
    );
    for command in &COMMANDS {
        put!(text, "  {:12}{}\n", command.name, command.about);
    }
    text.push_str(
        "\n'echotest help COMMAND' or 'echotest COMMAND --help' explains a command.\n\
         'echotest help TOPIC' explains causes, figures, files, signals, status, environment,\n\
         captures, services, security; examples has some.\n\
         'echotest help man' prints the manual page, 'echotest help completions SHELL' what\n\
         bash, zsh or fish need to complete a command line.\n\
         Try it here first: echotest loopback\n",
    );
    text
}

/// All about one command.
pub(super) fn of(command: &Command) -> String {
    let mut usage = vec![format!("Usage: echotest {}", command.name)];
    usage.extend(command.positionals.iter().map(|&name| name.to_owned()));
    usage.push("[OPTIONS]".to_owned());
    let mut text = format!("{}\n\n{}\n", capitalised(command.about), usage.join(" "));
    for (title, rows) in command.titled() {
        put!(text, "\n{title}:\n");
        for row in rows {
            text.push_str(&line(command, row));
        }
    }
    put!(text, "\n{}", command.notes());
    // What its results mean.
    if let Some(topic) = topics::find(command.name) {
        put!(text, "\n{}", topics::text(topic));
    }
    text
}

/// A sentence.
pub(super) fn capitalised(text: &str) -> String {
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}.", first.to_ascii_uppercase())
}

fn line(command: &Command, row: &Row) -> String {
    let short = row.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    let alias = row.alias.map(|alias| format!(", --{alias}")).unwrap_or_default();
    let value = if row.value.is_empty() { String::new() } else { format!(" {}", row.value) };
    let name = format!("  {short}--{}{alias}{value}", row.long);
    let default = default_of(command, row).map(|text| format!(" (default {text})"));
    let explained = format!("{}{}", row.help(), default.unwrap_or_default());
    if name.len() + 2 > INDENT {
        format!("{name}\n{:INDENT$}{explained}\n", "")
    } else {
        format!("{name:INDENT$}{explained}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_option() {
        for command in &COMMANDS {
            let text = of(command);
            for row in command.rows() {
                assert!(text.contains(&format!("--{}", row.long)), "{}", row.long);
            }
            assert!(overview().contains(command.name));
        }
    }
}
