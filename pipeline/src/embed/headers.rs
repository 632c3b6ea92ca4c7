//! Headers that a caller has sent along: none that decides where a request goes, whose it is, or what it looks like.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Most headers of a request.
const MOST: usize = 32;
/// Most bytes of their names and values: servers refuse more than some kilobytes.
const MOST_BYTES: usize = 8 * 1024;

/// Those that are set here, and those that are between a client and the next server.
const OURS: [&str; 19] = [
    "accept-encoding",
    "api-key",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
];

/// Further headers of requests. `Debug` shows their names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

/// Why a header is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedHeader {
    /// It is one that the request has, or must not have.
    #[error("the header {name} cannot be set")]
    Ours {
        /// Its name, in lower case.
        name: String,
    },
    /// Not a name, or a value with a line break, say. Values are not repeated: they may be secret.
    #[error("the header {name:?} has a name or a value that cannot be sent")]
    Malformed {
        /// Its name, as it was given.
        name: String,
    },
    /// Too many of them.
    #[error("the headers are more than {MOST}, or longer than {MOST_BYTES} bytes")]
    TooMany,
}

impl RefusedHeader {
    /// What to do instead.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RefusedHeader::Ours { .. } => Some("The key is api_key, and the address the base_url of a foreign server."),
            RefusedHeader::Malformed { .. } | RefusedHeader::TooMany => None,
        }
    }
}

impl Headers {
    /// Of two of one name the later one counts.
    ///
    /// # Errors
    ///
    /// [`RefusedHeader`], for the first that is not sent.
    pub fn new(given: &[(String, String)]) -> Result<Headers, RefusedHeader> {
        let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
        if given.len() > MOST || bytes > MOST_BYTES {
            return Err(RefusedHeader::TooMany);
        }
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in given {
            let malformed = || RefusedHeader::Malformed { name: name.clone() };
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
            if OURS.contains(&header.as_str()) || header.as_str().starts_with("x-forwarded-") {
                let name = header.as_str().to_owned();
                return Err(RefusedHeader::Ours { name });
            }
            let mut value = HeaderValue::from_str(value).map_err(|_| malformed())?;
            value.set_sensitive(true);
            headers.retain(|(known, _)| *known != header);
            headers.push((header, value));
        }
        Ok(Headers(headers))
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn map(&self) -> HeaderMap {
        self.0.iter().cloned().collect()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.0.iter().map(|(name, _)| name.as_str()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&str, &str)]) -> Result<Headers, RefusedHeader> {
        let given: Vec<_> = given
            .iter()
            .map(|(name, value)| (String::from(*name), String::from(*value)))
            .collect();
        Headers::new(&given)
    }

    #[test]
    fn headers_that_route_or_sign_are_refused() {
        for name in [
            "Authorization",
            "HOST",
            "Content-Length",
            "Transfer-Encoding",
            "X-Forwarded-For",
            "api-key",
            "Cookie",
        ] {
            let name_in_lower_case = name.to_lowercase();
            let refused = RefusedHeader::Ours {
                name: name_in_lower_case,
            };
            assert_eq!(headers(&[(name, "x")]), Err(refused), "{name}");
        }
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("x", "a\r\nHost: b"),
            ("x:", "y"),
            ("x", "a\0"),
        ] {
            assert_eq!(
                headers(&[(name, value)]),
                Err(RefusedHeader::Malformed { name: name.to_owned() }),
                "{name:?} {value:?}"
            );
        }
        assert_eq!(headers(&[("x", "y"); MOST + 1]), Err(RefusedHeader::TooMany));
        assert_eq!(headers(&[("x", &"y".repeat(MOST_BYTES))]), Err(RefusedHeader::TooMany));
    }

    #[test]
    fn the_later_of_two_counts_and_no_value_is_printed() {
        let headers = headers(&[
            ("OpenAI-Project", "old"),
            ("openai-project", "secret"),
            ("X-Trace", "1"),
        ])
        .unwrap();
        assert_eq!(headers.map()["openai-project"], "secret");
        assert_eq!(format!("{headers:?}"), r#"["openai-project", "x-trace"]"#);
    }
}
