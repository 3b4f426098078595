//! How the configuration names the master key: `"FILE"`, `{ env = "NAME" }` or `{ pkcs11 = { .. } }`.

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the master key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// 64 hexadecimal digits in a file of mode 600.
    File(PathBuf),
    /// 64 hexadecimal digits in a variable of the environment.
    Env(String),
    /// Wrapped by a key that a token keeps.
    Pkcs11(Box<Pkcs11>),
}

/// A token, its key, and the file with the master key that it has wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11 {
    /// The library that speaks to the token; its code runs in this process.
    pub module: PathBuf,
    /// The token's label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The token's serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Label of the AES-256 key on it.
    pub key: String,
    /// A file of mode 600 with the user's PIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
    /// A variable of the environment with the user's PIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_env: Option<String>,
    /// The master key, as the token has wrapped it.
    #[serde(default = "wrapped")]
    pub wrapped: PathBuf,
}

impl Source {
    /// Lets relative paths count from `base`.
    pub(crate) fn rebase(&mut self, base: &Path) {
        if let Self::Pkcs11(place) = self {
            place.module = base.join(&place.module);
        }
        for path in self.paths() {
            *path = base.join(&path);
        }
    }

    /// The files that are the server's own.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::File(path) => vec![path],
            Self::Env(_) => Vec::new(),
            Self::Pkcs11(place) => {
                let Pkcs11 { pin_file, wrapped, .. } = &mut **place;
                pin_file.iter_mut().chain([wrapped]).collect()
            }
        }
    }

    /// As it stands in a configuration.
    pub(crate) fn to_toml(&self) -> Option<toml::Value> {
        let place = |name: &str, value| toml::Value::Table(toml::Table::from_iter([(name.to_owned(), value)]));
        Some(match self {
            Self::File(path) => path.to_str()?.into(),
            Self::Env(name) => place("env", name.as_str().into()),
            Self::Pkcs11(token) => place("pkcs11", toml::Value::try_from(token).ok()?),
        })
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Place {
            Env(String),
            Pkcs11(Box<Pkcs11>),
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file, { env = \"NAME\" } or { pkcs11 = { .. } }")
            }

            fn visit_str<E>(self, path: &str) -> Result<Source, E> {
                Ok(Source::File(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                Ok(match Place::deserialize(MapAccessDeserializer::new(map))? {
                    Place::Env(name) => Source::Env(name),
                    Place::Pkcs11(place) => Source::Pkcs11(place),
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

fn wrapped() -> PathBuf {
    PathBuf::from("master.wrapped")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Source, toml::de::Error> {
        toml::from_str::<toml::Table>(text).unwrap()["master"].clone().try_into()
    }

    #[test]
    fn three_places_have_one_spelling_each() {
        let token = "master = { pkcs11 = { module = \"/lib/p.so\", token = \"t\", key = \"k\", pin_file = \"pin\" } }";
        let place = Pkcs11 {
            module: "/lib/p.so".into(),
            token: Some("t".into()),
            serial: None,
            key: "k".into(),
            pin_file: Some("pin".into()),
            pin_env: None,
            wrapped: "master.wrapped".into(),
        };
        for (text, source) in [
            ("master = \"a.key\"", Source::File("a.key".into())),
            ("master = { env = \"A\" }", Source::Env("A".into())),
            (token, Source::Pkcs11(Box::new(place))),
        ] {
            assert_eq!(parse(text).unwrap(), source);
            assert_eq!(source.to_toml().unwrap().try_into::<Source>().unwrap(), source);
        }
    }

    #[test]
    fn refuses_another_place_and_a_token_without_a_key() {
        for (text, why) in [
            ("master = { vault = \"A\" }", "unknown variant `vault`, expected `env` or `pkcs11`"),
            ("master = { pkcs11 = { module = \"m\" } }", "missing field `key`"),
            ("master = { pkcs11 = { module = \"m\", key = \"k\", pin = \"1\" } }", "unknown field `pin`"),
            ("master = 7", "expected a file, { env = \"NAME\" } or { pkcs11 = { .. } }"),
        ] {
            let refused = parse(text).unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
