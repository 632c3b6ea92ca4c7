//! Compound files (OLE2), of which the office documents of the years before 2007 are made.

use std::collections::HashMap;

use super::Error;
use super::bounds::ParseBounds;

const MAGIC: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
const HEADER_BYTES: usize = 512;
/// Places of the table of sectors that stand in the header.
const IN_HEADER: usize = 109;
const ENTRY_BYTES: usize = 128;
const SHORT_SECTOR: usize = 64;
/// Streams below this lie in sectors of [`SHORT_SECTOR`] bytes.
const SHORT_STREAM: u64 = 4096;
/// No sector has such a number or a greater one.
const LAST: u32 = 0xFFFF_FFFA;

/// A compound file whose directory was read.
pub(super) struct Compound<'b> {
    bytes: &'b [u8],
    of: &'static str,
    sector: usize,
    /// The sector that follows each sector.
    next: Vec<u32>,
    next_short: Vec<u32>,
    short: Vec<u8>,
    streams: HashMap<String, (u32, u64)>,
    names: Vec<String>,
    bounds: ParseBounds,
}

impl<'b> Compound<'b> {
    /// Whether bytes begin as such a file does.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// # Errors
    ///
    /// [`Error::Damaged`] without a sound directory, [`Error::Excessive`].
    pub fn open(bytes: &'b [u8], of: &'static str, bounds: &ParseBounds) -> Result<Compound<'b>, Error> {
        let damaged = || Error::Damaged {
            of,
            what: "its directory cannot be read",
        };
        if bytes.len() < HEADER_BYTES {
            return Err(damaged());
        }
        let sector = match short(bytes, 30) {
            9 => 512,
            12 => 4096,
            _ => return Err(damaged()),
        };
        let mut file = Compound {
            bytes,
            of,
            sector,
            next: Vec::new(),
            next_short: Vec::new(),
            short: Vec::new(),
            streams: HashMap::new(),
            names: Vec::new(),
            bounds: *bounds,
        };
        file.next = file.table().ok_or_else(damaged)?;
        let shorts = file.chain(long(bytes, 60), u64::MAX).ok_or_else(damaged)?;
        file.next_short = numbers(&shorts).collect();
        let directory = file.chain(long(bytes, 48), u64::MAX).ok_or_else(damaged)?;
        file.directory(&directory).ok_or_else(damaged)?;
        Ok(file)
    }

    /// The names of its streams, with those of their storages before them: `storage/stream`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The bytes of a stream; none where there is no such stream, or it is cut off. Names are compared without their
    /// case.
    ///
    /// # Errors
    ///
    /// [`Error::Excessive`] where it is larger than an entry may be.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some((start, size)) = self.streams.get(&name.to_ascii_lowercase()).copied() else {
            return Ok(None);
        };
        if size > self.bounds.entry_bytes {
            return Err(Error::Excessive {
                of: self.of,
                what: "a stream of it has more than 128 MB",
            });
        }
        if size >= SHORT_STREAM {
            return Ok(self.chain(start, size));
        }
        let mut out = Vec::new();
        let mut at = start;
        while (out.len() as u64) < size && at < LAST {
            let from = at as usize * SHORT_SECTOR;
            let Some(part) = self.short.get(from..(from + SHORT_SECTOR).min(self.short.len())) else {
                break;
            };
            out.extend_from_slice(part);
            at = self.next_short.get(at as usize).copied().unwrap_or(LAST);
        }
        out.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(Some(out))
    }

    /// [`Compound::read`] of a stream without which there is no document.
    pub fn read_needed(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.read(name)?.ok_or(Error::Damaged {
            of: self.of,
            what: "a stream of it is missing",
        })
    }

    fn sector(&self, number: u32) -> Option<&'b [u8]> {
        let from = (number as usize).checked_add(1)?.checked_mul(self.sector)?;
        let rest = self.bytes.get(from..)?;
        Some(&rest[..self.sector.min(rest.len())])
    }

    /// The table of sectors: its own sectors are named in the header, and then in a chain.
    fn table(&self) -> Option<Vec<u32>> {
        let most = self.bytes.len() / self.sector + 1;
        let mut places: Vec<u32> = (0..IN_HEADER).map(|at| long(self.bytes, 76 + 4 * at)).collect();
        let mut more = long(self.bytes, 68);
        while more < LAST && places.len() <= most + IN_HEADER {
            let sector = self.sector(more)?;
            let (here, next) = sector.split_at(sector.len().checked_sub(4)?);
            places.extend(numbers(here));
            more = long(next, 0);
        }
        let mut table = Vec::new();
        for place in places.into_iter().filter(|place| *place < LAST).take(most) {
            let Some(sector) = self.sector(place) else { break };
            table.extend(numbers(sector));
        }
        Some(table)
    }

    /// The bytes of a chain of sectors, no more than `size`. No chain is longer than the file.
    fn chain(&self, start: u32, size: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = start;
        while at < LAST && (out.len() as u64) < size {
            let Some(sector) = self.sector(at) else { break };
            out.extend_from_slice(sector);
            if out.len() > self.bytes.len() + self.sector {
                return None;
            }
            at = self.next.get(at as usize).copied().unwrap_or(LAST);
        }
        out.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Some(out)
    }

    /// Reads the entries, which are a tree: each has a left and a right neighbour and a child.
    fn directory(&mut self, directory: &[u8]) -> Option<()> {
        let root = directory.get(..ENTRY_BYTES)?;
        self.short = self.chain(long(root, 116), u64::from(long(root, 120)))?;
        let mut seen = vec![false; directory.len() / ENTRY_BYTES];
        let mut open = vec![(long(root, 76), String::new())];
        while let Some((number, storage)) = open.pop() {
            let number = number as usize;
            let Some(entry) = directory
                .get(number.checked_mul(ENTRY_BYTES)?..)
                .and_then(|rest| rest.get(..ENTRY_BYTES))
            else {
                continue;
            };
            if std::mem::replace(&mut seen[number], true) {
                continue;
            }
            let length = usize::from(short(entry, 64)).clamp(2, 64) - 2;
            let name = utf16(&entry[..length]);
            let path = format!("{storage}{name}");
            open.push((long(entry, 68), storage.clone()));
            open.push((long(entry, 72), storage));
            match entry[66] {
                1 if path.len() < 512 => open.push((long(entry, 76), format!("{path}/"))),
                2 => {
                    let mut size = u64::from(long(entry, 120));
                    if self.sector == 4096 {
                        size |= u64::from(long(entry, 124)) << 32;
                    }
                    self.streams.insert(path.to_ascii_lowercase(), (long(entry, 116), size));
                    self.names.push(path);
                }
                _ => (),
            }
        }
        Some(())
    }
}

/// A number of 16 bits, the lower byte first; zero behind the end.
pub(super) fn short(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

/// A number of 32 bits, the lowest byte first; zero behind the end.
pub(super) fn long(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Text in UTF-16, the lower byte first.
pub(super) fn utf16(bytes: &[u8]) -> String {
    encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0.into_owned()
}
