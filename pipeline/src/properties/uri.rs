//! URIs: what is read is shown so that it is read again, and what is not read is not repeated.

use super::{Dice, hold};
use crate::uri::Uri;

/// Fits into no bucket and no scheme.
const SECRET: &str = "hunter2!";

const PARTS: [&str; 30] = [
    "s3:",
    "s3a:",
    "http:",
    "https:",
    "file:",
    "gopher:",
    "//",
    "/",
    "\\",
    ":",
    "@",
    "?",
    "#",
    "%",
    "%2e",
    "%00",
    "..",
    "?versionId=",
    "3HL4k",
    "bucket",
    "arn:aws:s3:::b",
    "localhost",
    "[::1]",
    "127.0.0.1:80",
    "é",
    "\0",
    " ",
    "\u{202e}",
    "a",
    SECRET,
];

fn uri(dice: &mut Dice) -> String {
    let beginning = dice.one(&["", "s3://bucket/", "s3://", "https://host/", "http://", "file://", "/"]);
    beginning.to_owned() + &dice.text(8, &PARTS)
}

#[test]
fn uris_are_shown_as_they_are_read_and_secrets_are_not() {
    hold(|dice| {
        let text = uri(dice);
        let read = match Uri::parse(&text) {
            Ok(read) => read,
            Err(error) => {
                assert!(!error.to_string().contains(SECRET), "{text:?}: {error}");
                return;
            }
        };
        let shown = read.to_string();
        let again = Uri::parse(&shown).unwrap_or_else(|error| panic!("{text:?} is shown as {shown:?}: {error}"));
        assert_eq!(again.to_string(), shown, "{text:?}");
        match (&read, &again) {
            (Uri::Http(url), Uri::Http(shown)) => {
                assert_eq!((url.host(), url.path()), (shown.host(), shown.path()), "{text:?}");
                assert_eq!((shown.query(), shown.fragment()), (None, None), "{text:?}");
            }
            (read, again) => assert_eq!(read, again, "{text:?}"),
        }
        if let Some(name) = read.name() {
            assert!(!name.is_empty(), "{text:?}");
        }
    });
}
