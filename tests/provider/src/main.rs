//! `provider --port 0 --latency-ms 0 --idf-from DIR --require-key KEY --requests-per-minute N --tokens-per-minute N
//! --same-vector --quiet --stop-with-stdin`
//!
//! Prints `listening on http://127.0.0.1:PORT/v1` as its first line and serves until SIGTERM or SIGINT, or until its
//! standard input ends with `--stop-with-stdin`. `POST /behaviour` and `GET /counts` control it from other processes.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use provider::vectors::Vocabulary;
use provider::{Options, Provider};

/// Time between two lines of counts.
const REPORT_EVERY: Duration = Duration::from_secs(10);

struct Arguments {
    options: Options,
    quiet: bool,
    stop_with_stdin: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut options = Options {
        forget_requests: true,
        ..Options::default()
    };
    let (mut quiet, mut stop_with_stdin) = (false, false);
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || given.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--port" => options.port = value()?.parse().map_err(|_| "--port needs a port number")?,
            "--latency-ms" => {
                let milliseconds = value()?
                    .parse()
                    .map_err(|_| "--latency-ms needs a number of milliseconds")?;
                options.latency = Duration::from_millis(milliseconds);
            }
            "--idf-from" => {
                let folder = value()?;
                options.vocabulary = Vocabulary::learn(Path::new(&folder))
                    .map_err(|error| format!("cannot learn from {folder}: {error}"))?;
            }
            "--requests-per-minute" => {
                let number = value()?.parse().map_err(|_| "--requests-per-minute needs a number")?;
                options.limits.requests_per_minute = number;
            }
            "--tokens-per-minute" => {
                let number = value()?.parse().map_err(|_| "--tokens-per-minute needs a number")?;
                options.limits.tokens_per_minute = number;
            }
            "--require-key" => options.require_key = Some(value()?),
            "--same-vector" => options.same_vector = true,
            "--quiet" => quiet = true,
            "--stop-with-stdin" => stop_with_stdin = true,
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    Ok(Arguments {
        options,
        quiet,
        stop_with_stdin,
    })
}

fn serve(
    Arguments {
        options,
        quiet,
        stop_with_stdin,
    }: Arguments,
) -> Result<(), String> {
    let provider = Provider::start_with(options).map_err(|error| format!("cannot listen: {error}"))?;
    println!("listening on {}", provider.base_url());
    // Whoever waits for the line reads it through a pipe.
    std::io::stdout()
        .flush()
        .map_err(|error| format!("cannot write: {error}"))?;
    if stop_with_stdin {
        std::thread::spawn(|| {
            let mut ignored = [0; 1024];
            while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
            std::process::exit(0);
        });
    }
    let mut reported = provider.counts();
    loop {
        std::thread::sleep(REPORT_EVERY);
        let counts = provider.counts();
        if !quiet && counts != reported {
            eprintln!("{counts:?}");
            reported = counts;
        }
    }
}

fn main() -> ExitCode {
    match arguments().and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("provider: {error}");
            ExitCode::FAILURE
        }
    }
}
