//! What the program `ai-parser` does: one document in, its text out, and then the process is gone.
//!
//! ```text
//! ai-parser [--task parse|cut] [--parsing auto|none] [--extension WORD] [--media-type TYPE] [--memory-bytes N] [--cpu-seconds N]
//! ```
//!
//! To cut is to cut a text into chunks (`chunk::child`), of which the answer says whether it could be done.
//!
//! The document is read from standard input, its text written to standard output in UTF-8. Standard output is a pipe or
//! a terminal: writing to files is forbidden before the first byte is read. Exit codes:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the whole text was written |
//! | 1 | the document has no text for us: one line of JSON on standard error, `{"class", "reason", "hint"}` |
//! | 2 | wrong arguments, or limits that cannot be set: one line for people on standard error |
//! | 3 | the document does not fit into the memory that is allowed |
//! | 101 | a panic outside of the parsers |
//! | signal | time (`SIGXCPU`), memory (`SIGABRT` after `memory allocation of …`), somebody else (`SIGKILL`), or a crash |

use std::io::{ErrorKind, Read, Write};
use std::panic::catch_unwind;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::{Error, Format, confine, detect, parse};

/// The exit code of a document that has no text for us.
pub(super) const REFUSED: u8 = 1;
const UNUSABLE: u8 = 2;
/// The exit code of a document that does not fit into memory.
pub(super) const TOO_LARGE: u8 = 3;

/// What a line on standard error begins with that says of what the child is not confined.
pub(super) const UNCONFINED: &str = "ai-parser is not confined: ";

/// What the child says about a document that it refuses.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    /// [`crate::error::Class::as_str`].
    pub class: String,
    pub reason: String,
    pub hint: Option<String>,
}

/// What to do with what is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Task {
    /// It is a document, whose text is wanted.
    #[default]
    Parse,
    /// It is an order to cut a text.
    Cut,
}

/// How to read the document, and within which limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pub task: Task,
    /// What `ai.parsing_none()` asks for: text whatever it looks like.
    pub as_text: bool,
    pub extension: Option<String>,
    pub media_type: Option<String>,
    pub limits: confine::Limits,
}

impl Arguments {
    /// The words of the command line, without the program's name.
    pub fn words(&self) -> Vec<String> {
        let task = match self.task {
            Task::Parse => "parse",
            Task::Cut => "cut",
        };
        let parsing = if self.as_text { "none" } else { "auto" };
        let mut words = ["--task", task, "--parsing", parsing].map(str::to_owned).to_vec();
        let mut push = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([name.to_owned(), value]);
            }
        };
        push("--extension", self.extension.clone());
        push("--media-type", self.media_type.clone());
        push(
            "--memory-bytes",
            self.limits.memory_bytes.map(|bytes| bytes.to_string()),
        );
        push(
            "--cpu-seconds",
            self.limits.cpu_seconds.map(|seconds| seconds.to_string()),
        );
        words
    }

    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments::default();
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{name} needs a number"));
            match name.as_str() {
                "--task" if value == "parse" => arguments.task = Task::Parse,
                "--task" if value == "cut" => arguments.task = Task::Cut,
                "--parsing" if value == "auto" || value == "none" => arguments.as_text = value == "none",
                "--extension" => arguments.extension = Some(value),
                "--media-type" => arguments.media_type = Some(value),
                "--memory-bytes" => arguments.limits.memory_bytes = Some(number()?),
                "--cpu-seconds" => arguments.limits.cpu_seconds = Some(number()?),
                _ => return Err(format!("unknown argument {name} {value}")),
            }
        }
        Ok(arguments)
    }
}

/// The program: `words` are its arguments without its name.
pub fn run(words: impl Iterator<Item = String>) -> ExitCode {
    let confined = Arguments::read(words).and_then(|arguments| {
        let missing = confine::confine(&arguments.limits).map_err(|error| format!("cannot set the limits: {error}"))?;
        Ok((arguments, missing))
    });
    let arguments = match confined {
        Ok((arguments, missing)) => {
            if !missing.is_empty() {
                eprintln!("{UNCONFINED}{}", missing.join("; "));
            }
            arguments
        }
        Err(reason) => {
            eprintln!("ai-parser: {reason}");
            return ExitCode::from(UNUSABLE);
        }
    };
    // The message of a panic may quote the document.
    std::panic::set_hook(Box::new(|_| {}));
    let mut bytes = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut bytes) {
        return ExitCode::from(if error.kind() == ErrorKind::OutOfMemory {
            TOO_LARGE
        } else {
            UNUSABLE
        });
    }
    let answer = catch_unwind(|| match arguments.task {
        Task::Parse => text_of(&bytes, &arguments).map(String::into_bytes),
        Task::Cut => crate::chunk::child::answer(&bytes).ok_or_else(|| Error::Crashed {
            how: "it was given no order".to_owned(),
        }),
    })
    .unwrap_or_else(|_| {
        Err(Error::Crashed {
            how: "it met what its code holds impossible".to_owned(),
        })
    });
    match answer {
        // A parent that closes the pipe has lost interest, which is no news to it.
        Ok(answer) => match std::io::stdout()
            .write_all(&answer)
            .and_then(|()| std::io::stdout().flush())
        {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(UNUSABLE),
        },
        Err(error) => {
            let report = Report {
                class: error.class().as_str().to_owned(),
                reason: error.to_string(),
                hint: error.hint(),
            };
            eprintln!(
                "{}",
                serde_json::to_string(&report).expect("a report holds only strings")
            );
            ExitCode::from(REFUSED)
        }
    }
}

fn text_of(bytes: &[u8], arguments: &Arguments) -> Result<String, Error> {
    let format = if arguments.as_text {
        Format::Text
    } else {
        detect::detect_by(bytes, arguments.extension.as_deref(), arguments.media_type.as_deref())?
    };
    parse(bytes, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_command_line() {
        let arguments = Arguments {
            task: Task::Cut,
            as_text: true,
            extension: Some("md".to_owned()),
            media_type: Some("text/plain".to_owned()),
            limits: confine::Limits {
                memory_bytes: Some(1 << 40),
                cpu_seconds: Some(7),
            },
        };
        assert_eq!(Arguments::read(arguments.words().into_iter()), Ok(arguments));
        let plain = Arguments::default();
        assert_eq!(Arguments::read(plain.words().into_iter()), Ok(plain));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let read = |words: &[&str]| Arguments::read(words.iter().map(|word| (*word).to_owned()));
        assert!(read(&["--memory-bytes"]).is_err());
        assert!(read(&["--memory-bytes", "much"]).is_err());
        assert!(read(&["--parsing", "docling"]).is_err());
        assert!(read(&["document.pdf", "-"]).is_err());
    }
}
