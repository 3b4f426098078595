//! `cargo xtask firmware`: builds what runs on the chip and makes the images in `firmware/images`.
//!
//! | file | noun |
//! |---|---|
//! | `toolchain` | a compiler for riscv32imc |
//! | `stage` | the sources in one workspace, so that the place of the checkout does not matter |
//! | `program` | what is built, and how an ELF file becomes an image |
//! | `behaviour` | what an image must be like, whichever compiler made it |
//! | `provenance` | `PROVENANCE.toml`: which toolchain made which bytes |

mod behaviour;
mod program;
mod provenance;
mod stage;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{output, root};
use crate::{emulate, tools};
use behaviour::Behaviour;
pub(crate) use behaviour::Expected;
pub(crate) use program::PROGRAMS;
use program::Program;
use provenance::Provenance;
pub(crate) use stage::Stage;
use stage::sha256;
pub(crate) use toolchain::{Library, TARGET, Toolchain, apt_install};

/// What `cargo xtask firmware` can be told.
#[derive(clap::Args)]
pub(crate) struct FirmwareArguments {
    /// Compare with the committed images instead of replacing them
    #[arg(long, conflicts_with = "out")]
    check: bool,
    /// Where the images go, or with --run are
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Execute the images on an emulated chip and check what they do, instead of building them
    #[arg(long, conflicts_with = "check")]
    run: bool,
    /// Build the device crate for the chip without an allocator, and nothing else
    #[arg(long, conflicts_with_all = ["check", "out", "run"])]
    no_alloc_check: bool,
}

/// What came of a check that not every machine can do.
pub(crate) enum Checked {
    /// It holds; in words.
    Holds(String),
    /// Something is missing here; what was checked without it, and what is missing.
    NotRun(String),
}

/// The chore.
///
/// # Errors
/// No toolchain, a failed build, or images that are not as they should be.
pub(crate) fn run(arguments: &FirmwareArguments) -> Result<()> {
    if arguments.no_alloc_check {
        return no_alloc_check().and_then(must_run);
    }
    if arguments.check {
        return check().and_then(must_run);
    }
    if arguments.run {
        return emulate::check(&arguments.out.clone().unwrap_or_else(committed)).and_then(must_run);
    }
    let out = arguments.out.clone().unwrap_or_else(committed);
    let toolchain = Toolchain::find()?;
    toolchain.complete_lock(&root().join("firmware"))?;
    let (stage, images) = build(&toolchain)?;
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    for (program, image) in &images {
        inspect(program, image)?;
        fs::write(out.join(program.image), image)?;
    }
    Provenance::of(&toolchain, &stage, &images).write(&out)?;
    let accepted = esptool_accepts(&out)?;
    for (program, image) in &images {
        println!("  {:<14} {:>7} bytes  {}", program.image, image.len(), sha256(image));
    }
    println!("{} images in {}; {accepted}", images.len(), out.display());
    Ok(())
}

/// Rebuilds the committed images and compares: to the byte if the toolchain is the recorded one, else in behaviour.
///
/// # Errors
/// They differ, or are not what they should be.
pub(crate) fn check() -> Result<Checked> {
    let folder = committed();
    let recorded = Provenance::read(&folder)?;
    let mut stored = Vec::new();
    for program in PROGRAMS {
        let image = fs::read(folder.join(program.image)).with_context(|| format!("{} is missing", program.image))?;
        recorded.vouches_for(program.image, &image)?;
        inspect(program, &image)?;
        stored.push(image);
    }
    let accepted = esptool_accepts(&folder)?;

    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(missing) => {
            return Ok(Checked::NotRun(format!(
                "the committed images are as recorded and {accepted}; not rebuilt: {missing:#}"
            )));
        }
    };
    let (stage, images) = build(&toolchain)?;
    let same_toolchain = recorded.toolchain.is(&toolchain);
    for ((program, rebuilt), stored) in images.iter().zip(&stored) {
        if same_toolchain {
            let stale = if stage.digest == recorded.sources { "the same sources" } else { "changed sources" };
            ensure!(
                rebuilt == stored,
                "{}: {stale} and the recorded toolchain make other bytes (sha256 {}); \
                 if the change is meant, run `cargo xtask firmware` and commit firmware/images",
                program.image,
                sha256(rebuilt)
            );
        } else {
            let (rebuilt, stored) = (Behaviour::of(rebuilt)?, Behaviour::of(stored)?);
            ensure!(
                rebuilt == stored,
                "{}: this toolchain's image behaves differently\n  here:      {rebuilt:?}\n  committed: {stored:?}",
                program.image
            );
        }
    }
    let how = if same_toolchain {
        "equal to the byte (recorded toolchain)".to_owned()
    } else {
        format!("equal in behaviour (made here with {}; recorded: {})", toolchain.name(), recorded.toolchain.name())
    };
    Ok(Checked::Holds(format!("{} images rebuilt: {how}; {accepted}", images.len())))
}

