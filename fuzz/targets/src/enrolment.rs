//! libFuzzer target of `cotter_fuzz::enrolment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::enrolment(data));
