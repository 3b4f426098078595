//! libFuzzer target of `cotter_fuzz::partition_csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::partition_csv(data));
