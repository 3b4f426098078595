//! The loader against recorded tools, hostile peers, and the eFuses that lock it.

use super::addresses::ESP32_APB_DATE;
use super::*;
use crate::efuse::Efuses;
use crate::fault::Fault;
use crate::flash::Flash;
use cotter_formats::efuse::coding::check_bytes;
use cotter_formats::efuse::{ChipRevision, EfuseBlock, EfuseImage};
use proptest::prelude::*;

const MAC: [u8; 6] = [0x58, 0xcf, 0x79, 0xaa, 0xbb, 0xcc];
const EFUSE: u32 = 0x6000_8800;
macro_rules! recorded {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../vectors/protocol/", $name, ".txt")))
    };
}
const RECORDED: [(Chip, (&str, &str)); 6] = [
    (Chip::Esp32, recorded!("log-esp32")),
    (Chip::Esp32, recorded!("log2-esp32")),
    (Chip::Esp32S2, recorded!("log-esp32s2")),
    (Chip::Esp32S3, recorded!("log-esp32s3")),
    (Chip::Esp32C3, recorded!("log-esp32c3")),
    (Chip::Esp32C3, recorded!("log2-esp32c3")),
];

fn board() -> VirtualChip {
    VirtualChip::new(Chip::Esp32C3, MAC).unwrap()
}

fn blank_board(chip: Chip) -> VirtualChip {
    let fault = Fault::default();
    let efuses = Efuses::from_image(&EfuseImage::blank(chip), fault.clone());
    VirtualChip::from_parts(Flash::erased(FlashLen(4 << 20), fault.clone()).unwrap(), efuses, fault)
}

fn request(op: Op, data: &[u8], checksum: u8) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap().to_le_bytes();
    let mut out = Vec::new();
    let header = [0, op.0, len[0], len[1], checksum, 0, 0, 0];
    slip::encode(header.into_iter().chain(data.iter().copied()), &mut out);
    out
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = slip::Decoder::new();
    bytes.iter().filter_map(|byte| decoder.push(*byte)).collect()
}

/// Sends a request and returns the frames that come back.
fn ask(loader: &mut Loader, op: Op, data: &[u8]) -> Vec<Vec<u8>> {
    let bytes = request(op, data, 0);
    assert_eq!(loader.receive(&bytes), bytes.len());
    frames(&loader.send())
}

fn send_block(loader: &mut Loader, op: Op, sequence: u32, content: &[u8]) -> Vec<u8> {
    let checksum = content.iter().fold(0xef, |sum, byte| sum ^ byte);
    let mut data = words(&[u32::try_from(content.len()).unwrap(), sequence, 0, 0]);
    data.extend_from_slice(content);
    assert_eq!(loader.receive(&request(op, &data, checksum)), request(op, &data, checksum).len());
    frames(&loader.send()).pop().unwrap()
}

fn value(frame: &[u8]) -> u32 {
    u32::from_le_bytes(frame[4..8].try_into().unwrap())
}

/// The status bytes of an answer without payload.
fn status(frame: &[u8]) -> &[u8] {
    &frame[8..]
}

fn read_register(loader: &mut Loader, address: u32) -> u32 {
    let answers = ask(loader, Op::READ_REG, &words(&[address]));
    assert_eq!(answers.len(), 1);
    value(&answers[0])
}

fn write_register(loader: &mut Loader, address: u32, value: u32) {
    let answers = ask(loader, Op::WRITE_REG, &words(&[address, value, u32::MAX, 0]));
    assert_eq!(status(&answers[0]), [0; 4], "{address:#x}");
}

/// What espefuse does to burn a block, up to but without the read of the cells.
fn program(loader: &mut Loader, block: u32, data: &[u8; 32], check: &[u8; 12]) {
    let words = data.chunks_exact(4).chain(check.chunks_exact(4));
    for (address, word) in (EFUSE..).step_by(4).zip(words) {
        write_register(loader, address, u32::from_le_bytes(word.try_into().unwrap()));
    }
    write_register(loader, EFUSE + 0x1cc, 0x5a5a);
    write_register(loader, EFUSE + 0x1d4, 2 | block << 2);
}

