//! What a rollout intends, fixed when it is made: its stages, whom it is for, and when it goes on or stops by itself.

use super::RolloutId;
use super::tag::Tag;
use cotter_wire::ids::{DeviceId, SecureVersion};
use cotter_wire::version::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Stages in their order, and conditions for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// At least one; a device belongs to the first that has it.
    pub stages: Vec<Stage>,
    /// Which devices it is for at all.
    #[serde(default)]
    pub conditions: Conditions,
    /// How often a device may fail before it counts as failed and is not offered the release again; 0 for any number.
    #[serde(default = "attempts")]
    pub attempts: u32,
}

/// Some devices, and when they have shown enough. Percentages are of the devices of the stage that have reported an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Which devices.
    #[serde(flatten)]
    pub group: Group,
    /// The next stage begins when so many percent have it installed.
    #[serde(default = "success")]
    pub success: u8,
    /// The rollout stops when so many percent have failed or come back to an older version.
    #[serde(default = "failure")]
    pub failure: u8,
    /// How it stops.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Nothing is decided before so many devices have reported an end.
    #[serde(default = "reports")]
    pub reports: u32,
}

/// Which devices a stage has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// A share of the fleet by [`place`]: whoever is in 5 % is in 20 % too.
    Percent(Share),
    /// Whoever has this tag.
    Tag(Tag),
}

/// A share in hundredths of a percent, 1 to 10,000. In JSON a number of percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(u16);

/// What a stage does when too many fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Nobody is offered it until somebody resumes.
    #[default]
    Pause,
    /// Nobody is offered it any more.
    Abort,
}

/// What must hold for a device to be offered the release; what is absent always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// It runs this version or a newer one.
    #[serde(with = "version", skip_serializing_if = "Option::is_none")]
    pub running_from: Option<Version>,
    /// It runs this version or an older one.
    #[serde(with = "version", skip_serializing_if = "Option::is_none")]
    pub running_to: Option<Version>,
    /// Its anti-rollback counter has reached this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_version: Option<u32>,
    /// The chip; a release is for one only, so this guards against naming the wrong release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chip: Option<String>,
    /// It has this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// It does not have this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_tag: Option<Tag>,
}

/// What is known of a device when it asks.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its name.
    pub id: &'a DeviceId,
    /// What it says that it runs.
    pub version: Version,
    /// Its anti-rollback counter, by its own word.
    pub secure_version: SecureVersion,
    /// Its tags.
    pub tags: &'a [Tag],
}

impl Plan {
    /// Everybody at once, and nothing is decided by itself: what `publish` makes.
    #[must_use]
    pub fn everybody() -> Self {
        let group = Group::Percent(Share(WHOLE));
        let stage = Stage { group, success: 100, failure: 100, on_failure: OnFailure::Pause, reports: u32::MAX };
        Self { stages: vec![stage], conditions: Conditions::default(), attempts: 0 }
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn parse(json: &[u8]) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_slice(json).map_err(|error| PlanError::Malformed(error.to_string()))?;
        plan.check()?;
        Ok(plan)
    }

    /// The JSON form.
    ///
    /// # Errors
    /// None in practice: every plan can be written.
    pub fn to_json(&self) -> Result<String, PlanError> {
        serde_json::to_string(self).map_err(|error| PlanError::Malformed(error.to_string()))
    }

    fn check(&self) -> Result<(), PlanError> {
        if !(1..=MOST_STAGES).contains(&self.stages.len()) {
            return Err(PlanError::Stages { found: self.stages.len() });
        }
        let mut share = None;
        for (number, stage) in (1..).zip(&self.stages) {
            if !(1..=100).contains(&stage.success) || !(1..=100).contains(&stage.failure) || stage.reports == 0 {
                return Err(PlanError::Threshold { stage: number });
            }
            if let Group::Percent(next) = stage.group {
                if share.is_some_and(|before| next <= before) {
                    return Err(PlanError::NotGrowing { stage: number });
                }
                share = Some(next);
            }
        }
        match (self.conditions.running_from, self.conditions.running_to) {
            (Some(from), Some(to)) if from > to => Err(PlanError::Range),
            _ => Ok(()),
        }
    }

    /// Whether every device will have been offered it when the last stage is over.
    #[must_use]
    pub fn covers_everybody(&self) -> bool {
        let whole = |stage: &Stage| stage.group == Group::Percent(Share(WHOLE));
        self.conditions == Conditions::default() && self.stages.iter().any(whole)
    }

