//! How an unchanged document is recognised without reading it.

/// Longer entity tags are not worth a place in the catalogue; S3's have at most 40 bytes.
const GREATEST_ETAG: usize = 256;

/// What a document was last seen to be, by the word of the server that keeps it: to be given back at the next look
/// ([`Loader::load_if_changed`](super::Loader::load_if_changed)). It says nothing without the URI that it came with.
///
/// Only made where an equal tag means equal bytes. That leaves out weak entity tags (`W/"…"`), by which a server calls
/// equal what a reader need not tell apart, and tags that are none by RFC 9110, section 8.8.3, which could be read as a
/// list, or as `*`, when they are sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// A tag that was kept as text. Whatever the text is: one that is no tag matches nothing.
    pub fn remembered(text: String) -> Tag {
        Tag(text)
    }

    /// The text to keep: short, ASCII, no secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of an entity tag as it was sent, quotes included, and the second in which S3 got the object. The second tells
    /// objects of the same bytes apart: they may differ in their media type, which decides how they are read.
    pub(super) fn of_entity(etag: &str, modified: Option<i64>) -> Option<Tag> {
        let second = |second: i64| format!("{etag} {second}");
        is_strong(etag).then(|| Tag(modified.map_or_else(|| etag.to_owned(), second)))
    }

    /// The entity tag, to be sent as it came.
    pub(super) fn etag(&self) -> Option<&str> {
        let (etag, _) = self.0.split_at_checked(self.0.rfind('"')? + 1)?;
        is_strong(etag).then_some(etag)
    }

    /// The second in which the object was stored, where that was known.
    pub(super) fn modified(&self) -> Option<i64> {
        self.0.rsplit_once("\" ")?.1.parse().ok()
    }

    /// Of a file.
    pub(super) fn of_file(state: &FileState) -> Tag {
        let FileState {
            device,
            inode,
            size,
            modified,
            changed,
        } = state;
        Tag(format!("file {device}:{inode} {size} {modified} {changed}"))
    }
}

/// What the system knows of the content of a file without reading it. Times in nanoseconds since 1970.
///
/// The time of change is among it because a program may set the time of modification to what it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: i128,
    pub(super) changed: i128,
}

/// File systems keep time by the tick of the kernel, some by the second or two: a file that changed within
/// the same tick after it was read would look unchanged.
const FILE_TICK: i128 = 2_000_000_000;

impl FileState {
    /// Whether any change from `now` on will show.
    pub(super) fn is_settled(&self, now: i128) -> bool {
        now - self.modified.max(self.changed) > FILE_TICK
    }
}

fn is_strong(etag: &str) -> bool {
    let inner = etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    etag.len() <= GREATEST_ETAG
        && inner.is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strong_entity_tag_comes_back_as_it_was() {
        for (etag, modified) in [
            ("\"0123\"", None),
            ("\"0123-17\"", Some(1_445_412_480)),
            ("\"\"", Some(-1)),
            ("\"W/a,*\"", None),
        ] {
            let tag = Tag::remembered(Tag::of_entity(etag, modified).unwrap().as_str().to_owned());
            assert_eq!(tag.etag(), Some(etag));
            assert_eq!(tag.modified(), modified);
        }
    }

    #[test]
    fn what_could_match_other_bytes_is_no_tag() {
        let long = format!("\"{}\"", "x".repeat(GREATEST_ETAG));
        for etag in [
            "W/\"0123\"",
            "*",
            "",
            "\"",
            "0123",
            "\"a\", \"b\"",
            "\"a\"b\"",
            "\"a b\"",
            "\"ä\"",
            "\"a",
            "w/\"0\"",
            "\"a\n\"",
            &long,
        ] {
            assert_eq!(Tag::of_entity(etag, None), None, "{etag}");
        }
    }

    #[test]
    fn a_text_that_is_no_tag_matches_nothing() {
        for text in ["", "*", "\" 7", "W/\"a\" 7", "file 1:2 3 4 5", "ä", "\"a\" \"b\" 7"] {
            assert_eq!(Tag::remembered(text.to_owned()).etag(), None, "{text}");
        }
        assert_eq!(Tag::remembered("\"a\" soon".to_owned()).modified(), None);
    }

    #[test]
    fn a_file_that_has_just_changed_is_not_settled() {
        let state = FileState {
            device: 1,
            inode: 2,
            size: 3,
            modified: 10_000_000_000,
            changed: 20_000_000_000,
        };
        assert!(!state.is_settled(20_000_000_001));
        assert!(!state.is_settled(0), "a clock that runs behind");
        assert!(state.is_settled(22_000_000_001));
        assert_ne!(Tag::of_file(&state), Tag::of_file(&FileState { changed: 4, ..state }));
        assert_ne!(Tag::of_file(&state), Tag::of_file(&FileState { size: 4, ..state }));
    }
}