fn start_stub(loader: &mut Loader) {
    assert_eq!(status(&ask(loader, Op::MEM_BEGIN, &words(&[4, 1, 0x1800, 0x4038_0000]))[0]), [0; 4]);
    assert_eq!(status(&send_block(loader, Op::MEM_DATA, 0, &[1, 2, 3, 4])), [0; 4]);
    let answers = ask(loader, Op::MEM_END, &words(&[0, 0x4038_0000]));
    assert_eq!((status(&answers[0]), answers[1].as_slice()), ([0; 4].as_slice(), b"OHAI".as_slice()));
}

fn number(text: &str) -> u32 {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn answers_every_recorded_register_access_as_the_recorded_chip() {
    for (chip, (name, log)) in RECORDED {
        let board = blank_board(chip);
        let mut loader = Loader::new(&board).unwrap();
        let mut reads = 0;
        for (index, line) in log.lines().enumerate() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["CONNECT"] => loader = Loader::new(&board).unwrap(),
                ["READ_REG", address, "->", recorded] => {
                    let read = read_register(&mut loader, number(address));
                    // The recorded part had no SFDP, and the recorded ESP32 was v3 in this register only.
                    let read = if read == u32::from_le_bytes(*b"SFDP") { 0 } else { read };
                    let read = if number(address) == ESP32_APB_DATE { 1 << 31 } else { read };
                    assert_eq!(read, number(recorded), "{name} line {}: {line}", index + 1);
                    reads += 1;
                }
                ["WRITE_REG", address, "=", value, "mask", mask, "delay", delay] => {
                    let fields = [address, value, mask].map(|text| number(text));
                    let request = words(&[fields[0], fields[1], fields[2], delay.parse().unwrap()]);
                    assert_eq!(status(&ask(&mut loader, Op::WRITE_REG, &request)[0]), [0; 4]);
                }
                ["CMD", "0x08", ..] => assert_eq!(ask(&mut loader, Op::SYNC, &SYNC_DATA).len(), SYNC_ANSWERS),
                _ => {}
            }
        }
        assert!(reads > 100, "{name}: {reads}");
    }
}

const SYNC_DATA: [u8; 36] = {
    let mut data = [0x55; 36];
    (data[0], data[1], data[2], data[3]) = (7, 7, 0x12, 0x20);
    data
};

#[test]
fn the_rom_is_told_from_the_stub_by_its_answer_to_sync() {
    let mut loader = Loader::new(&board()).unwrap();
    assert!(ask(&mut loader, Op::SYNC, &SYNC_DATA).iter().all(|frame| value(frame) != 0 && frame.len() == 12));
    start_stub(&mut loader);
    assert!(ask(&mut loader, Op::SYNC, &SYNC_DATA).iter().all(|frame| value(frame) == 0 && frame.len() == 10));
}

#[test]
fn what_is_burned_shows_after_the_cells_were_read() {
    let mut loader = Loader::new(&board()).unwrap();
    let mut data = [0; 32];
    data[0] = 0xa5;
    program(&mut loader, 3, &data, &check_bytes(&data));
    assert_eq!(read_register(&mut loader, EFUSE + 0x7c), 0);
    write_register(&mut loader, EFUSE + 0x1cc, 0x5aa5);
    write_register(&mut loader, EFUSE + 0x1d4, 1);
    assert_eq!(read_register(&mut loader, EFUSE + 0x7c), 0xa5);
    assert_eq!(loader.burns(), 1);
}

#[test]
fn a_command_without_its_code_burns_nothing() {
    let board = board();
    let mut loader = Loader::new(&board).unwrap();
    write_register(&mut loader, EFUSE, 1);
    write_register(&mut loader, EFUSE + 0x1cc, 0x5aa5);
    write_register(&mut loader, EFUSE + 0x1d4, 2 | 3 << 2);
    assert_eq!((loader.burns(), board.fault().operations()), (0, 0));
}

