//! Where a document is, as the text of a row says it.
//!
//! Parsing is pure: nothing is looked up and nothing is opened.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::Class;

/// The schemes that [`Uri::parse`] reads, for messages.
pub const SCHEMES: &str = "s3, s3a, s3n, http, https, file";

/// What ends an S3 URI that names one version of an object.
const VERSION_MARK: &str = "?versionId=";

/// The place of a document.
///
/// `Display` shows it without the query of an http URL, which may hold a signature: fit for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// An object, or one version of it.
    S3 {
        /// Name (or access point alias) of the bucket.
        bucket: String,
        /// The key, character for character: nothing in it is percent-decoded.
        key: String,
        /// The version, where the URI ends in `?versionId=…`.
        version_id: Option<String>,
    },
    /// A web address, `http` or `https`, with no user name and no password.
    Http(Url),
    /// A file of the server, as an absolute path.
    File(PathBuf),
}

impl Uri {
    /// Reads a URI.
    ///
    /// - `s3://bucket/key` (also `s3a`, `s3n`) is what smart_open and the AWS CLI read: the key is everything after
    ///   `s3://bucket/`, **literally**. Spaces, `+`, `%20`, `#` and `?` are part of it. Only a `?versionId=` followed by
    ///   letters, digits, `.`, `_` or `-` up to the end is taken off, and names the version.
    /// - `http://…` and `https://…` follow the WHATWG URL standard.
    /// - `file:///path` is percent-decoded (RFC 8089); a plain `/path` is not.
    ///
    /// ```
    /// use ai_pipeline::uri::Uri;
    /// let uri = Uri::parse("s3://docs/año/50% off?.pdf?versionId=3HL4k").unwrap();
    /// assert_eq!(
    ///     uri,
    ///     Uri::S3 {
    ///         bucket: "docs".to_owned(),
    ///         key: "año/50% off?.pdf".to_owned(),
    ///         version_id: Some("3HL4k".to_owned()),
    ///     }
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error`], always permanent. Its text never repeats more of the input than a scheme or a bucket name, because the
    /// column may hold something else than URIs.
    pub fn parse(text: &str) -> Result<Uri, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.starts_with('/') {
            return file(text.to_owned());
        }
        let (scheme, rest) = text.split_once(':').ok_or(Error::NoScheme)?;
        if !is_scheme(scheme) {
            return Err(Error::NoScheme);
        }
        match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" | "s3n" => s3(rest.strip_prefix("//").ok_or(Error::NoBucket)?),
            "http" | "https" => http(text),
            "file" => file_url(rest),
            other => Err(Error::Scheme(other.to_owned())),
        }
    }

    /// The last segment of the path: the name of the document, which hints at its type.
    pub fn name(&self) -> Option<String> {
        let name = match self {
            Uri::S3 { key, .. } => key.rsplit('/').next()?.to_owned(),
            Uri::Http(url) => percent_decode_str(url.path_segments()?.next_back()?)
                .decode_utf8_lossy()
                .into_owned(),
            Uri::File(path) => path.file_name()?.to_string_lossy().into_owned(),
        };
        (!name.is_empty()).then_some(name)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::S3 {
                bucket,
                key,
                version_id: None,
            } => write!(f, "s3://{bucket}/{key}"),
            Uri::S3 {
                bucket,
                key,
                version_id: Some(version),
            } => write!(f, "s3://{bucket}/{key}{VERSION_MARK}{version}"),
            Uri::Http(url) => f.write_str(&without_query(url)),
            Uri::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Scheme, host, port and path of a URL: what may be shown of it.
pub(crate) fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

/// RFC 3986, section 3.1, and no longer than any scheme in use: a sentence with a colon is not taken for a URI.
fn is_scheme(text: &str) -> bool {
    text.len() <= 20
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn s3(rest: &str) -> Result<Uri, Error> {
    let (bucket, rest) = rest.split_once('/').unwrap_or((rest, ""));
    check_bucket(bucket)?;
    let (key, version_id) = match rest.rsplit_once(VERSION_MARK) {
        Some((key, version)) if is_version(version) => (key, Some(version.to_owned())),
        _ => (rest, None),
    };
    if key.is_empty() {
        return Err(Error::NoKey);
    }
    Ok(Uri::S3 {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version_id,
    })
}

fn is_version(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// What boto3 accepts, less the names that would change the path of a request (`.`, `..`). Old buckets of us-east-1 have
/// capitals, underscores and up to 255 characters, so today's rules for new names are no measure.
fn check_bucket(bucket: &str) -> Result<(), Error> {
    if bucket.is_empty() {
        return Err(Error::NoBucket);
    }
    if bucket.starts_with("arn:") {
        return Err(Error::BucketArn);
    }
    // Not shown: smart_open reads `s3://key:secret@bucket/…`, so this may hold a secret.
    if !bucket
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        return Err(Error::BucketCharacters);
    }
    if !(3..=255).contains(&bucket.len()) || !bucket.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(Error::BucketName(bucket.to_owned()));
    }
    Ok(())
}

