//! libFuzzer target of `cotter_fuzz::image_label`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::image_label(data));