#[test]
fn wrong_check_bytes_make_a_damaged_block() {
    let board = board();
    let mut loader = Loader::new(&board).unwrap();
    let data = [7; 32];
    let mut check = check_bytes(&data);
    check[3] ^= 1;
    program(&mut loader, 4, &data, &check);
    write_register(&mut loader, EFUSE + 0x1cc, 0x5aa5);
    write_register(&mut loader, EFUSE + 0x1d4, 1);
    assert!(board.efuses().is_damaged(EfuseBlock(4)).unwrap());
    let errors = read_register(&mut loader, EFUSE + 0x1c0);
    assert_eq!((errors >> 12 & 7, errors >> 19 & 1), (7, 1), "the fail bit is one block further up on the ESP32-C3");
}

/// A loader on a chip with one more setting burned.
fn locked(name: &str) -> Loader {
    let board = board();
    let map = *board.efuses().image().unwrap().map();
    let mut data = [0; 32];
    map.field(name).unwrap().merge(1, &mut data).unwrap();
    board.efuses().program(EfuseBlock::SETTINGS, &data).unwrap();
    Loader::new(&board).unwrap()
}

#[test]
fn secure_download_mode_only_writes() {
    let refused = [1, 5, 0, 0];
    for op in (0..=255).map(Op) {
        let mut loader = locked("ENABLE_SECURITY_DOWNLOAD");
        let answer = ask(&mut loader, op, &words(&[0, 0, 0, 0])).remove(0);
        assert_eq!(op.is_known_to_secure_mode(), answer[1] == op.0 && op.0 != 0, "{op:?} {answer:?}");
        if !op.is_known_to_secure_mode() {
            assert_eq!(status(&answer), refused, "{op:?}");
        }
    }
    let mut loader = locked("ENABLE_SECURITY_DOWNLOAD");
    assert_eq!(ask(&mut loader, Op::GET_SECURITY_INFO, &[])[0][8], 1 << 2);
    assert_eq!(status(&ask(&mut loader, Op::FLASH_BEGIN, &words(&[4, 1, 0x400, 0x1000, 0]))[0]), [0; 4]);
    assert_eq!(status(&send_block(&mut loader, Op::FLASH_DATA, 0, &[1, 2, 3, 4])), [0; 4]);
    assert_eq!(&loader.board.external_readout()[0x1000..0x1005], [1, 2, 3, 4, 0xff]);
}

#[test]
fn burning_secure_download_mode_counts_with_the_read_of_the_cells() {
    let mut loader = Loader::new(&board()).unwrap();
    let mut data = [0; 32];
    cotter_formats::efuse::esp32c3::ENABLE_SECURITY_DOWNLOAD.merge(1, &mut data).unwrap();
    program(&mut loader, 0, &data, &[0; 12]);
    assert_eq!(read_register(&mut loader, EFUSE + 0x1d4), 0, "it still answers");
    write_register(&mut loader, EFUSE + 0x1cc, 0x5aa5);
    let answers = ask(&mut loader, Op::WRITE_REG, &words(&[EFUSE + 0x1d4, 1, u32::MAX, 0]));
    assert_eq!(status(&answers[0]), [1, 5, 0, 0]);
}

#[test]
fn disabled_download_mode_says_nothing() {
    let mut loader = locked("DIS_DOWNLOAD_MODE");
    assert!(ask(&mut loader, Op::SYNC, &SYNC_DATA).is_empty());
}

