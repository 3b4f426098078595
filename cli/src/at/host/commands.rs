//! The names of AT commands, for completion.

use cotter_twin::at::module;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

/// Completes what begins like a command of ESP-AT or an order to the console.
pub(super) struct Commands;

impl Completer for Commands {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, completions(line.get(..at).unwrap_or_default())))
    }
}

impl Hinter for Commands {
    type Hint = String;
}

impl Highlighter for Commands {}
impl Validator for Commands {}
impl Helper for Commands {}

/// All that `begin` can become; what is typed in small letters counts as well.
fn completions(begin: &str) -> Vec<String> {
    let is_it = |name: &String| name.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin));
    let known = ORDERS.iter().chain(OTHERS).map(|name| (*name).to_owned());
    let mut found: Vec<String> = known.chain(module::commands()).filter(is_it).collect();
    found.sort_unstable();
    found
}

const ORDERS: &[&str] = &[
    ":escape",
    ":expect \"",
    ":file \"",
    ":help",
    ":log \"",
    ":passthrough",
    ":quit",
    ":raw \"",
    ":ready",
    ":refuse ",
    ":send \"",
    ":sleep ",
    ":time off",
    ":time on",
    ":timeout ",
    ":trace off",
    ":trace on",
];

/// Those of ESP-AT 4.x that our module has not, and a person may want to ask another one.
const OTHERS: &[&str] = &["AT+CIPSENDEX", "AT+CIPSTATUS", "AT+PING"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_commands_in_small_letters_and_orders() {
        assert_eq!(completions("at+cwm"), ["AT+CWMODE"]);
        assert_eq!(completions(":tr"), [":trace off", ":trace on"]);
        assert_eq!(completions("AT+CIPSEND"), ["AT+CIPSEND", "AT+CIPSENDEX"]);
        assert!(completions("").contains(&"AT".to_owned()));
        assert!(completions("AT+XYZ").is_empty() && completions("\u{e9}").is_empty());
    }
}
