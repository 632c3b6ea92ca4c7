//! What is passed on of a provider's words when it refuses: enough to act on, never a key, never an input.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Value, json};

use crate::secret;

/// Longest message that is passed on, in characters.
const GREATEST_MESSAGE: usize = 300;
/// Longest `code` or `type`, in bytes.
const GREATEST_WORD: usize = 64;
/// Keys of answers under which a part of the request is named, by servers in Python, in Go and in JavaScript.
const NAMES: [&str; 6] = ["loc", "param", "parameter", "field", "path", "instancePath"];
/// Keys under which the request itself is repeated.
const ECHOES: [&str; 3] = ["input", "body", "request"];
/// Most such names of an answer.
const GREATEST_NAMES: usize = 16;
/// A run of this many bytes in common with an input is a quotation …
const QUOTATION: usize = 24;
/// … and is found by comparing windows of this many bytes, all of the message with every eighth of the inputs.
const WINDOW: usize = 16;
/// Shorter inputs are looked for whole; inputs shorter than this are words that occur in any message.
const LEAST_INPUT: usize = 8;

/// An answer that is no success, without what must not be repeated.
///
/// `Display` begins like pgai's: `Error code: 401 - {"message":…,"type":…,"code":…}`. The message is cut to 300
/// characters, parts of the key and whatever looks like one are masked, and a message that quotes an input is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// OpenAI's `error.code`, as `model_not_found`.
    pub code: Option<String>,
    /// OpenAI's `error.type`, as `invalid_request_error`.
    pub kind: Option<String>,
    /// OpenAI's `error.param`: which part of the request was wrong.
    pub param: Option<String>,
    /// The parts of the request that are named elsewhere, as by FastAPI's `loc`.
    pub(super) named: Vec<String>,
    /// What the provider says about it.
    pub message: Option<String>,
}

