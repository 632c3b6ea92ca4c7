//! The parent's side: a child process per order, watched.

use std::hash::Hash;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use nix::libc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::answer::{self, Output, Unread};
use super::child::{Common, OTHER_BUILD, REFUSED, TOO_LARGE, UNCONFINED};
use super::{Mishap, confine};
use crate::error::Cause;
use crate::panics::{self, Panicked};
use crate::turns::{Again, Place, Places};

/// Of what a child writes to standard error, this much is kept: a report has a few hundred bytes.
const REPORT_BYTES: usize = 4096;

/// Starts children of one program, a limited number at a time, and sees each to its end. Clones
/// share the limit, by turns between the keys that orders are given for.
#[derive(Clone, Debug)]
pub(crate) struct Supervisor<K>(Arc<SupervisorState<K>>);

#[derive(Debug)]
struct SupervisorState<K> {
    program: PathBuf,
    memory_bytes: u64,
    places: Places<K>,
    /// What the first child that said so was not confined of.
    unconfined: OnceLock<String>,
}

/// What a child is to do.
#[derive(Debug)]
pub(crate) struct ChildRequest {
    /// What is asked, as words of its command line; those that any child has are added.
    pub words: Vec<String>,
    /// Written to its standard input one after the other.
    pub input: [Bytes; 2],
    /// Wall-clock time from its start to its end; waiting for a free place is not counted.
    pub timeout: Duration,
    /// Of an answer with more bytes, no more is kept than its length.
    pub room: u64,
    /// And with more than this it is not read.
    pub most: u64,
}

/// How the work of a child ended.
enum Ended {
    With(Result<Output, Mishap>),
    /// Its place was called back before.
    Recalled(Again),
}

impl<K: Copy + Eq + Hash + Ord + Send + 'static> Supervisor<K> {
    /// `program` is a path; each child may have so many bytes of address space; `concurrency` (at
    /// least one) is how many run at a time.
    pub fn new(program: PathBuf, memory_bytes: u64, concurrency: usize) -> Supervisor<K> {
        Supervisor(Arc::new(SupervisorState {
            program,
            memory_bytes,
            places: Places::new(concurrency),
            unconfined: OnceLock::new(),
        }))
    }

    /// The confinements that the system has refused to a child, for people, as soon as one has said
    /// so.
    pub fn unconfined(&self) -> Option<&str> {
        self.0.unconfined.get().map(String::as_str)
    }

    /// Has a child obey, when there is a place for one. A child whose place is called back is
    /// ended, and another one does its work anew. When the future is dropped, the child is killed.
    ///
    /// Needs a tokio runtime with I/O and time. On a kernel with pidfd (5.10) no signal handler is
    /// installed; on older ones tokio installs one for SIGCHLD.
    ///
    /// # Errors
    ///
    /// All of [`Mishap`].
    pub async fn run(&self, key: K, order: ChildRequest) -> Result<Output, Mishap> {
        let order = Arc::new(order);
        let mut again = None;
        loop {
            let place = self.0.places.enter(key, again).await;
            let child = self.0.start(&order)?;
            let (answer, answered) = oneshot::channel();
            tokio::spawn(watch(Arc::clone(&self.0), child, Arc::clone(&order), place, answer));
            // Nothing is sent where the runtime ends, which ends this future too, and where not
            // even a panic could be told.
            match answered.await {
                Ok(Ended::With(outcome)) => return outcome,
                Ok(Ended::Recalled(recalled)) if recalled.is_in_vain() => return Err(Mishap::Crowded),
                Ok(Ended::Recalled(recalled)) => again = Some(recalled),
                Err(_) => return Err(Mishap::Panicked(Panicked::Lost)),
            }
        }
    }
}

/// Sees a child to its end, whatever becomes of the future that wanted its answer: a `Child` that
/// is dropped alive would be buried by tokio's handler for SIGCHLD, which must not be installed in
/// a process of Postgres. The place is given back when the child is gone.
async fn watch<K: Copy + Eq + Hash + Ord + Send + 'static>(
    inner: Arc<SupervisorState<K>>,
    mut child: Child,
    order: Arc<ChildRequest>,
    place: Place<K>,
    mut answer: oneshot::Sender<Ended>,
) {
    let limit = order.timeout;
    let outcome = panics::caught(async {
        tokio::select! {
            left = talk(&mut child, &order) => Some(left.and_then(|left| inner.judge(left, limit))),
            () = tokio::time::sleep(limit) => Some(Err(Mishap::Late { limit })),
            () = place.recalled() => None,
            () = answer.closed() => Some(Err(Mishap::crashed("nobody wants its answer any more"))),
        }
    });
    let outcome = outcome
        .await
        .unwrap_or_else(|panicked| Some(Err(Mishap::Panicked(panicked))));
    let ended = outcome.map_or_else(|| Ended::Recalled(place.again()), Ended::With);
    // Does nothing where the child has ended, and fails only where it has just done so.
    let _ = child.kill().await;
    drop(place);
    // What it holds belongs to the task that waits for the answer again.
    drop(order);
    // The future may be gone.
    let _ = answer.send(ended);
}

