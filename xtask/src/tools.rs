//! The venv with Espressif's tools and Microchip's host library, `target/espressif-tools`, that the cross-checks in
//! `interop/` run, espflash, SoftHSM, mosquitto, MicroPython's MQTT client, valgrind, and the host script of ESP-AT's example.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::firmware::apt_install;
use crate::workspace::{cargo, output, root};

/// The PKCS#11 token of the tests.
const SOFTHSM: &str = "softhsm2-util";

/// Makes the venv if it is missing or its pins have changed, and returns the versions in one line.
pub(crate) fn install() -> Result<String> {
    let venv = root().join("target/espressif-tools");
    let stamp = venv.join("pins");
    let python = venv.join("bin/python");
    let current = std::fs::read_to_string(&stamp).is_ok_and(|found| found == PINS) && python.is_file();
    if !current {
        if venv.exists() {
            std::fs::remove_dir_all(&venv).with_context(|| format!("cannot remove the old {}", venv.display()))?;
        }
        make(&venv)?;
        std::fs::write(&stamp, PINS).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    let versions = output(Command::new(&python).args(["-m", "pip", "--disable-pip-version-check", "freeze"]))
        .context("the venv is broken; remove target/espressif-tools and run this again")?;
    let named = versions
        .lines()
        .filter(|line| ["esptool", "esp_idf_nvs", "cryptoauthlib"].iter().any(|name| line.starts_with(name)))
        .map(|line| line.replace("==", " "));
    debian_package("/usr/sbin/mosquitto", "mosquitto")?;
    debian_package("/usr/bin/mosquitto_sub", "mosquitto-clients")?;
    // The C programs of the AT link: gcc's sanitizers come with it, valgrind does not.
    debian_package("/usr/bin/gcc", "gcc")?;
    debian_package("/usr/bin/g++", "g++")?;
    debian_package("/usr/bin/valgrind", "valgrind")?;
    let others = [espflash()?, softhsm()?, umqtt(&python)?, example_host(&python)?];
    Ok(named.chain(others).collect::<Vec<_>>().join(", "))
}

/// The esp-rs project's tool; built here if it is not there yet, which takes some minutes.
fn espflash() -> Result<String> {
    let home = root().join("target/espflash");
    let version = || output(Command::new(home.join("bin/espflash")).arg("--version"));
    if !version().is_ok_and(|found| found.trim() == format!("espflash {ESPFLASH}")) {
        // Without optimisation and debug information: it is built more often than it has much to do.
        let mut install = cargo();
        install.args(["install", "espflash", "--version", ESPFLASH, "--locked", "--force", "--debug", "--quiet"]);
        install.args(["--no-default-features", "--features", "cli", "--config", "profile.dev.debug=false"]);
        install.arg("--root").arg(&home).arg("--target-dir").arg(home.join("build"));
        output(&mut install).context("espflash cannot be built (crates.io is needed)")?;
        std::fs::remove_dir_all(home.join("build")).context("cannot remove the leftovers of the build of espflash")?;
    }
    Ok(version()?.trim().to_owned())
}

/// Newer ones may want a newer compiler.
const ESPFLASH: &str = "4.7.0";

/// SoftHSM's version; installs it where we may.
fn softhsm() -> Result<String> {
    let version = || output(Command::new(SOFTHSM).arg("--version"));
    let found = match version() {
        Ok(found) => found,
        Err(_) if debian_root()? => {
            apt_install(&["softhsm2"])?;
            version()?
        }
        Err(_) => bail!("{SOFTHSM} is missing; on Debian: sudo apt-get install --no-install-recommends softhsm2"),
    };
    Ok(format!("SoftHSM {}", found.trim()))
}

/// MicroPython's MQTT client, which PyPI has and pip does not install: it is no package of Python's. So pip is asked where it
/// is, in which it fails with the address in its words; what is there must have the digest.
fn umqtt(python: &Path) -> Result<String> {
    let folder = root().join("target/umqtt");
    let program = folder.join("umqtt/simple.py");
    if !program.is_file() {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let fetched = output(Command::new(python).args(["-c", FETCH_UMQTT, UMQTT_SHA256]).arg(&folder));
        fetched.context("umqtt.simple cannot be fetched as it was published (PyPI is needed)")?;
    }
    Ok("umqtt.simple 1.3.4".to_owned())
}

const UMQTT_SHA256: &str = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f";
const FETCH_UMQTT: &str = "
import hashlib, io, os, re, ssl, subprocess, sys, tarfile, tempfile, urllib.request
digest, folder = sys.argv[1:]
with tempfile.TemporaryDirectory() as home:
    pip = [sys.executable, '-m', 'pip', 'download', '--disable-pip-version-check', '--no-deps', '--no-binary', ':all:']
    pip += ['--dest', home, 'micropython-umqtt.simple==1.3.4']
    said = subprocess.run(pip, capture_output=True, text=True).stderr
place = re.search(r'from (https:\\S+) does not appear', said)
if not place: sys.exit(said)
trust = ssl.create_default_context(cafile=os.environ.get('PIP_CERT'))
packed = urllib.request.urlopen(place[1], timeout=60, context=trust).read()
if hashlib.sha256(packed).hexdigest() != digest: sys.exit('another digest')
with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
    text = archive.extractfile('micropython-umqtt.simple-1.3.4/umqtt/simple.py').read()
os.makedirs(folder + '/umqtt', exist_ok=True)
with open(folder + '/umqtt/new', 'wb') as file: file.write(text)
os.rename(folder + '/umqtt/new', folder + '/umqtt/simple.py')
";

/// The host script of ESP-AT's example, as published: from where it is published, if that can be reached. The tests have
/// one of ours that does the same.
fn example_host(python: &Path) -> Result<String> {
    let path = root().join("target/esp-at/at_intf_security_host.py");
    let hex = |text: Vec<u8>| Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let is_there = || std::fs::read(&path).is_ok_and(|text| hex(text) == EXAMPLE_SHA256);
    if !is_there() {
        std::fs::create_dir_all(root().join("target/esp-at")).context("cannot make target/esp-at")?;
        let fetch =
            "import sys, urllib.request as u; open(sys.argv[2], 'wb').write(u.urlopen(sys.argv[1], timeout=20).read())";
        let fetched = output(Command::new(python).args(["-c", fetch, EXAMPLE_URL]).arg(&path));
        if fetched.is_err() || !is_there() {
            let _half = std::fs::remove_file(&path);
            return Ok("no host script of ESP-AT (it could not be fetched as it was)".to_owned());
        }
    }
    Ok("host script of ESP-AT".to_owned())
}

const EXAMPLE_URL: &str = "https://raw.githubusercontent.com/espressif/esp-at/b49e4b986584c48476d663a5b1e29e437c88c10c/examples/at_interface_security/at_intf_security_host.py";
const EXAMPLE_SHA256: &str = "dd0259a5b4d91e77fe036c5be414adb980a30a14c94173a4335aa13905929aac";

/// What the workspace's own build needs beside Rust: OpenSSL's headers, for the AT link in mode tls.
pub(crate) fn libraries() -> Result<()> {
    debian_package("/usr/include/openssl/ssl.h", "libssl-dev")?;
    debian_package("/usr/bin/pkg-config", "pkg-config")
}

/// Makes sure that `program` of a Debian package is there; installs it where we may.
pub(crate) fn debian_package(program: &str, package: &str) -> Result<()> {
    if Path::new(program).exists() {
        return Ok(());
    }
    if !debian_root()? {
        bail!("{program} is missing; on Debian: sudo apt-get install --no-install-recommends {package}");
    }
    apt_install(&[package])
}

/// In a container we are root and may add packages; elsewhere we say how.
fn debian_root() -> Result<bool> {
    Ok(Path::new("/usr/bin/apt-get").exists() && output(Command::new("id").arg("-u"))?.trim() == "0")
}

fn make(venv: &Path) -> Result<()> {
    let created = output(Command::new("python3").args(["-m", "venv"]).arg(venv));
    if let Err(first) = created {
        // Debian ships python3 without venv.
        if !debian_root()? {
            bail!(
                "{first:#}\nhelp: Python 3.10 or newer with venv and pip is needed; on Debian `sudo apt-get install python3-venv`"
            );
        }
        apt_install(&["python3-venv"])?;
        output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    output(Command::new(venv.join("bin/python")).args(pip).arg(root().join("xtask/espressif-tools.txt"))).context(
        "pip could not install the pins of xtask/espressif-tools.txt (Python 3.10 or newer and PyPI are needed)",
    )?;
    Ok(())
}

const PINS: &str = include_str!("../espressif-tools.txt");
