//! Compressed certificates of secure elements.

use cotter_formats::atecc::certificate::{COMPRESSED_LEN, CompressedCertificate, CompressedDates};

/// What is read is written again bit by bit, and its dates are such as can be made.
pub fn element_certificate(data: &[u8]) {
    let Some((bytes, rest)) = data.split_first_chunk::<COMPRESSED_LEN>() else { return };
    let Ok(read) = CompressedCertificate::parse(bytes) else { return };
    assert_eq!(read.to_bytes(), *bytes);
    let dates = read.dates;
    let again = CompressedDates::new(dates.issued(), dates.years());
    assert!(again.is_ok_and(|again| again.end() == dates.end()));
    assert!(dates.end().is_none_or(|end| end > dates.issued()));
    assert_eq!(dates.hashed_serial(rest)[0] >> 6, 1);
}
