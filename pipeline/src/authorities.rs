//! `SSL_CERT_FILE` and `SSL_CERT_DIR`: whom to trust, where the administrator of the server says so. What the
//! library that reads them cannot read it passes over, and says of the rest that no authority is known,
//! without a word of the variable.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// A file of certificates.
pub const FILE: &str = "SSL_CERT_FILE";
/// Folders of such files, with colons between them.
pub const FOLDERS: &str = "SSL_CERT_DIR";

/// The variable that leads nowhere, if one does, and what is wrong with it. Folders may be missing where
/// others are not.
pub fn fault(variable: impl Fn(&str) -> Option<OsString>) -> Option<(&'static str, String)> {
    let value = |name: &str| variable(name).filter(|value| !value.is_empty());
    let file = value(FILE);
    if let Some(file) = &file {
        match certificates(Path::new(file)) {
            Err(error) => return Some((FILE, format!("names a file that cannot be read: {}", error.kind()))),
            Ok(false) => return Some((FILE, "names a file that holds no certificate".to_owned())),
            Ok(true) => (),
        }
    }
    let folders = value(FOLDERS)?;
    let fault = fault_of_folders(&folders, file.is_some());
    fault.map(|fault| (FOLDERS, fault))
}

fn fault_of_folders(folders: &OsStr, has_others: bool) -> Option<String> {
    let mut unread = None;
    let mut is_read = false;
    for folder in std::env::split_paths(folders).filter(|folder| !folder.as_os_str().is_empty()) {
        match std::fs::read_dir(&folder) {
            Err(error) => unread = Some(error.kind()),
            Ok(files) => {
                is_read = true;
                let mut files = files.flatten();
                if files.any(|file| certificates(&file.path()).unwrap_or(false)) {
                    return None;
                }
            }
        }
    }
    match unread {
        Some(kind) if !is_read => Some(format!("names no folder that can be read: {kind}")),
        _ if has_others => None,
        _ => Some("names no folder with certificates".to_owned()),
    }
}

/// Whether there are any in a file.
fn certificates(path: &Path) -> std::io::Result<bool> {
    let bytes = std::fs::read(path)?;
    let certificates = reqwest::Certificate::from_pem_bundle(&bytes).unwrap_or_default();
    Ok(!certificates.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_nowhere_is_named() {
        let place = tempfile::tempdir().expect("there is room");
        let [empty, full, none] = ["empty", "full", "none"].map(|name| place.path().join(name));
        for folder in [&empty, &full] {
            std::fs::create_dir(folder).expect("there is room");
        }
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        std::fs::write(full.join("5ad8a5d6.0"), pem).expect("it is ours");
        std::fs::write(full.join("README"), "none").expect("it is ours");
        let path = |path: &Path| path.as_os_str().to_owned();
        let both = std::env::join_paths([&none, &full]).expect("no colons");
        for (file, folders, expected) in [
            (None, None, None),
            (Some("".into()), Some("".into()), None),
            (Some(path(&full.join("5ad8a5d6.0"))), None, None),
            (None, Some(path(&full)), None),
            (None, Some(both), None),
            (Some(path(&full.join("5ad8a5d6.0"))), Some(path(&empty)), None),
            (
                Some(path(&none)),
                Some(path(&full)),
                Some((FILE, "cannot be read: entity not found")),
            ),
            (Some(path(&full)), None, Some((FILE, "cannot be read: is a directory"))),
            (
                Some(path(&full.join("README"))),
                None,
                Some((FILE, "holds no certificate")),
            ),
            (
                None,
                Some(path(&none)),
                Some((FOLDERS, "can be read: entity not found")),
            ),
            (None, Some(path(&empty)), Some((FOLDERS, "no folder with certificates"))),
            (
                Some(path(&full.join("5ad8a5d6.0"))),
                Some(path(&none)),
                Some((FOLDERS, "can be read: entity not found")),
            ),
        ] {
            let variable = |name: &str| if name == FILE { file.clone() } else { folders.clone() };
            match (fault(variable), expected) {
                (None, None) => (),
                (Some((name, said)), Some((expected, part))) => {
                    assert_eq!(name, expected);
                    assert!(said.ends_with(part), "{said}");
                }
                other => panic!("{file:?} {folders:?}: {other:?}"),
            }
        }
    }
}
