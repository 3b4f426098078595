//! What devices can be told to do, as the operator's configuration says it. Anything else is refused.

use crate::config;
use cotter_wire::command::{Command, CommandName, ContentError, MAX_PARAMETERS, MAX_TEXT, Value};
use serde_json::Map;

/// Commands by name.
#[derive(Debug, Default)]
pub struct Schema(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    name: CommandName,
    parameters: Vec<(CommandName, config::Kind)>,
}

impl Schema {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub fn new(commands: &[config::Command]) -> Result<Self, SchemaError> {
        let mut entries: Vec<Entry> = Vec::new();
        for command in commands {
            let wrong = |what| SchemaError { command: command.name.clone(), what };
            let name: CommandName = command.name.parse().map_err(|_| wrong("not a name"))?;
            if entries.iter().any(|entry| entry.name == name) {
                return Err(wrong("there twice"));
            }
            if command.parameters.len() > MAX_PARAMETERS {
                return Err(wrong("more than 8 parameters"));
            }
            let mut parameters: Vec<(CommandName, config::Kind)> = Vec::new();
            for parameter in &command.parameters {
                let name: CommandName = parameter.name.parse().map_err(|_| wrong("a parameter's name is none"))?;
                if parameters.iter().any(|(other, _)| *other == name) {
                    return Err(wrong("a parameter is there twice"));
                }
                match parameter.kind {
                    config::Kind::Integer { min, max } if min > max => return Err(wrong("min is above max")),
                    config::Kind::Text { max_length } if max_length > MAX_TEXT => {
                        return Err(wrong("max_length is above 64"));
                    }
                    _ => parameters.push((name, parameter.kind)),
                }
            }
            entries.push(Entry { name, parameters });
        }
        Ok(Self(entries))
    }

    /// The command of that name with these values: every parameter, and no other.
    ///
    /// # Errors
    /// [`ValueRefusal`].
    pub fn check(&self, name: &str, values: &Map<String, serde_json::Value>) -> Result<Command, ValueRefusal> {
        let entry = self.0.iter().find(|entry| entry.name.as_str() == name).ok_or(ValueRefusal::UnknownCommand)?;
        let known = |given: &String| entry.parameters.iter().any(|(name, _)| name.as_str() == given);
        if !values.keys().all(known) {
            return Err(ValueRefusal::UnknownParameter);
        }
        let mut command = Command::new(entry.name.clone());
        for (name, kind) in &entry.parameters {
            let refused = |expected| ValueRefusal::Value { parameter: name.clone(), expected };
            let given = values.get(name.as_str()).ok_or_else(|| ValueRefusal::Missing { parameter: name.clone() })?;
            let value = match kind {
                config::Kind::Boolean => given.as_bool().map(Value::Boolean),
                config::Kind::Integer { min, max } => {
                    given.as_i64().filter(|value| (min..=max).contains(&value)).map(Value::Integer)
                }
                config::Kind::Text { max_length } => {
                    given.as_str().filter(|text| text.len() <= *max_length).and_then(|text| Value::text(text).ok())
                }
            };
            command.push(name.clone(), value.ok_or_else(|| refused(*kind))?)?;
        }
        Ok(command)
    }
}

/// A command in the configuration that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command {command:?} in the configuration: {what}")]
pub struct SchemaError {
    /// Which.
    pub command: String,
    /// What is wrong.
    pub what: &'static str,
}

/// Why a command is not what the schema says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueRefusal {
    /// No such command.
    #[error("no such command in the server's configuration")]
    UnknownCommand,
    /// A value that the command does not have.
    #[error("a value that this command does not have")]
    UnknownParameter,
    /// A value is missing.
    #[error("{parameter} is missing")]
    Missing {
        /// Which.
        parameter: CommandName,
    },
    /// Of another type, or out of its range.
    #[error("{parameter} is not {expected}")]
    Value {
        /// Which.
        parameter: CommandName,
        /// What it has to be.
        expected: config::Kind,
    },
    /// The wire cannot carry it.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl ValueRefusal {
    /// A stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownCommand => "command-unknown",
            Self::UnknownParameter => "command-unknown-parameter",
            Self::Missing { .. } => "command-value-missing",
            Self::Value { .. } | Self::Content(_) => "command-value",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<Schema, SchemaError> {
        #[derive(serde::Deserialize)]
        struct Part {
            commands: Vec<config::Command>,
        }
        Schema::new(&toml::from_str::<Part>(text).unwrap().commands)
    }

    const VALVE: &str = r#"
        [[commands]]
        name = "open-valve"
        [[commands.parameters]]
        name = "percent"
        type = "integer"
        min = -5
        max = 100
        [[commands.parameters]]
        name = "slowly"
        type = "boolean"
        [[commands.parameters]]
        name = "why"
        type = "text"
        max_length = 8
    "#;

    #[test]
    fn every_value_is_held_against_its_kind() {
        let schema = parse(VALVE).unwrap();
        let check = |name, values: serde_json::Value| schema.check(name, values.as_object().unwrap());
        let good = check("open-valve", json!({ "why": "12345678", "percent": -5, "slowly": true })).unwrap();
        assert_eq!(good.value("percent"), Some(&Value::Integer(-5)));
        assert_eq!(good.parameters().len(), 3);
        let code = |values| check("open-valve", values).unwrap_err().code();
        for percent in [json!(-6), json!(101), json!(1.0), json!("1"), json!(null), json!(u64::MAX), json!(true)] {
            assert_eq!(code(json!({ "why": "", "percent": percent, "slowly": true })), "command-value", "{percent}");
        }
        for why in [json!("123456789"), json!("\u{7}"), json!("ü"), json!(5)] {
            assert_eq!(code(json!({ "why": why, "percent": 1, "slowly": true })), "command-value", "{why}");
        }
        assert_eq!(code(json!({ "why": "", "percent": 1, "slowly": 1 })), "command-value");
        assert_eq!(code(json!({ "why": "", "percent": 1 })), "command-value-missing");
        let more = json!({ "why": "", "percent": 1, "slowly": true, "twice": true });
        assert_eq!(code(more), "command-unknown-parameter");
        assert_eq!(check("close-valve", json!({})), Err(ValueRefusal::UnknownCommand));
        let refused = check("open-valve", json!({ "why": "", "percent": 101, "slowly": true })).unwrap_err();
        assert_eq!(refused.to_string(), "percent is not an integer from -5 to 100");
    }

    #[test]
    fn a_schema_that_makes_no_sense_is_refused_at_the_start() {
        let refused = |text: &str| parse(text).unwrap_err().what;
        assert_eq!(refused(&VALVE.replace("open-valve", "Open")), "not a name");
        assert_eq!(refused(&format!("{VALVE}{VALVE}")), "there twice");
        assert_eq!(refused(&VALVE.replace("min = -5", "min = 101")), "min is above max");
        assert_eq!(refused(&VALVE.replace("max_length = 8", "max_length = 65")), "max_length is above 64");
        assert_eq!(refused(&VALVE.replace("slowly", "why")), "a parameter is there twice");
        assert_eq!(refused(&VALVE.replace("slowly", "SLOW")), "a parameter's name is none");
    }
}
