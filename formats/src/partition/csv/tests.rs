extern crate std;
use super::*;
use crate::partition::DEFAULT_OFFSET;
use crate::partition::rows::Rows;
use alloc::string::ToString;
use proptest::prelude::*;
use std::{format, vec};

const PLAIN: CsvOptions<'static> =
    CsvOptions { table: DEFAULT_OFFSET, bootloader: None, recovery: None, variables: None };
const TWO_OTA: &str = include_str!("../../../../vectors/partition/two_ota_sec.csv");

fn messages(text: &str) -> Vec<String> {
    parse(text, &PLAIN).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn builds_every_golden_table_from_its_csv() {
    let at = |table| CsvOptions { table: FlashAddr(table), ..PLAIN };
    for (csv, table, checksum, golden) in [
        (TWO_OTA, 0x8000, true, &include_bytes!("../../../../vectors/partition/two_ota_sec.bin")[..]),
        (TWO_OTA, 0x8000, false, include_bytes!("../../../../vectors/partition/two_ota_sec-nomd5.bin")),
        (TWO_OTA, 0xc000, true, include_bytes!("../../../../vectors/partition/two_ota_sec-off0xC000.bin")),
        (TWO_OTA, 0x8000, true, include_bytes!("../../../../vectors/partition/two_ota_sec-secv1.bin")),
        (TWO_OTA, 0x8000, true, include_bytes!("../../../../vectors/partition/two_ota_sec-secv2.bin")),
        (
            include_str!("../../../../vectors/partition/singleapp.csv"),
            0x8000,
            true,
            include_bytes!("../../../../vectors/partition/singleapp.bin"),
        ),
    ] {
        assert_eq!(Rows::write(&parse(csv, &at(table)).unwrap(), checksum).unwrap(), golden);
    }
}

#[test]
fn writes_the_csv_that_the_generator_writes() {
    let golden = include_str!("../../../../vectors/partition/two_ota_sec.roundtrip.csv");
    assert_eq!(write(&parse(TWO_OTA, &PLAIN).unwrap()).unwrap(), golden);
    assert_eq!(parse(golden, &PLAIN), parse(TWO_OTA, &PLAIN));
}

#[test]
fn numbers_are_those_of_the_generator() {
    for (text, value) in [
        ("0", 0),
        ("00", 0),
        ("4096", 4096),
        ("0x1F", 31),
        ("0XfF", 255),
        ("0b101", 5),
        ("0o17", 15),
        ("+7", 7),
        ("-0x10", -16),
        ("24k", 24 << 10),
        ("1M", 1 << 20),
        ("-2M", -(2 << 20)),
        ("0x10K", 16 << 10),
        (" 4 K ", 4 << 10),
    ] {
        assert_eq!(number(text), Some(value), "{text}");
    }
    for text in
        ["", "K", "-", "0x", "0x-1", "--1", "+-1", "010", "1G", "1KK", "1.5M", "0b2", "nvs", "1 0", "0x1_0", "é"]
    {
        assert_eq!(number(text), None, "{text}");
    }
    assert_eq!(number("9223372036854775807M"), None);
    assert_eq!(number("99999999999999999999"), None);
}

#[test]
fn byte_order_mark_line_ends_comments_and_case_do_not_matter() {
    let same = parse("f,app,factory,0x10000,64K,encrypted:readonly", &PLAIN).unwrap();
    for text in [
        "\u{feff}f,app,factory,0x10000,64K,encrypted:readonly",
        "# c\r\n\r\nf, APP ,\tFactory,65536, 64k , readonly:encrypted\r\n",
        "#a\rf,0,0,0x10000,0x10000,encrypted::readonly,,\r   # , , \r",
    ] {
        assert_eq!(parse(text, &PLAIN).as_ref(), Ok(&same), "{text:?}");
    }
    assert_eq!(parse("", &PLAIN), Ok(vec![]));
}

#[test]
fn blank_offsets_follow_and_negative_sizes_end_there() {
    let table = parse("n,data,nvs,,0x6000\nf,app,factory,,-0x100000\nd,data,,,4K", &PLAIN).unwrap();
    let places: Vec<_> = table.iter().map(|partition| (partition.offset.0, partition.size.0)).collect();
    assert_eq!(places, [(0x9000, 0x6000), (0x10000, 0xf0000), (0x10_0000, 0x1000)]);
    assert_eq!(table[2].subtype, Subtype::UNDEFINED);
}

#[test]
fn every_wrong_field_is_named_by_line_and_column() {
    assert_eq!(
        messages("# layout\nnvs, data, nvz, , 0x6000\n\n, app, , 12q, , encripted\nota, ap, , , 1M\n"),
        [
            "line 2, column 12: nvz is no subtype of type data, expected ota, phy, nvs, coredump, nvs_keys, efuse, \
             undefined, esphttpd, fat, spiffs, littlefs, tee_ota, a number up to 0xff",
            "line 4, column 1: the name is missing",
            "line 4, column 8: an app needs a subtype: factory, ota_0 to ota_15, test, tee_0 or tee_1",
            "line 4, column 10: 12q is no offset, expected a number such as 0x10000 or 64K, or nothing",
            "line 4, column 17: encripted is no flag, expected encrypted, readonly or encrypted:readonly",
            "line 5, column 6: ap is no type, expected app, data, bootloader, partition_table or a number up to 0xff",
        ]
    );
}

#[test]
fn what_the_generator_passes_over_in_silence_is_refused() {
    assert_eq!(messages("a_name_of_17_byte,data,fat,,4K")[0].as_str(), {
        "line 1, column 1: the name a_name_of_17_byte is 17 bytes long, 16 are the most (gen_esp32part.py would cut it \
         silently)"
    });
    assert_eq!(messages("a,data,fat,,4K,encrypted,readonly")[0].as_str(), {
        "line 1, column 26: readonly is a seventh column; flags are separated by colons, and a comment needs a line of \
         its own"
    });
    assert_eq!(
        messages("b,bootloader,primary,0x1000,0x7000\nt,partition_table,,0x8000,8K"),
        ["line 2, column 27: 0x2000 contradicts where bootloader and table are: leave it blank, or write 0x1000"]
    );
    let chip = CsvOptions { bootloader: Some(FlashAddr(0x1000)), ..PLAIN };
    let refused = parse("b,bootloader,primary,0x2000,", &chip).unwrap_err();
    assert_eq!(refused[0].problem, Problem::Fixed { found: 0x2000, expected: 0x1000 });
}

#[test]
fn a_place_that_cannot_be_worked_out_is_refused() {
    for (text, problem) in [
        ("a,data,fat,,", Problem::NoSize),
        ("b,bootloader,primary,,", Problem::NoBootloader { recovery: false }),
        ("b,bootloader,recovery,,0x7000", Problem::NoBootloader { recovery: true }),
        ("b,bootloader,ota,,", Problem::NoBootloader { recovery: false }),
        ("a,data,fat,0x10000,-0x9000", Problem::Range { offset: FlashAddr(0x10000), size: -0x7000 }),
        ("a,data,fat,0xfffff000,8K", Problem::Range { offset: FlashAddr(0xffff_f000), size: 0x2000 }),
        ("a,data,fat,0xfffff000,4K\nb,data,fat,,4K", Problem::Full),
        ("a,data,fat,,9223372036854775807", Problem::Size { found: Found::new("9223372036854775807") }),
        ("a,data,fat,,-9223372036854775808", Problem::Size { found: Found::new("-9223372036854775808") }),
        ("a,data,fat,-4096,4K", Problem::Offset { found: Found::new("-4096") }),
        ("a,256,,,4K", Problem::Type { found: Found::new("256") }),
        ("a,data,fat,4294967296,4K", Problem::Offset { found: Found::new("4294967296") }),
        ("a\u{1b}[2J,data,fat,,4K", Problem::NameCharacter { found: Found::new("a\u{1b}[2J") }),
        ("a,,fat,,4K", Problem::NoType),
    ] {
        let errors = parse(text, &PLAIN).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}");
        assert_eq!(errors[0].problem, problem, "{text}");
    }
    assert!(messages("a\u{1b}[2J,data,fat,,4K")[0].contains(r"a\u{1b}[2J"), "an escape sequence reached the terminal");
}