/// Executes the committed images on an emulated chip.
///
/// # Errors
/// One does something else than it should.
pub(crate) fn execute() -> Result<Checked> {
    emulate::check(&committed())
}

/// Builds the device crate for the chip with `core` alone: whatever asks for an allocator does not compile, and a
/// program that uses the crate links without one.
///
/// # Errors
/// It does not build.
pub(crate) fn no_alloc_check() -> Result<Checked> {
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(missing) => return Ok(Checked::NotRun(format!("{missing:#}"))),
    };
    let stage = Stage::prepare(root())?;
    build_bench(&toolchain, &stage).context("the device crate does not build without an allocator")?;
    let how = if toolchain.leaves_out_alloc() {
        "with `core` alone: there is no `alloc` to ask for"
    } else {
        "and linked into a program without an allocator"
    };
    Ok(Checked::Holds(format!("cotter-device built for {TARGET} {how}")))
}

/// Builds the measuring programs, and with them the device crate, on `core` alone; returns their folder.
pub(crate) fn build_bench(toolchain: &Toolchain, stage: &Stage) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo(&stage.folder, "build", &stage.remap_flags()?, Library::Core);
    // Not the folder of the images: cargo would compile the standard library again at every change between the two.
    cargo.args(["--target-dir", "target/core", "--package", "cotter-device", "--package", "cotter-bench"]);
    crate::workspace::run(&mut cargo)?;
    Ok(stage.folder.join("target/core").join(TARGET).join("release"))
}

/// The stage and every image, in the order of [`PROGRAMS`].
fn build(toolchain: &Toolchain) -> Result<(Stage, Vec<Built>)> {
    let stage = Stage::prepare(root())?;
    let mut images = Vec::new();
    for program in PROGRAMS {
        println!("building {}", program.image);
        images.push((program, program.build(toolchain, &stage)?));
    }
    Ok((stage, images))
}

/// A program and the image made of it.
type Built = (&'static Program, Vec<u8>);

/// What must hold for an image whatever it is compared with.
fn inspect(program: &Program, image: &[u8]) -> Result<()> {
    let behaviour = Behaviour::of(image).with_context(|| program.image)?;
    program.expected.check(&behaviour).with_context(|| program.image)
}

/// PyPI's esptool on every image of a folder; returns the tool's version.
fn esptool_accepts(folder: &Path) -> Result<String> {
    tools::install()?;
    let esptool = root().join("target/espressif-tools/bin/esptool");
    let version = output(Command::new(&esptool).arg("version"))?;
    let version = version.lines().last().unwrap_or_default().trim().to_owned();
    for program in PROGRAMS {
        let path = folder.join(program.image);
        let report = output(Command::new(&esptool).arg("image-info").arg(&path))?;
        for line in ["Detected image type: ESP32-C3", "Checksum:", "Validation hash:"] {
            let found = report.lines().find(|it| it.starts_with(line));
            let Some(found) = found else { bail!("{}: esptool says nothing of `{line}`:\n{report}", path.display()) };
            ensure!(line.ends_with("C3") || found.ends_with("(valid)"), "{}: esptool: {found}", path.display());
        }
    }
    Ok(format!("esptool {version} accepts all"))
}

fn must_run(checked: Checked) -> Result<()> {
    match checked {
        Checked::Holds(words) => println!("{words}"),
        Checked::NotRun(words) => bail!("{words}"),
    }
    Ok(())
}

fn committed() -> PathBuf {
    root().join("firmware/images")
}
