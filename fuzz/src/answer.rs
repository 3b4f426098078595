//! The small bodies: the server's answer to a packet and the device's status report.

use cotter_wire::answer::Answer;
use cotter_wire::status::StatusReport;

/// Each has one spelling.
pub fn answer(data: &[u8]) {
    if let Ok(answer) = Answer::parse(data) {
        assert_eq!(answer.write(&mut [0; Answer::MAX_LEN]), Ok(data), "an answer changed in a round trip");
    }
    if let Ok(report) = StatusReport::parse(data) {
        assert_eq!(report.write(&mut [0; StatusReport::MAX_LEN]), Ok(data), "a report changed in a round trip");
        assert_eq!(StatusReport::new(report.version, report.outcome, report.reason()), report);
    }
}
