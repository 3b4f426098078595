//! The floors of docs/ARCHITECTURE.md: imports go down only.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::{Metadata, Package, cargo, metadata, output, root};

/// Package, and which packages of ours it may import (normal and build dependencies).
const FLOORS: [(&str, &[&str]); 11] = [
    ("cotter-formats", &[]),
    ("cotter-wire", &["cotter-formats"]),
    ("cotter-device", &["cotter-wire", "cotter-formats"]),
    ("cotter-chip", &["cotter-formats"]),
    ("cotter-twin", &["cotter-chip", "cotter-device", "cotter-wire", "cotter-formats"]),
    ("cotter-factory", &["cotter-chip", "cotter-wire", "cotter-formats"]),
    ("cotter-server", &["cotter-wire", "cotter-formats"]),
    ("cotter", &PRODUCT),
    // Beside the house: they may look at what they need, and nobody imports them.
    ("xtask", &["cotter-wire", "cotter-formats"]),
    ("cotter-fuzz", &PRODUCT),
    ("cotter-interop", &PRODUCT),
];

const PRODUCT: [&str; 7] =
    ["cotter-formats", "cotter-wire", "cotter-device", "cotter-chip", "cotter-twin", "cotter-factory", "cotter-server"];

/// Crates that ship inside a device.
const NO_STD: [&str; 3] = ["cotter-formats", "cotter-wire", "cotter-device"];

/// What stands against the floors.
pub(crate) fn problems() -> Result<Vec<String>> {
    let metadata = metadata(&root().join("Cargo.toml"))?;
    let mut problems = imports(&metadata);
    for package in metadata.members() {
        problems.extend(lints(package)?);
    }
    for name in NO_STD {
        problems.extend(std_in(name, &metadata)?);
    }
    problems.extend(authority_in_server()?);
    Ok(problems)
}

fn imports(metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    let names: Vec<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    for package in metadata.members() {
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == package.name) else {
            problems.push(format!(
                "{} has no floor: add it to docs/ARCHITECTURE.md and xtask/src/check/floors.rs",
                package.name
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| names.contains(&dependency.name.as_str())) {
            let permitted = match dependency.kind.as_deref() {
                // Tests may look sideways and up, but nobody drives the hands or the chores from a library's tests.
                Some("dev") => PRODUCT.contains(&dependency.name.as_str()),
                _ => allowed.contains(&dependency.name.as_str()),
            };
            if !permitted {
                let kind = dependency.kind.as_deref().unwrap_or("normal");
                problems.push(format!("{} may not import {} ({kind} dependency)", package.name, dependency.name));
            }
        }
    }
    problems
}

/// Every member inherits the workspace's lints, `unsafe_code = "forbid"` among them.
fn lints(package: &Package) -> Result<Option<String>> {
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(&package.manifest_path)?)
        .with_context(|| package.manifest_path.display().to_string())?;
    let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")) == Some(&toml::Value::Boolean(true));
    Ok((!inherits).then(|| format!("{} does not inherit the workspace's lints", package.name)))
}

/// A crate that ships in flash is `no_std` without condition, and no dependency is built with its `std` (or, without
/// our own `alloc` feature, its `alloc`) switched on.
fn std_in(name: &str, metadata: &Metadata) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let Some(package) = metadata.members().find(|package| package.name == name) else {
        bail!("{name} is not a member of the workspace");
    };
    let library = package.manifest_path.parent().unwrap_or(Path::new("")).join("src/lib.rs");
    if !std::fs::read_to_string(&library)?.lines().any(|line| line == "#![no_std]") {
        problems.push(format!("{name}: src/lib.rs has no unconditional #![no_std]"));
    }
    for (dependency, features) in tree(name)? {
        problems.extend(
            features
                .split(',')
                .filter(|feature| matches!(*feature, "std" | "alloc"))
                .map(|feature| format!("{name}: {dependency} is built with its feature `{feature}`")),
        );
    }
    Ok(problems)
}

/// The server faces the network: nothing that could issue certificates is linked into it.
fn authority_in_server() -> Result<Vec<String>> {
    let found = tree("cotter-server")?.into_iter().filter(|(dependency, _)| dependency.starts_with("rcgen "));
    Ok(found.map(|(dependency, _)| format!("cotter-server links {dependency}, which signs certificates")).collect())
}

/// Every normal dependency of a package, as it is when nobody else asks for features: `name vVERSION`, features.
fn tree(name: &str) -> Result<Vec<(String, String)>> {
    let lines =
        output(cargo().args(["tree", "--locked", "--quiet", "--edges=normal,no-proc-macro", "--prefix=none"]).args([
            "--no-default-features",
            "--format={p}\t{f}",
            "--package",
            name,
        ]))?;
    let mut rows: Vec<(String, String)> = lines
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('\t'))
        .map(|(package, features)| {
            let short = package.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            (short, features.trim_end_matches(" (*)").to_owned())
        })
        .collect();
    rows.sort();
    rows.dedup();
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn house(package: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let member = |name: &str, dependencies| Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: semver::Version::new(0, 1, 0),
            license: None,
            source: None,
            manifest_path: "Cargo.toml".into(),
            dependencies,
        };
        let edge = Dependency { name: dependency.to_owned(), kind: kind.map(str::to_owned) };
        imports(&Metadata {
            packages: vec![member(package, vec![edge]), member(dependency, vec![])],
            workspace_members: vec![package.to_owned(), dependency.to_owned()],
        })
    }

    #[test]
    fn refuses_every_never_of_the_architecture() {
        let nevers = [
            ("cotter-server", "cotter-factory"),
            ("cotter-server", "cotter-chip"),
            ("cotter-chip", "cotter-device"),
            ("cotter-formats", "cotter-wire"),
            ("cotter-device", "cotter-chip"),
            ("cotter-twin", "cotter"),
            ("cotter-factory", "cotter-device"),
        ];
        for (package, dependency) in nevers {
            assert_eq!(
                house(package, dependency, None),
                [format!("{package} may not import {dependency} (normal dependency)")]
            );
            assert_eq!(house(package, dependency, Some("build")).len(), 1);
        }
    }

    #[test]
    fn lets_tests_look_sideways_but_not_at_the_hands() {
        assert!(house("cotter-server", "cotter-twin", Some("dev")).is_empty());
        assert_eq!(house("cotter-twin", "cotter", Some("dev")).len(), 1);
        assert_eq!(house("cotter-formats", "cotter-interop", Some("dev")).len(), 1);
    }

    #[test]
    fn refuses_a_crate_without_a_floor() {
        assert_eq!(house("cotter-helpers", "cotter-formats", None).len(), 1);
    }
}
