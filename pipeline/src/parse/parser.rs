//! The parent's side: a child process per document, watched.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nix::libc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::child::{Arguments, REFUSED, Report, TOO_LARGE};
use super::{Error, confine, detect, text};
use crate::budget::{Budget, Reservation};
use crate::config::Parsing;
use crate::error::Class;

/// Of what a child writes to standard error, this much is kept: a report has a few hundred bytes.
const REPORT_BYTES: usize = 4096;

/// What one document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time from the start of the child to its end; waiting for a free place is not counted.
    pub timeout: Duration,
    /// Address space of the child, in bytes: the document, what the parser makes of it, the text, some 10 MB of program.
    pub memory_bytes: u64,
    /// Greatest length of the text, in bytes.
    pub text_bytes: u64,
}

/// Starts child processes that parse documents, a limited number at a time. Clones share the limit.
#[derive(Clone, Debug)]
pub struct Parser(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    limits: Limits,
    places: Arc<Semaphore>,
}

impl Parser {
    /// `program` is the path of `ai-parser`; `concurrency` (at least one) how many children run at a time.
    pub fn new(program: PathBuf, limits: Limits, concurrency: usize) -> Parser {
        let places = Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        Parser(Arc::new(Inner {
            program,
            limits,
            places,
        }))
    }

    /// The text of a document. Its name (of which the extension counts) and media type help where the bytes do not say
    /// what it is; see [`detect`](super::detect()).
    ///
    /// Bytes that are clean UTF-8 text are taken as they are in this process, as there is nothing to parse; all others
    /// go to a child. The child sees none of the environment, and of the document's name only the extension. When the
    /// future is dropped, the child is killed.
    ///
    /// Needs a tokio runtime with I/O and time. On a kernel with pidfd (5.10) no signal handler is installed; on older
    /// ones tokio installs one for SIGCHLD.
    ///
    /// # Errors
    ///
    /// All of [`Error`]; those of the document come from the child as [`Error::Reported`].
    pub async fn parse(
        &self,
        bytes: Bytes,
        name: Option<&str>,
        media_type: Option<&str>,
        how: Parsing,
    ) -> Result<String, Error> {
        match self.parse_up_to(u64::MAX, bytes, name, media_type, how).await? {
            Parsed::Text(text) => Ok(text),
            Parsed::Longer { .. } => unreachable!("there is room for all"),
        }
    }

    /// The same within a budget, of which `reservation` is for `cost` times the size of the document or more. A document
    /// that turns out to have more text than that has room for is parsed again when there is room.
    ///
    /// The reservation that comes back is for what the text is turned into, and is to be kept with that.
    ///
    /// # Errors
    ///
    /// Those of [`Parser::parse`].
    #[allow(clippy::too_many_arguments)]
    pub async fn parse_within(
        &self,
        budget: &Budget,
        cost: u64,
        mut reservation: Reservation,
        mut bytes: Bytes,
        name: Option<&str>,
        media_type: Option<&str>,
        how: Parsing,
    ) -> Result<(String, Reservation), Error> {
        // A document that is larger than the budget could not reserve all that it needs.
        let mut room = (reservation.bytes() / cost.max(1)).max(bytes.len() as u64);
        loop {
            match self.parse_up_to(room, bytes, name, media_type, how).await? {
                Parsed::Text(text) => {
                    reservation.shrink(cost.saturating_mul(text.len() as u64));
                    return Ok((text, reservation));
                }
                Parsed::Longer { bytes: again, length } => {
                    bytes = again;
                    room = length;
                    // Two that keep what they have and wait for more could wait for each other. The bytes stay: of a
                    // document with more text than bytes they are the smaller part.
                    drop(reservation);
                    reservation = budget.reserve(cost.saturating_mul(length)).await;
                }
            }
        }
    }

