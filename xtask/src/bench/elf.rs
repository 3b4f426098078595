//! An ELF file as a linker would make it, for the image builders to work on.

/// An application of the ESP32-C3 whose code is `text`: constants, code, data and code in RAM.
pub(super) fn application(text: &[u8]) -> Vec<u8> {
    let mut descriptor = [0; 256];
    descriptor[..4].copy_from_slice(&0xabcd_5432_u32.to_le_bytes());
    descriptor[16..21].copy_from_slice(b"1.0.0");
    descriptor[48..53].copy_from_slice(b"bench");
    let constants = [descriptor.as_slice(), &text[..text.len() / 4]].concat();
    let sections: [(&str, u32, &[u8]); 4] = [
        (".flash.rodata", 0x3c10_0020, &constants),
        (".flash.text", 0x4200_0020, &text[..text.len() / 4 * 3]),
        (".dram0.data", 0x3fc9_0000, &text[..0x2000]),
        (".iram0.text", 0x4038_0000, &text[..0x8000]),
    ];
    let word = |length: usize| u32::try_from(length).expect("the file is small");
    let (mut names, mut body, mut headers) = (b"\0".to_vec(), Vec::new(), vec![[0; 10]]);
    for (name, address, data) in sections {
        let at = HEADER + word(body.len());
        headers.push([word(names.len()), 1, 2, address, at, word(data.len()), 0, 0, 4, 0]);
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        body.extend_from_slice(data);
    }
    let name = word(names.len());
    names.extend_from_slice(b".shstrtab\0");
    headers.push([name, 3, 0, 0, HEADER + word(body.len()), word(names.len()), 0, 0, 1, 0]);
    body.extend_from_slice(&names);

    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, 243] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    for field in [1, 0x4038_0000, 0, HEADER + word(body.len()), 0] {
        file.extend_from_slice(&field.to_le_bytes());
    }
    for half in [52_u16, 32, 0, 40, 6, 5] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&body);
    headers.iter().flatten().for_each(|field: &u32| file.extend_from_slice(&field.to_le_bytes()));
    file
}

/// The length of the ELF header.
const HEADER: u32 = 52;
