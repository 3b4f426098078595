//! Partition tables: no tool for them is on PyPI, so ESP-IDF's generator speaks through its golden files
//! (`formats/src/partition/tests.rs`); here OpenSSL recomputes the MD5 row of tables that no golden file has.

use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::partition::{
    Label, Partition, PartitionError, PartitionFlags, PartitionTable, PartitionType, Subtype, build,
};
use cotter_interop::{Generator, temp_dir, tools};

fn random_table(random: &mut Generator) -> Result<Vec<Partition>, PartitionError> {
    let mut offset = 0x9000;
    (0..random.below(95))
        .map(|index| {
            let size = 0x1000 * (1 + random.next_u32() % 64);
            let label = format!("{}{index}", random.word(10));
            let partition = Partition {
                label: Label::new(&label)?,
                kind: PartitionType(0x40 + (random.next_u32() % 0xbf).to_le_bytes()[0]),
                subtype: Subtype(random.next_u32().to_le_bytes()[0]),
                offset: FlashAddr(offset),
                size: FlashLen(size),
                flags: *random.pick(&[PartitionFlags::NONE, PartitionFlags::ENCRYPTED, PartitionFlags::READONLY]),
            };
            offset += size;
            Ok(partition)
        })
        .collect()
}

#[test]
fn openssl_computes_the_same_md5_row() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let file = dir.path().join("entries");
    for _ in 0..20 {
        let partitions = random_table(&mut random).unwrap();
        let table = build(&partitions).unwrap();
        assert_eq!(PartitionTable::parse(&table).unwrap().partitions(), partitions);

        let (entries, rest) = table.split_at(32 * partitions.len());
        std::fs::write(&file, entries).unwrap();
        let digest = tools().openssl(["dgst".as_ref(), "-md5".as_ref(), "-r".as_ref(), file.as_os_str()]).accepted();
        let row: String = rest[16..32].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(digest.starts_with(&row), "{} partitions: {row}, {digest}", partitions.len());
        assert_eq!(rest[..16], [[0xeb; 2].as_slice(), &[0xff; 14]].concat());
        assert!(rest[32..].iter().all(|&byte| byte == 0xff));
    }
}
