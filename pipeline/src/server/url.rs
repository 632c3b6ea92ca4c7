//! Which documents rows may name: buckets and prefixes, hosts and paths, directories.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use crate::uri::{Uri, without_query};

/// A place, and everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedUrl {
    /// `s3://bucket`, or `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What keys begin with, up to a `/`; without one at its own end. Empty: all keys.
        prefix: String,
    },
    /// `https://host`, or `https://host/path`.
    Http(Url),
    /// `file:///directory`, or `/directory`.
    File(PathBuf),
}

impl AllowedUrl {
    /// Reads one of a list.
    ///
    /// # Errors
    /// What is wrong with it, for people. User names, passwords and queries are not repeated.
    pub fn parse(text: &str) -> Result<AllowedUrl, String> {
        let bucket = text
            .strip_prefix("s3://")
            .filter(|rest| !rest.trim_end_matches('/').contains('/'));
        // A bucket alone is no document: one is made up below it.
        let whole = match bucket {
            Some(bucket) => format!("s3://{}/x", bucket.trim_end_matches('/')),
            None => text.to_owned(),
        };
        if text.contains('*') {
            return Err("a * stands for itself: name each bucket, host or directory".to_owned());
        }
        match Uri::parse(&whole).map_err(|error| error.to_string())? {
            Uri::S3 {
                version_id: Some(_), ..
            } => Err("an S3 URL must not name a version".to_owned()),
            Uri::S3 { bucket: name, .. } if bucket.is_some() => Ok(AllowedUrl::S3 {
                bucket: name,
                prefix: String::new(),
            }),
            Uri::S3 { bucket, key, .. } => Ok(AllowedUrl::S3 {
                bucket,
                prefix: key.trim_end_matches('/').to_owned(),
            }),
            Uri::Http(url) if url.query().is_some() || url.fragment().is_some() => {
                Err(format!("{} must have no query and no fragment", without_query(&url)))
            }
            Uri::Http(url) => Ok(AllowedUrl::Http(url)),
            Uri::File(path) if path.components().any(|part| part == std::path::Component::ParentDir) => {
                Err(format!("{} must not contain ..", path.display()))
            }
            Uri::File(path) => Ok(AllowedUrl::File(path)),
        }
    }

    /// The type of the servers that can allow it.
    pub fn kind(&self) -> &'static str {
        match self {
            AllowedUrl::S3 { .. } => "s3",
            AllowedUrl::Http(_) => "http",
            AllowedUrl::File(_) => "file",
        }
    }

    /// Whether an object is at or below it. To S3 a `..` in a key is a name like any other; to servers and proxies that
    /// keep buckets in the path it may be the way up.
    pub fn has_object(&self, in_bucket: &str, key: &str) -> bool {
        let climbs = key.split('/').any(|part| part == "..");
        match self {
            AllowedUrl::S3 { bucket, prefix } => bucket == in_bucket && !climbs && is_below(key, prefix),
            AllowedUrl::Http(_) | AllowedUrl::File(_) => false,
        }
    }

    /// Whether a web address is at or below it: the same scheme, host and port, and a path below.
    pub fn has_address(&self, url: &Url) -> bool {
        let AllowedUrl::Http(allowed) = self else { return false };
        if allowed.origin() != url.origin() {
            return false;
        }
        let prefix = allowed.path().trim_end_matches('/');
        // Some servers read %2F as /, and go up from there where the standard sees one strange name.
        let path = url.path().to_ascii_lowercase();
        let is_plain = !["%2f", "%5c"].iter().any(|hidden| path.contains(hidden));
        prefix.is_empty() || (is_plain && is_below(url.path(), prefix))
    }
}