#[test]
fn an_esp32_closes_download_mode_at_the_next_reset_only_and_before_v3_never() {
    for (revision, closes) in [(ChipRevision(300), true), (ChipRevision(100), false)] {
        let board = VirtualChip::of_revision(Chip::Esp32, revision, MAC).unwrap();
        let mut data = [0; 28];
        board.efuses().image().unwrap().map().field("UART_DOWNLOAD_DIS").unwrap().merge(1, &mut data).unwrap();
        board.efuses().program(EfuseBlock::SETTINGS, &data).unwrap();
        let mut loader = Loader::new(&board).unwrap();
        assert_eq!(ask(&mut loader, Op::SYNC, &SYNC_DATA).len(), SYNC_ANSWERS);
        assert_eq!(board.power_on_in_download_mode().is_err(), closes, "{revision}");
    }
}

#[test]
fn disabled_manual_encryption_refuses_encrypted_writes() {
    let mut loader = locked("DIS_DOWNLOAD_MANUAL_ENCRYPT");
    assert_eq!(status(&ask(&mut loader, Op::FLASH_BEGIN, &words(&[4, 1, 0x400, 0, 1]))[0]), [1, 6, 0, 0]);
    assert_eq!(status(&ask(&mut loader, Op::FLASH_BEGIN, &words(&[4, 1, 0x400, 0, 0]))[0]), [0; 4]);
}

#[test]
fn blocks_are_checked_and_may_be_repeated() {
    let mut loader = Loader::new(&board()).unwrap();
    assert_eq!(status(&send_block(&mut loader, Op::FLASH_DATA, 0, &[1])), [1, 6, 0, 0], "no beginning");
    ask(&mut loader, Op::FLASH_BEGIN, &words(&[8, 2, 4, 0]));
    let mut data = words(&[4, 0, 0, 0]);
    data.extend([1, 2, 3, 4]);
    assert_eq!(status(&ask(&mut loader, Op::FLASH_DATA, &data)[0]), [1, 7, 0, 0], "no checksum");
    assert_eq!(status(&send_block(&mut loader, Op::FLASH_DATA, 1, &[1; 4])), [1, 6, 0, 0], "out of order");
    assert_eq!(status(&send_block(&mut loader, Op::FLASH_DATA, 0, &[1; 5])), [1, 6, 0, 0], "too long");
    for sequence in [0, 0, 1] {
        assert_eq!(
            status(&send_block(&mut loader, Op::FLASH_DATA, sequence, &[0x10 + u8::try_from(sequence).unwrap(); 4])),
            [0; 4]
        );
    }
    assert_eq!(&loader.board.external_readout()[..9], [0x10, 0x10, 0x10, 0x10, 0x11, 0x11, 0x11, 0x11, 0xff]);
}

#[test]
fn writes_beyond_the_part_are_refused_at_the_beginning() {
    let mut loader = Loader::new(&board()).unwrap();
    for [erase, offset] in [[0x1001, 0x3f_f000], [4, 0x40_0000], [u32::MAX, 1], [1, u32::MAX]] {
        let answer = ask(&mut loader, Op::FLASH_BEGIN, &words(&[erase, 1, 0x400, offset])).remove(0);
        assert_eq!(status(&answer), [1, 6, 0, 0], "{erase:#x} at {offset:#x}");
    }
    let refused = ask(&mut loader, Op::FLASH_BEGIN, &words(&[4, u32::MAX, u32::MAX, 0])).remove(0);
    assert_eq!(status(&refused), [1, 5, 0, 0]);
}

#[test]
fn the_rom_takes_the_part_for_2_mib_until_it_is_told() {
    let mut loader = Loader::new(&board()).unwrap();
    let begin = |loader: &mut Loader, erase, offset| {
        status(&ask(loader, Op::FLASH_BEGIN, &words(&[erase, 1, 0x400, offset]))[0]).to_vec()
    };
    assert_eq!(begin(&mut loader, 0x1000, 0x1f_f000), [0; 4]);
    for [erase, offset] in [[0x1000, 0x20_0000], [0x2000, 0x1f_f000]] {
        assert_eq!(begin(&mut loader, erase, offset), [1, 6, 0, 0], "{offset:#x}");
    }
    // More than there is gives no more than there is.
    let parameters = words(&[0, 16 << 20, 0x1_0000, 0x1000, 0x100, 0xffff]);
    assert_eq!(status(&ask(&mut loader, Op::SPI_SET_PARAMS, &parameters[..20])[0]), [1, 5, 0, 0]);
    assert_eq!(status(&ask(&mut loader, Op::SPI_SET_PARAMS, &parameters)[0]), [0; 4]);
    assert_eq!(begin(&mut loader, 0x1000, 0x3f_f000), [0; 4]);
    assert_eq!(begin(&mut loader, 0x1000, 0x40_0000), [1, 6, 0, 0]);
}

