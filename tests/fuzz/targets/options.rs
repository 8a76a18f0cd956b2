//! Command lines: each is understood or refused with a reason of one line.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let words = line.split(|byte| *byte == b'\n').map(|word| OsString::from_vec(word.to_vec()));
    if let Err(problem) = echotest::cli::understood(words.collect()) {
        let problem = problem.to_string();
        assert!(!problem.is_empty() && !problem.contains('\x1b'), "{problem:?}");
    }
});
