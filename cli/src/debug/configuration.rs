//! espsecure's JSON of what a certificate unlocks, version 1. Groups that are not known are ignored, as espsecure does;
//! within the one that is, nothing unknown is.

use anyhow::{Context, bail, ensure};
use cotter_formats::secure_debug::Feature;
use serde_json::Value;

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Configuration {
    /// In the order of [`Feature::ALL`]; `None` where the file says nothing.
    pub(super) flags: [Option<bool>; 3],
    /// Names of groups that mean nothing here.
    pub(super) ignored: Vec<String>,
}

/// Reads a file.
pub(super) fn read(json: &[u8]) -> anyhow::Result<Configuration> {
    let value: Value = serde_json::from_slice(json).context("not JSON")?;
    let object = value.as_object().context("not a JSON object")?;
    let version = object.get("version").context("no \"version\"")?;
    ensure!(version.as_f64() == Some(1.0), "version {version}, only 1 is known");
    let mut configuration = Configuration { flags: [None; 3], ignored: Vec::new() };
    let groups = object.get("groups").map_or(Some(&[][..]), |groups| groups.as_array().map(Vec::as_slice));
    for group in groups.context("\"groups\" is not an array")? {
        let group = group.as_object().context("a group is not an object")?;
        match group.get("group") {
            Some(Value::String(name)) if name == "config_flags" => {}
            other => {
                let name = other.map_or_else(String::new, |name| name.as_str().unwrap_or_default().to_owned());
                configuration.ignored.push(name);
                continue;
            }
        }
        let entries = group.get("entries").map_or(Some(&[][..]), |entries| entries.as_array().map(Vec::as_slice));
        for entry in entries.context("\"entries\" is not an array")? {
            let (Some(key), Some(value)) = (entry.get("key"), entry.get("value")) else {
                bail!("an entry has no \"key\" or no \"value\"")
            };
            let names = Feature::ALL.map(Feature::name);
            let known = names.iter().position(|name| key.as_str() == Some(name));
            let index = known.with_context(|| format!("unknown key {key}, expected one of {}", names.join(", ")))?;
            let value = value.as_bool().with_context(|| format!("{key} is {value}, expected true or false"))?;
            ensure!(configuration.flags[index].is_none_or(|before| before == value), "{key} is both true and false");
            configuration.flags[index] = Some(value);
        }
    }
    Ok(configuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_espsecure_documents() {
        let text = br#"{"version": 1, "groups": [{"group": "pma_config"}, {"group": "config_flags", "entries": [
            {"key": "enable_jtag", "value": true, "description": "..."},
            {"key": "enable_force_spi_boot", "value": false}]}]}"#;
        let expected = Configuration { flags: [Some(true), None, Some(false)], ignored: vec!["pma_config".into()] };
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn refuses_by_name() {
        for (text, refusal) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            ("{}", "no \"version\""),
            (r#"{"version": 2}"#, "version 2, only 1 is known"),
            (r#"{"version": 1, "groups": {}}"#, "\"groups\" is not an array"),
            (r#"{"version": 1, "groups": [1]}"#, "a group is not an object"),
        ] {
            assert!(format!("{:#}", read(text.as_bytes()).unwrap_err()).contains(refusal), "{text}");
        }
        for (entries, refusal) in [
            ("1", "\"entries\" is not an array"),
            ("[1]", "no \"key\""),
            (r#"[{"key": "jtag", "value": true}]"#, "unknown key \"jtag\""),
            (r#"[{"key": "enable_jtag", "value": 1}]"#, "is 1, expected true or false"),
            (
                r#"[{"key": "enable_jtag", "value": true}, {"key": "enable_jtag", "value": false}]"#,
                "both true and false",
            ),
        ] {
            let text = format!(r#"{{"version": 1, "groups": [{{"group": "config_flags", "entries": {entries}}}]}}"#);
            assert!(format!("{:#}", read(text.as_bytes()).unwrap_err()).contains(refusal), "{text}");
        }
    }
}
