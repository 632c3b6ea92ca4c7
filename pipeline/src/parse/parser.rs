//! The parent's side: a child process per document, watched.
//!
//! It parses a document, or cuts its text at regular expressions of a user.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use nix::libc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::child::{Arguments, REFUSED, Report, TOO_LARGE, Task, UNCONFINED};
use super::{Error, confine, detect, text};
use crate::budget::{Budget, Reservation};
use crate::chunk::{self, Bounds, Chunk, Refusal};
use crate::config::{Chunking, Parsing};
use crate::error::Class;
use crate::panics::{self, Panicked};
use crate::turns::{Again, Place, Places};

/// Of what a child writes to standard error, this much is kept: a report has a few hundred bytes.
const REPORT_BYTES: usize = 4096;

/// What one document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time from the start of the child to its end; waiting for a free place is not counted.
    pub timeout: Duration,
    /// Address space of the child, in bytes: the document, what the parser makes of it, the text, some 10 MB
    /// of program.
    pub memory_bytes: u64,
    /// Greatest length of the text, in bytes.
    pub text_bytes: u64,
}

/// Starts child processes that parse documents, a limited number at a time. Clones share the limit, by turns
/// between those that [`Parser::on_behalf_of`] names.
#[derive(Clone, Debug)]
pub struct Parser(Arc<Inner>, i32);

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    limits: Limits,
    places: Places<i32>,
    /// What the first child that said so was not confined of.
    unconfined: OnceLock<String>,
}

impl Parser {
    /// `program` is the path of `ai-parser`; `concurrency` (at least one) how many children run at a time.
    pub fn new(program: PathBuf, limits: Limits, concurrency: usize) -> Parser {
        let places = Places::new(concurrency);
        let inner = Inner {
            program,
            limits,
            places,
            unconfined: OnceLock::new(),
        };
        Parser(Arc::new(inner), 0)
    }

    /// The confinements that the system has refused to a child, for people, as soon as one has said so.
    pub fn unconfined(&self) -> Option<&str> {
        self.0.unconfined.get().map(String::as_str)
    }

    /// The same for another owner of documents: each has turns of its own.
    pub fn on_behalf_of(&self, owner: i32) -> Parser {
        Parser(Arc::clone(&self.0), owner)
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

    /// The same within a budget, of which `reservation` is for `cost` times the size of the document or more.
    /// A document that turns out to have more text than that has room for is parsed again when there is room.
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

    /// [`Parser::parse`] where there is room for a text of so many bytes only: of a longer one no more is
    /// kept than that.
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
            task: Task::Parse,
            as_text: how == Parsing::None,
            extension: name.and_then(detect::extension),
            media_type: media_type.and_then(detect::essence),
            limits: self.0.limits_of_child(limits.timeout),
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
        let job = Job {
            arguments,
            input: [Bytes::new(), bytes.clone()],
            timeout: limits.timeout,
            room,
            most: limits.text_bytes,
        };
        Ok(match self.run(job).await? {
            Output::Longer { length } => Parsed::Longer { bytes, length },
            Output::Whole(text) => match String::from_utf8(text) {
                Ok(text) if !text.contains('\0') => Parsed::Text(text),
                _ => return Err(crashed("its answer is not text")),
            },
        })
    }

    /// Cuts a text, whatever its separators cost: in no more than `timeout`, and the memory that a document may have.
    ///
    /// # Errors
    ///
    /// What the child says of the text and its configuration, and why there is no child, or no answer from it.
    pub async fn cut(
        &self,
        text: String,
        chunking: &Chunking,
        bounds: Bounds,
        timeout: Duration,
    ) -> Result<(String, Vec<Chunk>), Refusal> {
        let memory = self.0.limits.memory_bytes;
        let text = Bytes::from(text);
        // As many bytes for a chunk as are counted for it are more than its place takes.
        let most = bounds.room.saturating_add(chunk::CHUNK_BYTES);
        let job = Job {
            arguments: Arguments {
                task: Task::Cut,
                limits: self.0.limits_of_child(timeout),
                ..Arguments::default()
            },
            input: [chunk::child::order(chunking, bounds).into(), text.clone()],
            timeout,
            room: most,
            most,
        };
        let outcome = self.run(job).await.map_err(|error| match error {
            Error::TookTooLong { .. } => Refusal::from(chunk::Error::Late { limit: timeout }),
            Error::TooMuchMemory { .. } => Refusal::from(chunk::Error::Memory { limit: memory }),
            other => Refusal::from(other),
        })?;
        let text = String::from_utf8(text.into()).expect("it was a text before");
        let answer = match &outcome {
            Output::Whole(answer) => chunk::child::read(answer, &text),
            Output::Longer { .. } => None,
        };
        let nonsense = || Refusal::from(crashed("its answer is none"));
        let chunks = answer.ok_or_else(nonsense)??;
        Ok((text, chunks))
    }

