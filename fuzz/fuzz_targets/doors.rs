//! Runs [`fuzz::doors`] on what libFuzzer invents.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::doors(data));
