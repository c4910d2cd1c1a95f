#![no_main]
//! See `augur_fuzz::quantity`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| augur_fuzz::quantity(data));
