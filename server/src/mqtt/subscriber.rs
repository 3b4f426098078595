//! A device on a connection: what it has subscribed to.

use super::topic::FilterKind;
use cotter_wire::ids::{DeviceId, UnixTime};

/// One device.
pub(super) struct Subscriber {
    pub(super) device: DeviceId,
    /// When it has to go: with its token.
    pub(super) until: Option<UnixTime>,
    config: Option<Subscribed>,
    commands: Option<Subscribed>,
    errors: Option<Subscribed>,
}

/// A subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscribed {
    /// With QoS 1.
    pub(super) is_acknowledged: bool,
}

/// The devices on a connection: its own first, then those that it has brought.
pub(super) struct Subscribers {
    own: Subscriber,
    brought: Vec<Subscriber>,
}

impl Subscriber {
    const fn new(device: DeviceId, until: Option<UnixTime>) -> Self {
        Self { device, until, config: None, commands: None, errors: None }
    }

    pub(super) const fn subscription(&mut self, kind: FilterKind) -> &mut Option<Subscribed> {
        match kind {
            FilterKind::Config => &mut self.config,
            FilterKind::Commands => &mut self.commands,
            FilterKind::Errors => &mut self.errors,
        }
    }
}

impl Subscribers {
    pub(super) const fn of(device: DeviceId) -> Self {
        // The connection ends with its own token, so it has no end of its own.
        Self { own: Subscriber::new(device, None), brought: Vec::new() }
    }

    pub(super) const fn own(&mut self) -> &mut Subscriber {
        &mut self.own
    }

    /// A device, if it is here still.
    pub(super) fn get(&mut self, device: DeviceId, now: UnixTime) -> Option<&mut Subscriber> {
        if self.own.device == device {
            return Some(&mut self.own);
        }
        self.brought.iter_mut().find(|one| one.device == device && one.until.is_none_or(|until| until > now))
    }

    /// One more device, or the same one with another end. False if [`MOST_BROUGHT`] are here.
    pub(super) fn bring(&mut self, device: DeviceId, until: Option<UnixTime>) -> bool {
        if let Some(one) = self.brought.iter_mut().find(|one| one.device == device) {
            one.until = until;
            return true;
        }
        let has_place = self.brought.len() < MOST_BROUGHT;
        if has_place {
            self.brought.push(Subscriber::new(device, until));
        }
        has_place
    }

    /// Takes a device away again. False if it was not here.
    pub(super) fn take_away(&mut self, device: DeviceId) -> bool {
        let before = self.brought.len();
        self.brought.retain(|one| one.device != device);
        self.brought.len() < before
    }

    /// Everybody.
    pub(super) fn devices(&self) -> impl Iterator<Item = DeviceId> + '_ {
        std::iter::once(&self.own).chain(&self.brought).map(|one| one.device)
    }
}

/// Of each gateway at once: as many as in Cloud IoT Core.
const MOST_BROUGHT: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_brings_a_thousand() {
        let id = |number: usize| format!("d{number}").parse().unwrap();
        let mut all = Subscribers::of("g".parse().unwrap());
        assert!((0..MOST_BROUGHT).all(|number| all.bring(id(number), None)));
        assert!(!all.bring(id(MOST_BROUGHT), None));
        assert!(all.bring(id(0), Some(UnixTime(10))), "again");
        assert!(all.get(id(0), UnixTime(9)).is_some() && all.get(id(0), UnixTime(10)).is_none());
        assert!(all.take_away(id(1)) && !all.take_away(id(1)));
        assert!(!all.take_away("g".parse().unwrap()), "a connection keeps its own device");
        assert!(all.bring(id(MOST_BROUGHT), None));
        assert_eq!(all.devices().count(), MOST_BROUGHT + 1);
    }
}