    /// The stage, counted from 0, that has this device; `None` if it is not meant.
    #[must_use]
    pub fn stage_of(&self, rollout: RolloutId, device: &Candidate<'_>) -> Option<usize> {
        if !self.conditions.hold(device) {
            return None;
        }
        self.stages.iter().position(|stage| match &stage.group {
            Group::Percent(share) => place(rollout, device.id) < share.0,
            Group::Tag(tag) => device.tags.contains(tag),
        })
    }
}

impl Conditions {
    fn hold(&self, device: &Candidate<'_>) -> bool {
        self.running_from.is_none_or(|from| device.version >= from)
            && self.running_to.is_none_or(|to| device.version <= to)
            && self.secure_version.is_none_or(|least| device.secure_version.0 >= least)
            && self.tag.as_ref().is_none_or(|tag| device.tags.contains(tag))
            && self.without_tag.as_ref().is_none_or(|tag| !device.tags.contains(tag))
    }
}

/// Where a device stands in a rollout, 0 to 9,999: the first 64 bits of SHA-256 over `cotter/rollout/v1`, a zero, the
/// rollout's number (4 bytes, big-endian) and the device's name, scaled. The same for ever, so a share only grows; another
/// for each rollout, so the same devices are not always the first.
#[must_use]
pub fn place(rollout: RolloutId, device: &DeviceId) -> u16 {
    let digest = Sha256::new()
        .chain_update(b"cotter/rollout/v1\0")
        .chain_update(rollout.0.to_be_bytes())
        .chain_update(device.as_str())
        .finalize();
    let first = digest.iter().take(8).fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    u16::try_from((u128::from(first) * u128::from(WHOLE)) >> 64).unwrap_or(WHOLE - 1)
}

impl TryFrom<f64> for Share {
    type Error = PlanError;

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and in range when it comes to it"
    )]
    fn try_from(percent: f64) -> Result<Self, PlanError> {
        let hundredths = (percent * 100.0).round();
        if (hundredths / 100.0 - percent).abs() > 1e-9 || !(1.0..=f64::from(WHOLE)).contains(&hundredths) {
            return Err(PlanError::Share);
        }
        Ok(Self(hundredths as u16))
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        Self::from(share.0) / 100.0
    }
}

