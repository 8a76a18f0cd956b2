//! Completions for shells, from the same rows that parse the command line.

use super::command::COMMANDS;
use super::opt::Row;
use super::value::Kind;
use crate::server::SERVICES;

/// A shell's name, and what writes its completions.
pub(super) type Shell = (&'static str, fn() -> String);

/// The shells there are completions for, and what writes them.
pub(super) const SHELLS: [Shell; 3] = [("bash", bash), ("zsh", zsh), ("fish", fish)];

/// What may follow `echotest help` besides commands.
pub(super) const TOPICS: [&str; 2] = ["man", "completions"];

/// What a value or an argument may be.
enum Candidates {
    Words(Vec<&'static str>),
    Files,
    Directories,
    /// The user knows.
    Unknown,
}

fn of_option(row: &Row) -> Candidates {
    match row.kind {
        Kind::Choice(words) => Candidates::Words(words.to_vec()),
        Kind::File => Candidates::Files,
        Kind::Directory => Candidates::Directories,
        _ => Candidates::Unknown,
    }
}

/// By the name in the table of commands.
fn of_argument(name: &str) -> Candidates {
    if name.contains("PROTOCOL") {
        Candidates::Words(SERVICES.iter().map(|service| service.name).collect())
    } else if ["TIMINGS", "CAPTURE", "FILE"].iter().any(|file| name.contains(file)) {
        Candidates::Files
    } else {
        Candidates::Unknown
    }
}

/// All ways to write an option.
fn names(row: &Row) -> Vec<String> {
    let long = [Some(row.long), row.alias].into_iter().flatten().map(|name| format!("--{name}"));
    row.short.map(|short| format!("-{short}")).into_iter().chain(long).collect()
}

fn words(words: impl Iterator<Item = impl Into<String>>) -> String {
    words.map(Into::into).collect::<Vec<String>>().join(" ")
}

fn command_names() -> String {
    words(COMMANDS.iter().map(|command| command.name).chain(["help"]))
}

fn shell_names() -> String {
    words(SHELLS.iter().map(|(name, _)| *name))
}

fn topic_names() -> String {
    let topics = super::topics::TOPICS.iter().map(|topic| topic.name);
    words(COMMANDS.iter().map(|command| command.name).chain(TOPICS).chain(topics))
}

/// What bash does to complete `current`.
fn bash_reply(candidates: &Candidates) -> String {
    match candidates {
        Candidates::Words(list) => {
            format!("COMPREPLY=($(compgen -W '{}' -- \"$current\"))", list.join(" "))
        }
        Candidates::Files => "_echotest_paths -f".to_owned(),
        Candidates::Directories => "_echotest_paths -d".to_owned(),
        Candidates::Unknown => "COMPREPLY=()".to_owned(),
    }
}

fn bash() -> String {
    let mut values = String::new();
    let mut options = String::new();
    for command in &COMMANDS {
        for row in command.rows().filter(|row| !row.value.is_empty()) {
            let patterns: Vec<String> =
                names(row).iter().map(|name| format!("{}:{name}", command.name)).collect();
            let reply = bash_reply(&of_option(row));
            put!(values, "    {}) {reply}; return ;;\n", patterns.join("|"));
        }
        let all = words(command.rows().flat_map(names));
        let argument = command.positionals.last().map_or(Candidates::Unknown, |n| of_argument(n));
        put!(
            options,
            "    {}:-*) COMPREPLY=($(compgen -W '{all}' -- \"$current\")) ;;\n    {}:*) {} ;;\n",
            command.name,
            command.name,
            bash_reply(&argument)
        );
    }
    format!(
        r#"# bash completion for echotest
_echotest_paths() {{
  local IFS=$'\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen "$1" -- "$current"))
}}
_echotest() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
  local command=${{COMP_WORDS[1]}}
  # bash makes --option=value three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '{commands} --help --version' -- "$current"))
    return
  fi
  if [[ $command == help ]]; then
    if ((COMP_CWORD == 2)); then
      COMPREPLY=($(compgen -W '{topics}' -- "$current"))
    elif ((COMP_CWORD == 3)) && [[ $previous == completions ]]; then
      COMPREPLY=($(compgen -W '{shells}' -- "$current"))
    fi
    return
  fi
  case $command:$previous in
{values}  esac
  case $command:$current in
{options}  esac
}}
complete -F _echotest echotest
"#,
        commands = command_names(),
        topics = topic_names(),
        shells = shell_names(),
    )
}

/// Text within single quotes of any of the shells.
fn quoted(text: &str) -> String {
    text.replace('\'', "’")
}

/// What zsh calls an action.
fn zsh_action(candidates: &Candidates) -> String {
    match candidates {
        Candidates::Words(list) => format!("({})", list.join(" ")),
        Candidates::Files => "_files".to_owned(),
        Candidates::Directories => "_files -/".to_owned(),
        Candidates::Unknown => " ".to_owned(),
    }
}