#[test]
fn a_stream_that_expands_beyond_its_announcement_is_refused() {
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 1 << 20], 9);
    let mut loader = Loader::new(&board()).unwrap();
    ask(&mut loader, Op::FLASH_DEFL_BEGIN, &words(&[0x1000, 1, 0x4000, 0]));
    assert_eq!(status(&send_block(&mut loader, Op::FLASH_DEFL_DATA, 0, &bomb)), [1, 0xb, 0, 0]);
    let noise = [0xaa; 64];
    ask(&mut loader, Op::FLASH_DEFL_BEGIN, &words(&[0x1000, 1, 0x4000, 0]));
    assert_eq!(status(&send_block(&mut loader, Op::FLASH_DEFL_DATA, 0, &noise)), [1, 0xb, 0, 0]);
}

#[test]
fn each_frame_of_a_read_waits_for_the_acknowledgement_of_the_one_before() {
    let board = board();
    let content: Vec<u8> = (0..0x4800_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
    board.raw_flash().overwrite_externally(FlashAddr(0x2000), &content).unwrap();
    let mut loader = Loader::new(&board).unwrap();
    start_stub(&mut loader);
    // 64 frames may be under way, says the host.
    let mut got = ask(&mut loader, Op::READ_FLASH, &words(&[0x2000, 0x4800, 0x1000, 64]));
    assert_eq!(got.len(), 2, "an answer and a frame");
    let mut read = got.remove(1);
    while read.len() < content.len() {
        let mut acknowledgement = Vec::new();
        slip::encode(words(&[u32::try_from(read.len()).unwrap()]), &mut acknowledgement);
        loader.receive(&acknowledgement);
        let mut frames = frames(&loader.send());
        assert_eq!(frames.len(), 1);
        read.append(&mut frames[0]);
    }
    assert!(read == content);
    let mut acknowledgement = Vec::new();
    slip::encode(words(&[0x4800]), &mut acknowledgement);
    loader.receive(&acknowledgement);
    assert_eq!(frames(&loader.send()), [Md5::digest(&content).to_vec()]);
}

#[test]
fn a_peer_that_does_not_read_is_not_listened_to() {
    let mut loader = Loader::new(&board()).unwrap();
    let sync = request(Op::SYNC, &SYNC_DATA, 0).repeat(10_000);
    assert!(loader.receive(&sync) < sync.len());
    assert!(loader.out.len() < OUT_MAX + 0x1000);
}

#[test]
fn lost_power_ends_the_session_without_an_answer() {
    let board = board();
    let mut loader = Loader::new(&board).unwrap();
    board.fault().cut_now();
    assert!(ask(&mut loader, Op::FLASH_BEGIN, &words(&[4, 1, 0x400, 0])).is_empty());
    assert_eq!(loader.next(), Some(Next::PowerLost));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_it_panic_or_grow(
        requests in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60), any::<bool>()), 1..40),
        stub in any::<bool>(),
    ) {
        let mut loader = Loader::new(&blank_board(Chip::Esp32C3)).unwrap();
        if stub {
            start_stub(&mut loader);
        }
        for (op, data, whole) in requests {
            let bytes = if whole { request(Op((op % 0x20) | (op & 0xd0)), &data, 0) } else { data };
            loader.receive(&bytes);
            prop_assert!(loader.out.len() <= OUT_MAX + 0x1_0000);
            if loader.next().is_some() {
                return Ok(());
            }
        }
        let _sent = loader.send();
    }
}
