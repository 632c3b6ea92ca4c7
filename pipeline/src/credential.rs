//! Where a credential is, in place of the credential: what a foreign server or a user mapping says.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use zeroize::Zeroize;

use crate::error::Cause;
use crate::secret::Secret;

/// A credential is shorter: the longest are tokens with certificates in them.
const GREATEST_BYTES: u64 = 64 * 1024;
/// Bits of a file's mode that let others than its owner change it, or everybody read it. Its group may read it: that is
/// how systems hand secrets to services.
const TOO_OPEN: u32 = 0o026;

/// A reference to a credential, never the credential. `Debug` and `Display` show it: it is fit for messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `env:NAME`: a variable of the server's environment.
    Env(String),
    /// `file:/path`: the content of a file.
    File(PathBuf),
}

/// What is no reference. It does not show the text, which may be a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must say where the credential is, not what it is")]
pub struct NoReference;

impl Reference {
    /// Reads `env:NAME` or `file:/path` (also `file:///path`).
    ///
    /// ```
    /// use ai_pipeline::credential::Reference;
    /// assert_eq!(Reference::parse("env:OPENAI_API_KEY").unwrap().to_string(), "env:OPENAI_API_KEY");
    /// assert!(Reference::parse("sk-123").is_err());
    /// ```
    ///
    /// # Errors
    /// [`NoReference`] for everything else, a credential above all.
    pub fn parse(text: &str) -> Result<Reference, NoReference> {
        if let Some(name) = text.strip_prefix("env:") {
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            return is_name.then(|| Reference::Env(name.to_owned())).ok_or(NoReference);
        }
        let path = text.strip_prefix("file:").ok_or(NoReference)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.len() < 2 || !path.starts_with('/') || path.contains('\0') {
            return Err(NoReference);
        }
        Ok(Reference::File(PathBuf::from(path)))
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Env(name) => write!(f, "env:{name}"),
            Reference::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// Why there is no credential in a file. Nothing of its content is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file {} {what}", path.display())]
pub struct Unreadable {
    /// As it was configured.
    pub path: PathBuf,
    /// What is in the way.
    pub what: String,
    /// What to change.
    pub hint: Option<String>,
    /// What the system said.
    #[source]
    pub cause: Option<Cause>,
}

/// The credential in a file below `directory`, without the line break at its end. `user` is the number of the operating
/// system user that runs the server.
///
/// The kernel keeps the path below the directory (`RESOLVE_BENEATH` of openat2(2)); what is checked is what was opened.
///
/// # Errors
/// [`Unreadable`] where there is no directory, the file is elsewhere, not a regular file, larger than 64 KiB,
/// empty, not text, of another user, or open to others.
pub fn read_file(path: &Path, directory: Option<&Path>, user: u32) -> Result<Secret, Unreadable> {
    let wrong = |what: &str, hint: Option<&str>| Unreadable {
        path: path.to_owned(),
        what: what.to_owned(),
        hint: hint.map(str::to_owned),
        cause: None,
    };
    let failed = |what: &str, cause: Cause| Unreadable {
        cause: Some(cause.clone()),
        ..wrong(&format!("{what}: {cause}"), None)
    };
    let directory = directory.filter(|directory| directory.is_absolute()).ok_or_else(|| {
        let hint = "set ai.secret_directory to the absolute path of the directory that holds credentials";
        wrong("cannot be read: no directory of credentials is set", Some(hint))
    })?;
    let outside = || {
        wrong(
            "is not below ai.secret_directory",
            Some("symbolic links must be relative and stay below it"),
        )
    };
    let below = path.strip_prefix(directory).map_err(|_| outside())?;
    if below.as_os_str().is_empty() {
        return Err(outside());
    }
    let root_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, directory, root_flags, Mode::empty())
        .map_err(|errno| failed("cannot be read: ai.secret_directory", Cause::new(errno)))?;
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(&root, below, flags, Mode::empty(), resolve).map_err(|errno| match errno {
        rustix::io::Errno::XDEV => outside(),
        other => failed("cannot be opened", Cause::new(other)),
    })?;
    let stat = fstat(&opened).map_err(|errno| failed("cannot be read", Cause::new(errno)))?;
    must_be_kept(&stat, user).map_err(|(what, hint)| wrong(what, hint))?;
    match read_text(File::from(opened)) {
        Ok(Ok(secret)) => Ok(secret),
        Ok(Err(what)) => Err(wrong(what, None)),
        Err(error) => Err(failed("cannot be read", Cause::new(error))),
    }
}

/// What is wrong with a file that others could read or write, and what would mend it.
fn must_be_kept(stat: &Stat, user: u32) -> Result<(), (&'static str, Option<&'static str>)> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(("is not a regular file", None));
    }
    if stat.st_uid != user && stat.st_uid != 0 {
        let hint = "it must belong to root or to the user that runs Postgres";
        return Err(("belongs to another user", Some(hint)));
    }
    if stat.st_mode & TOO_OPEN != 0 {
        return Err(("is open to others", Some("its mode should be 0600, 0400 or 0640")));
    }
    Ok(())
}

