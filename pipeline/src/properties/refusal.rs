//! A provider's words: whatever they are, no key and no text of a document is passed on.

use serde_json::{Value, json};

use super::{Dice, hold};
use crate::embed::Refusal;

const KEY: &str = "key-4f1c9a77d2e84b0fa6b5";
const INPUT: &str = "The heron waits under the bridge, and nobody knows for whom it does.";
const WORDS: [&str; 16] = [
    "invalid",
    "model",
    " ",
    ", ",
    ": ",
    "\n",
    "é",
    "limit",
    "sk-abcdefgh",
    "***",
    "\"",
    "account",
    "https://a/b",
    "\u{0}",
    "{",
    "text",
];

/// A part of one of the two that must not be shown, or other words.
fn words(dice: &mut Dice) -> String {
    let mut text = dice.text(6, &WORDS);
    match dice.below(4) {
        0 => text.push_str(KEY),
        1 => text.push_str(part(dice, INPUT)),
        _ => (),
    }
    text + &dice.text(60, &WORDS)
}

fn part<'t>(dice: &mut Dice, text: &'t str) -> &'t str {
    let start = dice.below(text.len());
    &text[start..start + 1 + dice.below(text.len() - start)]
}

fn value(dice: &mut Dice, depth: usize) -> Value {
    let key = |dice: &mut Dice| {
        dice.one(&[
            "error", "message", "detail", "code", "type", "param", "loc", "msg", "input", "field",
        ])
        .to_owned()
    };
    match dice.below(if depth == 0 { 3 } else { 6 }) {
        0 => json!(words(dice)),
        1 => json!(dice.next()),
        2 => Value::Null,
        3 => (0..dice.below(3)).map(|_| value(dice, depth - 1)).collect(),
        _ => {
            let members = (0..dice.below(5)).map(|_| (key(dice), value(dice, depth - 1)));
            Value::Object(members.collect())
        }
    }
}

/// The longest run of `text` that `shown` repeats, in bytes.
fn repeated(shown: &str, text: &str) -> usize {
    let starts = 0..text.len();
    let run = |start: usize| {
        (start..=text.len())
            .take_while(|end| shown.contains(&text[start..*end]))
            .last()
    };
    starts
        .filter_map(|start| Some(run(start)? - start))
        .max()
        .unwrap_or_default()
}

#[test]
fn no_key_and_no_text_is_passed_on() {
    hold(|dice| {
        let mut body = value(dice, 4).to_string().into_bytes();
        if dice.once_in(10) {
            body.truncate(dice.below(body.len() + 1));
        }
        let status = 400 + dice.below(200) as u16;
        let refusal = Refusal::new(status, &body, Some(KEY), &[INPUT]);
        let body = String::from_utf8_lossy(&body);
        let shown = refusal.to_string();
        assert!(!shown.contains(KEY), "{body}: {shown}");
        // A quotation of 24 bytes is found; what is shorter are words that occur in any message.
        assert!(repeated(&shown, INPUT) < 24, "{body}: {shown}");
        assert!(shown.chars().count() < 1500, "{body}: {shown}");
    });
}
