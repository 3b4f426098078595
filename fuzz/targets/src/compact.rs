//! libFuzzer target of `cotter_fuzz::compact`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::compact(data));
