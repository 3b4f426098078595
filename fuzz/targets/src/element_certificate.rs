//! libFuzzer target of `cotter_fuzz::element_certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::element_certificate(data));