fn http(text: &str) -> Result<Uri, Error> {
    let url = Url::parse(text).map_err(Error::Url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::UserInfo);
    }
    Ok(Uri::Http(url))
}

fn file_url(rest: &str) -> Result<Uri, Error> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with('/') {
        return Err(Error::FileHost);
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| Error::FilePath)?;
    file(path.into_owned())
}

fn file(path: String) -> Result<Uri, Error> {
    if path.contains('\0') {
        return Err(Error::FilePath);
    }
    Ok(Uri::File(PathBuf::from(path)))
}

/// Why a text is not the URI of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing there.
    #[error("the document URI is empty")]
    Empty,
    /// Neither `scheme:` nor an absolute path.
    #[error("the document URI has no scheme")]
    NoScheme,
    /// A scheme that is not read.
    #[error("scheme `{0}` of the document URI is not supported")]
    Scheme(String),
    /// `s3://` and nothing after it.
    #[error("the S3 URI has no bucket")]
    NoBucket,
    /// `s3://bucket/` and nothing after it.
    #[error("the S3 URI has no key")]
    NoKey,
    /// `s3://arn:aws:s3:…`.
    #[error("the S3 URI has an ARN in place of a bucket name")]
    BucketArn,
    /// Something no bucket name has. The name is not shown, it may hold credentials.
    #[error("the bucket name of the S3 URI has a character other than letters, digits, `.`, `-` and `_`")]
    BucketCharacters,
    /// Wrong length, or a wrong first character.
    #[error("`{0}` is not a bucket name")]
    BucketName(String),
    /// Not a URL by the WHATWG standard.
    #[error("the document URI is not a valid URL: {0}")]
    Url(url::ParseError),
    /// `https://user:password@host/`.
    #[error("the document URI has a user name or a password in it")]
    UserInfo,
    /// `file://host/path`.
    #[error("the file URI has no absolute path on this server")]
    FileHost,
    /// Not UTF-8 after decoding, or a zero byte.
    #[error("the file URI has a path that no file can have")]
    FilePath,
}

impl Error {
    /// Always permanent: the text has to change.
    pub fn class(&self) -> Class {
        Class::Permanent
    }

