#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../readers.rs"]
#[allow(dead_code, reason = "one reader of all")]
mod readers;

fuzz_target!(|data: &[u8]| readers::index(data));