/// What a child that ended by itself left behind.
struct Left {
    status: ExitStatus,
    answer: Result<Output, Unread>,
    report: Vec<u8>,
}

/// Writes the order and reads the answer at the same time, as either side of a full pipe waits for
/// the other.
async fn talk(child: &mut Child, order: &ChildRequest) -> Result<Left, Mishap> {
    let (mut stdin, stdout, stderr) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
        _ => return Err(Mishap::crashed("it has no pipes")),
    };
    let give = async {
        // A child that ends before it has read everything says why in its answer.
        for bytes in &order.input {
            let _ = stdin.write_all(bytes).await;
        }
        drop(stdin);
        Ok(())
    };
    let answer = async {
        match answer::read(stdout, order.room, order.most).await {
            Err(Unread::TooLong) => Err(Mishap::TooLong { limit: order.most }),
            Err(Unread::Broken(how)) => Err(Mishap::crashed(how)),
            // Its end says why.
            read @ (Ok(_) | Err(Unread::Nothing)) => Ok(read),
        }
    };
    let report = async {
        let mut stderr = stderr;
        let mut report = Vec::new();
        let kept = (&mut stderr).take(REPORT_BYTES as u64).read_to_end(&mut report).await;
        // The rest is read and thrown away: a child that waits for a reader would wait for ever.
        let drained = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        kept.and(drained).map_err(|_| Mishap::crashed("its pipe broke"))?;
        Ok(report)
    };
    let ((), answer, report) = tokio::try_join!(give, answer, report)?;
    let status = child
        .wait()
        .await
        .map_err(|_| Mishap::crashed("its end was not seen"))?;
    Ok(Left { status, answer, report })
}

impl<K> SupervisorState<K> {
    fn start(&self, order: &ChildRequest) -> Result<Child, Mishap> {
        let common = Common::of_build(confine::ProcessLimits {
            memory_bytes: Some(self.memory_bytes),
            // Never before the wall clock: one thread has no more CPU time than that.
            cpu_seconds: Some(order.timeout.as_secs().saturating_add(2)),
        });
        let started = Command::new(&self.program)
            .args(&order.words)
            .args(common.words())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        started.map_err(|error| self.not_started(error))
    }

    fn not_started(&self, error: io::Error) -> Mishap {
        let kind = error.kind();
        let is_full = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        if is_full
            || matches!(
                kind,
                ErrorKind::OutOfMemory | ErrorKind::WouldBlock | ErrorKind::Interrupted
            )
        {
            return Mishap::NotStarted(Cause::new(error));
        }
        Mishap::NoProgram {
            program: self.program.clone(),
            cause: Cause::new(error),
        }
    }

    fn judge(&self, left: Left, limit: Duration) -> Result<Output, Mishap> {
        let Left { status, answer, report } = left;
        let report = self.report(&report);
        let out_of_memory = || Mishap::OutOfMemory {
            limit: self.memory_bytes,
        };
        let code = status.code().map(|code| u8::try_from(code).unwrap_or(u8::MAX));
        Err(match (code, status.signal()) {
            (Some(0), _) => return answer.map_err(|_| Mishap::crashed("its answer is none")),
            (Some(REFUSED), _) => Mishap::Refused(report.to_vec()),
            (Some(TOO_LARGE), _) => out_of_memory(),
            (Some(OTHER_BUILD), _) => Mishap::OtherBuild {
                program: self.program.clone(),
            },
            (Some(code), _) => Mishap::Crashed {
                how: format!("exit code {code}"),
            },
            (None, Some(libc::SIGXCPU)) => Mishap::Late { limit },
            // None of its own limits ends it so: memory runs out in an allocation that fails, time
            // in SIGXCPU.
            (None, Some(libc::SIGKILL)) => Mishap::Killed,
            // Rust's last words when an allocation fails; a stack overflow ends in the same signal
            // with others.
            (None, Some(libc::SIGABRT)) if report.starts_with(b"memory allocation of ") => out_of_memory(),
            (None, signal) => Mishap::Crashed {
                how: format!("signal {}", signal.unwrap_or_default()),
            },
        })
    }