    /// How the text should look.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Empty | Error::NoScheme | Error::Scheme(_) => {
                format!("supported are {SCHEMES} and absolute paths, for example `s3://bucket/folder/report.pdf`")
            }
            Error::BucketArn => "use the alias of the access point, which serves as a bucket name".to_owned(),
            Error::BucketCharacters => "write `s3://bucket/key`, without credentials, host or port".to_owned(),
            Error::NoBucket | Error::NoKey | Error::BucketName(_) => "write `s3://bucket/key`".to_owned(),
            Error::Url(_) => "write `https://host/path`".to_owned(),
            Error::UserInfo => "credentials in a row are not read: remove them from the URI".to_owned(),
            Error::FileHost | Error::FilePath => "write `file:///path/of/the/file`".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3_parts(text: &str) -> (String, String, Option<String>) {
        match Uri::parse(text) {
            Ok(Uri::S3 {
                bucket,
                key,
                version_id,
            }) => (bucket, key, version_id),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_key_is_taken_literally() {
        let keys = [
            "a.pdf",
            "folder/sub folder/a b.pdf",
            "/leading and//double slash",
            "trailing/",
            "50%25 + 10%",
            "a#b?c=d&e",
            "früh/日本語/🙂.md",
            "?versionId=",
            "a?versionId=x/y",
            "a?versionID=x",
            "a?versionId=x#y",
            "../up",
            " spaces around ",
            "s3://b/k",
        ];
        for key in keys {
            assert_eq!(
                s3_parts(&format!("s3://bucket/{key}")),
                ("bucket".into(), key.into(), None),
                "{key}"
            );
        }
    }

    #[test]
    fn a_version_is_taken_off_the_end_once() {
        let id = "3sL4kqtJlcpXroDTDmJ-rmSpXd3dIbrH.Y_";
        assert_eq!(
            s3_parts(&format!("s3://bkt/a?b?versionId={id}")),
            ("bkt".into(), "a?b".into(), Some(id.into()))
        );
        let twice = "s3://bkt/a?versionId=1?versionId=2";
        assert_eq!(
            s3_parts(twice),
            ("bkt".into(), "a?versionId=1".into(), Some("2".into()))
        );
        assert_eq!(Uri::parse(twice).unwrap().to_string(), twice);
        assert_eq!(Uri::parse("s3://bkt/?versionId=2"), Err(Error::NoKey));
    }

    #[test]
    fn schemes_are_read_in_any_case_and_others_are_named() {
        for scheme in ["s3", "S3", "s3a", "s3n"] {
            assert_eq!(s3_parts(&format!("{scheme}://bkt/k")).0, "bkt");
        }
        assert!(matches!(Uri::parse("HTTPS://example.org/a"), Ok(Uri::Http(_))));
        assert_eq!(Uri::parse("gs://b/k"), Err(Error::Scheme("gs".into())));
        assert_eq!(
            Uri::parse("ftp://h/a").unwrap_err().to_string(),
            "scheme `ftp` of the document URI is not supported"
        );
        assert!(Uri::parse("ftp://h/a").unwrap_err().hint().unwrap().contains(SCHEMES));
        for text in [
            "docs/a.pdf",
            "a.pdf",
            "//host/a",
            ":x",
            "A sentence with a colon: yes",
            "1s3://b/k",
        ] {
            let parsed = Uri::parse(text);
            assert!(
                matches!(parsed, Err(Error::NoScheme)) || text.starts_with("//"),
                "{text}: {parsed:?}"
            );
        }
        assert_eq!(Uri::parse(""), Err(Error::Empty));
    }

    #[test]
    fn bucket_names_are_checked() {
        for good in ["abc", "my.bucket-1", "Old_Bucket", "1st", &"a".repeat(255)] {
            assert_eq!(s3_parts(&format!("s3://{good}/k")).0, good);
        }
        for bad in ["ab", "..", "...", "-abc", &"a".repeat(256)] {
            assert_eq!(
                Uri::parse(&format!("s3://{bad}/k")),
                Err(Error::BucketName(bad.to_owned()))
            );
        }
        assert_eq!(Uri::parse("s3:///k"), Err(Error::NoBucket));
        assert_eq!(Uri::parse("s3:bucket/k"), Err(Error::NoBucket));
        assert_eq!(Uri::parse("s3://bucket"), Err(Error::NoKey));
        assert_eq!(Uri::parse("s3://bucket/"), Err(Error::NoKey));
        assert_eq!(
            Uri::parse("s3://arn:aws:s3:eu-west-1:1:accesspoint/a/k"),
            Err(Error::BucketArn)
        );
    }

    #[test]
    fn credentials_in_a_uri_are_refused_and_not_repeated() {
        for text in ["s3://AKIA:hunter2@bucket/k", "https://me:hunter2@example.org/a"] {
            let error = Uri::parse(text).unwrap_err();
            let shown = format!("{error} {:?} {error:?}", error.hint());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_signature_is_not_shown() {
        let uri = Uri::parse("https://example.org:8443/a%20b.pdf?X-Amz-Signature=abc#page=2").unwrap();
        assert_eq!(uri.to_string(), "https://example.org:8443/a%20b.pdf");
        assert_eq!(uri.name().as_deref(), Some("a b.pdf"));
    }

    #[test]
    fn files_are_decoded_only_as_urls() {
        let path = |text: &str| match Uri::parse(text) {
            Ok(Uri::File(path)) => path.into_os_string().into_string().unwrap(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(path("/srv/a%20b #1?.txt"), "/srv/a%20b #1?.txt");
        assert_eq!(path("file:///srv/a%20b%23?.txt"), "/srv/a b#?.txt");
        assert_eq!(path("file://localhost/srv/a"), "/srv/a");
        assert_eq!(path("file:/srv/a"), "/srv/a");
        assert_eq!(Uri::parse("file://nas/srv/a"), Err(Error::FileHost));
        assert_eq!(Uri::parse("file://a"), Err(Error::FileHost));
        assert_eq!(Uri::parse("file:///a%00b"), Err(Error::FilePath));
        assert_eq!(Uri::parse("file:///a%ff"), Err(Error::FilePath));
    }

    #[test]
    fn the_name_is_the_last_segment() {
        let name = |text: &str| Uri::parse(text).unwrap().name();
        assert_eq!(name("s3://bkt/a/b c.pdf?versionId=1").as_deref(), Some("b c.pdf"));
        assert_eq!(name("s3://bkt/a/"), None);
        assert_eq!(name("https://example.org/"), None);
        assert_eq!(name("/srv/a.md").as_deref(), Some("a.md"));
    }
}
