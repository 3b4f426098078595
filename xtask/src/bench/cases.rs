//! What is compared: a verb of ours beside the tool that it replaces, on the same inputs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::partition::{Label, Partition, PartitionFlags, PartitionTable, PartitionType, Subtype};

use super::elf;
use super::measure::Task;
use crate::workspace::{output, root};

/// One line of the table.
pub(super) struct Case {
    pub(super) name: String,
    /// The verb of ours, for when it does not exist.
    pub(super) verb: &'static str,
    /// How many times faster ours has to be.
    pub(super) target: f64,
    pub(super) ours: Task,
    pub(super) peer: Task,
    /// The outputs, if they have to be the same bytes.
    pub(super) same: Option<(&'static str, &'static str)>,
}

/// Where inputs and outputs are, and both sets of programs.
pub(super) struct Desk {
    pub(super) folder: PathBuf,
    pub(super) cotter: PathBuf,
    venv: PathBuf,
}

impl Desk {
    /// An empty folder below `target/`, with all inputs.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn prepare(cotter: PathBuf) -> Result<Self> {
        let folder = root().join("target/bench");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder)?;
        let desk = Self { folder, cotter, venv: root().join("target/espressif-tools/bin") };
        desk.put("4M.bin", &noise(4 << 20))?;
        desk.put("16M.bin", &noise(16 << 20))?;
        desk.put("64M.bin", &noise(64 << 20))?;
        desk.put("1.5M.bin", &noise(3 << 19))?;
        desk.put("whole4M.bin", &whole(4 << 20)?)?;
        desk.put("whole64M.bin", &whole(64 << 20)?)?;
        desk.put("500.csv", values(500).as_bytes())?;
        desk.put("app.elf", &elf::application(&noise(3 << 19)))?;
        for (name, vector) in [
            ("xts128.key", "keys/fe_key_256.bin"),
            ("xts256.key", "keys/fe_key_512.bin"),
            ("rsa.pem", "keys/rsa3072_a.pem"),
            ("p256.pem", "keys/ecdsa_p256.pem"),
            ("rsa.pub", "sbv2/pub-rsa3072_a.pem"),
            ("p256.pub", "sbv2/pub-ecdsa_p256.pem"),
            ("nvs-keys.bin", "nvs/nvs_keys_fixed.bin"),
            ("efuse.bin", "efuse/esp32c3-prod.bin"),
            ("device.pem", "keys/rsa2048_dev.pem"),
            ("hmac.key", "efuse/hmac_key.bin"),
        ] {
            let path = root().join("vectors").join(vector);
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            desk.put(name, &bytes)?;
        }
        desk.put("template.csv", TEMPLATE.as_bytes())?;
        for (name, key) in [("device", "device"), ("ca", "device"), ("issuer", "p256")] {
            let words = format!("req -x509 -new -key {key}.pem -days 30 -subj /CN={name} -out {name}.crt");
            output(Command::new("openssl").args(words.split(' ')).current_dir(&desk.folder))?;
        }
        Ok(desk)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        use std::os::unix::fs::PermissionsExt;
        // No warning that others can read a key.
        Ok(std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?)
    }

    fn ours(&self, words: &str) -> Task {
        Task::new(&self.cotter, words)
    }

    /// `words`: the tool in the venv, and its arguments.
    fn theirs(&self, words: &str) -> Task {
        let (tool, rest) = words.split_once(' ').unwrap_or((words, ""));
        Task::new(&self.venv.join(tool), rest)
    }

    /// In an order in which each finds what earlier ones wrote: each side verifies what the other has signed.
    pub(super) fn cases(&self) -> Vec<Case> {
        let mut cases = self.encryption();
        for (scheme, chip, key) in [("RSA-3072", "esp32c3", "rsa"), ("ECDSA P-256", "esp32c6", "p256")] {
            cases.push(Case {
                name: format!("sign 1.5 MB, {scheme}"),
                verb: "image sign",
                target: 20.0,
                ours: self.ours(&format!("image sign --chip {chip} --key {key}.pem -o ours.{key} 1.5M.bin")),
                peer: self
                    .theirs(&format!("espsecure sign-data --version 2 --keyfile {key}.pem -o theirs.{key} 1.5M.bin")),
                same: None,
            });
            cases.push(Case {
                name: format!("verify 1.5 MB, {scheme}"),
                verb: "image verify",
                target: 20.0,
                ours: self.ours(&format!("image verify --chip {chip} --key {key}.pub theirs.{key}")),
                peer: self.theirs(&format!("espsecure verify-signature --version 2 --keyfile {key}.pub ours.{key}")),
                same: None,
            });
        }
        let generator = "python -m esp_idf_nvs_partition_gen";
        cases.push(Case {
            name: "NVS build, 500 entries".into(),
            verb: "nvs build",
            target: 20.0,
            ours: self.ours("nvs build --size 0x10000 -o ours.bin 500.csv"),
            peer: self.theirs(&format!("{generator} generate 500.csv theirs.bin 0x10000")),
            same: Some(("ours.bin", "theirs.bin")),
        });
        cases.push(Case {
            name: "NVS build and encrypt, 500 entries".into(),
            verb: "nvs build",
            target: 20.0,
            ours: self.ours("nvs build --size 0x10000 --keys nvs-keys.bin -o ours.bin 500.csv"),
            peer: self.theirs(&format!("{generator} encrypt --inputkey nvs-keys.bin 500.csv theirs.bin 0x10000")),
            same: Some(("ours.bin", "theirs.bin")),
        });
        cases.push(Case {
            name: "image build from a 1.5 MB ELF".into(),
            verb: "image build",
            target: 20.0,
            ours: self.ours("image build --chip esp32c3 --flash-mode dio --flash-size 4MB -o ours.bin app.elf"),
            peer: self
                .theirs("esptool --chip esp32c3 elf2image --flash-mode dio --flash-size 4MB -o theirs.bin app.elf"),
            same: Some(("ours.bin", "theirs.bin")),
        });
        let certificates = "--device-cert device.crt --ca-cert ca.crt";
        cases.push(Case {
            name: "secure-cert partition with DS, RSA-2048".into(),
            verb: "cert pack",
            target: 20.0,
            ours: self.ours(&format!(
                "cert pack --chip esp32c3 --mode ds --key device.pem {certificates} --hmac-key hmac.key \
                 --burn-keys burn --force -o ours.bin"
            )),
            peer: self.theirs(&format!(
                "python {} --target_chip esp32c3 --skip_flash --private-key device.pem {certificates} \
                 --configure_ds --priv_key_algo RSA 2048 --efuse_key_id 1 --efuse_key_file hmac.key",
                self.venv.join("configure_esp_secure_cert.py").display()
            )),
            // The parameters hold a fresh IV.
            same: None,
        });
        cases.push(Case {
            name: "eFuse show".into(),
            verb: "efuse show",
            target: 20.0,
            ours: self.ours("efuse show --chip esp32c3 efuse.bin"),
            peer: self.theirs("espefuse --chip esp32c3 --virt --path-efuse-file efuse.bin summary"),
            same: None,
        });
        cases
    }

    fn encryption(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (size, file) in [(4, "4M.bin"), (16, "16M.bin")] {
            for (scheme, chip, key, address, xts) in [
                ("XTS-AES-128", "esp32c3", "xts128.key", "0x10000", "--aes-xts"),
                ("XTS-AES-256", "esp32s3", "xts256.key", "0x10000", "--aes-xts"),
                // It reaches 16 MiB and no further.
                ("ESP32 AES-256", "esp32", "xts128.key", "0", ""),
            ] {
                let (ours, theirs) = (
                    format!("flash encrypt --chip {chip} --key {key} --address {address} -o ours.bin {file}"),
                    format!(
                        "espsecure encrypt-flash-data {xts} --keyfile {key} --address {address} -o theirs.bin {file}"
                    ),
                );
                cases.push(Case {
                    name: format!("encrypt {size} MB, {scheme}"),
                    verb: "flash encrypt",
                    target: if size == 16 || xts.is_empty() { 30.0 } else { 20.0 },
                    ours: self.ours(&ours),
                    peer: self.theirs(&theirs),
                    same: Some(("ours.bin", "theirs.bin")),
                });
            }
        }
        cases
    }

    /// Keys, certificates, DS parameters, partitions and encrypted NVS of so many devices.
    pub(super) fn batch(&self, devices: usize) -> Task {
        self.ours(&format!(
            "factory batch --chip esp32c3 --mode ds --ca issuer.crt --ca-key p256.pem --count {devices} \
             --nvs template.csv --nvs-size 0x4000 -o batch"
        ))
    }

    /// The same work on 4 and on 64 MB.
    pub(super) fn memory(&self) -> Vec<(&'static str, Task, Task)> {
        let verb = "flash encrypt --chip esp32s3 --key xts256.key -o ours.bin";
        let both = |words: &str| {
            [("4M.bin", "4M"), ("64M.bin", "64M")].map(|(_, size)| self.ours(&words.replace("SIZE", size)))
        };
        let pair = |name, words: String| {
            let [small, large] = both(&words);
            (name, small, large)
        };
        let piped = |(name, small, large): (&'static str, Task, Task)| {
            let read = |task: Task, file: &str| Task { stdin: Some(self.folder.join(file)), ..task };
            (name, read(small, "4M.bin"), read(large, "64M.bin"))
        };
        vec![
            pair("flash encrypt, region", format!("{verb} --address 0x10000 SIZE.bin")),
            piped(pair("flash encrypt, region from stdin", format!("{verb} --address 0x10000 -"))),
            pair("flash encrypt, whole image", format!("{verb} --whole wholeSIZE.bin")),
            pair("image sign", "image sign --chip esp32c3 --key rsa.pem -o signed-SIZE.bin SIZE.bin".into()),
            // What the line above has signed.
            pair("image verify", "image verify --chip esp32c3 --key rsa.pub signed-SIZE.bin".into()),
        ]
    }
}

