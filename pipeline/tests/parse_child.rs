//! A child that misbehaves harms nobody, and the real one has nothing that it could do harm with.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ai_pipeline::budget::Budget;
use ai_pipeline::config::Parsing;
use ai_pipeline::error::Class;
use ai_pipeline::parse::{Error, Hints, Measured, Parser, ParserLimits};
use bytes::Bytes;
use nix::sys::signal::{SigSet, Signal};

/// No test waits for this long unless it fails.
const DEADLINE: Duration = Duration::from_secs(60);

const LIMITS: ParserLimits = ParserLimits {
    timeout: DEADLINE,
    memory_bytes: 512 * 1024 * 1024,
    text_bytes: 1024 * 1024,
};

/// A limit that the children of these tests, which would run for an hour, exceed on any machine.
const SHORT: ParserLimits = ParserLimits {
    timeout: Duration::from_millis(300),
    ..LIMITS
};

fn script(name: &str, limits: ParserLimits) -> Parser {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/parse")
        .join(name);
    Parser::new(program, limits, 8)
}

/// A document that no short cut takes: it goes to the child, first line first.
fn document(first_line: &Path, length: usize) -> Bytes {
    let mut bytes = format!("{}\n", first_line.display()).into_bytes();
    bytes.resize(bytes.len() + length, 0xE9);
    bytes.into()
}

async fn run(name: &str, limits: ParserLimits) -> Result<String, Error> {
    let parser = script(name, limits);
    let parsed = parser
        .parse(document(Path::new("x"), 10), None, None, Parsing::Auto)
        .await;
    Ok(parsed?.text)
}

/// What `state` gives once it gives something.
async fn wait_for<T>(what: &str, state: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = state() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The value of a line of `/proc/PID/status`.
fn status(process: &str, key: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Gone, or dead and not yet buried.
fn is_dead(process: &str) -> bool {
    status(process, "State").is_none_or(|state| state.starts_with('Z'))
}

fn process_id(directory: &Path) -> Option<String> {
    std::fs::read_to_string(directory.join("pid"))
        .ok()
        .map(|text| text.trim().to_owned())
}

#[tokio::test]
async fn a_child_that_hangs_is_killed_in_time() {
    let directory = tempfile::tempdir().unwrap();
    // More than a pipe holds, so the parent still writes when the time is over.
    let bytes = document(directory.path(), 1024 * 1024);
    let error = script("hangs.sh", SHORT)
        .parse(bytes, None, None, Parsing::Auto)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "parsing took longer than 0.3 s");
    assert_eq!(error.class(), Class::Permanent);
    assert!(error.hint().is_some_and(|hint| hint.contains("ai.parser_timeout")));
    // Where the machine was too slow for the shell to leave its number, there is nothing to look at.
    if let Some(process) = process_id(directory.path()) {
        assert!(is_dead(&process));
    }
}

#[tokio::test]
async fn a_child_whose_parent_loses_interest_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = document(directory.path(), 10);
    let parsing = tokio::spawn(async move {
        let _ = script("hangs.sh", LIMITS).parse(bytes, None, None, Parsing::Auto).await;
    });
    let process = wait_for("the start of the child", || process_id(directory.path())).await;
    assert!(!is_dead(&process));
    parsing.abort();
    wait_for("the end of the child", || is_dead(&process).then_some(())).await;
}

#[tokio::test]
async fn a_child_that_runs_out_of_cpu_time_took_too_long() {
    assert_eq!(
        run("runs_out_of_cpu_time.sh", LIMITS).await,
        Err(Error::TookTooLong { limit: DEADLINE })
    );
}

#[tokio::test]
async fn a_child_that_crashes_is_tried_again() {
    let error = run("crashes.sh", LIMITS).await.unwrap_err();
    assert_eq!(
        error,
        Error::Crashed {
            how: "signal 11".to_owned()
        }
    );
    assert_eq!(error.class(), Class::Unknown);
}

#[tokio::test]
async fn a_child_that_is_killed_from_outside_is_tried_again() {
    let error = run("is_killed.sh", LIMITS).await.unwrap_err();
    assert_eq!((error.class(), &error), (Class::Unknown, &Error::Killed));
}

#[tokio::test]
async fn endless_output_is_cut_and_endless_complaints_are_not_kept() {
    assert_eq!(
        run("writes_for_ever.sh", LIMITS).await,
        Err(Error::TooMuchText {
            limit: LIMITS.text_bytes
        })
    );
    assert_eq!(
        run("complains_for_ever.sh", SHORT).await,
        Err(Error::TookTooLong { limit: SHORT.timeout })
    );
}