fn zsh() -> String {
    let mut cases = String::new();
    for command in &COMMANDS {
        put!(cases, "    {}) _arguments -s", command.name);
        for row in command.rows() {
            let text: String =
                quoted(&row.help()).replace('[', "(").replace(']', ")").replace(':', "\\:");
            let value = if row.value.is_empty() {
                String::new()
            } else {
                let name = row.value.replace(['[', ']'], "");
                format!(":{name}:{}", zsh_action(&of_option(row)))
            };
            for name in names(row) {
                // A long option takes its value after an equals sign as well.
                let joined = match (row.value.is_empty(), name.starts_with("--")) {
                    (true, _) => "",
                    (false, true) => "=",
                    (false, false) => "+",
                };
                let again = if row.repeatable { "*" } else { "" };
                put!(cases, " \\\n      '{again}{name}{joined}[{text}]{value}'");
            }
        }
        for name in command.positionals {
            let action = zsh_action(&of_argument(name));
            let shown = name.trim_matches(['[', ']', '…']);
            let place = match (name.ends_with('…'), name.starts_with('[')) {
                (true, _) => "*:",
                (false, true) => "::",
                (false, false) => ":",
            };
            put!(cases, " \\\n      '{place}{shown}:{action}'");
        }
        cases += " ;;\n";
    }
    let described = COMMANDS.iter().map(|command| {
        format!("    '{}:{}'\n", command.name, quoted(command.about).replace(':', "\\:"))
    });
    format!(
        "#compdef echotest\n# zsh completion for echotest\n_echotest() {{\n  local -a commands\n  \
         commands=(\n{}    'help:explain a command'\n  )\n  if ((CURRENT == 2)); then\n    \
         _describe command commands\n    return\n  fi\n  local command=$words[2]\n  \
         if [[ $command == help ]]; then\n    if ((CURRENT == 3)); then\n      \
         compadd -- {}\n    elif ((CURRENT == 4)) && [[ $words[3] == completions ]]; then\n      \
         compadd -- {}\n    fi\n    return\n  fi\n  shift words\n  ((CURRENT--))\n  \
         case $command in\n{cases}  esac\n}}\n\
         if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n  _echotest \"$@\"\nelse\n  \
         compdef _echotest echotest\nfi\n",
        described.collect::<String>(),
        topic_names(),
        shell_names(),
    )
}

fn fish() -> String {
    let mut text = String::from("# fish completion for echotest\ncomplete -c echotest -f\n");
    let no_command = "not __fish_seen_subcommand_from";
    for command in &COMMANDS {
        put!(
            text,
            "complete -c echotest -n '{no_command} {}' -a {} -d '{}'\n",
            command_names(),
            command.name,
            quoted(command.about)
        );
    }
    put!(
        text,
        "complete -c echotest -n '{no_command} {}' -a help -d 'explain a command'\n\
         complete -c echotest -n '__fish_seen_subcommand_from help' -a '{}'\n\
         complete -c echotest -n '__fish_seen_subcommand_from completions' -a '{}'\n",
        command_names(),
        topic_names(),
        shell_names()
    );
    for command in &COMMANDS {
        // After `help` the other names are topics.
        let condition = format!(
            "__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from help",
            command.name
        );
        let start = format!("complete -c echotest -n '{condition}'");
        for row in command.rows() {
            let short = row.short.map(|short| format!(" -s {short}")).unwrap_or_default();
            let alias = row.alias.map(|alias| format!(" -l {alias}")).unwrap_or_default();
            let value = match of_option(row) {
                _ if row.value.is_empty() => String::new(),
                Candidates::Words(list) => format!(" -x -a '{}'", list.join(" ")),
                Candidates::Files => " -r -F".to_owned(),
                Candidates::Directories => " -x -a '(__fish_complete_directories)'".to_owned(),
                Candidates::Unknown => " -x".to_owned(),
            };
            let help = quoted(&row.help());
            put!(text, "{start}{short} -l {}{alias}{value} -d '{help}'\n", row.long);
        }
        match command.positionals.last().map(|name| of_argument(name)) {
            Some(Candidates::Words(list)) => put!(text, "{start} -a '{}'\n", list.join(" ")),
            Some(Candidates::Files) => put!(text, "{start} -F\n"),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_option() {
        for (shell, write) in SHELLS {
            let text = write();
            for command in &COMMANDS {
                for row in command.rows() {
                    let bare = if shell == "fish" { "-l " } else { "--" };
                    assert!(text.contains(&format!("{bare}{}", row.long)), "{shell} {}", row.long);
                }
            }
        }
    }
}
