//! What the SDK of AWS reads by itself: variables of the environment, and the files that they name.
//! What it cannot read it takes for absent. So a request would go out unsigned, to another region
//! or past a proxy, and documents would be given up for it.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::Error;

/// Parts of credentials, which are in the header of a request. Only who signs one reads them.
const SECRETS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];
/// Where profiles are, and which variable names another place.
const FILES: [(&str, &str); 2] = [
    ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ("AWS_CONFIG_FILE", ".aws/config"),
];

/// Checks what is read for any request: all variables of AWS but [`SECRETS`], proxies, and where
/// the home directory is.
///
/// # Errors
///
/// [`Error::Environment`].
pub(super) fn check(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), Box<Error>> {
    let is_read = |name: &str| {
        let upper = name.to_ascii_uppercase();
        !SECRETS.contains(&name) && (upper.starts_with("AWS_") || upper.ends_with("_PROXY") || upper == "HOME")
    };
    check_those(variables, is_read)
}

/// Checks credentials.
///
/// # Errors
///
/// [`Error::Environment`].
pub(super) fn check_secrets(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), Box<Error>> {
    check_those(variables, |name| SECRETS.contains(&name))
}

fn check_those(
    variables: impl Iterator<Item = (OsString, OsString)>,
    is_read: impl Fn(&str) -> bool,
) -> Result<(), Box<Error>> {
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| is_read(name)) else {
            continue;
        };
        if let Some(fault) = fault(name, &value) {
            return Err(unfit(name, fault));
        }
    }
    Ok(())
}

fn unfit(name: &str, fault: impl Into<String>) -> Box<Error> {
    Box::new(Error::Environment {
        what: format!("{name} in the environment of the server"),
        fault: fault.into(),
    })
}

fn fault(name: &str, value: &OsStr) -> Option<&'static str> {
    let Some(value) = value.to_str().map(str::trim) else {
        return Some("is not text in UTF-8");
    };
    if value.contains(char::is_control) {
        return Some("has a line break or another control character in it");
    }
    let can_be_sent = value.bytes().all(|byte| byte.is_ascii_graphic());
    (SECRETS.contains(&name) && !can_be_sent).then_some("holds characters that cannot be sent")
}

/// Why no credentials were found, where they are meant to be there: half of them, or a file that
/// cannot be read.
///
/// # Errors
///
/// [`Error::Environment`].
pub(super) fn check_absent(variable: impl Fn(&str) -> Option<OsString>) -> Result<(), Box<Error>> {
    let value = |name: &str| variable(name).filter(|value| value.to_str().is_none_or(|value| !value.trim().is_empty()));
    let [id, secret, other, ..] = SECRETS;
    match (value(id).is_some(), value(secret).or_else(|| value(other)).is_some()) {
        (true, false) => return Err(unfit(id, format!("is set, and {secret} is not"))),
        (false, true) => return Err(unfit(secret, format!("is set, and {id} is not"))),
        _ => (),
    }
    let home = value("HOME").map(PathBuf::from);
    for (name, usual) in FILES {
        let named = value(name).map(PathBuf::from);
        let what = match &named {
            Some(_) => format!("the file that {name} in the environment of the server names"),
            None => format!("the file ~/{usual} of the operating system user of the server"),
        };
        let path = match (&named, &home) {
            (Some(path), Some(home)) => path
                .strip_prefix("~")
                .map_or_else(|_| path.clone(), |rest| home.join(rest)),
            (Some(path), None) => path.clone(),
            (None, Some(home)) => home.join(usual),
            (None, None) => continue,
        };
        if let Some(fault) = fault_of_file(&path, named.is_some()) {
            return Err(Box::new(Error::Environment { what, fault }));
        }
    }
    Ok(())
}