    /// What a child said, without what it was not confined of, which is noted.
    fn report<'r>(&self, report: &'r [u8]) -> &'r [u8] {
        let end = report.iter().position(|byte| *byte == b'\n').unwrap_or(report.len());
        let (line, rest) = report.split_at(end);
        let line = String::from_utf8_lossy(line);
        match line.split_once(UNCONFINED) {
            // Not in the middle of what is said of a document.
            Some((program, missing)) if program.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                self.unconfined.get_or_init(|| missing.to_owned());
                rest.trim_ascii_start()
            }
            _ => report,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ChildAnswer;
    use super::*;

    /// No child of these tests takes so long unless something is wrong.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// A kind of child that has nothing to do with documents: a script, whose further arguments are
    /// the common words.
    fn script(text: &str, input: &str) -> ChildRequest {
        ChildRequest {
            words: vec!["-c".to_owned(), text.to_owned()],
            input: [Bytes::new(), Bytes::from(input.to_owned())],
            timeout: DEADLINE,
            room: u64::MAX,
            most: 1 << 20,
        }
    }

    fn supervisor(concurrency: usize) -> Supervisor<char> {
        Supervisor::new(PathBuf::from("/bin/sh"), 1 << 30, concurrency)
    }

    async fn run(order: ChildRequest) -> Result<Output, Mishap> {
        supervisor(1).run('a', order).await
    }

    #[tokio::test]
    async fn another_kind_of_child_is_given_an_order_and_heard() {
        let answer = run(script("printf 'answer 5 3\\n'; cat; printf ' 42'", "count"))
            .await
            .unwrap();
        let Output::Whole(ChildAnswer { body, beside }) = answer else {
            panic!("there is room for it")
        };
        assert_eq!((&body[..], &beside[..]), (&b"count"[..], &b" 42"[..]));
        let little = ChildRequest {
            room: 4,
            ..script("printf 'answer 5 0\\n'; cat", "count")
        };
        assert!(matches!(run(little).await, Ok(Output::Longer { length: 5 })));
    }

    #[tokio::test]
    async fn a_child_is_told_its_limits_and_the_form_of_answers() {
        // The first of them is what a shell takes for its own name.
        let words = "echo \"$0 $*\" | { read -r all; printf 'answer %d 0\\n%s' ${#all} \"$all\"; }";
        let Ok(Output::Whole(ChildAnswer { body, .. })) = run(script(words, "")).await else {
            panic!("it answers")
        };
        let expected = format!("--answer {} --memory-bytes {} --cpu-seconds 62", answer::FORM, 1 << 30);
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[tokio::test]
    async fn each_end_of_a_child_says_what_it_was() {
        let of = async |text: &str| format!("{:?}", run(script(text, "")).await.unwrap_err());
        for (text, mishap) in [
            ("exit 0", "Crashed { how: \"its answer is none\" }"),
            ("echo why >&2; exit 1", "Refused([119, 104, 121, 10])"),
            (
                "echo 'cat is not confined: at all' >&2; echo x >&2; exit 1",
                "Refused([120, 10])",
            ),
            ("exit 3", "OutOfMemory { limit: 1073741824 }"),
            ("exit 4", "OtherBuild { program: \"/bin/sh\" }"),
            ("exit 7", "Crashed { how: \"exit code 7\" }"),
            ("kill -XCPU $$", "Late { limit: 60s }"),
            ("kill -KILL $$", "Killed"),
            ("kill -ABRT $$", "Crashed { how: \"signal 6\" }"),
            (
                "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$",
                "OutOfMemory { limit: 1073741824 }",
            ),
            ("echo nonsense", "Crashed { how: \"its answer has no head\" }"),
            ("echo answer 1048577 0; exec yes", "TooLong { limit: 1048576 }"),
        ] {
            assert_eq!(of(text).await, mishap, "{text}");
        }
        let late = ChildRequest {
            timeout: Duration::from_millis(100),
            ..script("exec sleep 3600", "")
        };
        assert!(matches!(run(late).await, Err(Mishap::Late { .. })));
        let nowhere = Supervisor::new(PathBuf::from("/nowhere/sh"), 1 << 30, 1);
        let Err(Mishap::NoProgram { cause, .. }) = nowhere.run('a', script("", "")).await else {
            panic!("there is no such program")
        };
        assert!(cause.to_string().starts_with("No such file"), "{cause}");
        assert!(std::error::Error::source(&cause).is_some_and(|source| source.is::<io::Error>()));
    }

    /// Each has as many orders as it likes; one place is shared by turns, and what is called back
    /// begins anew.
    #[tokio::test]
    async fn a_child_that_makes_room_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let starts = folder.path().join("starts");
        let supervisor = supervisor(2);
        let long = || {
            // Until the other has been there.
            let text = format!(
                "echo >> {0}; while [ ! -e {1} ]; do sleep 0.05; done; echo answer 0 0",
                starts.display(),
                folder.path().join("done").display()
            );
            supervisor.run('m', script(&text, ""))
        };
        let (first, second) = (long(), long());
        let other = async {
            while std::fs::read(&starts).map_or(0, |lines| lines.len()) < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let answer = supervisor.run('a', script("echo answer 0 0", "")).await;
            std::fs::write(folder.path().join("done"), "").unwrap();
            answer
        };
        let (first, second, other) = tokio::join!(first, second, other);
        assert!(
            first.is_ok() && second.is_ok() && other.is_ok(),
            "{first:?} {second:?} {other:?}"
        );
        assert_eq!(
            std::fs::read(&starts).unwrap().len(),
            3,
            "one of the two was started twice"
        );
    }
}
