//! The register map: which measurements an application reads and how it scales them.
//!
//! Every application image carries one, directly after the 256-byte application descriptor (file offset 0x120), so
//! that a device can check an image before trusting it with its next boot, and the server can show real units.
//!
//! ```text
//!  0  magic u32 "CTTR" | format u16 = 1 | count u16      little-endian, 96 bytes
//!  8  16 x { id u8, unit u8, gain u16 }, unused ones zero
//! 72  reserved, 20 bytes of zero
//! 92  CRC-B (IEEE CRC-32) over the first 92 bytes
//! ```

use core::fmt;
use cotter_formats::crc::crc_b;
use cotter_formats::read::{ReadError, Reader};

/// What a raw register value counts. Unknown values survive a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unit(pub u8);

impl Unit {
    /// A bare number.
    pub const NONE: Self = Self(0);
    /// V
    pub const VOLT: Self = Self(1);
    /// A
    pub const AMPERE: Self = Self(2);
    /// Hz
    pub const HERTZ: Self = Self(3);
    /// °C
    pub const CELSIUS: Self = Self(4);
    /// %
    pub const PERCENT: Self = Self(5);
    /// W
    pub const WATT: Self = Self(6);

    /// The sign to print after a value; empty if unknown.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::VOLT => "V",
            Self::AMPERE => "A",
            Self::HERTZ => "Hz",
            Self::CELSIUS => "°C",
            Self::PERCENT => "%",
            Self::WATT => "W",
            _ => "",
        }
    }
}

/// One register: the physical value is raw / gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register {
    /// Its number on the bus and in readings.
    pub id: u8,
    /// What the scaled value counts.
    pub unit: Unit,
    /// Divisor of the raw value. Zero parses, but [`RegisterMap::check`] refuses it.
    pub gain: u16,
}

impl Register {
    /// The register with these properties.
    #[must_use]
    pub const fn new(id: u8, unit: Unit, gain: u16) -> Self {
        Self { id, unit, gain }
    }
}

/// The registers of an EcoWatt inverter.
pub const ECOWATT: [Register; 10] = [
    Register::new(0, Unit::VOLT, 10),
    Register::new(1, Unit::AMPERE, 10),
    Register::new(2, Unit::HERTZ, 100),
    Register::new(3, Unit::VOLT, 10),
    Register::new(4, Unit::VOLT, 10),
    Register::new(5, Unit::AMPERE, 10),
    Register::new(6, Unit::AMPERE, 10),
    Register::new(7, Unit::CELSIUS, 10),
    Register::new(8, Unit::PERCENT, 1),
    Register::new(9, Unit::WATT, 1),
];

/// What EcoWatt calls the register.
#[must_use]
pub const fn ecowatt_name(id: u8) -> Option<&'static str> {
    match id {
        0 => Some("Vac1"),
        1 => Some("Iac1"),
        2 => Some("Fac1"),
        3 => Some("Vpv1"),
        4 => Some("Vpv2"),
        5 => Some("Ipv1"),
        6 => Some("Ipv2"),
        7 => Some("Temp"),
        8 => Some("Pow"),
        9 => Some("Pac"),
        _ => None,
    }
}

/// A map whose layout and CRC hold. Whether it makes sense is what [`Self::check`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterMap {
    // Entries beyond `count` are zero.
    registers: [Register; Self::CAPACITY],
    count: usize,
}

impl RegisterMap {
    /// Most registers in a map.
    pub const CAPACITY: usize = 16;
    /// Length in an image, in bytes.
    pub const LEN: usize = 96;
    /// "CTTR", read as a little-endian number.
    pub const MAGIC: u32 = 0x5254_5443;
    /// The one layout so far.
    pub const FORMAT: u16 = 1;

    /// A map of these registers, in this order; `None` if there are more than 16.
    #[must_use]
    pub const fn new(registers: &[Register]) -> Option<Self> {
        if registers.len() > Self::CAPACITY {
            return None;
        }
        let mut map = Self { registers: [Register::new(0, Unit::NONE, 0); Self::CAPACITY], count: registers.len() };
        let mut index = 0;
        while index < registers.len() {
            map.registers[index] = registers[index];
            index += 1;
        }
        Some(map)
    }

