#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../readers.rs"]
#[allow(dead_code, reason = "one reader of all")]
mod readers;

fuzz_target!(
    // A panic of the crate that reads tokenizers is caught and becomes an error: the fuzzer's own hook would abort before.
    // One that is not caught still ends the fuzzer.
    init: std::panic::set_hook(Box::new(|_| ())),
    |data: &[u8]| readers::tokenizer(data)
);
