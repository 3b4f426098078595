//! The programs of the firmware, and how each becomes an image.

use std::fs;

use anyhow::{Context, Result};
use cotter_formats::chip::Chip;
use cotter_formats::image::{BuildOptions, FlashMode, FlashSize, SecurePad, build_app};

use super::behaviour::Expected;
use super::stage::Stage;
use super::toolchain::{Library, TARGET, Toolchain};
use crate::workspace::run;

/// One image and what it is made from.
pub(crate) struct Program {
    /// Its file in `firmware/images`.
    pub(crate) image: &'static str,
    /// What it must be like.
    pub(crate) expected: Expected,
    package: &'static str,
    /// `COTTER_APP_VERSION`, for the package that comes in releases.
    release: Option<&'static str>,
    secure_pad: Option<SecurePad>,
}

/// Every image that is committed.
pub(crate) const PROGRAMS: &[Program] = &[
    Program {
        image: "boot.bin",
        expected: Expected::Boot { banner: "Cotter boot image 1 (esp32c3)" },
        package: "cotter-boot",
        release: None,
        secure_pad: None,
    },
    application("app-1.0.0.bin", "1.0.0", 0, None),
    application("app-1.1.0.bin", "1.1.0", 1, None),
    application("app-1.2.0.bin", "1.2.0", 1, Some("register 3 has gain 0")),
];

/// `fault`: what its self-test must find.
const fn application(
    image: &'static str,
    version: &'static str,
    secure_version: u32,
    fault: Option<&'static str>,
) -> Program {
    Program {
        image,
        expected: Expected::Application { version, secure_version, fault },
        package: "cotter-app",
        release: Some(version),
        // Room to the next 64 KiB, so that the signature sector starts an MMU page.
        secure_pad: Some(SecurePad::V2),
    }
}

impl Program {
    /// Compiles it and makes the image.
    pub(crate) fn build(&self, toolchain: &Toolchain, stage: &Stage) -> Result<Vec<u8>> {
        let mut cargo = toolchain.cargo(&stage.folder, "build", &stage.remap_flags()?, Library::CoreAndAlloc);
        cargo.args(["--package", self.package]).env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string());
        if let Some(release) = self.release {
            cargo.env("COTTER_APP_VERSION", release);
        }
        run(&mut cargo).with_context(|| format!("cannot build {}", self.package))?;
        let elf = stage.folder.join("target").join(TARGET).join("release").join(self.package);
        let elf = fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
        Ok(build_app(&elf, &self.options())?)
    }

    /// How the same image is made by hand.
    pub(crate) fn commands(&self) -> String {
        let release = self.release.map(|release| format!("COTTER_APP_VERSION={release} ")).unwrap_or_default();
        let pad = if self.secure_pad.is_some() { " --secure-pad-v2" } else { "" };
        format!(
            "{release}cargo build --release --locked --target {TARGET} --package {package}; \
             esptool --chip esp32c3 elf2image --flash-mode dio --flash-size 4MB{pad} {package}",
            package = self.package
        )
    }

    fn options(&self) -> BuildOptions {
        let mut options = BuildOptions::new(Chip::Esp32C3);
        options.flash_mode = FlashMode::DIO;
        options.flash_size = FlashSize::MIB_4;
        options.secure_pad = self.secure_pad;
        options
    }
}

/// The build time in the descriptors: 2026-11-21 00:00 UTC.
pub(crate) const SOURCE_DATE_EPOCH: u64 = 1_795_219_200;
