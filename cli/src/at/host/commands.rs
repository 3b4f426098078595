//! The names of AT commands, for completion.

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
    let is_it = |name: &&&str| name.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin));
    ORDERS.iter().chain(COMMANDS).filter(is_it).map(|name| (*name).to_owned()).collect()
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

/// ESP-AT 4.x: basic, Wi-Fi, TCP/IP, MQTT. The module lists its own with `AT+CMD?`.
const COMMANDS: &[&str] = &[
    "AT",
    "ATE0",
    "ATE1",
    "AT+CIFSR",
    "AT+CIPCLOSE",
    "AT+CIPDINFO",
    "AT+CIPDOMAIN",
    "AT+CIPMODE",
    "AT+CIPMUX",
    "AT+CIPRECVDATA",
    "AT+CIPRECVLEN",
    "AT+CIPRECVTYPE",
    "AT+CIPSEND",
    "AT+CIPSENDEX",
    "AT+CIPSERVER",
    "AT+CIPSNTPCFG",
    "AT+CIPSNTPTIME",
    "AT+CIPSSLCCONF",
    "AT+CIPSSLCPSK",
    "AT+CIPSTA",
    "AT+CIPSTAMAC",
    "AT+CIPSTART",
    "AT+CIPSTATE",
    "AT+CIPSTATUS",
    "AT+CMD",
    "AT+CWJAP",
    "AT+CWLAP",
    "AT+CWMODE",
    "AT+CWQAP",
    "AT+CWSTATE",
    "AT+GMR",
    "AT+MQTTCLEAN",
    "AT+MQTTCONN",
    "AT+MQTTCONNCFG",
    "AT+MQTTLONGCLIENTID",
    "AT+MQTTLONGPASSWORD",
    "AT+MQTTLONGUSERNAME",
    "AT+MQTTPUB",
    "AT+MQTTPUBRAW",
    "AT+MQTTSUB",
    "AT+MQTTUNSUB",
    "AT+MQTTUSERCFG",
    "AT+PING",
    "AT+RESTORE",
    "AT+RST",
    "AT+SLEEP",
    "AT+SYSFLASH",
    "AT+SYSLOG",
    "AT+SYSMFG",
    "AT+SYSMSG",
    "AT+SYSRAM",
    "AT+SYSSTORE",
    "AT+SYSTIMESTAMP",
    "AT+UART_CUR",
    "AT+UART_DEF",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_commands_in_small_letters_and_orders() {
        assert_eq!(completions("at+cwm"), ["AT+CWMODE"]);
        assert_eq!(completions(":tr"), [":trace off", ":trace on"]);
        assert!(completions("AT+XYZ").is_empty() && completions("\u{e9}").is_empty());
    }
}
