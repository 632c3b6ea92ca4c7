//! How the rows of a table of chunks lie on Postgres' pages.
//!
//! By default Postgres keeps a row below a quarter of a page: of a longer one it compresses values, and moves
//! those that stay too long to the TOAST table, each as a row with an entry in an index. With pgai's storage
//! of vectors (`MAIN`) that is the text of each chunk, after an attempt to compress a vector that cannot be
//! compressed. Here a chunk lies beside its vector where both fit on a page.

use crate::vector_type::VectorType;

/// Bytes of a page for rows: 8,192 less its header.
const PAGE: usize = 8_192 - 24;
/// Bytes by which a page points to a row.
const POINTER: usize = 4;
/// Rows begin and end at multiples of so many bytes.
const ALIGNMENT: usize = 8;
/// Bytes of a row before its values.
const HEADER: usize = 24;
/// Bytes of a value that lies in the TOAST table, or of a short one, with what aligns it.
const OUT_OF_LINE: usize = 24;
/// Bytes of the columns beside key, chunk and vector: a UUID and a number.
const OTHERS: usize = 16 + 8;
/// Bytes of a text that a row is to have room for: the size of a chunk where nobody chooses one. Longer texts go out of
/// line, so that rows with them leave no large part of a page empty.
const TEXT: usize = 800;
/// Postgres' own limit, `TOAST_TUPLE_TARGET`: rows are never kept shorter than by default.
const LEAST_TARGET: usize = 2_032;

/// Where Postgres keeps a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In its row, as it is.
    Plain,
    /// In the TOAST table, as it is: it does not fit into a row.
    External,
}

impl Storage {
    /// As in `ALTER COLUMN ... SET STORAGE`.
    pub const fn name(self) -> &'static str {
        match self {
            Storage::Plain => "PLAIN",
            Storage::External => "EXTERNAL",
        }
    }
}

/// How the rows of a table lie on its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of the vectors.
    pub storage: Storage,
    /// Bytes of a row above which Postgres makes it shorter: the storage parameter `toast_tuple_target`.
    pub toast_tuple_target: usize,
}

impl Layout {
    /// Of a table of chunks with vectors of so many dimensions. `key` has the width of each column of the
    /// primary key in bytes, `None` for those whose values have lengths of their own, as `pg_type.typlen`
    /// tells.
    ///
    /// ```
    /// use ai_pipeline::layout::{Layout, Storage};
    /// use ai_pipeline::vector_type::VectorType;
    /// let layout = Layout::new(VectorType::Vector, 1_536, [Some(8)]);
    /// assert_eq!(layout, Layout { storage: Storage::Plain, toast_tuple_target: 8_160 });
    /// ```
    pub fn new(vector: VectorType, dimensions: usize, key: impl IntoIterator<Item = Option<usize>>) -> Layout {
        let key: usize = key
            .into_iter()
            .map(|width| width.map_or(OUT_OF_LINE, |bytes| bytes.next_multiple_of(ALIGNMENT)))
            .sum();
        let others = HEADER + OTHERS + key;
        let vector = vector.bytes(dimensions).next_multiple_of(ALIGNMENT);
        if others + OUT_OF_LINE + vector > row(1) {
            return Layout {
                storage: Storage::External,
                toast_tuple_target: LEAST_TARGET,
            };
        }
        // As many rows as fit on a page with a text of the usual size each; one, where none does.
        let rows = (PAGE / (others + vector + TEXT + POINTER)).clamp(1, PAGE / LEAST_TARGET);
        Layout {
            storage: Storage::Plain,
            toast_tuple_target: row(rows).max(LEAST_TARGET),
        }
    }
}

/// The most bytes of each of so many rows of a page.
const fn row(rows: usize) -> usize {
    (PAGE / rows - POINTER) / ALIGNMENT * ALIGNMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout with a key of one int8.
    fn of(dimensions: usize) -> (Storage, usize) {
        let layout = Layout::new(VectorType::Vector, dimensions, [Some(8)]);
        (layout.storage, layout.toast_tuple_target)
    }

    #[test]
    fn a_chunk_and_its_vector_lie_on_one_page_where_they_fit() {
        for (dimensions, expected) in [
            (1, (Storage::Plain, 2_032)),
            (256, (Storage::Plain, 2_032)),
            (384, (Storage::Plain, 2_712)),
            (512, (Storage::Plain, 4_080)),
            (768, (Storage::Plain, 4_080)),
            (1_024, (Storage::Plain, 8_160)),
            (1_536, (Storage::Plain, 8_160)),
            (2_000, (Storage::Plain, 8_160)),
            (3_072, (Storage::External, 2_032)),
            (16_000, (Storage::External, 2_032)),
        ] {
            assert_eq!(of(dimensions), expected, "{dimensions} dimensions");
        }
    }

    #[test]
    fn no_row_is_too_big_for_a_page_when_all_that_can_leave_it_has_left_it() {
        let keys: [&[Option<usize>]; 5] = [&[], &[Some(4)], &[None], &[None; 4], &[Some(64); 8]];
        for key in keys {
            for dimensions in 1..=16_000 {
                let layout = Layout::new(VectorType::Vector, dimensions, key.iter().copied());
                let of_key: usize = key
                    .iter()
                    .map(|width| width.map_or(24, |bytes| bytes.next_multiple_of(8)))
                    .sum();
                let vector = VectorType::Vector.bytes(dimensions);
                let least = HEADER + OTHERS + of_key + OUT_OF_LINE + vector;
                if layout.storage == Storage::Plain {
                    assert!(least <= 8_160, "{dimensions} dimensions, key {key:?}");
                }
            }
        }
    }

    #[test]
    fn a_wide_key_takes_the_place_of_a_vector() {
        let wide = [Some(64); 3];
        assert_eq!(
            Layout::new(VectorType::Vector, 1_980, [Some(8)]).storage,
            Storage::Plain
        );
        assert_eq!(Layout::new(VectorType::Vector, 1_980, wide).storage, Storage::External);
    }

    #[test]
    fn postgres_takes_each_target() {
        // The limits of the storage parameter are 128 and 8,160.
        for dimensions in 1..=16_000 {
            let target = of(dimensions).1;
            assert!(
                (2_032..=8_160).contains(&target) && target.is_multiple_of(8),
                "{dimensions} dimensions: {target}"
            );
        }
    }
}
