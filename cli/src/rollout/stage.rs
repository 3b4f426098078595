//! A stage as it is typed: `5%`, `tag:beta`, `5%,success=95,failure=5,reports=10,abort`.

use cotter_server::rollout::tag::Tag;
use serde_json::{Map, Value};
use std::str::FromStr;

/// A stage; what is not said is the server's default.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stage(Map<String, Value>);

impl Stage {
    /// As the server takes it.
    pub(super) fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let group = parts.next().unwrap_or_default();
        let mut stage = Map::new();
        if let Some(percent) = group.strip_suffix('%') {
            let percent: f64 = percent.parse().map_err(|_| format!("\"{percent}\" is no number of percent"))?;
            stage.insert("percent".into(), percent.into());
        } else if let Some(tag) = group.strip_prefix("tag:") {
            let tag: Tag = tag.parse().map_err(|error| format!("\"{tag}\": {error}"))?;
            stage.insert("tag".into(), tag.as_str().into());
        } else {
            return Err("a stage begins with a share (5%) or a tag (tag:beta)".to_owned());
        }
        for rule in parts {
            match rule.split_once('=') {
                Some((name @ ("success" | "failure" | "reports"), number)) => {
                    let number: u32 = number.parse().map_err(|_| format!("\"{number}\" is no number"))?;
                    stage.insert(name.into(), number.into());
                }
                None if rule == "pause" || rule == "abort" => {
                    stage.insert("on_failure".into(), rule.into());
                }
                _ => return Err(format!("\"{rule}\" is none of success=N, failure=N, reports=N, pause, abort")),
            }
        }
        Ok(Self(stage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_read_as_it_is_typed() {
        let json = |text: &str| text.parse::<Stage>().map(|stage| stage.json().to_string());
        assert_eq!(json("0.5%"), Ok(r#"{"percent":0.5}"#.into()));
        assert_eq!(
            json("tag:beta,success=90,failure=2,reports=10,abort"),
            Ok(r#"{"failure":2,"on_failure":"abort","reports":10,"success":90,"tag":"beta"}"#.into())
        );
        for bad in ["", "5", "%", "tag:", "tag:B", "5%,", "5%,success", "5%,success=x", "5%,stop", "5%,success=-1"] {
            assert!(bad.parse::<Stage>().is_err(), "{bad}");
        }
    }
}
