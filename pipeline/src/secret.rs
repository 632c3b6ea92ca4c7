//! A value that does not print.

use std::fmt;

use zeroize::Zeroizing;

/// A credential. `Debug` and `Display` show `***`; the memory is wiped when the value is dropped.
///
/// ```
/// use ai_pipeline::secret::Secret;
/// let key = Secret::new("sk-123".to_owned());
/// assert_eq!(format!("{key} {key:?}"), "*** ***");
/// assert_eq!(key.expose(), "sk-123");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the value over; the caller keeps no copy.
    pub fn new(value: String) -> Self {
        Secret(Zeroizing::new(value))
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A word that holds this many bytes of a secret in a row shows it: servers repeat its beginning or end.
const PART: usize = 6;

/// Whether a word of a server's answer holds a part of `secret`, or all of one that is shorter.
pub(crate) fn shows(word: &str, secret: &str) -> bool {
    let (word, secret) = (word.as_bytes(), secret.as_bytes());
    let length = PART.min(secret.len()).max(1);
    let mut parts = secret.windows(length);
    parts.any(|part| word.windows(length).any(|seen| seen == part))
}

/// A server's words without those that show one of `secrets`, and with one space between two.
pub(crate) fn masked<'a>(text: &'a str, secrets: &[&str]) -> String {
    let mask = |word: &'a str| {
        let shown = secrets.iter().any(|secret| shows(word, secret));
        if shown { "***" } else { word }
    };
    text.split_whitespace().map(mask).collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_show_a_secret_are_masked() {
        let secrets = ["canary-key-0123456789", "abc"];
        for (said, shown) in [
            ("no such  token canary-key-0123456789.", "no such token ***"),
            ("it ends in 456789", "it ends in ***"),
            ("it ends in 56789", "it ends in 56789"),
            ("with xabcx", "with ***"),
            ("", ""),
        ] {
            assert_eq!(masked(said, &secrets), shown);
        }
        assert_eq!(masked("nothing to hide", &[]), "nothing to hide");
    }
}