    /// Reads the first 96 bytes of `bytes`; what follows belongs to the application.
    ///
    /// # Errors
    /// [`RegisterMapError`], with the CRC checked before anything but the magic is believed.
    pub fn parse(bytes: &[u8]) -> Result<Self, RegisterMapError> {
        let bytes = Reader::new(bytes).take(Self::LEN)?;
        let mut reader = Reader::new(bytes);
        let magic = reader.u32_le()?;
        if magic != Self::MAGIC {
            return Err(RegisterMapError::Magic(magic));
        }
        let computed = crc_b(&bytes[..CRC_AT]);
        let stored = Reader::new(&bytes[CRC_AT..]).u32_le()?;
        if computed != stored {
            return Err(RegisterMapError::Crc { stored, computed });
        }
        let format = reader.u16_le()?;
        if format != Self::FORMAT {
            return Err(RegisterMapError::Format(format));
        }
        let count = usize::from(reader.u16_le()?);
        if count > Self::CAPACITY {
            return Err(RegisterMapError::Count(count));
        }
        let mut registers = [Register::new(0, Unit::NONE, 0); Self::CAPACITY];
        for (index, register) in registers.iter_mut().enumerate() {
            let at = reader.offset();
            *register = Register::new(reader.u8()?, Unit(reader.u8()?), reader.u16_le()?);
            if index >= count && *register != Register::new(0, Unit::NONE, 0) {
                return Err(RegisterMapError::Reserved { at });
            }
        }
        let at = reader.offset();
        if reader.take(RESERVED)?.iter().any(|byte| *byte != 0) {
            return Err(RegisterMapError::Reserved { at });
        }
        Ok(Self { registers, count })
    }

    /// The 96 bytes; `const`, so that firmware can place them in its image.
    #[must_use]
    pub const fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        put(&mut bytes, 0, &Self::MAGIC.to_le_bytes());
        put(&mut bytes, 4, &Self::FORMAT.to_le_bytes());
        // At most 16, so one byte says it all.
        bytes[6] = self.count.to_le_bytes()[0];
        let mut index = 0;
        while index < self.count {
            let Register { id, unit, gain } = self.registers[index];
            let [low, high] = gain.to_le_bytes();
            put(&mut bytes, 8 + 4 * index, &[id, unit.0, low, high]);
            index += 1;
        }
        let crc = crc_b_const(&bytes, CRC_AT);
        put(&mut bytes, CRC_AT, &crc.to_le_bytes());
        bytes
    }

    /// The registers, in order.
    #[must_use]
    pub fn registers(&self) -> &[Register] {
        &self.registers[..self.count]
    }

    /// The register with that id.
    #[must_use]
    pub fn find(&self, id: u8) -> Option<&Register> {
        self.registers().iter().find(|register| register.id == id)
    }

    /// Whether a device can work with this map: the heart of its self-test after an update.
    ///
    /// # Errors
    /// The first [`RegisterFault`], in the order of the map.
    pub fn check(&self) -> Result<(), RegisterFault> {
        if self.count == 0 {
            return Err(RegisterFault::Empty);
        }
        for (index, register) in self.registers().iter().enumerate() {
            if register.gain == 0 {
                return Err(RegisterFault::ZeroGain { id: register.id });
            }
            if self.registers[..index].iter().any(|earlier| earlier.id == register.id) {
                return Err(RegisterFault::Duplicate { id: register.id });
            }
        }
        Ok(())
    }
}

const fn put(bytes: &mut [u8; RegisterMap::LEN], at: usize, field: &[u8]) {
    let mut index = 0;
    while index < field.len() {
        bytes[at + index] = field[index];
        index += 1;
    }
}

/// CRC-B bit by bit: slow, but it runs in the compiler.
const fn crc_b_const(bytes: &[u8], len: usize) -> u32 {
    let mut crc = u32::MAX;
    let mut index = 0;
    while index < len {
        crc ^= bytes[index] as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        index += 1;
    }
    !crc
}

const CRC_AT: usize = 92;
const RESERVED: usize = 20;

/// Why bytes are no [`RegisterMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterMapError {
    /// Fewer than 96 bytes.
    #[error("register map: {0}")]
    Read(#[from] ReadError),
    /// Not "CTTR".
    #[error("register map: magic is {0:#010x}, expected 0x52545443")]
    Magic(u32),
    /// The CRC does not hold.
    #[error("register map: CRC is {stored:#010x}, computed {computed:#010x}")]
    Crc {
        /// As stored.
        stored: u32,
        /// Over what is there.
        computed: u32,
    },
    /// A layout of the future.
    #[error("register map: format {0}, expected 1")]
    Format(u16),
    /// More than 16.
    #[error("register map: {0} registers, at most 16")]
    Count(usize),
    /// Bytes that must be zero are not.
    #[error("register map: bytes at offset {at} must be zero")]
    Reserved {
        /// Offset of the field.
        at: usize,
    },
}

