//! What reading one document may cost beside time and memory, which the process has limits for.

/// Bounds that are checked before the work they bound begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseBounds {
    /// Bytes that one entry of an archive, or one wrapped document, may inflate to.
    pub entry_bytes: u64,
    /// Bytes that all entries that are read may inflate to.
    pub total_bytes: u64,
    /// Entries of an archive.
    pub entries: usize,
    /// Elements within elements.
    pub depth: usize,
    /// Cells with something in them, of all tables together.
    pub cells: usize,
    /// Documents within documents: mails in mails, archives in archives.
    pub nesting: usize,
}

impl ParseBounds {
    /// Those of each document. No honest file that was measured comes near one of them.
    pub const DOCUMENT: ParseBounds = ParseBounds {
        entry_bytes: 128 * 1024 * 1024,
        total_bytes: 256 * 1024 * 1024,
        entries: 65_536,
        depth: 256,
        cells: 4_000_000,
        nesting: 3,
    };
}
