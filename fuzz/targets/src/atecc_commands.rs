//! libFuzzer target of `cotter_fuzz::atecc_commands`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::atecc_commands(data));
