//! The condensed copy of RustSec's database: written from a checkout, matched against the locked packages.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use semver::{Comparator, Op, Version, VersionReq};
use serde::Deserialize;

use crate::workspace::{output, root};

/// `xtask/advisories.toml`
#[derive(Debug, Deserialize)]
pub(crate) struct Snapshot {
    /// The day of the database's last change that is in it.
    pub date: String,
    pub advisories: Vec<Advisory>,
}

/// One advisory about one package of crates.io.
#[derive(Debug, Deserialize)]
pub(crate) struct Advisory {
    pub id: String,
    pub package: String,
    /// `unsound`, `unmaintained`, `notice`; `None` is a vulnerability.
    pub kind: Option<String>,
    pub patched: Vec<VersionReq>,
    #[serde(default)]
    pub unaffected: Vec<VersionReq>,
}

impl Snapshot {
    pub(crate) fn read() -> Result<Self> {
        let path = root().join(SNAPSHOT);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {SNAPSHOT}"))?;
        toml::from_str(&text).with_context(|| format!("cannot parse {SNAPSHOT}"))
    }
}

impl Advisory {
    /// Does the advisory hold for this version: neither patched nor never affected?
    pub(crate) fn affects(&self, package: &str, version: &Version) -> bool {
        self.package == package && !self.patched.iter().chain(&self.unaffected).any(|range| within(range, version))
    }

    /// `RUSTSEC-2024-0001 (vulnerability), fixed in >=1.2.3`
    pub(crate) fn describe(&self) -> String {
        let fixed = match self.patched.as_slice() {
            [] => "no fixed version".to_owned(),
            ranges => format!("fixed in {}", ranges.iter().map(VersionReq::to_string).collect::<Vec<_>>().join(" or ")),
        };
        format!("{} ({}), {fixed}", self.id, self.kind.as_deref().unwrap_or("vulnerability"))
    }
}

/// Writes the snapshot from a git work tree of github.com/rustsec/advisory-db.
pub(crate) fn write_snapshot(database: &Path) -> Result<()> {
    let git = |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(database));
    let head = git(&["log", "-1", "--format=%cs %H"])?;
    let (date, commit) = head.trim().split_once(' ').context("git log printed no date and commit")?;
    let mut advisories = Vec::new();
    for package in std::fs::read_dir(database.join("crates")).context("a checkout of advisory-db has crates/")? {
        for file in std::fs::read_dir(package?.path())? {
            let path = file?.path();
            let text = std::fs::read_to_string(&path)?;
            if let Some(line) = condense(&text).with_context(|| path.display().to_string())? {
                advisories.push(line);
            }
        }
    }
    if advisories.is_empty() {
        bail!("no advisory found in {}", database.display());
    }
    advisories.sort();
    let count = advisories.len();
    let text = format!(
        "# {count} advisories of the RustSec database, condensed by `cargo xtask advisories --from DIR`.\n\
         # Source: https://github.com/rustsec/advisory-db, commit {commit}.\n\
         # CC0-1.0; the identifiers and ranges that the database took over from GitHub's are CC-BY-4.0, GitHub Advisory Database.\n\
         # Withdrawn advisories are left out. Without `kind` it is a vulnerability.\n\
         date = \"{date}\"\nadvisories = [\n{}]\n",
        advisories.concat()
    );
    std::fs::write(root().join(SNAPSHOT), &text)?;
    println!("{SNAPSHOT}: {count} advisories as of {date}, {} KB", text.len() / 1000);
    Ok(())
}

/// One line of the snapshot, `None` for a withdrawn advisory.
fn condense(text: &str) -> Result<Option<String>> {
    let (_, rest) = text.split_once("```toml\n").context("no TOML block")?;
    let (block, _) = rest.split_once("\n```").context("the TOML block does not end")?;
    let full: FullAdvisory = toml::from_str(block)?;
    if full.advisory.withdrawn.is_some() {
        return Ok(None);
    }
    let mut line = format!("  {{ id = {:?}, package = {:?}", full.advisory.id, full.advisory.package);
    if let Some(kind) = full.advisory.informational {
        write!(line, ", kind = {kind:?}")?;
    }
    write!(line, ", patched = {:?}", full.versions.patched)?;
    if !full.versions.unaffected.is_empty() {
        write!(line, ", unaffected = {:?}", full.versions.unaffected)?;
    }
    line.push_str(" },\n");
    Ok(Some(line))
}

/// An advisory as the database spells it.
#[derive(Deserialize)]
struct FullAdvisory {
    advisory: FullHeader,
    #[serde(default)]
    versions: FullVersions,
}

#[derive(Deserialize)]
struct FullHeader {
    id: String,
    package: String,
    informational: Option<String>,
    withdrawn: Option<toml::Value>,
}