fn fault_of_file(path: &Path, must_be_there: bool) -> Option<String> {
    match std::fs::read(path) {
        Ok(bytes) => std::str::from_utf8(&bytes)
            .is_err()
            .then(|| "is not text in UTF-8".to_owned()),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory if !must_be_there => None,
            kind => Some(format!("cannot be read: {kind}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    type Check = fn(std::vec::IntoIter<(OsString, OsString)>) -> Result<(), Box<Error>>;

    fn said(check: Check, name: &str, value: &[u8]) -> Option<String> {
        let variables = vec![
            ("PATH".into(), OsStr::from_bytes(b"\xff").into()),
            (name.into(), OsStr::from_bytes(value).into()),
        ];
        check(variables.into_iter()).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_there_and_unusable_is_named_and_not_shown() {
        let all: Check = |variables| check(variables);
        let secrets: Check = |variables| check_secrets(variables);
        for (check, names) in [
            (
                all,
                &[
                    "AWS_REGION",
                    "AWS_ENDPOINT_URL_S3",
                    "AWS_CA_BUNDLE",
                    "AWS_PROFILE",
                    "https_proxy",
                    "HOME",
                ][..],
            ),
            (secrets, &SECRETS[..]),
        ] {
            for name in names {
                for value in [&b"canary\xff"[..], b"canary\nsecond", b"\x00canary", b"canary\x7fx"] {
                    let said = said(check, name, value).unwrap_or_else(|| panic!("{name}: {value:?}"));
                    assert!(said.starts_with(&format!("{name} in the environment")), "{said}");
                    assert!(!said.contains("canary"), "{said}");
                }
                for value in [&b""[..], b" \n", b" fine\r\n"] {
                    assert_eq!(said(check, name, value), None, "{name}");
                }
            }
        }
        // What cannot be in a header, but in the name of a file.
        assert!(said(secrets, "AWS_SECRET_ACCESS_KEY", "schlüssel".as_bytes()).is_some());
        assert!(said(secrets, "AWS_SESSION_TOKEN", b"a b").is_some());
        assert_eq!(said(all, "AWS_CONFIG_FILE", "/schlüssel dort".as_bytes()), None);
        // Each is looked at by the code that reads it.
        assert_eq!(said(all, "AWS_SESSION_TOKEN", b"\xff"), None);
        assert_eq!(said(secrets, "AWS_REGION", b"\xff"), None);
        assert_eq!(said(all, "LANG", b"\xff"), None);
    }

    #[test]
    fn credentials_that_are_meant_to_be_there_are_not_taken_for_none() {
        let home = tempfile::tempdir().expect("there is room");
        let absent = |variables: &[(&str, &Path)]| {
            let variable = |name: &str| {
                let known = variables.iter().find(|(known, _)| *known == name);
                known.map(|(_, value)| value.as_os_str().to_owned())
            };
            check_absent(variable).err().map(|error| error.to_string())
        };
        let path = Path::new;
        let of_home = ("HOME", home.path());
        assert_eq!(absent(&[]), None);
        assert_eq!(absent(&[of_home]), None);
        assert_eq!(
            absent(&[("AWS_ACCESS_KEY_ID", path(" ")), ("AWS_SECRET_ACCESS_KEY", path(""))]),
            None
        );
        let id = ("AWS_ACCESS_KEY_ID", path("canary"));
        for (variables, expected) in [
            (
                vec![id],
                "AWS_ACCESS_KEY_ID in the environment of the server is set, and AWS_SECRET_ACCESS_KEY is not",
            ),
            (
                vec![id, ("AWS_SECRET_ACCESS_KEY", path(""))],
                "AWS_ACCESS_KEY_ID in the environment of the server is set, and AWS_SECRET_ACCESS_KEY is not",
            ),
            (
                vec![("AWS_SECRET_ACCESS_KEY", path("canary"))],
                "AWS_SECRET_ACCESS_KEY in the environment of the server is set, and AWS_ACCESS_KEY_ID is not",
            ),
            (
                vec![("AWS_CONFIG_FILE", path("/nowhere"))],
                "the file that AWS_CONFIG_FILE in the environment of the server names cannot be read: entity not found",
            ),
        ] {
            assert_eq!(absent(&variables).as_deref(), Some(expected));
        }
        std::fs::create_dir(home.path().join(".aws")).expect("there is room");
        std::fs::write(
            home.path().join(".aws/credentials"),
            b"[default]\naws_secret_access_key = canary\xff",
        )
        .expect("it is ours");
        let expected = "the file ~/.aws/credentials of the operating system user of the server is not text in UTF-8";
        assert_eq!(absent(&[of_home]).as_deref(), Some(expected));
        let named = ("AWS_SHARED_CREDENTIALS_FILE", path("~/.aws/credentials"));
        assert!(absent(&[of_home, named]).is_some_and(|said| said.contains("AWS_SHARED_CREDENTIALS_FILE")));
    }
}
