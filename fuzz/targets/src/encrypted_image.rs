//! libFuzzer target of `cotter_fuzz::encrypted_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::encrypted_image(data));