#[derive(Deserialize, Default)]
struct FullVersions {
    #[serde(default)]
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

/// Is the version in the range? Unlike Cargo's rule, a pre-release counts by its place in the order: 2.0.0-rc.1 is in
/// `>=1.5.0`, as RustSec means it.
fn within(range: &VersionReq, version: &Version) -> bool {
    range.comparators.iter().all(|comparator| holds(comparator, version))
}

fn holds(comparator: &Comparator, version: &Version) -> bool {
    let low = Version {
        major: comparator.major,
        minor: comparator.minor.unwrap_or(0),
        patch: comparator.patch.unwrap_or(0),
        pre: comparator.pre.clone(),
        build: semver::BuildMetadata::EMPTY,
    };
    // The first version above what a shortened number stands for: 1.2 -> 1.3.0, 1 -> 2.0.0.
    let after_shortened = match (comparator.minor, comparator.patch) {
        (None, _) => Version::new(low.major + 1, 0, 0),
        (Some(minor), None) => Version::new(low.major, minor + 1, 0),
        (Some(_), Some(_)) => Version::new(low.major, low.minor, low.patch + 1),
    };
    let full = comparator.patch.is_some();
    let order = version.cmp_precedence(&low);
    match comparator.op {
        Op::Exact if full => order.is_eq(),
        Op::Exact | Op::Wildcard => order.is_ge() && *version < after_shortened,
        Op::Greater if full => order.is_gt(),
        Op::Greater => *version >= after_shortened,
        Op::GreaterEq => order.is_ge(),
        Op::Less => order.is_lt(),
        Op::LessEq if full => order.is_le(),
        Op::LessEq => *version < after_shortened,
        Op::Tilde if full => order.is_ge() && *version < Version::new(low.major, low.minor + 1, 0),
        Op::Tilde => order.is_ge() && *version < after_shortened,
        Op::Caret => order.is_ge() && *version < after_compatible(comparator, &low),
        // An operator of a later semver: not understood, so the version does not count as patched.
        _ => false,
    }
}

/// The first version that is no longer compatible with `^low`.
fn after_compatible(comparator: &Comparator, low: &Version) -> Version {
    match (low.major, comparator.minor, comparator.patch) {
        (0, None, _) => Version::new(1, 0, 0),
        (0, Some(0), Some(patch)) => Version::new(0, 0, patch + 1),
        (0, Some(minor), _) => Version::new(0, minor + 1, 0),
        (major, _, _) => Version::new(major + 1, 0, 0),
    }
}

const SNAPSHOT: &str = "xtask/advisories.toml";

#[cfg(test)]
mod tests {
    use super::*;

    fn in_range(range: &str, version: &str) -> bool {
        within(&VersionReq::parse(range).unwrap(), &Version::parse(version).unwrap())
    }

    #[test]
    fn agrees_with_semver_on_every_release() {
        let ranges =
            ["^1.2.3", "^0.2.3", "^0.0.3", "^0.2", "^0", "~1.2.3", "~1.2", "~1", ">=1.2", ">1.2", ">1.2.3", "<1.2"];
        let more = ["<=1.2", "<=1.2.3", "=1.2", "=1.2.3", "1.*", "1.2.*", ">= 0.2.1, < 1.2.0", "*"];
        for range in ranges.into_iter().chain(more) {
            let parsed = VersionReq::parse(range).unwrap();
            for number in 0..4 * 4 * 5 {
                let version = Version::new(number / 20, number / 5 % 4, number % 5);
                assert_eq!(within(&parsed, &version), parsed.matches(&version), "{range} {version}");
            }
        }
    }

    #[test]
    fn places_a_pre_release_in_the_order() {
        assert!(in_range(">=1.5.0", "2.0.0-rc.1"));
        assert!(!in_range(">=2.0.0", "2.0.0-rc.1"));
        assert!(in_range("<2.0.0", "2.0.0-rc.1"));
        assert!(in_range(">=0.10.0-rc.3", "0.10.0-rc.20"));
    }

    #[test]
    fn condenses_a_real_advisory() {
        let text = "```toml\n[advisory]\nid = \"RUSTSEC-2023-0071\"\npackage = \"rsa\"\ndate = \"2023-11-22\"\n\n\
            [versions]\npatched = []\n```\n\n# Marvin Attack\n";
        let line = condense(text).unwrap().unwrap();
        assert_eq!(line, "  { id = \"RUSTSEC-2023-0071\", package = \"rsa\", patched = [] },\n");
    }

    #[test]
    fn leaves_a_withdrawn_advisory_out() {
        let text =
            "```toml\n[advisory]\nid = \"RUSTSEC-2020-0001\"\npackage = \"x\"\nwithdrawn = \"2021-01-01\"\n```\n";
        assert!(condense(text).unwrap().is_none());
    }

    #[test]
    fn finds_the_known_vulnerable_version_and_not_the_fixed_one() {
        let snapshot = Snapshot::read().unwrap();
        let hits = |version: &str| {
            let version = Version::parse(version).unwrap();
            snapshot.advisories.iter().filter(|advisory| advisory.affects("rustls-webpki", &version)).count()
        };
        assert!(hits("0.102.8") >= 4, "rustls-webpki 0.102.8 has four known vulnerabilities");
        assert_eq!(hits("0.103.16"), 0);
    }
}
