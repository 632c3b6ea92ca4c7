//! Files of the server, below directories that an administrator named.

pub(super) mod error;

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

pub use self::error::Error;
use super::document::{Document, Loaded};
use super::error as loading;
use super::tag::{FileState, Tag};
use crate::error::Cause;
use crate::panics;

/// Reads a file, if it is not the one that `known` is the tag of. Blocking calls run on tokio's blocking pool.
pub(super) async fn load(
    path: &Path,
    directories: &[PathBuf],
    known: Option<&Tag>,
    limit: u64,
) -> Result<Loaded, loading::Error> {
    let (path, directories, known) = (path.to_owned(), directories.to_owned(), known.cloned());
    let read = panics::blocking(move || read(&path, &directories, known.as_ref(), limit)).await;
    read.map_err(Error::Interrupted)?
}

fn read(path: &Path, directories: &[PathBuf], known: Option<&Tag>, limit: u64) -> Result<Loaded, loading::Error> {
    let mut file = open(path, directories)?;
    let io = |error: std::io::Error| Error::Io {
        path: path.to_owned(),
        cause: Cause::new(error),
    };
    let too_large = |size| loading::Error::TooLarge {
        location: path.display().to_string(),
        size,
        limit,
    };
    let before = file.metadata().map_err(io)?;
    if known == Some(&Tag::of_file(&state(&before))) {
        return Ok(Loaded::Unchanged);
    }
    let size = before.len();
    if size > limit {
        return Err(too_large(Some(size)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // One byte more than allowed: the file may grow while it is read.
    let mut bounded = (&mut file).take(limit.saturating_add(1));
    bounded.read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(None));
    }
    let after = state(&file.metadata().map_err(io)?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(i128::MAX));
    let whole = after == state(&before) && after.is_settled(now);
    Ok(Loaded::Document(Document {
        bytes: bytes.into(),
        name: None,
        media_type: None,
        tag: whole.then(|| Tag::of_file(&after)),
    }))
}

fn state(metadata: &Metadata) -> FileState {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    FileState {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Opens a regular file below one of the directories.
///
/// The kernel does the containment (`RESOLVE_BENEATH` of openat2(2)): a check of the path before opening it
/// could be passed and the path changed afterwards. Outside the directories nothing is touched, so errors do
/// not tell what exists.
fn open(path: &Path, directories: &[PathBuf]) -> Result<File, Error> {
    if directories.is_empty() {
        return Err(Error::Closed);
    }
    let outside = || Error::Outside { path: path.to_owned() };
    let (directory, below) = directories
        .iter()
        .find_map(|directory| Some((directory, path.strip_prefix(directory).ok()?)))
        .filter(|(directory, below)| directory.is_absolute() && !below.as_os_str().is_empty())
        .ok_or_else(outside)?;
    let root = openat(
        CWD,
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| Error::Directory {
        directory: directory.clone(),
        cause: Cause::new(errno),
    })?;
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(&root, below, flags, Mode::empty(), resolve).map_err(|errno| match errno {
        Errno::XDEV => outside(),
        Errno::NOENT | Errno::NOTDIR => Error::Missing { path: path.to_owned() },
        Errno::ACCESS | Errno::PERM => Error::Denied { path: path.to_owned() },
        // A socket, or a device without a driver.
        Errno::NXIO | Errno::NODEV => Error::NotRegular { path: path.to_owned() },
        Errno::LOOP | Errno::NAMETOOLONG => Error::Missing { path: path.to_owned() },
        other => Error::Io {
            path: path.to_owned(),
            cause: Cause::new(other),
        },
    })?;
    let stat = fstat(&opened).map_err(|errno| Error::Io {
        path: path.to_owned(),
        cause: Cause::new(errno),
    })?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::NotRegular { path: path.to_owned() });
    }
    Ok(File::from(opened))
}