/// A document may have much more text than bytes: what there is no room for is not kept, and the document is
/// given back.
#[tokio::test]
async fn a_text_that_there_is_no_room_for_is_measured() {
    let parser = script("writes_much.sh", LIMITS);
    let bytes = document(Path::new("x"), 10);
    let parse = async |room| {
        let parsed = parser.parse_up_to(room, bytes.clone(), None, None, Parsing::Auto).await;
        parsed.unwrap()
    };
    let length = 600_000;
    let longer = Measured::Longer {
        bytes: bytes.clone(),
        length,
    };
    assert_eq!(parse(1).await, longer);
    assert_eq!(parse(length - 1).await, longer);
    for room in [length, u64::MAX] {
        let text = match parse(room).await {
            Measured::Parsed(parsed) => parsed.text,
            longer @ Measured::Longer { .. } => panic!("{longer:?}"),
        };
        assert_eq!(text.len() as u64, length);
    }
    let endless = script("writes_for_ever.sh", LIMITS);
    let error = endless.parse_up_to(1, bytes, None, None, Parsing::Auto).await;
    assert_eq!(
        error,
        Err(Error::TooMuchText {
            limit: LIMITS.text_bytes
        })
    );
}

/// A document of a few bytes may have a long text, which takes memory as a long document does.
#[tokio::test]
async fn memory_is_reserved_for_the_text() {
    const COST: u64 = 4;
    let budget = Budget::new(4_000_000);
    let others = async |bytes| {
        let others = tokio::time::timeout(Duration::ZERO, budget.reserve(bytes)).await;
        others.is_ok()
    };
    // What is over after the text, and what is not: an eighth is for small ones.
    for (program, over, not_over) in [
        ("writes_much.sh", 1_050_000, 1_150_000),
        ("does_not_listen.sh", 3_500_000, 3_501_000),
    ] {
        let reservation = budget.reserve(COST * 100_000).await;
        let parser = script(program, LIMITS);
        let bytes = document(Path::new("x"), 10);
        let hints = Hints {
            name: None,
            media_type: None,
            how: Parsing::Auto,
        };
        let parsed = parser.parse_within(&budget, COST, reservation, bytes, hints);
        let (parsed, reservation) = parsed.await.unwrap();
        let text = parsed.text;
        assert!(!others(not_over).await, "{program}: {} bytes of text", text.len());
        assert!(others(over).await, "{program}: {} bytes of text", text.len());
        drop(reservation);
    }
}

#[tokio::test]
async fn a_child_that_does_not_listen_is_heard_all_the_same() {
    let bytes = document(Path::new("x"), 4 * 1024 * 1024);
    let text = script("does_not_listen.sh", LIMITS)
        .parse(bytes, None, None, Parsing::Auto)
        .await;
    assert_eq!(text.map(|parsed| parsed.text).as_deref(), Ok("done\n"));
}

#[tokio::test]
async fn answers_that_make_no_sense_are_crashes() {
    let broken = |how: &str| Err(Error::Crashed { how: how.to_owned() });
    assert_eq!(run("reports_nonsense.sh", LIMITS).await, broken("its report is broken"));
    assert_eq!(
        run("answers_in_bytes.sh", LIMITS).await,
        broken("its answer is not text")
    );
    assert_eq!(run("marks_nonsense.sh", LIMITS).await, broken("its answer is not text"));
    let endless = run("writes_what_is_no_answer.sh", LIMITS).await;
    assert_eq!(endless, broken("its answer has no head"));
    let more = run("writes_more_than_it_says.sh", LIMITS).await;
    assert_eq!(more, broken("its answer has another length than it says"));
}

/// After an upgrade the new program may meet a server that still runs the old library.
#[tokio::test]
async fn a_program_of_another_build_is_not_listened_to() {
    let error = run("is_of_another_build.sh", LIMITS).await.unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
    assert!(error.to_string().contains("another version"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("restart the server")));
    let asked = Command::new(env!("CARGO_BIN_EXE_ai-parser"))
        .args(["--answer", "0.0.1-1"])
        .output()
        .unwrap();
    assert_eq!((asked.status.code(), &asked.stdout[..]), (Some(4), &b""[..]));
}

#[tokio::test]
async fn a_missing_program_pauses_the_vectorizer_and_says_where_it_was_sought() {
    let error = run("no_such_program", LIMITS).await.unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
    assert!(
        error
            .to_string()
            .contains("tests/data/parse/no_such_program: No such file"),
        "{error}"
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("make install")));
    let readme = std::fs::metadata(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parse/README.md")).unwrap();
    assert_eq!(readme.permissions().mode() & 0o111, 0);
    assert_eq!(
        run("README.md", LIMITS).await.unwrap_err().class(),
        Class::Configuration
    );
}

