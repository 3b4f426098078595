//! A virtual ESP-AT module: text in, text out, and a real network behind it.
//!
//! | file | noun |
//! |---|---|
//! | `entry` | the list of commands |
//! | `basic` | AT, echo, versions, restart, UART, messages |
//! | `storage` | AT+SYSFLASH and AT+SYSMFG |
//! | `wifi` | the simulated air, joining and leaving |
//! | `links` | connections while they live |
//! | `sockets` | the commands that make and use them |
//! | `secure` | what TLS connections are made with |
//! | `time` | SNTP and the clock |
//! | `mqtt` | the MQTT commands |
//!
//! Texts and limits: esp-at (July 2026, b49e4b98) `docs/en/AT_Command_Set/`. Where the manual leaves white space open, the
//! answers have the form of its examples. The core of the original is closed source.

mod basic;
mod entry;
mod links;
mod mqtt;
mod secure;
mod sockets;
mod storage;
#[cfg(test)]
mod tests;
mod time;
mod wifi;

use super::arguments::Arguments;
use super::clock::Clock;
use super::dial::Network;
use super::flash::Flash;
use super::grammar::{Command, Form, LINE_MAX};
use super::refusal::Refusal;
use entry::entries;
use links::Links;
use std::fmt::Display;
use std::time::{Duration, Instant};
pub use wifi::AccessPoint;
use wifi::Wifi;

/// How long the module boots.
pub const BOOT: Duration = Duration::from_millis(600);

/// What is around a module.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The network behind its access point.
    pub network: Network,
    /// The access points in the air; none: any that is asked for is there, and takes any password.
    pub access_points: Vec<AccessPoint>,
    /// The module's address on the air.
    pub mac: [u8; 6],
}

/// What a module did, for whoever watches. Parameters are not among it: they may be passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A command was taken: its name and form.
    Command(String),
    /// It was answered with ERROR.
    Refused(Refusal),
    /// Something happened that the command port does not tell.
    Note(String),
}

/// A module that has power.
pub struct Module {
    surroundings: Surroundings,
    flash: Flash,
    clock: Clock,
    started: Instant,
    out: Vec<u8>,
    log: Vec<u8>,
    events: Vec<Event>,
    mode: Mode,
    /// A command that is not answered yet; others are refused meanwhile.
    job: Option<Job>,
    line: Vec<u8>,
    wants_restart: bool,
    echoes: bool,
    tells_codes: bool,
    messages: u8,
    stores: bool,
    uart: [u32; 5],
    wifi: Wifi,
    links: Links,
    time: time::Time,
    mqtt: mqtt::Mqtt,
}

/// What bytes from the host mean.
enum Mode {
    Command,
    /// So many bytes are wanted.
    Prompt(Prompt),
    /// Everything goes to the connection.
    Passthrough,
}

/// Data that a command asked for with `>`.
struct Prompt {
    wanted: usize,
    got: Vec<u8>,
    purpose: Purpose,
}

enum Purpose {
    Send(sockets::Send),
    Flash { partition: String, offset: usize },
    Manufacturing { namespace: String, key: String, is_text: bool },
    Mqtt(mqtt::Text),
    Publish(mqtt::Message),
}

/// What takes its time.
enum Job {
    Wifi(wifi::Joining),
    Dial(links::Dialing),
    Mqtt(mqtt::Waiting),
}

/// How a command went.
type Outcome = Result<Reply, Refusal>;

enum Reply {
    /// OK.
    Done,
    /// The job answers later.
    Later,
    /// OK, and `>`.
    Prompt(Prompt),
    /// OK, and `>`, and from now on everything goes through.
    Passthrough,
    /// OK, and the module restarts.
    Restart,
    /// Everything is said.
    Said,
}