mod version {
    use cotter_wire::version::Version;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(version: &Option<Version>, serializer: S) -> Result<S::Ok, S::Error> {
        match version {
            Some(version) => serializer.collect_str(version),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Version>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

const fn attempts() -> u32 {
    3
}

const fn success() -> u8 {
    95
}

const fn failure() -> u8 {
    5
}

const fn reports() -> u32 {
    1
}

/// Hundredths of a percent.
const WHOLE: u16 = 10_000;
const MOST_STAGES: usize = 16;

/// Why a plan is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not the JSON of a plan.
    #[error("plan: {0}")]
    Malformed(String),
    /// Too few or too many.
    #[error("plan: {found} stages, expected 1 to {MOST_STAGES}")]
    Stages {
        /// How many.
        found: usize,
    },
    /// A share that is none.
    #[error("plan: a share is 0.01 to 100 percent, in steps of 0.01")]
    Share,
    /// A share that adds nobody.
    #[error("plan: stage {stage} has no larger share than one before it")]
    NotGrowing {
        /// Which stage, counted from 1.
        stage: usize,
    },
    /// A threshold that could never or always hold.
    #[error("plan: stage {stage}: success and failure are 1 to 100 percent, reports at least 1")]
    Threshold {
        /// Which stage, counted from 1.
        stage: usize,
    },
    /// No version is in it.
    #[error("plan: running_from is newer than running_to")]
    Range,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn device(number: u32) -> DeviceId {
        format!("device-{number}").parse().unwrap()
    }

    fn candidate<'a>(id: &'a DeviceId, tags: &'a [Tag]) -> Candidate<'a> {
        Candidate { id, version: Version::new(1, 1, 0), secure_version: SecureVersion(1), tags }
    }

    fn plan(json: &str) -> Result<Plan, PlanError> {
        Plan::parse(json.as_bytes())
    }

    #[test]
    fn a_plan_reads_back_and_has_defaults() {
        let read = plan(r#"{"stages":[{"percent":0.5},{"tag":"beta","on_failure":"abort","reports":3}]}"#).unwrap();
        let [first, second] = &read.stages[..] else { panic!("two stages") };
        assert_eq!((first.success, first.failure, first.reports, read.attempts), (95, 5, 1, 3));
        assert_eq!((second.on_failure, second.reports), (OnFailure::Abort, 3));
        assert_eq!(plan(&read.to_json().unwrap()).unwrap(), read);
        let everybody = Plan::everybody();
        assert_eq!(plan(&everybody.to_json().unwrap()).unwrap(), everybody);
        assert!(everybody.covers_everybody() && !read.covers_everybody());
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused_by_name() {
        assert_eq!(plan(r#"{"stages":[]}"#), Err(PlanError::Stages { found: 0 }));
        let many = format!(r#"{{"stages":[{}]}}"#, [r#"{"tag":"a"}"#; 17].join(","));
        assert_eq!(plan(&many), Err(PlanError::Stages { found: 17 }));
        for percent in ["0", "-1", "100.01", "0.001", "1e300"] {
            let refused = plan(&format!(r#"{{"stages":[{{"percent":{percent}}}]}}"#)).unwrap_err();
            assert!(refused.to_string().contains("a share is 0.01 to 100 percent"), "{percent}: {refused}");
        }
        let shrinks = r#"{"stages":[{"percent":10},{"tag":"beta"},{"percent":10}]}"#;
        assert_eq!(plan(shrinks), Err(PlanError::NotGrowing { stage: 3 }));
        for threshold in [r#""success":0"#, r#""failure":0"#, r#""success":101"#, r#""reports":0"#] {
            let refused = plan(&format!(r#"{{"stages":[{{"percent":10,{threshold}}}]}}"#));
            assert_eq!(refused, Err(PlanError::Threshold { stage: 1 }), "{threshold}");
        }
        let range = r#"{"stages":[{"percent":10}],"conditions":{"running_from":"1.1.0","running_to":"1.0.0"}}"#;
        assert_eq!(plan(range), Err(PlanError::Range));
        for unknown in [
            r#"{"stages":[{"percent":10}],"x":1}"#,
            r#"{"stages":[{"percent":10,"tag":"a"}]}"#,
            r#"{"stages":[{"success":10}]}"#,
            r#"{"stages":[{"tag":"A b"}]}"#,
            r#"{"stages":[{"percent":10}],"conditions":{"running_from":"1"}}"#,
        ] {
            assert!(matches!(plan(unknown), Err(PlanError::Malformed(_))), "{unknown}");
        }
    }

    #[test]
    fn a_share_is_what_it_says_within_a_percent() {
        for rollout in 1..6 {
            for share in [100, 1_000, 5_000, 9_900] {
                let in_it = (0..20_000).filter(|number| place(RolloutId(rollout), &device(*number)) < share).count();
                let off = in_it.abs_diff(usize::from(share) * 2);
                assert!(off < 200, "rollout {rollout}, {share}: {in_it} of 20000");
            }
        }
    }

    #[test]
    fn the_place_of_a_device_is_the_documented_hash() {
        // Python: int.from_bytes(sha256(b'cotter/rollout/v1\0\0\0\0\7solar-0001').digest()[:8], 'big') * 10000 >> 64
        assert_eq!(place(RolloutId(7), &"solar-0001".parse().unwrap()), 3588);
    }

    #[test]
    fn a_device_belongs_to_the_first_stage_that_has_it_if_the_conditions_hold() {
        let read = plan(
            r#"{"stages":[{"tag":"beta"},{"percent":100}],
                "conditions":{"running_from":"1.0.0","running_to":"1.1.0","secure_version":1,"without_tag":"lab"}}"#,
        )
        .unwrap();
        let (id, rollout) = (device(1), RolloutId(1));
        let [beta, lab] = ["beta", "lab"].map(|tag| tag.parse::<Tag>().unwrap());
        assert_eq!(read.stage_of(rollout, &candidate(&id, std::slice::from_ref(&beta))), Some(0));
        let plain = candidate(&id, &[]);
        assert_eq!(read.stage_of(rollout, &plain), Some(1));
        assert_eq!(read.stage_of(rollout, &candidate(&id, &[beta, lab])), None);
        for (version, expected) in [((0, 9, 9), None), ((1, 0, 0), Some(1)), ((1, 1, 1), None)] {
            let version = Version::new(version.0, version.1, version.2);
            assert_eq!(read.stage_of(rollout, &Candidate { version, ..plain }), expected, "{version}");
        }
        assert_eq!(read.stage_of(rollout, &Candidate { secure_version: SecureVersion(0), ..plain }), None);
    }

    proptest! {
        #[test]
        fn a_share_only_grows(rollout: u32, number: u32, a in 1_u16..=10_000, b in 1_u16..=10_000) {
            let (small, large) = (a.min(b), a.max(b));
            let place = place(RolloutId(rollout), &device(number));
            prop_assert!(place < 10_000);
            prop_assert!(place >= small || place < large);
        }

        #[test]
        fn any_text_is_a_plan_or_refused(text in "\\PC{0,200}") {
            if let Ok(read) = plan(&text) {
                prop_assert_eq!(plan(&read.to_json().unwrap()).unwrap(), read);
            }
        }
    }
}
