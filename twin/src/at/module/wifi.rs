//! The simulated air: access points, joining and leaving. No radio, no addresses from anybody.

use super::super::arguments::Arguments;
use super::super::refusal::Refusal;
use super::entry::Entry;
use super::{Job, Mode, Module, Outcome, Reply, quoted};
use std::time::{Duration, Instant};

pub(super) const COMMANDS: &[Entry] = &[
    Entry::new("+CWMODE").test("(0-3)").query(query_mode).set(set_mode),
    Entry::new("+CWJAP").query(query_joined).set(join).execute(join_again),
    Entry::new("+CWQAP").execute(leave),
    Entry::new("+CWSTATE").query(query_state),
    Entry::new("+CWLAP").execute(|module, _| module.list_access_points(None)).set(list_some),
    Entry::new("+CWAUTOCONN").query(query_automatic).set(set_automatic),
    Entry::new("+CIPSTA").query(query_address),
    Entry::new("+CIPSTAMAC").query(query_mac),
    Entry::new("+CIFSR").execute(addresses),
];

/// An access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPoint {
    /// Its name.
    pub ssid: String,
    /// What it wants to hear; `None`: it is open, and takes any.
    pub password: Option<String>,
}

/// The station.
pub(super) struct Wifi {
    mode: u8,
    state: State,
    ssid: String,
    /// What nobody asked for goes on beside the commands.
    unasked: Option<Joining>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle = 0,
    Joined = 1,
    HasAddress = 2,
    Joining = 3,
    Left = 4,
}

/// Joining takes its time.
pub(super) struct Joining {
    ssid: String,
    password: String,
    due: Instant,
    /// Nobody asked for it: it is not answered, and other commands are.
    is_unasked: bool,
}

/// To be heard by an access point, and to get an address from it.
const STEP: Duration = Duration::from_millis(200);

const IP: &str = "192.168.4.23";
const GATEWAY: &str = "192.168.4.1";
const NETMASK: &str = "255.255.255.0";
const BSSID: &str = "02:c0:77:e2:00:01";

impl Wifi {
    pub(super) const fn new(mode: u8) -> Self {
        Self { mode, state: State::Idle, ssid: String::new(), unasked: None }
    }

    pub(super) fn has_address(&self) -> bool {
        self.state == State::HasAddress
    }

    const fn is_station(&self) -> bool {
        self.mode & 1 != 0
    }
}

fn query_mode(module: &mut Module, _: Instant) -> Outcome {
    let mode = module.wifi.mode;
    module.tell(&format!("+CWMODE:{mode}"))
}

fn set_mode(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    let arguments = arguments.count(1..=2)?;
    let mode: u8 = arguments.required(0, 0..=3)?;
    let joins = arguments.or::<u8>(1, 0..=1, 1)? == 1;
    let was_station = module.wifi.is_station();
    module.wifi.mode = mode;
    if module.stores {
        module.flash.settings.wifi_mode = mode;
    }
    if !module.wifi.is_station() {
        module.disconnect();
    } else if joins && !was_station {
        module.join_by_itself(now);
    }
    Ok(Reply::Done)
}

fn join(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    let arguments = arguments.count(1..=9)?;
    let known = module.flash.settings.access_point.clone();
    let ssid = arguments.text(0, 32)?.map(str::to_owned).or(known.map(|(ssid, _)| ssid));
    let ssid = ssid.ok_or(Refusal::Parse(0))?;
    let password = arguments.text(1, 64)?.unwrap_or_default().to_owned();
    let _bssid = arguments.text(2, 17)?;
    for (index, range) in [(3, 0..=16), (4, 0..=7200), (5, 1..=100), (6, 0..=1), (7, 3..=600), (8, 0..=3)] {
        let _checked_and_of_no_effect = arguments.number(index, range)?;
    }
    module.start_joining(ssid, password, now)
}

fn join_again(module: &mut Module, now: Instant) -> Outcome {
    let (ssid, password) = module.flash.settings.access_point.clone().ok_or(Refusal::Failed)?;
    module.start_joining(ssid, password, now)
}

fn query_joined(module: &mut Module, _: Instant) -> Outcome {
    if matches!(module.wifi.state, State::Joined | State::HasAddress) {
        let ssid = quoted(&module.wifi.ssid);
        return module.tell(&format!("+CWJAP:{ssid},\"{BSSID}\",6,-42,0,1,3,0,1"));
    }
    module.tell("No AP")
}

fn leave(module: &mut Module, _: Instant) -> Outcome {
    module.disconnect();
    Ok(Reply::Done)
}

fn query_state(module: &mut Module, _: Instant) -> Outcome {
    let (state, ssid) = (module.wifi.state as u8, quoted(&module.wifi.ssid));
    module.tell(&format!("+CWSTATE:{state},{ssid}"))
}

fn list_some(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let ssid = arguments.count(1..=7)?.text(0, 32)?.map(str::to_owned);
    module.list_access_points(ssid.as_deref())
}

fn query_automatic(module: &mut Module, _: Instant) -> Outcome {
    let state = u8::from(module.flash.settings.connects_by_itself);
    module.tell(&format!("+CWAUTOCONN:{state}"))
}

