//! Backups and shares as somebody hands them in.

use cotter_server::backup::container::{HEADER, Header};
use cotter_server::backup::custodian::Share;

/// A share has one spelling, and a header only names custodians that can be.
pub fn backup(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(share) = Share::parse(text)
    {
        assert_eq!(*share.reveal(), text.trim_ascii(), "a second spelling of a share");
    }
    if let Ok(header) = Header::parse(data) {
        let (threshold, count) = (header.custodians.threshold(), header.custodians.count());
        assert!(1 <= threshold && threshold <= count && data.len() >= HEADER, "{header:?}");
    }
}
