//! libFuzzer target of `cotter_fuzz::efuse_dump`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::efuse_dump(data));