/// The credential in a file, or what is wrong with it. What was read leaves nothing in memory but
/// the credential.
fn read_text(file: File) -> std::io::Result<Result<Secret, &'static str>> {
    let mut bytes = Vec::new();
    // One byte more than allowed: the file may grow while it is read.
    let read = file.take(GREATEST_BYTES + 1).read_to_end(&mut bytes);
    let secret = match std::str::from_utf8(&bytes).map(|text| text.trim_end_matches(['\n', '\r'])) {
        _ if bytes.len() as u64 > GREATEST_BYTES => Err("is larger than 64 KiB"),
        Err(_) => Err("is not text"),
        Ok("") => Err("is empty"),
        Ok(text) => Ok(Secret::new(text.to_owned())),
    };
    bytes.zeroize();
    read.map(|_| secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_reference_says_where_and_a_credential_is_none() {
        let reference = |text| Reference::parse(text);
        assert_eq!(reference("env:KEY"), Ok(Reference::Env("KEY".to_owned())));
        for file in ["file:/run/secrets/key", "file:///run/secrets/key"] {
            assert_eq!(
                reference(file),
                Ok(Reference::File("/run/secrets/key".into())),
                "{file}"
            );
        }
        for wrong in [
            "",
            "sk-canary",
            "env:",
            "env:sk-canary",
            "env:A=B",
            "env:1",
            "file:",
            "file:key",
            "file:/",
            "file://",
            "file://host",
            "ENV:KEY",
            " env:KEY",
        ] {
            let error = reference(wrong).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{wrong}: {error}");
        }
    }

    struct TestFile {
        directory: tempfile::TempDir,
        user: u32,
    }

    impl TestFile {
        fn new() -> TestFile {
            let directory = tempfile::tempdir().unwrap();
            let user = fstat(File::open(directory.path()).unwrap()).unwrap().st_uid;
            TestFile { directory, user }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
            let path = self.path(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn read(&self, path: &Path) -> Result<String, String> {
            let read = read_file(path, Some(self.directory.path()), self.user);
            read.map(|secret| secret.expose().to_owned())
                .map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_file_is_read_without_its_last_line_break_and_again_when_it_changes() {
        let place = TestFile::new();
        let path = place.write("key", b"canary\n", 0o600);
        assert_eq!(place.read(&path).as_deref(), Ok("canary"));
        // As Kubernetes rotates: a relative link to another directory.
        std::fs::create_dir(place.path("..2")).unwrap();
        place.write("..2/key", b"second\r\n", 0o640);
        std::fs::remove_file(&path).unwrap();
        symlink("..2/key", &path).unwrap();
        assert_eq!(place.read(&path).as_deref(), Ok("second"));
    }

    #[test]
    fn files_that_others_could_read_or_have_written_are_refused() {
        let place = TestFile::new();
        for (mode, fits) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o644, false),
            (0o620, false),
            (0o602, false),
        ] {
            let path = place.write("key", b"canary", mode);
            let read = place.read(&path);
            assert_eq!(read.is_ok(), fits, "{mode:o}: {read:?}");
            assert!(read.is_ok() || !read.unwrap_err().contains("canary"));
            std::fs::remove_file(path).unwrap();
        }
        let path = place.write("key", b"canary", 0o600);
        let stranger = read_file(&path, Some(place.directory.path()), place.user + 1);
        // Root's are everybody's.
        assert_eq!(stranger.is_err(), place.user != 0, "{stranger:?}");
    }

    #[test]
    fn only_small_texts_in_regular_files_below_the_directory_are_credentials() {
        let place = TestFile::new();
        let elsewhere = TestFile::new();
        let outside = elsewhere.write("key", b"canary", 0o600);
        symlink(&outside, place.path("link")).unwrap();
        std::fs::create_dir(place.path("folder")).unwrap();
        place.write("large", &[b'x'; 64 * 1024 + 1], 0o600);
        place.write("empty", b"\n", 0o600);
        place.write("binary", b"\xff\xfe", 0o600);
        nix::unistd::mkfifo(&place.path("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        for (path, why) in [
            (outside.clone(), "is not below"),
            (place.path("link"), "is not below"),
            (place.path("../key"), "is not below"),
            (place.directory.path().to_owned(), "is not below"),
            (place.path("folder"), "not a regular file"),
            (place.path("pipe"), "not a regular file"),
            (place.path("large"), "larger than 64 KiB"),
            (place.path("empty"), "is empty"),
            (place.path("binary"), "is not text"),
            (place.path("missing"), "cannot be opened"),
        ] {
            let error = place.read(&path).unwrap_err();
            assert!(error.contains(why), "{}: {error}", path.display());
        }
        let closed = read_file(&outside, None, place.user).unwrap_err();
        assert!(closed.hint.unwrap().contains("ai.secret_directory"));
    }
}
