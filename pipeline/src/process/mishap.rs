//! Why a child has given no answer.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Cause;
use crate::panics::Panicked;

/// Why a child has given no answer. What follows from it is for the caller to say.
#[derive(Debug)]
pub(crate) enum Mishap {
    /// It refused, and said this.
    Refused(Vec<u8>),
    /// It took longer than it may.
    Late { limit: Duration },
    /// Others waited for its place, and it was begun anew as often as it may be.
    Crowded,
    /// It asked for more memory than it may have, in bytes.
    OutOfMemory { limit: u64 },
    /// Its answer is longer than it may be, in bytes.
    TooLong { limit: u64 },
    /// The task that talked to it panicked.
    Panicked(Panicked),
    /// It ended in a way that says nothing about its order: signal, exit code or broken answer.
    Crashed { how: String },
    /// It was killed from outside: by the system, which is out of memory for whatever reason, or by
    /// an administrator.
    Killed,
    /// The program is of another build than this library.
    OtherBuild { program: PathBuf },
    /// There is no such program, or it may not be run.
    NoProgram { program: PathBuf, cause: Cause },
    /// The system has no room for another process now.
    NotStarted(Cause),
}

impl Mishap {
    pub(crate) fn crashed(how: &str) -> Mishap {
        Mishap::Crashed { how: how.to_owned() }
    }
}
