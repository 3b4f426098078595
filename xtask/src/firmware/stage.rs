//! The sources of the firmware, copied into one workspace.
//!
//! Cargo mixes the absolute path of a path dependency outside the workspace into its symbol names, and the linker
//! orders by them: built in place, every checkout would yield other bytes. Here formats, wire and device are inside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// A workspace under `firmware/target` that holds all that the firmware is made of, and nothing else.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Its root.
    pub(crate) folder: PathBuf,
    /// SHA-256 over every file's path, length and content: two checkouts that agree here build the same sources.
    pub(crate) digest: String,
}

impl Stage {
    /// Brings the copy up to date. Unchanged files keep their time stamps, so that cargo compiles only what changed.
    ///
    /// # Errors
    /// A file cannot be read or written, or a manifest is not what Cargo accepts.
    pub(crate) fn prepare(project: &Path) -> anyhow::Result<Self> {
        let folder = project.join("firmware/target/stage");
        let mut files = vec![
            ("Cargo.toml".to_owned(), workspace_manifest(project)?.into_bytes()),
            ("Cargo.lock".to_owned(), read(&project.join("firmware/Cargo.lock"))?),
        ];
        for (name, home) in members(project) {
            files.push((format!("{name}/Cargo.toml"), member_manifest(&home.join("Cargo.toml"))?.into_bytes()));
            for entry in walk(&home)? {
                let relative = entry.strip_prefix(&home).expect("walk stays below its root").to_owned();
                let relative = relative.to_str().context("a file name that is not UTF-8")?;
                if ["build.rs"].contains(&relative) || relative.starts_with("src/") || relative.ends_with(".x") {
                    files.push((format!("{name}/{relative}"), read(&entry)?));
                }
            }
        }
        files.sort();

        let mut hash = Sha256::new();
        for (path, content) in &files {
            for field in [path.as_bytes(), content] {
                hash.update(u64::try_from(field.len())?.to_le_bytes());
                hash.update(field);
            }
        }
        for stale in walk(&folder).unwrap_or_default() {
            let relative = stale.strip_prefix(&folder).expect("walk stays below its root").to_string_lossy();
            if !relative.starts_with("target/") && !files.iter().any(|(path, _)| *path == *relative) {
                fs::remove_file(&stale)?;
            }
        }
        for (path, content) in files {
            let path = folder.join(path);
            if fs::read(&path).ok().as_ref() != Some(&content) {
                fs::create_dir_all(path.parent().expect("every staged file is in the stage"))?;
                fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(Self { folder, digest: hex(&hash.finalize()) })
    }

    /// rustc flags that take this machine's paths out of what it emits.
    pub(crate) fn remap_flags(&self) -> anyhow::Result<Vec<String>> {
        let mut flags = vec![format!("--remap-path-prefix={}=/cotter", self.folder.display())];
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).context("no home folder")?;
        // One folder per registry, named after its address: with a mirror it has another name than with crates.io.
        let sources = home.join("registry/src");
        fs::create_dir_all(&sources)?;
        let mut registries = fs::read_dir(&sources)?.collect::<Result<Vec<_>, _>>()?;
        registries.sort_by_key(fs::DirEntry::file_name);
        for registry in registries {
            flags.push(format!("--remap-path-prefix={}=/registry", registry.path().display()));
        }
        Ok(flags)
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The crates in the stage: their folder there, and where they come from.
fn members(project: &Path) -> Vec<(&'static str, PathBuf)> {
    let ours = ["formats", "wire", "device"].map(|name| (name, project.join(name)));
    let chips = ["app", "boot", "bench", "link-c"].map(|name| (name, project.join("firmware").join(name)));
    ours.into_iter().chain(chips).collect()
}

/// firmware/Cargo.toml, with the dependencies that formats, wire and device inherit from the project's Cargo.toml.
fn workspace_manifest(project: &Path) -> anyhow::Result<String> {
    let mut manifest = parse(&project.join("firmware/Cargo.toml"))?;
    let root = parse(&project.join("Cargo.toml"))?;
    let mut dependencies = table(&root, &["workspace", "dependencies"])?.clone();
    // Crates that are not in the stage must not be looked for.
    dependencies.retain(|_, value| {
        let path = value.get("path").and_then(Value::as_str);
        path.is_none_or(|path| ["formats", "wire", "device"].contains(&path))
    });
    let workspace = manifest.get_mut("workspace").and_then(Value::as_table_mut).context("firmware: no [workspace]")?;
    let names = members(project).iter().map(|(name, _)| Value::from(*name)).collect::<Vec<_>>();
    workspace.insert("members".to_owned(), Value::from(names));
    workspace.insert("dependencies".to_owned(), Value::Table(dependencies));
    Ok(toml::to_string(&manifest)?)
}

/// A crate's manifest without what only its tests need, and with its neighbours beside it.
fn member_manifest(path: &Path) -> anyhow::Result<String> {
    let mut manifest = parse(path)?;
    manifest.remove("dev-dependencies");
    without_optional(&mut manifest);
    if let Some(dependencies) = manifest.get_mut("dependencies").and_then(Value::as_table_mut) {
        for (_, dependency) in dependencies.iter_mut() {
            let Some(dependency) = dependency.as_table_mut() else { continue };
            // `../../wire` of firmware/app is `../wire` in the stage.
            if let Some(outside) = dependency.get("path").and_then(Value::as_str).and_then(|it| it.strip_prefix("../"))
            {
                let beside = outside.to_owned();
                dependency.insert("path".to_owned(), Value::from(beside));
            }
        }
    }
    Ok(toml::to_string(&manifest)?)
}

/// Takes out dependencies that only features bring in; the features stay, without them. What runs on the chip uses none
/// of them, and a lock file of members would have to list them all.
fn without_optional(manifest: &mut Table) {
    let Some(dependencies) = manifest.get_mut("dependencies").and_then(Value::as_table_mut) else { return };
    let is_optional = |value: &Value| value.get("optional").and_then(Value::as_bool) == Some(true);
    let gone: Vec<String> =
        dependencies.iter().filter(|(_, value)| is_optional(value)).map(|(name, _)| name.to_string()).collect();
    dependencies.retain(|name, _| !gone.iter().any(|gone| gone == name));
    let Some(features) = manifest.get_mut("features").and_then(Value::as_table_mut) else { return };
    let mentions = |item: &Value| {
        let item = item.as_str().unwrap_or_default();
        let name = item.strip_prefix("dep:").unwrap_or(item).split(['/', '?']).next().unwrap_or_default();
        gone.iter().any(|gone| gone == name)
    };
    for (_, items) in features.iter_mut() {
        if let Some(items) = items.as_array_mut() {
            items.retain(|item| !mentions(item));
        }
    }
}

fn parse(path: &Path) -> anyhow::Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not TOML", path.display()))
}

fn table<'a>(table: &'a Table, path: &[&str]) -> anyhow::Result<&'a Table> {
    let mut at = table;
    for name in path {
        at = at.get(*name).and_then(Value::as_table).with_context(|| format!("no [{}]", path.join(".")))?;
    }
    Ok(at)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Every file below `folder`, in a fixed order; build output is skipped.
fn walk(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            if entry.file_name().is_none_or(|name| name != "target") {
                files.append(&mut walk(&entry)?);
            }
        } else {
            files.push(entry);
        }
    }
    Ok(files)
}