#[test]
fn variables_are_put_in_only_when_asked_for() {
    let text = "a,data,fat,,$SIZE\nb${N}_$N,data,fat,$MISSING,4K";
    assert_eq!(
        messages(text)[0],
        "line 1, column 13: the variable $SIZE is not expanded: the environment would silently change the layout"
    );
    let lookup = |name: &str| match name {
        "SIZE" => Some(String::from("64K")),
        "N" => Some(String::from("7")),
        "BAD" => Some(String::from("4K,encrypted")),
        "LOOP" => Some(String::from("$LOOP")),
        _ => None,
    };
    let options = CsvOptions { variables: Some(&lookup), ..PLAIN };
    let errors = parse(text, &options).unwrap_err();
    assert_eq!(errors[0].to_string(), "line 2, column 19: the variable $MISSING is not set");
    let table = parse(&text.replace("$MISSING", ""), &options).unwrap();
    assert_eq!((table[0].size.0, table[1].label.as_str()), (0x1_0000, "b7_7"));
    for name in ["BAD", "LOOP"] {
        let errors = parse(&format!("a,data,fat,,${name}"), &options).unwrap_err();
        assert_eq!(errors[0].problem, Problem::VariableValue { found: Found::new(name) });
    }
    for odd in ["$", "${", "${}", "$$", "x$"] {
        assert!(parse(&format!("a,data,fat,,{odd}"), &options).is_err(), "{odd}");
    }
}

