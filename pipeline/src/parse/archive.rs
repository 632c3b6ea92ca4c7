//! ZIP archives, of which office documents and books are made.
//!
//! Only what those use is read: entries that are stored or deflated, by the table at the end of the archive. The sizes
//! that the table tells are not believed.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Read;

use flate2::read::DeflateDecoder;

use super::Error;
use super::bounds::ParseBounds;
use super::compound::{long, short};

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const FAR_LOCATOR_BYTES: usize = 20;
/// Longest comment behind the table.
const COMMENT: usize = 0xFFFF;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

/// An archive whose table was read.
pub(super) struct Archive<'b> {
    bytes: &'b [u8],
    /// What it holds, for people.
    of: &'static str,
    bounds: ParseBounds,
    entries: HashMap<String, ArchiveEntry>,
    /// Bytes that were inflated so far.
    spent: Cell<u64>,
}

#[derive(Clone, Copy)]
struct ArchiveEntry {
    deflated: bool,
    known: bool,
    encrypted: bool,
    compressed: usize,
    offset: usize,
}

impl<'b> Archive<'b> {
    /// Whether bytes begin as an archive does.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(b"PK\x03\x04")
    }

    /// The archive that a document of the kind `of` is.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] without a sound table; [`Error::Excessive`] with too many entries.
    pub fn open(bytes: &'b [u8], of: &'static str, bounds: &ParseBounds) -> Result<Archive<'b>, Error> {
        let damaged = || Error::Damaged {
            of,
            what: "its table of entries cannot be read",
        };
        let (mut at, count) = table(bytes).ok_or_else(damaged)?;
        if count > bounds.entries as u64 {
            return Err(Error::Excessive {
                of,
                what: "it has too many entries",
            });
        }
        let mut entries = HashMap::new();
        let mut number = 0;
        while let Some(head) = bytes
            .get(at..at.saturating_add(ENTRY_BYTES))
            .filter(|head| head.starts_with(ENTRY))
        {
            if number > bounds.entries {
                return Err(Error::Excessive {
                    of,
                    what: "it has too many entries",
                });
            }
            let (length, extra) = (usize::from(short(head, 28)), usize::from(short(head, 30)));
            let rest = at + ENTRY_BYTES;
            let name = bytes.get(rest..rest + length).ok_or_else(damaged)?;
            let extra_bytes = bytes.get(rest + length..rest + length + extra).ok_or_else(damaged)?;
            let (compressed, offset) = far(head, extra_bytes);
            let method = short(head, 10);
            let entry = ArchiveEntry {
                deflated: method == 8,
                known: method == 8 || method == 0,
                encrypted: short(head, 8) & 1 != 0,
                compressed: usize::try_from(compressed).map_err(|_| damaged())?,
                offset: usize::try_from(offset).map_err(|_| damaged())?,
            };
            let name = String::from_utf8_lossy(name).replace('\\', "/");
            number += 1;
            entries.entry(key(&name)).or_insert(entry);
            at = rest + length + extra + usize::from(short(head, 32));
        }
        if entries.is_empty() {
            return Err(damaged());
        }
        Ok(Archive {
            bytes,
            of,
            bounds: *bounds,
            entries,
            spent: Cell::new(0),
        })
    }

    /// Whether there is such an entry.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(&key(name))
    }

    /// The bytes of an entry; none where there is no such entry. Names are compared without their case.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], [`Error::Locked`], [`Error::Excessive`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let of = self.of;
        let Some(entry) = self.entries.get(&key(name)) else {
            return Ok(None);
        };
        if entry.encrypted {
            return Err(Error::Locked { of });
        }
        let damaged = || Error::Damaged {
            of,
            what: "an entry of it cannot be inflated",
        };
        if !entry.known {
            return Err(damaged());
        }
        let local = self
            .bytes
            .get(entry.offset..)
            .and_then(|bytes| bytes.get(..LOCAL_BYTES))
            .ok_or_else(damaged)?;
        let from = entry.offset + LOCAL_BYTES + usize::from(short(local, 26)) + usize::from(short(local, 28));
        let data = self.bytes.get(from..).ok_or_else(damaged)?;
        let data = &data[..entry.compressed.min(data.len())];
        let most = self.bounds.entry_bytes.min(self.bounds.total_bytes - self.spent.get());
        let mut out = Vec::new();
        if entry.deflated {
            DeflateDecoder::new(data)
                .take(most + 1)
                .read_to_end(&mut out)
                .map_err(|_| damaged())?;
        } else {
            out.extend_from_slice(&data[..data.len().min(usize::try_from(most + 1).unwrap_or(usize::MAX))]);
        }
        if out.len() as u64 > most {
            return Err(Error::Excessive {
                of,
                what: "it inflates to more than 128 MB in an entry, or 256 MB in all",
            });
        }
        self.spent.set(self.spent.get() + out.len() as u64);
        Ok(Some(out))
    }

    /// [`Archive::read`] of an entry without which there is no document.
    pub fn read_needed(&self, name: &str, what: &'static str) -> Result<Vec<u8>, Error> {
        self.read(name)?.ok_or(Error::Damaged { of: self.of, what })
    }
}

fn key(name: &str) -> String {
    name.trim_start_matches('/').to_lowercase()
}

fn longest(bytes: &[u8], at: usize) -> u64 {
    u64::from(long(bytes, at)) | u64::from(long(bytes, at + 4)) << 32
}

/// Where the table begins, and how many entries it says to have.
fn table(bytes: &[u8]) -> Option<(usize, u64)> {
    let first = bytes.len().saturating_sub(END_BYTES + COMMENT);
    let from = first + bytes[first..].windows(END.len()).rposition(|window| window == END)?;
    let end = &bytes[from..];
    let (count, at) = (short(end, 10), long(end, 16));
    let locator = from.checked_sub(FAR_LOCATOR_BYTES).map(|from| &bytes[from..]);
    if let Some(locator) = locator.filter(|bytes| bytes.starts_with(b"PK\x06\x07")) {
        let end = bytes.get(usize::try_from(longest(locator, 8)).ok()?..)?;
        if end.starts_with(b"PK\x06\x06") {
            return Some((usize::try_from(longest(end, 48)).ok()?, longest(end, 32)));
        }
    }
    let at = usize::try_from(at).ok()?;
    // Where something stands before the archive, its offsets may not count that: then nothing is there.
    (at < bytes.len()).then_some((at, count.into()))
}

/// The compressed size and the place of an entry, from the extra field where they do not fit into their own.
fn far(head: &[u8], extra: &[u8]) -> (u64, u64) {
    let (size, compressed, offset) = (long(head, 24), long(head, 20), long(head, 42));
    let mut found = (u64::from(compressed), u64::from(offset));
    let mut rest = extra;
    while rest.len() >= 4 {
        let (kind, length) = (short(rest, 0), usize::from(short(rest, 2)));
        let Some(mut field) = rest.get(4..4 + length) else {
            break;
        };
        if kind == 1 {
            let mut next = || {
                let value = (field.len() >= 8).then(|| longest(field, 0));
                field = field.get(8..).unwrap_or_default();
                value
            };
            if size == u32::MAX {
                next();
            }
            if compressed == u32::MAX {
                found.0 = next().unwrap_or(found.0);
            }
            if offset == u32::MAX {
                found.1 = next().unwrap_or(found.1);
            }
        }
        rest = &rest[4 + length..];
    }
    found
}