/// Why a well-formed map cannot be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterFault {
    /// No register at all.
    Empty,
    /// Values of this register would be divided by zero.
    ZeroGain {
        /// Which.
        id: u8,
    },
    /// Two registers have this id.
    Duplicate {
        /// Which.
        id: u8,
    },
}

impl fmt::Display for RegisterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no registers"),
            Self::ZeroGain { id } => write!(f, "register {id} has gain 0"),
            Self::Duplicate { id } => write!(f, "register {id} is there twice"),
        }
    }
}

impl core::error::Error for RegisterFault {}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::string::ToString;
    use hex_literal::hex;
    use proptest::prelude::*;

    const MAP: RegisterMap = RegisterMap::new(&ECOWATT).expect("ten registers fit");
    static IMAGE_BYTES: [u8; RegisterMap::LEN] = MAP.encode();

    /// python3: struct.pack("<IHH", 0x52545443, 1, 10) + b"".join(struct.pack("<BBH", ..)) padded to 92, zlib.crc32
    const GOLDEN: [u8; 96] = hex!(
        "4354545201000a00 00010a00 01020a00 02036400 03010a00 04010a00 05020a00 06020a00 07040a00 08050100 09060100"
        "000000000000000000000000000000000000000000000000 0000000000000000000000000000000000000000 6ea0d533"
    );

    #[test]
    fn encodes_what_python_packs() {
        assert_eq!(IMAGE_BYTES, GOLDEN);
        assert_eq!(RegisterMap::parse(&GOLDEN), Ok(MAP));
        assert_eq!(MAP.check(), Ok(()));
    }

    #[test]
    fn ignores_what_follows_but_not_what_is_missing() {
        let mut longer = GOLDEN.to_vec();
        longer.extend_from_slice(&[0xff; 64]);
        assert_eq!(RegisterMap::parse(&longer), Ok(MAP));
        for len in 0..RegisterMap::LEN {
            assert_eq!(
                RegisterMap::parse(&GOLDEN[..len]),
                Err(RegisterMapError::Read(ReadError::Truncated { at: 0, needed: 96, remaining: len }))
            );
        }
    }

    #[test]
    fn refuses_every_flipped_bit() {
        for bit in 0..8 * RegisterMap::LEN {
            let mut flipped = GOLDEN;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refusal = RegisterMap::parse(&flipped).expect_err("a flipped bit is noticed");
            match bit {
                0..32 => assert!(matches!(refusal, RegisterMapError::Magic(_)), "bit {bit}"),
                _ => assert!(matches!(refusal, RegisterMapError::Crc { .. }), "bit {bit}"),
            }
        }
    }

    fn with_byte(at: usize, value: u8) -> [u8; 96] {
        let mut bytes = GOLDEN;
        bytes[at] = value;
        let crc = crc_b(&bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn refuses_nonsense_under_a_valid_crc() {
        let cases = [
            (4, 2, RegisterMapError::Format(2)),
            (6, 17, RegisterMapError::Count(17)),
            (48, 1, RegisterMapError::Reserved { at: 48 }),
            (91, 1, RegisterMapError::Reserved { at: 72 }),
        ];
        for (at, value, refusal) in cases {
            assert_eq!(RegisterMap::parse(&with_byte(at, value)), Err(refusal));
        }
    }

    #[test]
    fn the_check_names_the_register() {
        let mut registers = ECOWATT;
        registers[3].gain = 0;
        let map = RegisterMap::new(&registers).expect("ten fit");
        assert_eq!(RegisterMap::parse(&map.encode()), Ok(map));
        assert_eq!(map.check(), Err(RegisterFault::ZeroGain { id: 3 }));
        assert_eq!(RegisterFault::ZeroGain { id: 3 }.to_string(), "register 3 has gain 0");
        registers[3] = registers[2];
        assert_eq!(RegisterMap::new(&registers).expect("ten fit").check(), Err(RegisterFault::Duplicate { id: 2 }));
        assert_eq!(RegisterMap::new(&[]).expect("none fit").check(), Err(RegisterFault::Empty));
        assert_eq!(RegisterMap::new(&[ECOWATT[0]; 17]), None);
    }

    proptest! {
        #[test]
        fn round_trips(raw in proptest::collection::vec(any::<(u8, u8, u16)>(), 0..=16)) {
            let registers: alloc::vec::Vec<_> =
                raw.into_iter().map(|(id, unit, gain)| Register::new(id, Unit(unit), gain)).collect();
            let map = RegisterMap::new(&registers).expect("at most 16");
            prop_assert_eq!(map.registers(), &registers[..]);
            prop_assert_eq!(RegisterMap::parse(&map.encode()), Ok(map));
        }
    }
}
