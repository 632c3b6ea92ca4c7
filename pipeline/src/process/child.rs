//! The child's side: the frame of a program that obeys one order.
//!
//! It reads its arguments, takes from itself what it does not need ([`confine`](super::confine)),
//! reads the order from its standard input, and writes the answer to its standard output: with a
//! line before it where the parent asks for that by `--answer` ([`super::answer`]), and else as it
//! is, for people. Exit codes:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the whole answer was written |
//! | 1 | the order is refused: one line of JSON on standard error, a [`Report`] |
//! | 2 | wrong arguments, or limits that cannot be set: one line for people on standard error |
//! | 3 | the order does not fit into the memory that is allowed |
//! | 4 | the parent is of another build |
//! | 101 | a panic outside of the work |
//! | signal | time (`SIGXCPU`), memory (`SIGABRT` after `memory allocation of …`), another process (`SIGKILL`), or a crash |

use std::io::{ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::answer::{ChildAnswer, FORM};
use super::confine;
use crate::error::Class;

/// The exit code of an order that is refused.
pub(super) const REFUSED: u8 = 1;
/// That of a process that cannot read its arguments or its order, set its limits, or write its
/// answer.
const UNUSABLE: u8 = 2;
/// The exit code of an order that does not fit into memory.
pub(super) const TOO_LARGE: u8 = 3;
/// The exit code of a child that is asked for an answer in a form that it does not know.
pub(super) const OTHER_BUILD: u8 = 4;

/// What stands behind the name of the program in a line on standard error that says of what the
/// child is not confined.
pub(super) const UNCONFINED: &str = " is not confined: ";

/// What a child says about an order that it refuses.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub class: Class,
    pub reason: String,
    pub hint: Option<String>,
}

/// The arguments that any child has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Common {
    /// The form of answers that the parent reads; without it the answer is written as it is.
    answer: Option<String>,
    limits: confine::ProcessLimits,
}

impl Common {
    /// For a child of the same build.
    pub fn of_build(limits: confine::ProcessLimits) -> Common {
        Common {
            answer: Some(FORM.to_owned()),
            limits,
        }
    }

    /// As words of a command line.
    pub fn words(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let words = [
            ("--answer", self.answer.clone()),
            ("--memory-bytes", number(self.limits.memory_bytes)),
            ("--cpu-seconds", number(self.limits.cpu_seconds)),
        ];
        let given = words
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        given.flatten().collect()
    }
}

/// What a kind of child does, and the arguments that it has beside the common ones.
pub(crate) trait ChildKind: Default {
    /// The name of the program, for people.
    const PROGRAM: &'static str;

    /// Takes an argument and its value; whether it is one of this kind.
    fn take(&mut self, name: &str, value: &str) -> bool;

    /// The answer to an order.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn work(&self, order: &[u8]) -> Result<ChildAnswer, Report>;

    /// What is said where [`ChildKind::work`] panics.
    fn panicked() -> Report;
}

fn read<K: ChildKind>(mut words: impl Iterator<Item = String>) -> Result<(Common, K), String> {
    let (mut common, mut kind) = (Common::default(), K::default());
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name} needs a number"));
        match name.as_str() {
            "--answer" => common.answer = Some(value),
            "--memory-bytes" => common.limits.memory_bytes = Some(number()?),
            "--cpu-seconds" => common.limits.cpu_seconds = Some(number()?),
            _ if kind.take(&name, &value) => (),
            _ => return Err(format!("unknown argument {name} {value}")),
        }
    }
    Ok((common, kind))
}

/// The program: `words` are its arguments without its name.
pub(crate) fn run<K: ChildKind>(words: impl Iterator<Item = String>) -> ExitCode {
    let unusable = |reason: String| {
        eprintln!("{}: {reason}", K::PROGRAM);
        ExitCode::from(UNUSABLE)
    };
    let (common, kind) = match read::<K>(words) {
        Ok(arguments) => arguments,
        Err(reason) => return unusable(reason),
    };
    if let Some(other) = common.answer.as_deref().filter(|form| *form != FORM) {
        eprintln!("{}: its answers are of the form {FORM}, and not of {other}", K::PROGRAM);
        return ExitCode::from(OTHER_BUILD);
    }
    match confine::confine(&common.limits) {
        Ok(missing) if missing.is_empty() => (),
        Ok(missing) => eprintln!("{}{UNCONFINED}{}", K::PROGRAM, missing.join("; ")),
        Err(error) => return unusable(format!("cannot set the limits: {error}")),
    }
    // The message of a panic may quote the document.
    std::panic::set_hook(Box::new(|_| {}));
    let mut order = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut order) {
        return ExitCode::from(if error.kind() == ErrorKind::OutOfMemory {
            TOO_LARGE
        } else {
            UNUSABLE
        });
    }
    // Nothing is looked at again after it panicked.
    let answer = catch_unwind(AssertUnwindSafe(|| kind.work(&order)));
    match answer.unwrap_or_else(|_| Err(K::panicked())) {
        // A parent that closes the pipe has lost interest, which is no news to it.
        Ok(answer) => match write(&answer, common.answer.is_some()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(UNUSABLE),
        },
        Err(report) => {
            let report = serde_json::to_string(&report).expect("a report holds only strings");
            eprintln!("{report}");
            ExitCode::from(REFUSED)
        }
    }
}

fn write(answer: &ChildAnswer, has_head: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    if has_head {
        out.write_all(answer.head().as_bytes())?;
    }
    out.write_all(&answer.body)?;
    if has_head {
        out.write_all(&answer.beside)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Echo {
        word: Option<String>,
    }

    impl ChildKind for Echo {
        const PROGRAM: &'static str = "echo";

        fn take(&mut self, name: &str, value: &str) -> bool {
            self.word = (name == "--word").then(|| value.to_owned());
            self.word.is_some()
        }

        fn work(&self, order: &[u8]) -> Result<ChildAnswer, Report> {
            Ok(ChildAnswer {
                body: order.to_vec(),
                ..ChildAnswer::default()
            })
        }

        fn panicked() -> Report {
            unreachable!("nothing panics")
        }
    }

    fn of(words: &[&str]) -> Result<(Common, Echo), String> {
        read(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn common_arguments_survive_the_command_line() {
        let limits = confine::ProcessLimits {
            memory_bytes: Some(1 << 40),
            cpu_seconds: Some(7),
        };
        for common in [Common::default(), Common::of_build(limits)] {
            let words = common.words();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let plain = of(&words).unwrap();
            assert_eq!(plain, (common.clone(), Echo::default()));
            let (with, echo) = of(&[&["--word", "tea"], &words[..]].concat()).unwrap();
            assert_eq!((with, echo.word.as_deref()), (common, Some("tea")));
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for words in [
            &["--memory-bytes"][..],
            &["--memory-bytes", "much"],
            &["--words", "tea"],
            &["document.pdf", "-"],
        ] {
            assert!(of(words).is_err(), "{words:?}");
        }
    }
}