    /// [`Parser::parse`] where there is room for a text of so many bytes only: of a longer one no more is kept than that.
    ///
    /// # Errors
    ///
    /// Those of [`Parser::parse`].
    pub async fn parse_up_to(
        &self,
        room: u64,
        bytes: Bytes,
        name: Option<&str>,
        media_type: Option<&str>,
        how: Parsing,
    ) -> Result<Parsed, Error> {
        if bytes.is_empty() {
            return Ok(Parsed::Text(String::new()));
        }
        let limits = &self.0.limits;
        let arguments = Arguments {
            as_text: how == Parsing::None,
            extension: name.and_then(detect::extension),
            media_type: media_type.and_then(detect::essence),
            limits: confine::Limits {
                memory_bytes: Some(limits.memory_bytes),
                // Never before the wall clock: one thread has no more CPU time than that.
                cpu_seconds: Some(limits.timeout.as_secs().saturating_add(2)),
            },
        };
        if text::is_clean(&bytes) && needs_no_child(&bytes, &arguments)? {
            let text = text::of_clean(bytes)?;
            return if text.len() as u64 > limits.text_bytes {
                Err(self.0.too_much_text())
            } else {
                // It takes no more than the bytes did, which are gone.
                Ok(Parsed::Text(text))
            };
        }
        let places = Arc::clone(&self.0.places);
        let place = places.acquire_owned().await.expect("the semaphore is never closed");
        let child = self.0.start(&arguments)?;
        let (answer, answered) = oneshot::channel();
        tokio::spawn(watch(Arc::clone(&self.0), child, bytes.clone(), room, place, answer));
        // Nothing is sent only where the runtime ends, which ends this future too.
        let text = answered
            .await
            .unwrap_or_else(|_| Err(crashed("nobody watched it to its end")))?;
        Ok(match text {
            Text::Whole(text) => Parsed::Text(text),
            Text::Longer { length } => Parsed::Longer { bytes, length },
        })
    }
}

/// What became of a document within the room for its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Its text.
    Text(String),
    /// Its text has more bytes than there was room for, and was thrown away.
    Longer {
        /// The document, to be parsed again when there is room.
        bytes: Bytes,
        /// Bytes of the text.
        length: u64,
    },
}

/// The text of a document as a child wrote it.
enum Text {
    Whole(String),
    Longer { length: u64 },
}

/// Sees a child to its end, whatever becomes of the future that wanted its text: a `Child` that is dropped alive would be
/// buried by tokio's handler for SIGCHLD, which must not be installed in a process of Postgres. The place is given back
/// when the child is gone.
async fn watch(
    inner: Arc<Inner>,
    mut child: Child,
    bytes: Bytes,
    room: u64,
    place: OwnedSemaphorePermit,
    mut answer: oneshot::Sender<Result<Text, Error>>,
) {
    let outcome = tokio::select! {
        outcome = inner.talk(&mut child, &bytes, room) => outcome.and_then(|answer| inner.judge(answer)),
        () = tokio::time::sleep(inner.limits.timeout) => Err(Error::TookTooLong { limit: inner.limits.timeout }),
        () = answer.closed() => Err(crashed("nobody wants its text any more")),
    };
    // Does nothing where the child has ended, and fails only where it has just done so.
    let _ = child.kill().await;
    drop(place);
    // The future may be gone.
    let _ = answer.send(outcome);
}

