//! The splitters against LangChain's own answers: recorded ones, and with a Python at hand, random ones.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use ai_pipeline::chunk::Splitter;
use ai_pipeline::config::Chunking;
use litemap::LiteMap;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    texts: LiteMap<String, String>,
    cases: Vec<Case>,
}

/// One configuration and the chunks of each text.
#[derive(Deserialize)]
struct Case {
    chunking: Chunking,
    chunks: LiteMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct RandomCase {
    text: String,
    chunking: Chunking,
    chunks: Vec<String>,
}

/// What is wrong with our answer, if anything.
fn difference(chunking: &Chunking, text: &str, expected: &[String]) -> Option<String> {
    let ours = Splitter::new(chunking).and_then(|splitter| splitter.split(text));
    (!ours.as_deref().is_ok_and(|ours| ours == expected))
        .then(|| format!("{chunking:?}\n    text {text:?}\n    LangChain {expected:?}\n    ours      {ours:?}"))
}

fn assert_none(differences: Vec<String>, cases: usize) {
    let shown = differences
        .iter()
        .take(10)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        differences.is_empty(),
        "{} of {cases} cases differ, for example:\n{shown}",
        differences.len()
    );
}

#[test]
fn langchain_agrees_on_recorded_texts() {
    let golden: Golden = serde_json::from_str(include_str!("data/chunk/golden.json")).unwrap();
    let mut cases = 0;
    let mut differences = Vec::new();
    for case in &golden.cases {
        assert_eq!(case.chunks.len(), golden.texts.len());
        for (name, expected) in &case.chunks {
            cases += 1;
            differences.extend(difference(&case.chunking, &golden.texts[name], expected));
        }
    }
    assert!(cases >= 500, "only {cases} cases were recorded");
    assert_none(differences, cases);
}

#[test]
fn langchain_agrees_on_random_texts() {
    const COUNT: usize = 3000;
    let Some(python) = std::env::var_os("LANGCHAIN_PYTHON") else {
        // Past the harness, which would keep what a passing test prints to itself.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: LANGCHAIN_PYTHON is not set; make test sets it"
        );
        return;
    };
    let seed = std::env::var("LANGCHAIN_SEED").unwrap_or_else(|_| rand::random::<u32>().to_string());
    println!("seed {seed}: LANGCHAIN_SEED={seed} repeats this run");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chunk/golden.py");
    let output = Command::new(python)
        .arg(script)
        .args(["--random", &seed, &COUNT.to_string()])
        .output()
        .expect("LANGCHAIN_PYTHON runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut cases = 0;
    let mut differences = Vec::new();
    // Not `lines()`: a JSON text may hold U+0085 and its like, but never a bare newline.
    for line in lines.split('\n').filter(|line| !line.is_empty()) {
        let case: RandomCase = serde_json::from_str(line).unwrap();
        cases += 1;
        differences.extend(difference(&case.chunking, &case.text, &case.chunks));
    }
    assert_eq!(cases, COUNT);
    assert_none(differences, cases);
}
