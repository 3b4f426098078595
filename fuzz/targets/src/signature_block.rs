//! libFuzzer target of `cotter_fuzz::signature_block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::signature_block(data));