impl Refusal {
    /// From the body of an answer: OpenAI's form, or one of its relatives (`{"error": "text"}`, `{"message": "text"}`,
    /// `{"detail": "text"}`, `{"error": ["text"]}`, `{"detail": [{"msg": "text"}]}`).
    pub(crate) fn new(status: u16, body: &[u8], key: Option<&str>, inputs: &[&str]) -> Refusal {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = body.get("error").filter(|error| error.is_object()).unwrap_or(&body);
        let word = |name: &str| {
            let word = match error.get(name)? {
                Value::String(word) => word.clone(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]$".contains(&byte);
            let harmless = word.len() <= GREATEST_WORD && word.bytes().all(plain) && !shows_key(&word, key);
            (harmless && !quotes(&word, inputs)).then_some(word)
        };
        let message = ["message", "error", "detail"]
            .iter()
            .find_map(|name| text(error.get(name)?));
        let mut named = Vec::new();
        find_names(&body, &mut named);
        Refusal {
            status,
            named,
            code: word("code"),
            kind: word("type").or_else(|| word("error_type")),
            param: word("param"),
            message: message.and_then(|message| clean(message, key, inputs)),
        }
    }

    /// Whether it is the answer to who may not ask, or that of a filter in front of the provider.
    pub(super) fn is_forbidden(&self) -> bool {
        self.status == 403
    }

    /// What this process did not hear itself: another one was refused.
    pub(super) fn of_others() -> Refusal {
        Refusal {
            status: 429,
            named: Vec::new(),
            code: None,
            kind: None,
            param: None,
            message: Some("the provider asked another process for patience".to_owned()),
        }
    }

    /// Whether it is said to be about the account that asks, and not about the model, whose name is given in
    /// lower case. Links to pages about accounts say nothing.
    pub(super) fn is_of_account(&self, model: &str) -> bool {
        let said = [&self.code, &self.kind, &self.message].into_iter().flatten();
        let said: Vec<String> = said.map(|text| text.to_lowercase()).collect();
        let words = said.iter().flat_map(|text| text.split_whitespace());
        let is_said = words
            .into_iter()
            .any(|word| word.contains("account") && !word.contains('/'));
        is_said && (model.is_empty() || !said.iter().any(|text| text.contains(model)))
    }

    /// Whether the provider names `word` as code or type.
    pub(super) fn is(&self, word: &str) -> bool {
        [&self.code, &self.kind]
            .into_iter()
            .flatten()
            .any(|named| named == word)
    }

    /// Whether the provider speaks of a part of the request.
    pub(super) fn mentions(&self, parameter: &str) -> bool {
        self.param.as_deref() == Some(parameter)
            || self.named.iter().any(|name| name == parameter)
            || self.message.as_ref().is_some_and(|message| message.contains(parameter))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error code: {}", self.status)?;
        let named = [
            ("message", &self.message),
            ("type", &self.kind),
            ("param", &self.param),
            ("code", &self.code),
        ];
        let mut parts = named
            .into_iter()
            .filter_map(|(name, part)| Some((name, part.as_ref()?)))
            .peekable();
        if parts.peek().is_some() {
            f.write_str(" - {")?;
            while let Some((name, part)) = parts.next() {
                write!(
                    f,
                    "{}:{}{}",
                    json!(name),
                    json!(part),
                    if parts.peek().is_some() { "," } else { "" }
                )?;
            }
            f.write_str("}")?;
        }
        Ok(())
    }
}

/// The text of a message: itself, or the first of a list, as servers made with FastAPI send it.
fn text(message: &Value) -> Option<&str> {
    match message {
        Value::Array(list) => text(list.first()?),
        Value::Object(keys) => text(keys.get("msg").or_else(|| keys.get("detail"))?),
        other => other.as_str(),
    }
}

/// The names of parts of the request, wherever the answer has them.
fn find_names(answer: &Value, names: &mut Vec<String>) {
    match answer {
        Value::Array(list) => list.iter().for_each(|value| find_names(value, names)),
        Value::Object(keys) => {
            for (key, value) in keys {
                if NAMES.contains(&key.as_str()) {
                    let parts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    let parts = parts
                        .iter()
                        .filter_map(Value::as_str)
                        .filter(|name| name.len() <= GREATEST_WORD);
                    names.extend(
                        parts
                            .take(GREATEST_NAMES.saturating_sub(names.len()))
                            .map(str::to_owned),
                    );
                } else if !ECHOES.contains(&key.as_str()) {
                    find_names(value, names);
                }
            }
        }
        _ => (),
    }
}

fn clean(message: &str, key: Option<&str>, inputs: &[&str]) -> Option<String> {
    // More than is shown is looked at, so that a quotation or a key does not hide half behind the cut.
    let looked_at: String = message.chars().take(2 * GREATEST_MESSAGE).collect();
    if quotes(&looked_at, inputs) {
        return None;
    }
    let words = looked_at.split_whitespace();
    let words: Vec<&str> = words
        .map(|word| if shows_key(word, key) { "***" } else { word })
        .collect();
    let shown: String = words.join(" ").chars().take(GREATEST_MESSAGE).collect();
    (!shown.is_empty()).then_some(shown)
}

/// Whether a word may be a key: a part of ours, the usual prefix, or already half masked by the provider.
fn shows_key(word: &str, key: Option<&str>) -> bool {
    word.contains("sk-") || word.contains("***") || key.is_some_and(|key| secret::shows(word, key))
}

/// Whether a message repeats a longer part of an input.
fn quotes(message: &str, inputs: &[&str]) -> bool {
    let windows: HashSet<&[u8]> = message.as_bytes().windows(WINDOW).collect();
    inputs.iter().any(|input| {
        if input.len() < QUOTATION {
            return input.len() >= LEAST_INPUT && message.contains(input.trim());
        }
        let every_eighth = input.as_bytes().windows(WINDOW).step_by(QUOTATION - WINDOW);
        !windows.is_empty() && every_eighth.into_iter().any(|window| windows.contains(window))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_begins_like_pgais() {
        let body = br#"{"error":{"message":"no such model","type":"invalid_request_error","param":null,"code":"m"}}"#;
        assert_eq!(
            Refusal::new(404, body, None, &[]).to_string(),
            r#"Error code: 404 - {"message":"no such model","type":"invalid_request_error","code":"m"}"#
        );
        assert_eq!(Refusal::new(502, b"<html>", None, &[]).to_string(), "Error code: 502");
        let relatives: [&[u8]; 6] = [
            br#"{"error":"odd"}"#,
            br#"{"detail":"odd"}"#,
            br#"{"message":"odd","code":7}"#,
            br#"{"error":["odd","even"],"error_type":"x"}"#,
            br#"{"detail":[{"loc":["body"],"msg":"odd"}]}"#,
            br#"{"object":"error","message":{"detail":[{"msg":"odd"}]}}"#,
        ];
        for body in relatives {
            assert_eq!(Refusal::new(400, body, None, &[]).message.as_deref(), Some("odd"));
        }
    }

    #[test]
    fn keys_whole_in_part_or_of_others_are_masked() {
        let key = "canary-key-0123456789";
        for (said, shown) in [
            ("bad key canary-key-0123456789, sorry", "bad key *** sorry"),
            ("bad key (canary-k)", "bad key ***"),
            ("bad key ending in 456789", "bad key ending in ***"),
            ("bad key sk-proj-x of another", "bad key *** of another"),
            ("bad key can***89", "bad key ***"),
        ] {
            let body = json!({ "error": { "message": said, "code": key, "type": "canary-key" } }).to_string();
            let refusal = Refusal::new(401, body.as_bytes(), Some(key), &[]);
            assert_eq!(refusal.message.as_deref(), Some(shown));
            assert_eq!((refusal.code, refusal.kind), (None, None));
        }
    }

    #[test]
    fn a_message_that_quotes_an_input_is_dropped() {
        let long = "x".repeat(77) + "the patient was told on Monday that" + &"y".repeat(99);
        let said = |said: &str, inputs: &[&str]| {
            let body = json!({ "error": { "message": said, "type": "invalid_request_error" } }).to_string();
            let refusal = Refusal::new(400, body.as_bytes(), None, inputs);
            assert_eq!(refusal.kind.as_deref(), Some("invalid_request_error"));
            refusal.message
        };
        assert_eq!(
            said("not acceptable: the patient was told on Monday", &["fine", &long]),
            None
        );
        assert_eq!(said("not acceptable: secret plan", &["secret plan"]), None);
        assert!(said("input 3 is too long", &[&long, "a", "too"]).is_some());
        assert_eq!(
            said(&"z ".repeat(1000), &[]).map(|message| message.len()),
            Some(GREATEST_MESSAGE)
        );
    }
}