impl Inner {
    fn start(&self, arguments: &Arguments) -> Result<Child, Error> {
        Command::new(&self.program)
            .args(arguments.words())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::OutOfMemory | ErrorKind::WouldBlock | ErrorKind::Interrupted => Error::NotStarted {
                    reason: error.to_string(),
                },
                _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Error::NotStarted {
                    reason: error.to_string(),
                },
                _ => Error::NoProgram {
                    program: self.program.clone(),
                    reason: error.to_string(),
                },
            })
    }

    /// Writes the document and reads the answer at the same time, as either side of a full pipe waits for the other.
    async fn talk(&self, child: &mut Child, bytes: &[u8], room: u64) -> Result<Answer, Error> {
        let (mut stdin, stdout, stderr) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
            _ => return Err(crashed("it has no pipes")),
        };
        let give = async {
            // A child that ends before it has read everything says why in its answer.
            let _ = stdin.write_all(bytes).await;
            drop(stdin);
            Ok(())
        };
        let text = async {
            let output = read_within(stdout, room, self.limits.text_bytes).await?;
            output.ok_or_else(|| self.too_much_text())
        };
        let report = async {
            let mut stderr = stderr;
            let mut report = Vec::new();
            let kept = (&mut stderr).take(REPORT_BYTES as u64).read_to_end(&mut report).await;
            // The rest is read and thrown away: a child that waits for a reader would wait for ever.
            let drained = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            kept.and(drained).map_err(|_| crashed("its pipe broke"))?;
            Ok(report)
        };
        let ((), text, report) = tokio::try_join!(give, text, report)?;
        let status = child.wait().await.map_err(|_| crashed("its end was not seen"))?;
        Ok(Answer { status, text, report })
    }

    fn judge(&self, answer: Answer) -> Result<Text, Error> {
        let Answer { status, text, report } = answer;
        let limits = &self.limits;
        match (status.code(), status.signal()) {
            (Some(0), _) => match text {
                Output::Longer { length } => Ok(Text::Longer { length }),
                Output::Whole(text) => match String::from_utf8(text) {
                    Ok(text) if !text.contains('\0') => Ok(Text::Whole(text)),
                    _ => Err(crashed("its answer is not text")),
                },
            },
            (Some(code), _) if code == i32::from(REFUSED) => {
                let report: Report = serde_json::from_slice(&report).map_err(|_| crashed("its report is broken"))?;
                let class = if report.class == Class::Permanent.as_str() {
                    Class::Permanent
                } else {
                    Class::Unknown
                };
                Err(Error::Reported {
                    class,
                    reason: report.reason,
                    hint: report.hint,
                })
            }
            (Some(code), _) if code == i32::from(TOO_LARGE) => Err(Error::TooMuchMemory {
                limit: limits.memory_bytes,
            }),
            (Some(code), _) => Err(Error::Crashed {
                how: format!("exit code {code}"),
            }),
            (None, Some(libc::SIGXCPU)) => Err(Error::TookTooLong { limit: limits.timeout }),
            // None of its own limits ends it so: memory runs out in an allocation that fails, time in SIGXCPU.
            (None, Some(libc::SIGKILL)) => Err(Error::Killed),
            // Rust's last words when an allocation fails; a stack overflow ends in the same signal with others.
            (None, Some(libc::SIGABRT)) if report.starts_with(b"memory allocation of ") => Err(Error::TooMuchMemory {
                limit: limits.memory_bytes,
            }),
            (None, signal) => Err(Error::Crashed {
                how: format!("signal {}", signal.unwrap_or_default()),
            }),
        }
    }

    fn too_much_text(&self) -> Error {
        Error::TooMuchText {
            limit: self.limits.text_bytes,
        }
    }
}

/// What a child that ended by itself left behind.
struct Answer {
    status: ExitStatus,
    text: Output,
    report: Vec<u8>,
}

fn crashed(how: &str) -> Error {
    Error::Crashed { how: how.to_owned() }
}

/// Whether clean bytes are text by what they say of themselves: on such bytes detection compares a few signatures only.
fn needs_no_child(bytes: &[u8], arguments: &Arguments) -> Result<bool, Error> {
    if arguments.as_text {
        return Ok(true);
    }
    let format = detect::detect_by(bytes, arguments.extension.as_deref(), arguments.media_type.as_deref())?;
    Ok(format != super::Format::Pdf)
}

/// What a child wrote.
enum Output {
    Whole(Vec<u8>),
    Longer { length: u64 },
}

/// All there is to read, or its length where that is more than `room` bytes; nothing where it is more than `limit`.
async fn read_within(mut stream: impl AsyncRead + Unpin, room: u64, limit: u64) -> Result<Option<Output>, Error> {
    let broken = |_| crashed("its pipe broke");
    let mut bytes = Vec::new();
    let mut kept = (&mut stream).take(room.min(limit).saturating_add(1));
    let read = kept.read_to_end(&mut bytes).await.map_err(broken)? as u64;
    if read <= room.min(limit) {
        return Ok(Some(Output::Whole(bytes)));
    }
    drop(bytes);
    let mut rest = stream.take(limit.saturating_add(1).saturating_sub(read));
    let length = read
        + tokio::io::copy(&mut rest, &mut tokio::io::sink())
            .await
            .map_err(broken)?;
    Ok((length <= limit).then_some(Output::Longer { length }))
}