#[tokio::test]
async fn the_environment_is_not_inherited() {
    assert!(
        std::env::vars().any(|(name, _)| name.starts_with("CARGO")),
        "cargo test gives us something to hide"
    );
    let environment = run("shows_its_environment.sh", LIMITS).await.unwrap();
    // The shell itself sets these.
    let own = |line: &&str| {
        !["PWD=", "OLDPWD=", "SHLVL=", "_="]
            .iter()
            .any(|name| line.starts_with(name))
    };
    assert_eq!(environment.lines().find(own), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_children_than_places_run_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/parse/wants_to_be_alone.sh");
    let parser = Parser::new(program, LIMITS, 1);
    let documents = (0..6).map(|_| {
        let (parser, bytes) = (parser.clone(), document(directory.path(), 10));
        tokio::spawn(async move { parser.parse(bytes, None, None, Parsing::Auto).await })
    });
    // With one place this holds whatever the timing; with two, children that stay 0.1 s meet.
    for parsed in documents.collect::<Vec<_>>() {
        let text = parsed.await.unwrap().map(|parsed| parsed.text);
        assert_eq!(text.as_deref(), Ok("alone\n"));
    }
}

#[tokio::test]
async fn no_signal_handler_is_left_in_the_server() {
    run("does_not_listen.sh", LIMITS).await.unwrap();
    let lost_interest = tokio::time::timeout(Duration::from_millis(1), run("hangs.sh", LIMITS)).await;
    assert!(lost_interest.is_err());
    run("hangs.sh", SHORT).await.unwrap_err();
    // Other tests of this file do the same at the same time: none of them may leave one either.
    let caught = u64::from_str_radix(&status("self", "SigCgt").unwrap(), 16).unwrap();
    assert_eq!(
        caught >> (Signal::SIGCHLD as u32 - 1) & 1,
        0,
        "tokio handles SIGCHLD: is this kernel before 5.10?"
    );
}

#[tokio::test]
async fn the_real_child_is_confined_before_it_reads() {
    // A descriptor that would be inherited, as those of a server that opens its files without close-on-exec.
    let leaked = nix::unistd::dup(std::io::stderr()).unwrap();
    let start = || {
        // The worker's threads have all signals blocked, and a child inherits that.
        SigSet::all().thread_block().unwrap();
        Command::new(env!("CARGO_BIN_EXE_ai-parser"))
            .args([
                "--memory-bytes",
                "100000000",
                "--cpu-seconds",
                "60",
                "--extension",
                "txt",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut child = std::thread::spawn(start).join().unwrap();
    let process = child.id().to_string();
    wait_for("the last step of the confinement", || {
        (status(&process, "Seccomp")? == "2").then_some(())
    })
    .await;
    drop(leaked);

    assert_eq!(status(&process, "NoNewPrivs").as_deref(), Some("1"));
    assert_eq!(status(&process, "SigBlk").as_deref(), Some("0000000000000000"));
    let mut files: Vec<_> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["0", "1", "2"]);
    assert_eq!(
        std::fs::read_to_string(format!("/proc/{process}/oom_score_adj"))
            .unwrap()
            .trim(),
        "1000"
    );

    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max address space"), ["100000000", "100000000"]);
    assert_eq!(limit("Max cpu time"), ["60", "61"]);
    for name in ["Max core file size", "Max file size", "Max open files", "Max processes"] {
        assert_eq!(limit(name), ["0", "0"], "{name}");
    }

    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"confined, but at work: caf\xE9")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, "confined, but at work: café".as_bytes());
}

#[tokio::test]
async fn a_confinement_that_the_system_refuses_is_said() {
    let parser = script("is_not_confined.sh", LIMITS);
    let parse = |first: &str| {
        let (parser, bytes) = (parser.clone(), document(Path::new(first), 10));
        async move {
            let parsed = parser.parse(bytes, None, None, Parsing::Auto).await;
            parsed.map(|parsed| parsed.text)
        }
    };
    assert_eq!(parser.unconfined(), None);
    assert_eq!(parse("x").await.unwrap(), "text");
    assert_eq!(parser.unconfined(), Some("it keeps its system calls (seccomp: none)"));
    let error = parse("refuse").await.unwrap_err();
    assert_eq!(
        (error.class(), error.to_string()),
        (Class::Permanent, "no text".to_owned())
    );
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_read() {
    let output = Command::new(env!("CARGO_BIN_EXE_ai-parser"))
        .arg("document.pdf")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "ai-parser: document.pdf needs a value\n"
    );
}
