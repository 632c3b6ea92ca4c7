//! The program in which untrusted documents are parsed: a document on standard input, its text on standard output.
//! See [`ai_pipeline::parse::child`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ai_pipeline::parse::child::run(
        std::env::args_os()
            .skip(1)
            .map(|word| word.to_string_lossy().into_owned()),
    )
}