fn set_automatic(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.flash.settings.connects_by_itself = arguments.count(1..=1)?.required::<u8>(0, 0..=1)? == 1;
    Ok(Reply::Done)
}

fn query_address(module: &mut Module, _: Instant) -> Outcome {
    let joined = module.wifi.has_address();
    let addresses = if joined { [IP, GATEWAY, NETMASK] } else { ["0.0.0.0"; 3] };
    for (name, address) in ["ip", "gateway", "netmask"].iter().zip(addresses) {
        module.say(format_args!("+CIPSTA:{name}:\"{address}\""));
    }
    Ok(Reply::Done)
}

fn query_mac(module: &mut Module, _: Instant) -> Outcome {
    let mac = module.mac();
    module.tell(&format!("+CIPSTAMAC:\"{mac}\""))
}

fn addresses(module: &mut Module, _: Instant) -> Outcome {
    let ip = if module.wifi.has_address() { IP } else { "0.0.0.0" };
    module.say(format_args!("+CIFSR:STAIP,\"{ip}\""));
    let mac = module.mac();
    module.tell(&format!("+CIFSR:STAMAC,\"{mac}\""))
}

impl Module {
    fn mac(&self) -> String {
        let [a, b, c, d, e, f] = self.surroundings.mac;
        format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }

    fn list_access_points(&mut self, ssid: Option<&str>) -> Outcome {
        if !self.wifi.is_station() {
            return Err(Refusal::Failed);
        }
        let points = self.surroundings.access_points.clone();
        for point in points.iter().filter(|point| ssid.is_none_or(|ssid| ssid == point.ssid)) {
            let kind = if point.password.is_some() { 3 } else { 0 };
            self.say(format_args!("+CWLAP:({kind},{},-42,\"{BSSID}\",6,0,0,4,4,7,0)", quoted(&point.ssid)));
        }
        Ok(Reply::Done)
    }

    fn start_joining(&mut self, ssid: String, password: String, now: Instant) -> Outcome {
        if !self.wifi.is_station() {
            return Err(Refusal::Failed);
        }
        self.disconnect();
        self.wifi.state = State::Joining;
        self.wifi.ssid.clone_from(&ssid);
        self.job = Some(Job::Wifi(Joining { ssid, password, due: now + STEP, is_unasked: false }));
        Ok(Reply::Later)
    }

    /// As after power-on, if it was told to.
    pub(super) fn join_by_itself(&mut self, now: Instant) {
        let settings = &self.flash.settings;
        if !self.wifi.is_station() || !settings.connects_by_itself || self.job.is_some() {
            return;
        }
        let Some((ssid, password)) = settings.access_point.clone() else { return };
        self.wifi.state = State::Joining;
        self.wifi.ssid.clone_from(&ssid);
        self.wifi.unasked = Some(Joining { ssid, password, due: now + STEP, is_unasked: true });
    }

    /// Goes on with what nobody asked for.
    pub(super) fn tick_wifi(&mut self, now: Instant) {
        if let Some(joining) = self.wifi.unasked.take() {
            self.go_on_joining(joining, now);
        }
    }

    fn keep_joining(&mut self, joining: Joining) {
        if joining.is_unasked {
            self.wifi.unasked = Some(joining);
        } else {
            self.job = Some(Job::Wifi(joining));
        }
    }

    pub(super) fn go_on_joining(&mut self, mut joining: Joining, now: Instant) {
        if joining.due > now {
            self.keep_joining(joining);
            return;
        }
        if self.wifi.state == State::Joining {
            match self.admitted(&joining) {
                Ok(()) => {
                    self.wifi.state = State::Joined;
                    self.tell_state("WIFI CONNECTED");
                    joining.due = now + STEP;
                    self.keep_joining(joining);
                }
                Err(reason) => {
                    self.wifi.state = State::Left;
                    if !joining.is_unasked {
                        self.say(format_args!("+CWJAP:{reason}"));
                        self.answer(Err(Refusal::Failed));
                    }
                }
            }
            return;
        }
        self.wifi.state = State::HasAddress;
        self.tell_state("WIFI GOT IP");
        if self.stores {
            self.flash.settings.access_point = Some((joining.ssid, joining.password));
        }
        if !joining.is_unasked {
            self.answer(Ok(Reply::Done));
        }
    }

    /// The number that `+CWJAP:` tells: 2 wrong password, 3 no such access point.
    fn admitted(&self, joining: &Joining) -> Result<(), u8> {
        let points = &self.surroundings.access_points;
        if points.is_empty() {
            return Ok(());
        }
        let point = points.iter().find(|point| point.ssid == joining.ssid).ok_or(3)?;
        match &point.password {
            Some(password) if *password != joining.password => Err(2),
            _ => Ok(()),
        }
    }

    fn disconnect(&mut self) {
        if matches!(self.wifi.state, State::Joined | State::HasAddress) {
            self.close_all();
            self.tell_state("WIFI DISCONNECT");
        }
        self.wifi.state = State::Left;
        self.wifi.unasked = None;
        self.wifi.ssid.clear();
    }

    fn tell_state(&mut self, line: &str) {
        if !matches!(self.mode, Mode::Passthrough) || self.messages & 4 != 0 {
            self.say(line);
        }
    }
}