    /// Has a child do it, when there is a place for one. One whose place is called back is ended, and another
    /// does it anew.
    async fn run(&self, job: Job) -> Result<Output, Error> {
        let job = Arc::new(job);
        let mut again = None;
        loop {
            let place = self.0.places.enter(self.1, again).await;
            let child = self.0.start(&job.arguments)?;
            let (answer, answered) = oneshot::channel();
            tokio::spawn(watch(Arc::clone(&self.0), child, Arc::clone(&job), place, answer));
            // Nothing is sent where the runtime ends, which ends this future too, and where not even a panic
            // could be told.
            match answered.await {
                Ok(Ended::With(outcome)) => return outcome,
                Ok(Ended::Recalled(recalled)) if recalled.is_in_vain() => return Err(Error::Crowded),
                Ok(Ended::Recalled(recalled)) => again = Some(recalled),
                Err(_) => return Err(Error::Panicked(Panicked::Lost)),
            }
        }
    }
}

/// What a child is to do.
struct Job {
    arguments: Arguments,
    /// Written to it one after the other.
    input: [Bytes; 2],
    timeout: Duration,
    /// Of an answer that is longer, no more is kept than its length.
    room: u64,
    /// And this is too long.
    most: u64,
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

/// How the work of a child ended.
enum Ended {
    With(Result<Output, Error>),
    /// Its place was called back before.
    Recalled(Again),
}

/// Sees a child to its end, whatever becomes of the future that wanted its answer: a `Child` that is dropped
/// alive would be buried by tokio's handler for SIGCHLD, which must not be installed in a process of
/// Postgres. The place is given back when the child is gone.
async fn watch(
    inner: Arc<Inner>,
    mut child: Child,
    job: Arc<Job>,
    place: Place<i32>,
    mut answer: oneshot::Sender<Ended>,
) {
    let outcome = panics::caught(async {
        tokio::select! {
            outcome = inner.talk(&mut child, &job) => Some(outcome.and_then(|answer| inner.judge(answer, job.timeout))),
            () = tokio::time::sleep(job.timeout) => Some(Err(Error::TookTooLong { limit: job.timeout })),
            () = place.recalled() => None,
            () = answer.closed() => Some(Err(crashed("nobody wants its answer any more"))),
        }
    });
    let outcome = outcome
        .await
        .unwrap_or_else(|panicked| Some(Err(Error::Panicked(panicked))));
    let ended = outcome.map_or_else(|| Ended::Recalled(place.again()), Ended::With);
    // Does nothing where the child has ended, and fails only where it has just done so.
    let _ = child.kill().await;
    drop(place);
    // What it holds is whoever waits for the answer's again.
    drop(job);
    // The future may be gone.
    let _ = answer.send(ended);
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

    /// Never before the wall clock: one thread has no more CPU time than that.
    fn limits_of_child(&self, timeout: Duration) -> confine::Limits {
        confine::Limits {
            memory_bytes: Some(self.limits.memory_bytes),
            cpu_seconds: Some(timeout.as_secs().saturating_add(2)),
        }
    }

    /// Writes the document and reads the answer at the same time, as either side of a full pipe waits for the other.
    async fn talk(&self, child: &mut Child, job: &Job) -> Result<Answer, Error> {
        let (mut stdin, stdout, stderr) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
            _ => return Err(crashed("it has no pipes")),
        };
        let give = async {
            // A child that ends before it has read everything says why in its answer.
            for bytes in &job.input {
                let _ = stdin.write_all(bytes).await;
            }
            drop(stdin);
            Ok(())
        };
        let text = async {
            let output = read_within(stdout, job.room, job.most).await?;
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

    fn judge(&self, answer: Answer, timeout: Duration) -> Result<Output, Error> {
        let Answer { status, text, report } = answer;
        let limits = &self.limits;
        let report = match report.strip_prefix(UNCONFINED.as_bytes()) {
            Some(rest) => {
                let (line, rest) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
                self.unconfined
                    .get_or_init(|| String::from_utf8_lossy(line).into_owned());
                rest.trim_ascii_start()
            }
            None => &report,
        };
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(text),
            (Some(code), _) if code == i32::from(REFUSED) => {
                let report: Report = serde_json::from_slice(report).map_err(|_| crashed("its report is broken"))?;
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
            (None, Some(libc::SIGXCPU)) => Err(Error::TookTooLong { limit: timeout }),
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

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::new(error.class(), error.to_string(), error.hint(), false)
    }
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
