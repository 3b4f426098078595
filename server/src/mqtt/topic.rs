//! The topics of a device, and nothing else.
//!
//! | topic | who | what |
//! |---|---|---|
//! | `/devices/D/events[/FOLDER]` | publishes | telemetry |
//! | `/devices/D/state` | publishes | its state |
//! | `/devices/D/attach`, `/detach` | a gateway publishes | D comes and goes |
//! | `/devices/D/config` | subscribes | its configuration, the latest at once |
//! | `/devices/D/commands/#` | subscribes | commands, while it is there |
//! | `/devices/D/errors` | a gateway subscribes | what was wrong with its devices |

use cotter_wire::ids::DeviceId;

/// What is published where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication<'a> {
    /// Whose topic.
    pub device: DeviceId,
    /// Which of them.
    pub kind: PublicationKind<'a>,
}

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicationKind<'a> {
    /// Telemetry in a folder; empty: in none.
    #[doc(alias = "subfolder")]
    Event {
        /// 1 to 128 printable characters without `+` and `#`.
        folder: &'a str,
    },
    /// The device's state.
    State,
    /// A gateway brings the device.
    Attach,
    /// A gateway takes it away.
    Detach,
}

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Whose topic.
    pub device: DeviceId,
    /// Which of them.
    pub kind: FilterKind,
}

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKind {
    /// The configuration.
    Config,
    /// Commands, in all folders.
    Commands,
    /// Errors of a gateway's devices.
    Errors,
}

/// Longest folder, in bytes.
const MOST_FOLDER: usize = 128;

impl<'a> Publication<'a> {
    /// Reads a topic name; `None` if it is no device's to publish to.
    #[must_use]
    pub fn parse(topic: &'a str) -> Option<Self> {
        let (device, rest) = of_device(topic)?;
        let kind = match rest {
            "events" => PublicationKind::Event { folder: "" },
            "state" => PublicationKind::State,
            "attach" => PublicationKind::Attach,
            "detach" => PublicationKind::Detach,
            _ => PublicationKind::Event { folder: rest.strip_prefix("events/").filter(|folder| is_folder(folder))? },
        };
        Some(Self { device, kind })
    }
}

impl Filter {
    /// Reads a topic filter; `None` if it is no device's to subscribe to.
    #[must_use]
    pub fn parse(filter: &str) -> Option<Self> {
        let (device, rest) = of_device(filter)?;
        let kind = match rest {
            "config" => FilterKind::Config,
            "commands/#" => FilterKind::Commands,
            "errors" => FilterKind::Errors,
            _ => return None,
        };
        Some(Self { device, kind })
    }
}

/// Whether a text may be a folder of events or commands.
pub(crate) fn is_folder(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST_FOLDER && !text.chars().any(|c| c.is_control() || matches!(c, '+' | '#'))
}

fn of_device(topic: &str) -> Option<(DeviceId, &str)> {
    let (device, rest) = topic.strip_prefix("/devices/")?.split_once('/')?;
    Some((device.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_these_topics_and_no_others() {
        let device: DeviceId = "solar-1".parse().unwrap();
        let event = |folder| Some(Publication { device, kind: PublicationKind::Event { folder } });
        let published = |kind| Some(Publication { device, kind });
        assert_eq!(Publication::parse("/devices/solar-1/events"), event(""));
        assert_eq!(Publication::parse("/devices/solar-1/events/alarms/red"), event("alarms/red"));
        assert_eq!(Publication::parse("/devices/solar-1/state"), published(PublicationKind::State));
        assert_eq!(Publication::parse("/devices/solar-1/attach"), published(PublicationKind::Attach));
        assert_eq!(Publication::parse("/devices/solar-1/detach"), published(PublicationKind::Detach));
        let filter = |kind| Some(Filter { device, kind });
        assert_eq!(Filter::parse("/devices/solar-1/config"), filter(FilterKind::Config));
        assert_eq!(Filter::parse("/devices/solar-1/commands/#"), filter(FilterKind::Commands));
        assert_eq!(Filter::parse("/devices/solar-1/errors"), filter(FilterKind::Errors));
        let long = format!("/devices/solar-1/events/{}", "x".repeat(MOST_FOLDER + 1));
        for topic in [
            "#",
            "/#",
            "/devices/#",
            "/devices/+/config",
            "/devices/+/events",
            "/devices//events",
            "/devices/solar-1",
            "/devices/solar-1/",
            "/devices/solar-1/events/",
            "/devices/solar-1/events/+",
            "/devices/solar-1/events/a#",
            "/devices/solar-1/events/a\u{7}",
            "/devices/solar-1/eventsx",
            "/devices/solar-1/state/",
            "/devices/solar-1/state/a",
            "/devices/solar-1/#",
            "/devices/solar-1/commands/+",
            "/devices/solar-1/config/#",
            "/devices/Solar-1/config",
            "devices/solar-1/events",
            "$SYS/broker/version",
            "$share/all//devices/solar-1/config",
            "",
            &long,
        ] {
            assert_eq!((Publication::parse(topic), Filter::parse(topic)), (None, None), "{topic}");
        }
    }
}
