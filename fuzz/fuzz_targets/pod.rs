#![no_main]
//! See `augur_fuzz::pod`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| augur_fuzz::pod(data));
