//! What the program `ai-parser` does: one document in, its text out, and then the process is gone.
//!
//! ```text
//! ai-parser [--task parse|cut] [--parsing auto|none] [--extension WORD] [--media-type TYPE]
//!           [--answer FORM] [--memory-bytes N] [--cpu-seconds N]
//! ```
//!
//! To cut is to cut a text into chunks (`chunk::child`), of which the answer says whether it could
//! be done.
//!
//! The document is read from standard input, its text written to standard output in UTF-8. Standard
//! output is a pipe or a terminal: writing to files is forbidden before the first byte is read. For
//! the parent, which asks for that by `--answer`, a line with lengths goes before the text, and the
//! marks of the text come behind it (`process::answer`). Exit codes are those of any child
//! (`process::child`); a document that has no text for us is refused: `{"class", "reason",
//! "hint"}`.

use std::process::ExitCode;

use super::{Error, Format, Parsed, detect, parse};
use crate::error::Class;
use crate::process::ChildAnswer;
use crate::process::child::{self, ChildKind, Report};

/// What to do with what is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ParseTask {
    /// It is a document, whose text is wanted.
    #[default]
    Parse,
    /// It is an order to cut a text.
    Cut,
}

/// How to read the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pub task: ParseTask,
    /// What `ai.parsing_none()` asks for: text whatever it looks like.
    pub as_text: bool,
    pub extension: Option<String>,
    pub media_type: Option<String>,
}

impl Arguments {
    /// The words of the command line, without the program's name and without those of any child.
    pub fn words(&self) -> Vec<String> {
        let task = match self.task {
            ParseTask::Parse => "parse",
            ParseTask::Cut => "cut",
        };
        let parsing = if self.as_text { "none" } else { "auto" };
        let words = [
            ("--task", Some(task)),
            ("--parsing", Some(parsing)),
            ("--extension", self.extension.as_deref()),
            ("--media-type", self.media_type.as_deref()),
        ];
        let given = words.into_iter().filter_map(|(name, value)| Some([name, value?]));
        given.flatten().map(str::to_owned).collect()
    }
}

impl ChildKind for Arguments {
    const PROGRAM: &'static str = "ai-parser";

    fn take(&mut self, name: &str, value: &str) -> bool {
        match (name, value) {
            ("--task", "parse") => self.task = ParseTask::Parse,
            ("--task", "cut") => self.task = ParseTask::Cut,
            ("--parsing", "auto" | "none") => self.as_text = value == "none",
            ("--extension", _) => self.extension = Some(value.to_owned()),
            ("--media-type", _) => self.media_type = Some(value.to_owned()),
            _ => return false,
        }
        true
    }

    fn work(&self, order: &[u8]) -> Result<ChildAnswer, Report> {
        match self.task {
            ParseTask::Parse => text_of(order, self).map(answer).map_err(report),
            ParseTask::Cut => {
                let body =
                    crate::chunk::child::answer(order).ok_or_else(|| report(crashed("it was given no order")))?;
                Ok(ChildAnswer {
                    body,
                    ..ChildAnswer::default()
                })
            }
        }
    }

    fn panicked() -> Report {
        report(crashed("it met what its code holds impossible"))
    }
}

/// The program: `words` are its arguments without its name.
pub fn run(words: impl Iterator<Item = String>) -> ExitCode {
    child::run::<Arguments>(words)
}

fn text_of(bytes: &[u8], arguments: &Arguments) -> Result<Parsed, Error> {
    let format = if arguments.as_text {
        Format::Text
    } else {
        detect::detect_by(bytes, arguments.extension.as_deref(), arguments.media_type.as_deref())?
    };
    parse(bytes, format)
}

fn answer(Parsed { text, marks }: Parsed) -> ChildAnswer {
    ChildAnswer {
        body: text.into_bytes(),
        beside: marks.write(),
    }
}

/// What the child has written; `None` for what is no text with marks.
pub(super) fn read(ChildAnswer { body, beside }: ChildAnswer) -> Option<Parsed> {
    let text = String::from_utf8(body).ok().filter(|text| !text.contains('\0'))?;
    let marks = super::Marks::read(&beside, &text)?;
    Some(Parsed { text, marks })
}

fn crashed(how: &str) -> Error {
    Error::Crashed { how: how.to_owned() }
}

fn report(error: Error) -> Report {
    Report {
        class: error.class(),
        reason: error.to_string(),
        hint: error.hint(),
    }
}

/// What a child says about a document that it refuses; `None` for what is no report. The child may
/// have been taken over by the document, which must not stop others: it is that document's fault,
/// or not understood.
pub(super) fn refusal(report: &[u8]) -> Option<Error> {
    let Report { class, reason, hint } = serde_json::from_slice(report).ok()?;
    let class = match class {
        Class::Permanent => Class::Permanent,
        Class::Transient | Class::Throttled { .. } | Class::Configuration | Class::Unknown => Class::Unknown,
    };
    Some(Error::Reported { class, reason, hint })
}

#[cfg(test)]
mod tests {
    use super::super::{Mark, Marks};
    use super::*;

    fn read_words(words: &[String]) -> Option<Arguments> {
        let mut arguments = Arguments::default();
        let all = words.chunks(2).all(|word| arguments.take(&word[0], &word[1]));
        all.then_some(arguments)
    }

    #[test]
    fn arguments_survive_the_command_line() {
        let arguments = Arguments {
            task: ParseTask::Cut,
            as_text: true,
            extension: Some("md".to_owned()),
            media_type: Some("text/plain".to_owned()),
        };
        assert_eq!(read_words(&arguments.words()), Some(arguments));
        let plain = Arguments::default();
        assert_eq!(read_words(&plain.words()), Some(plain));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for words in [["--parsing", "docling"], ["--task", "sing"], ["document.pdf", "-"]] {
            assert_eq!(read_words(&words.map(str::to_owned)), None);
        }
    }

    #[test]
    fn a_text_and_its_marks_survive_the_way_from_the_child() {
        let parsed = Parsed {
            text: "one\n\ntwo".to_owned(),
            marks: Marks::from_iter([Mark::page(0, 1), Mark::page(5, 2)]),
        };
        assert_eq!(read(answer(parsed.clone())), Some(parsed));
        for broken in [&b"caf\xe9"[..], b"a\0"] {
            let broken = ChildAnswer {
                body: broken.to_vec(),
                ..ChildAnswer::default()
            };
            assert_eq!(read(broken), None);
        }
    }

    #[test]
    fn a_child_may_not_say_that_others_are_to_wait() {
        let said = |class: &str| format!(r#"{{"class": "{class}", "reason": "no text", "hint": null}}"#);
        for (word, class) in Class::WORDS.iter().zip([
            Class::Unknown,
            Class::Unknown,
            Class::Unknown,
            Class::Permanent,
            Class::Unknown,
        ]) {
            assert_eq!(
                refusal(said(word).as_bytes()).map(|error| error.class()),
                Some(class),
                "{word}"
            );
        }
        assert_eq!(refusal(b"{ nonsense"), None);
    }
}