/// Whether it is the prefix itself, or goes on with a `/`.
fn is_below(path: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for AllowedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AllowedUrl::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            AllowedUrl::Http(url) => f.write_str(url.as_str()),
            AllowedUrl::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// AWS takes a session policy of no more characters.
const GREATEST_POLICY: usize = 2048;

/// What a role may do for us at most, whatever it may do by itself: read what is allowed. `None` where all is
/// allowed, or the policy would be too long for AWS.
///
/// To list is part of it, because S3 says "access denied" instead of "no such key" without it; so is to
/// decrypt, because the key of an encrypted object is not known beforehand.
pub fn session_policy(role: &str, allowed: Option<&[AllowedUrl]>) -> Option<String> {
    let partition = role.split(':').nth(1).unwrap_or("aws");
    let (mut objects, mut buckets) = (Vec::new(), Vec::new());
    for url in allowed? {
        if let AllowedUrl::S3 { bucket, prefix } = url {
            // These stand for something in a policy: what they stand for is wider, and checked elsewhere.
            let prefix = prefix.replace(['*', '?', '$'], "?");
            let below = if prefix.is_empty() {
                "*".to_owned()
            } else {
                format!("{prefix}*")
            };
            objects.push(format!("arn:{partition}:s3:::{bucket}/{below}"));
            buckets.push(format!("arn:{partition}:s3:::{bucket}"));
        }
    }
    buckets.dedup();
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": objects },
            { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": buckets },
            { "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*" },
        ],
    })
    .to_string();
    (!objects.is_empty() && policy.len() <= GREATEST_POLICY).then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> AllowedUrl {
        AllowedUrl::parse(text).unwrap()
    }

    #[test]
    fn a_bucket_or_a_prefix_ends_where_a_name_ends() {
        for (url, bucket, key, fits) in [
            ("s3://docs", "docs", "any/key", true),
            ("s3://docs/", "docs", "any/key", true),
            ("s3://docs", "docs-secret", "key", false),
            ("s3://docs/public", "docs", "public/a.pdf", true),
            ("s3://docs/public/", "docs", "public/a.pdf", true),
            ("s3://docs/public", "docs", "public", true),
            ("s3://docs/public", "docs", "public-not/a.pdf", false),
            ("s3://docs/public", "docs", "private/a.pdf", false),
            ("s3://docs/public", "other", "public/a.pdf", false),
            ("s3://docs/public", "docs", "public/../private/a.pdf", false),
            ("s3://docs", "docs", "../other/a.pdf", false),
            ("s3://docs", "docs", "a..b/..c.pdf", true),
        ] {
            assert_eq!(allowed(url).has_object(bucket, key), fits, "{url} {bucket} {key}");
        }
    }

    #[test]
    fn a_web_address_has_the_same_origin_and_a_path_below() {
        for (url, address, fits) in [
            ("https://host", "https://host/any?x=1", true),
            ("https://host/", "https://HOST:443/any", true),
            ("https://host", "http://host/any", false),
            ("https://host", "https://host:8443/any", false),
            ("https://host", "https://host.evil/any", false),
            ("https://host", "https://sub.host/any", false),
            ("https://host/docs", "https://host/docs/a", true),
            ("https://host/docs", "https://host/docs", true),
            ("https://host/docs", "https://host/docs-secret/a", false),
            ("https://host/docs", "https://host/docs/../secret", false),
            ("https://host/docs", "https://host/docs/%2e%2e/secret", false),
            ("https://host/docs", "https://host/docs/..%2fsecret", false),
            ("https://host/docs", "https://host/docs/..%5Csecret", false),
            ("https://host/docs", "https://host/docs\\..\\secret", false),
            ("http://127.0.0.1", "http://2130706433/", true),
        ] {
            let address = Url::parse(address).unwrap();
            assert_eq!(allowed(url).has_address(&address), fits, "{url} {address}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for wrong in [
            "",
            "docs",
            "ftp://host/",
            "s3://",
            "s3://docs/*",
            "https://*.host/",
            "https://me:canary@host/",
            "https://host/?token=canary",
            "file:///srv/../etc",
            "s3://docs/a?versionId=x",
        ] {
            let error = AllowedUrl::parse(wrong).unwrap_err();
            assert!(!error.contains("canary"), "{wrong}: {error}");
        }
        assert_eq!(allowed("file:///srv/docs"), allowed("/srv/docs"));
    }

    #[test]
    fn a_role_may_do_no_more_than_read_what_is_allowed() {
        let urls = [allowed("s3://docs/public"), allowed("s3://other")];
        let policy = session_policy("arn:aws-cn:iam::1:role/r", Some(&urls)).unwrap();
        for part in [
            "arn:aws-cn:s3:::docs/public*",
            "arn:aws-cn:s3:::other/*",
            "arn:aws-cn:s3:::docs\"",
            "s3:GetObject",
        ] {
            assert!(policy.contains(part), "{part}: {policy}");
        }
        assert_eq!(session_policy("arn:aws:iam::1:role/r", None), None);
        let many: Vec<AllowedUrl> = (0..100)
            .map(|n| allowed(&format!("s3://a-bucket-number-{n}")))
            .collect();
        assert_eq!(session_policy("arn:aws:iam::1:role/r", Some(&many)), None);
    }
}