#[test]
fn what_csv_cannot_say_is_not_written() {
    let mut table = parse("f,app,factory,0x10000,64K", &PLAIN).unwrap();
    for name in ["a,b", "#a", " a", "a\n", "a$b", "\u{feff}a", "a\u{2028}"] {
        let label = Label::new(name).unwrap();
        table[0].label = label;
        assert_eq!(write(&table), Err(UnwritableError::Label { label }), "{name:?}");
    }
    table[0].label = Label::new("a b#").unwrap();
    table[0].flags = PartitionFlags(0x8000_0001);
    let label = table[0].label;
    assert_eq!(write(&table), Err(UnwritableError::Flags { label, unnamed: 0x8000_0000 }));
}

fn any_partition() -> impl Strategy<Value = Partition> {
    (r"\PC{1,5}", any::<u8>(), any::<u8>(), any::<u32>(), any::<u32>(), 0..4u32).prop_filter_map(
        "does not fit",
        |(name, kind, subtype, offset, size, flags)| {
            let (kind, subtype) = (PartitionType(kind % 8), Subtype(subtype));
            let derived = matches!(kind, PartitionType::BOOTLOADER | PartitionType::PARTITION_TABLE);
            let label = Label::new(&name).ok()?;
            let flags = PartitionFlags(flags);
            let partition = Partition { label, kind, subtype, offset: FlashAddr(offset), size: FlashLen(size), flags };
            (!derived && partition.end() <= 1 << 32 && write(&[partition]).is_ok()).then_some(partition)
        },
    )
}

proptest! {
    #[test]
    fn any_table_survives_csv_and_binary(table in proptest::collection::vec(any_partition(), 0..94)) {
        let read = parse(&write(&table).unwrap(), &PLAIN);
        prop_assert_eq!(read.as_ref(), Ok(&table));
        let rows = Rows::read(&Rows::write(&table, true).unwrap());
        prop_assert_eq!(&rows.partitions, &table);
        prop_assert!(rows.problems.is_empty());
    }

    #[test]
    fn any_text_is_read_or_refused(text in r"(\PC|[,$#:\n\r{}-]){0,200}") {
        let _ = parse(&text, &PLAIN);
        let _ = parse(&text, &CsvOptions { variables: Some(&|_| Some(String::from("1"))), ..PLAIN });
    }
}