/// What each device of a batch gets in NVS.
const TEMPLATE: &str = "key,type,encoding,value\n\
    device,namespace,,\n\
    id,data,string,{id}\n\
    server,data,string,https://telemetry.example.com\n\
    interval,data,u32,900\n";

/// xorshift64*: bytes that no run-length trick shortens, the same on every machine.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A flash image: no bootloader, a table, and one encrypted partition to the end.
fn whole(len: u32) -> Result<Vec<u8>> {
    let start = 0x1_0000;
    let partition = Partition {
        label: Label::new("data")?,
        kind: PartitionType::DATA,
        subtype: Subtype::DATA_FAT,
        offset: FlashAddr(start),
        size: FlashLen(len - start),
        flags: PartitionFlags::ENCRYPTED,
    };
    let mut image = vec![0xff; start as usize];
    let table = PartitionTable::new(&[partition])?.encode();
    image[0x8000..0x8000 + table.len()].copy_from_slice(&table);
    image.extend_from_slice(&noise((len - start) as usize));
    Ok(image)
}

/// A CSV file for NVS: numbers, texts and blobs in five namespaces.
fn values(count: usize) -> String {
    let mut csv = "key,type,encoding,value\n".to_owned();
    for index in 0..count {
        if index % (count / 5) == 0 {
            csv += &format!("space{index},namespace,,\n");
        }
        csv += &match index % 5 {
            0 => format!("key{index},data,u8,{}\n", index % 256),
            1 => format!("key{index},data,u32,{}\n", index * 7919),
            2 => format!("key{index},data,i64,-{}\n", index * 104_729),
            3 => format!("key{index},data,string,value number {index} of many\n"),
            _ => format!("key{index},data,hex2bin,{:064x}\n", index * 15_485_863),
        };
    }
    csv
}