impl Module {
    /// Gives power to a module with this flash.
    #[must_use]
    pub fn new(surroundings: Surroundings, flash: Flash, now: Instant) -> Self {
        let settings = flash.settings.clone();
        let mut module = Self {
            surroundings,
            clock: Clock::new(),
            started: now,
            out: Vec::new(),
            log: Vec::new(),
            events: Vec::new(),
            mode: Mode::Command,
            job: None,
            line: Vec::new(),
            wants_restart: false,
            echoes: true,
            tells_codes: false,
            messages: 0,
            stores: settings.stores,
            uart: settings.uart,
            wifi: Wifi::new(settings.wifi_mode),
            links: Links::new(settings.reconnect_interval),
            time: time::Time::default(),
            mqtt: mqtt::Mqtt::default(),
            flash,
        };
        module.log.extend(basic::BANNER.as_bytes());
        module
    }

    /// Takes its flash out.
    #[must_use]
    pub fn into_flash(self) -> Flash {
        self.flash
    }

    /// It has booted: says so, and joins the access point that it knows.
    pub fn ready(&mut self, now: Instant) {
        self.log.extend(basic::AT_INIT.as_bytes());
        self.out.extend(b"\r\nready\r\n");
        self.join_by_itself(now);
    }

    /// Takes bytes from the host.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            match &mut self.mode {
                Mode::Command => {
                    self.take_byte(*first, now);
                    rest = behind;
                }
                Mode::Prompt(prompt) => {
                    let (data, behind) = rest.split_at(rest.len().min(prompt.wanted.saturating_sub(prompt.got.len())));
                    prompt.got.extend(data);
                    rest = behind;
                    if prompt.got.len() >= prompt.wanted {
                        self.complete(now);
                        if !rest.is_empty() {
                            // More than was wanted is no command either.
                            self.out.extend(b"\r\nbusy p...\r\n");
                        }
                        return;
                    }
                }
                Mode::Passthrough => {
                    self.links.push(rest, now);
                    return;
                }
            }
        }
    }

    /// Time passes, and the network moves. To be called every few milliseconds.
    pub fn tick(&mut self, now: Instant) {
        match self.job.take() {
            None => {}
            Some(Job::Wifi(joining)) => self.go_on_joining(joining, now),
            Some(Job::Dial(dialing)) => self.go_on_dialing(dialing),
            Some(Job::Mqtt(waiting)) => self.go_on_waiting(waiting, now),
        }
        self.tick_wifi(now);
        self.tick_time(now);
        // What the network says would mix with what the host is asked for.
        if !matches!(self.mode, Mode::Prompt(_)) {
            self.tick_links(now);
            self.tick_mqtt(now);
        }
    }

    /// Is it in a mode that `+++` ends?
    #[must_use]
    pub const fn has_data_mode(&self) -> bool {
        match &self.mode {
            Mode::Passthrough => true,
            Mode::Prompt(prompt) => matches!(prompt.purpose, Purpose::Send(_)),
            Mode::Command => false,
        }
    }

    /// The host leaves data mode.
    pub fn escape(&mut self, now: Instant) {
        match std::mem::replace(&mut self.mode, Mode::Command) {
            Mode::Command => {}
            Mode::Prompt(_) => self.out.extend(b"\r\nSEND Canceled\r\n"),
            Mode::Passthrough => {
                self.flush_passthrough(now);
                if self.messages & 1 != 0 {
                    self.out.extend(b"\r\n+QUITT\r\n");
                }
            }
        }
    }

    /// What it has to say on the command port, all at once.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// What it has to say on the log port.
    #[must_use]
    pub fn take_log(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.log)
    }

    /// What it did.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Is it about to restart? Its last words are in [`Self::take_output`].
    #[must_use]
    pub const fn wants_restart(&self) -> bool {
        self.wants_restart
    }

    fn take_byte(&mut self, byte: u8, now: Instant) {
        if self.echoes && self.job.is_none() {
            self.out.push(byte);
        }
        if self.line.len() < LINE_MAX + 3 {
            self.line.push(byte);
        } else {
            // It is refused when it ends; until then only its end is looked for.
            self.line.remove(LINE_MAX + 1);
            self.line.push(byte);
        }
        let Some(command) = self.line.strip_suffix(b"\r\n") else { return };
        let command = command.to_vec();
        self.line.clear();
        // Nothing is known of how the original answers an empty line.
        if !command.is_empty() {
            self.execute(&command, now);
        }
    }

    fn execute(&mut self, line: &[u8], now: Instant) {
        if self.job.is_some() {
            self.out.extend(b"\r\nbusy p...\r\n");
            return;
        }
        let outcome = match Command::parse(line) {
            Ok(command) => {
                self.events.push(Event::Command(format!("{command:?}")));
                self.run(&command, now)
            }
            Err(error) => {
                self.note(error);
                Err(error.into())
            }
        };
        self.answer(outcome);
    }

    fn run(&mut self, command: &Command, now: Instant) -> Outcome {
        let entry = entries().find(|entry| entry.name == command.name()).ok_or(Refusal::Unsupported)?;
        match command.form() {
            Form::Test => {
                let range = entry.test.ok_or(Refusal::Form)?;
                self.say(format_args!("{}:{range}", entry.name));
                Ok(Reply::Done)
            }
            Form::Query => entry.query.ok_or(Refusal::Form)?(self, now),
            Form::Set(parameters) => entry.set.ok_or(Refusal::Form)?(self, Arguments::of(parameters), now),
            Form::Execute => entry.execute.ok_or(Refusal::Form)?(self, now),
        }
    }

    fn answer(&mut self, outcome: Outcome) {
        match outcome {
            Ok(Reply::Done) => self.out.extend(b"\r\nOK\r\n"),
            Ok(Reply::Later | Reply::Said) => {}
            Ok(Reply::Prompt(prompt)) => {
                self.out.extend(b"\r\nOK\r\n\r\n>");
                self.mode = Mode::Prompt(prompt);
            }
            Ok(Reply::Passthrough) => {
                self.out.extend(b"\r\nOK\r\n\r\n>");
                self.mode = Mode::Passthrough;
            }
            Ok(Reply::Restart) => {
                self.out.extend(b"\r\nOK\r\n");
                self.wants_restart = true;
            }
            Err(refusal) => {
                if self.tells_codes {
                    self.say(format_args!("ERR CODE:{:#010x}", refusal.code()));
                }
                self.out.extend(b"\r\nERROR\r\n");
                self.events.push(Event::Refused(refusal));
            }
        }
    }

    /// The data that a command asked for is there.
    fn complete(&mut self, now: Instant) {
        let Mode::Prompt(prompt) = std::mem::replace(&mut self.mode, Mode::Command) else { return };
        let outcome = match prompt.purpose {
            Purpose::Send(send) => self.send(&send, &prompt.got),
            Purpose::Flash { partition, offset } => self.program(&partition, offset, &prompt.got),
            Purpose::Manufacturing { namespace, key, is_text } => {
                self.store_manufacturing(&namespace, &key, prompt.got, is_text)
            }
            Purpose::Mqtt(text) => self.set_mqtt_text(text, prompt.got),
            Purpose::Publish(message) => self.publish_raw(message, &prompt.got, now),
        };
        self.answer(outcome);
    }

    /// A line on the command port.
    fn say(&mut self, line: impl Display) {
        self.out.extend(format!("{line}\r\n").as_bytes());
    }

    /// A line on the log port.
    fn note(&mut self, line: impl Display) {
        let time = self.started.elapsed().as_millis();
        self.log.extend(format!("I ({time}) at: {line}\r\n").as_bytes());
        self.events.push(Event::Note(line.to_string()));
    }
}

/// What the module can be told, from `AT` on, as `AT+CMD?` lists it.
pub fn commands() -> impl Iterator<Item = String> {
    entries().map(|entry| format!("AT{}", entry.name))
}

/// How a text looks inside quotation marks of an answer. The manual escapes in commands only.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
