#![no_main]
//! See `augur_fuzz::selector`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| augur_fuzz::selector(data));
