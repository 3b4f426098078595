//! SNTP and the clock. If the first server that is asked is not on this machine, and the network reaches no further, this
//! machine's time stands in for its answer, and the log port says so.

use super::super::arguments::Arguments;
use super::super::clock::{Clock, asctime};
use super::super::refusal::Refusal;
use super::super::sntp::{self, Told};
use super::entry::Entry;
use super::{Module, Outcome, Reply, quoted};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

pub(super) const COMMANDS: &[Entry] = &[
    Entry::new("+SYSTIMESTAMP").query(query_timestamp).set(set_timestamp),
    Entry::new("+CIPSNTPCFG").query(query_configuration).set(configure),
    Entry::new("+CIPSNTPTIME").query(query_time),
    Entry::new("+CIPSNTPINTV").query(query_interval).set(set_interval),
];

/// How long after a failure the servers are asked again.
const RETRY: Duration = Duration::from_secs(15);

/// What is known of the time.
#[derive(Debug)]
pub(super) struct Time {
    is_on: bool,
    /// As it was set: whole hours, or hours and minutes as one number.
    zone: i64,
    servers: Vec<String>,
    /// Seconds.
    interval: u32,
    due: Option<Instant>,
    asked: Option<Receiver<Told>>,
}

impl Default for Time {
    fn default() -> Self {
        Self { is_on: false, zone: 0, servers: Vec::new(), interval: 3600, due: None, asked: None }
    }
}

impl Time {
    /// Seconds east of Greenwich.
    const fn offset(&self) -> i64 {
        match self.zone {
            -12..=14 => self.zone * 3600,
            zone => (zone / 100 * 60 + zone % 100) * 60,
        }
    }
}

fn query_timestamp(module: &mut Module, _: Instant) -> Outcome {
    let seconds = module.clock.seconds();
    module.tell(&format!("+SYSTIMESTAMP:{seconds}"))
}

fn set_timestamp(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let seconds: u64 = arguments.count(1..=1)?.required(0, 0..=i64::from(u32::MAX))?;
    module.clock.set(seconds);
    Ok(Reply::Done)
}

fn query_configuration(module: &mut Module, _: Instant) -> Outcome {
    let servers: String = module.time.servers.iter().map(|server| format!(",{}", quoted(server))).collect();
    let (is_on, zone) = (u8::from(module.time.is_on), module.time.zone);
    module.tell(&format!("+CIPSNTPCFG:{is_on},{zone}{servers}"))
}

fn configure(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    let arguments = arguments.count(1..=5)?;
    let is_on = arguments.required::<u8>(0, 0..=1)? == 1;
    let zone = arguments.or(1, -1200..=1400, module.time.zone)?;
    if !(-12..=14).contains(&zone) && zone % 100 >= 60 {
        return Err(Refusal::Invalid(1));
    }
    let mut servers = Vec::new();
    for index in 2..5 {
        servers.extend(arguments.text(index, 64)?.map(str::to_owned));
    }
    if is_on && servers.is_empty() {
        servers = ["cn.ntp.org.cn", "ntp.sjtu.edu.cn", "us.pool.ntp.org"].map(str::to_owned).to_vec();
    }
    let time = &mut module.time;
    (time.is_on, time.zone, time.servers) = (is_on, zone, servers);
    // What was asked before is not waited for.
    (time.due, time.asked) = (is_on.then_some(now), None);
    Ok(Reply::Done)
}

fn query_time(module: &mut Module, _: Instant) -> Outcome {
    let time = asctime(module.clock.seconds(), module.time.offset());
    module.tell(&format!("+CIPSNTPTIME:{time}"))
}

fn query_interval(module: &mut Module, _: Instant) -> Outcome {
    let interval = module.time.interval;
    module.tell(&format!("+CIPSNTPINTV:{interval}"))
}

fn set_interval(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.time.interval = arguments.count(1..=1)?.required(0, 15..=4_294_967)?;
    Ok(Reply::Done)
}

impl Module {
    pub(super) fn tick_time(&mut self, now: Instant) {
        if let Some(asked) = &self.time.asked {
            let told = match asked.try_recv() {
                Ok(told) => told,
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => Told::Nothing("no thread to ask with".to_owned()),
            };
            self.time.asked = None;
            self.be_told(told, now);
        }
        if self.time.due.is_some_and(|due| due <= now) && self.wifi.has_address() {
            self.time.due = None;
            self.time.asked = Some(sntp::ask(&self.surroundings.network, &self.time.servers));
        }
    }

    fn be_told(&mut self, told: Told, now: Instant) {
        let (seconds, wait) = match told {
            Told::Time(seconds, server) => {
                self.note(format_args!("sntp: {server} told the time"));
                (Some(seconds), Duration::from_secs(self.time.interval.into()))
            }
            Told::OutOfReach(server) => {
                self.note(format_args!("sntp: {server} is out of reach; the time is that of this machine"));
                (Some(Clock::host()), Duration::from_secs(self.time.interval.into()))
            }
            Told::Nothing(why) => {
                self.note(format_args!("sntp: {why}"));
                (None, RETRY)
            }
        };
        self.time.due = now.checked_add(wait);
        if let Some(seconds) = seconds {
            self.clock.set(seconds);
            if !matches!(self.mode, super::Mode::Passthrough) {
                self.say("+TIME_UPDATED");
            }
        }
    }
}
