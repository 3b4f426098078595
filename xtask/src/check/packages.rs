//! Other people's packages: their licences, where they come from, what is known against them.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::licence::satisfied;
use crate::advisories::Snapshot;
use crate::workspace::{Package, manifests, metadata, root};

/// Every package of every lock file of the repository, once.
pub(crate) struct Packages {
    policy: Policy,
    all: Vec<Package>,
}

/// `xtask/policy.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    licences: Licences,
    advisories: Advisories,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisories {
    ignore: Vec<Ignored>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ignored {
    id: String,
    package: String,
    reason: String,
}

impl Packages {
    pub(crate) fn read() -> Result<Self> {
        let policy =
            std::fs::read_to_string(root().join("xtask/policy.toml")).context("cannot read xtask/policy.toml")?;
        let mut all = Vec::new();
        for manifest in manifests()? {
            all.extend(metadata(&manifest)?.packages);
        }
        all.sort_by(|a, b| (&a.name, &a.version, &a.source).cmp(&(&b.name, &b.version, &b.source)));
        all.dedup_by(|a, b| (&a.name, &a.version, &a.source) == (&b.name, &b.version, &b.source));
        Ok(Self { policy: toml::from_str(&policy).context("cannot parse xtask/policy.toml")?, all })
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// Packages whose licence cannot be satisfied from the allow-list.
    pub(crate) fn licence_problems(&self) -> Vec<String> {
        let refused = self.all.iter().filter(|package| {
            !package.license.as_deref().is_some_and(|licence| satisfied(licence, &self.policy.licences.allow))
        });
        refused
            .map(|package| {
                let licence = package.license.as_deref().unwrap_or("no licence field");
                format!("{} {}: {licence}", package.name, package.version)
            })
            .collect()
    }

    /// Packages from anywhere but crates.io or this repository.
    pub(crate) fn source_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for package in &self.all {
            match package.source.as_deref() {
                Some("registry+https://github.com/rust-lang/crates.io-index") => {}
                Some(other) => problems.push(format!("{} {} comes from {other}", package.name, package.version)),
                None if package.manifest_path.starts_with(root()) => {}
                None => problems.push(format!("{} is a path outside of the repository", package.name)),
            }
        }
        problems
    }

    /// Advisories that hold for a locked version and are not ignored for a reason; ignored ones that hold for none.
    pub(crate) fn advisory_problems(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut used = vec![false; self.policy.advisories.ignore.len()];
        let mut problems = Vec::new();
        for package in self.all.iter().filter(|package| package.source.is_some()) {
            for advisory in snapshot.advisories.iter().filter(|each| each.affects(&package.name, &package.version)) {
                let ignored = self.policy.advisories.ignore.iter().position(|ignored| {
                    ignored.id == advisory.id && ignored.package == package.name && !ignored.reason.trim().is_empty()
                });
                match ignored {
                    Some(index) => used[index] = true,
                    None => problems.push(format!("{} {}: {}", package.name, package.version, advisory.describe())),
                }
            }
        }
        for (ignored, used) in self.policy.advisories.ignore.iter().zip(used) {
            if !used {
                problems.push(format!(
                    "xtask/policy.toml ignores {} of {}, which holds for no locked version (or has no reason): remove it",
                    ignored.id, ignored.package
                ));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str, version: &str, licence: &str, source: &str, ignore: &str) -> Packages {
        let policy = format!("[licences]\nallow = [\"MIT\"]\n[advisories]\nignore = [{ignore}]\n");
        Packages {
            policy: toml::from_str(&policy).unwrap(),
            all: vec![Package {
                id: name.to_owned(),
                name: name.to_owned(),
                version: semver::Version::parse(version).unwrap(),
                license: Some(licence.to_owned()),
                source: Some(source.to_owned()),
                manifest_path: "Cargo.toml".into(),
                dependencies: vec![],
            }],
        }
    }

    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn one_advisory() -> Snapshot {
        toml::from_str(
            "date = \"2026-01-01\"\nadvisories = [{ id = \"RUSTSEC-1\", package = \"x\", patched = [\">=1.2.3\"] }]",
        )
        .unwrap()
    }

    #[test]
    fn names_the_advisory_the_package_and_the_fix() {
        let packages = locked("x", "1.2.2", "MIT", CRATES_IO, "");
        assert_eq!(
            packages.advisory_problems(&one_advisory()),
            ["x 1.2.2: RUSTSEC-1 (vulnerability), fixed in >=1.2.3"]
        );
        assert!(locked("x", "1.2.3", "MIT", CRATES_IO, "").advisory_problems(&one_advisory()).is_empty());
    }

    #[test]
    fn an_ignored_advisory_needs_a_reason_and_a_cause() {
        let with = |version, reason: &str| {
            let ignore = format!("{{ id = \"RUSTSEC-1\", package = \"x\", reason = \"{reason}\" }}");
            locked("x", version, "MIT", CRATES_IO, &ignore).advisory_problems(&one_advisory()).len()
        };
        assert_eq!(with("1.2.2", "only public data passes through it"), 0);
        assert_eq!(with("1.2.2", " "), 2);
        assert_eq!(with("1.2.3", "fixed meanwhile"), 1);
    }

    #[test]
    fn refuses_other_sources_and_licences() {
        let packages = locked("x", "1.0.0", "GPL-3.0-only", "git+https://example.com/x", "");
        assert_eq!(packages.licence_problems(), ["x 1.0.0: GPL-3.0-only"]);
        assert_eq!(packages.source_problems(), ["x 1.0.0 comes from git+https://example.com/x"]);
    }
}
