//! What a document is once it is parsed: its text, and what its format says of places in it.

/// The text of a document, and the marks in it.
///
/// ```
/// use ai_pipeline::parse::Parsed;
/// let parsed = Parsed::from("tea".to_owned());
/// assert_eq!((parsed.text.as_str(), parsed.marks.is_empty()), ("tea", true));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The text, as it is cut into chunks.
    pub text: String,
    /// What the format says of places in it.
    pub marks: Marks,
}

impl From<String> for Parsed {
    /// A text of which nothing else is known.
    fn from(text: String) -> Parsed {
        let marks = Marks::default();
        Parsed { text, marks }
    }
}

impl Parsed {
    /// Bytes that it takes up.
    pub fn room(&self) -> usize {
        self.text.len() + self.marks.room()
    }
}

/// A place in a parsed text of which its format says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// A byte of the text.
    pub at: u32,
    /// What begins there.
    pub kind: MarkKind,
}

/// What begins at a [`Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// The page with this number, counted from 1.
    Page(u32),
}

impl Mark {
    /// A page begins at a byte.
    pub fn page(at: u32, number: u32) -> Mark {
        let kind = MarkKind::Page(number);
        Mark { at, kind }
    }
}

/// The marks of a parsed text, by their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(Vec<Mark>);

/// Bytes of a mark in an answer: its place, its kind, and the number that belongs to the kind.
const MARK_BYTES: usize = 9;
const PAGE: u8 = 0;

impl FromIterator<Mark> for Marks {
    fn from_iter<I: IntoIterator<Item = Mark>>(marks: I) -> Marks {
        let mut marks: Vec<Mark> = marks.into_iter().collect();
        marks.sort_by_key(|mark| mark.at);
        Marks(marks)
    }
}

impl Marks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by their places.
    pub fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.0.iter()
    }

    /// Bytes that they take up.
    pub fn room(&self) -> usize {
        self.0.len() * size_of::<Mark>()
    }

    /// As a child writes them beside the text.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * MARK_BYTES);
        for Mark { at, kind } in &self.0 {
            let (kind, number) = match kind {
                MarkKind::Page(number) => (PAGE, number),
            };
            out.extend(at.to_le_bytes());
            out.push(kind);
            out.extend(number.to_le_bytes());
        }
        out
    }

    /// What a child wrote beside a text; `None` for what are no marks of it. Each is at the
    /// beginning of a character, or at the end of the text, and none before the last: the child may
    /// have been taken over by its document.
    pub(super) fn read(bytes: &[u8], text: &str) -> Option<Marks> {
        let (marks, rest) = bytes.as_chunks::<MARK_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let mut last = 0;
        let mark = |bytes: &[u8; MARK_BYTES]| {
            let [a, b, c, d, kind, number @ ..] = *bytes;
            let at = u32::from_le_bytes([a, b, c, d]);
            let kind = match kind {
                PAGE => MarkKind::Page(u32::from_le_bytes(number)),
                _ => return None,
            };
            let is_sound = at >= last && text.is_char_boundary(at as usize);
            last = at;
            is_sound.then_some(Mark { at, kind })
        };
        Some(Marks(marks.iter().map(mark).collect::<Option<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_the_way_from_the_child() {
        let text = "äb";
        for marks in [
            Marks::default(),
            Marks::from_iter([Mark::page(3, 2), Mark::page(0, 1), Mark::page(3, 3)]),
        ] {
            assert_eq!(Marks::read(&marks.write(), text), Some(marks));
        }
    }

    #[test]
    fn what_are_no_marks_of_a_text_is_not_believed() {
        let of = |marks: &[Mark]| Marks(marks.to_vec()).write();
        for (marks, what) in [
            (of(&[Mark::page(1, 1)]), "in the middle of a character"),
            (of(&[Mark::page(4, 1)]), "behind the end"),
            (of(&[Mark::page(2, 1), Mark::page(0, 2)]), "not in order"),
            (of(&[Mark::page(0, 1)])[..8].to_vec(), "half a mark"),
            (vec![0, 0, 0, 0, 9, 0, 0, 0, 0], "of no kind"),
        ] {
            assert_eq!(Marks::read(&marks, "äb"), None, "{what}");
        }
    }
}
