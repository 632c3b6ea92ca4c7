//! Who is to blame where documents that were taken can only be read one by one.

use crate::retry::MOST_REFUSALS;

/// Of documents that are read one by one, none of the first so many can be: then it is nothing that
/// one of them has.
const MOST_UNREAD: usize = 8;

/// Whether a document that could not be read has failed for that at once: for what is in its row,
/// or as it has so many attempts behind it, this one included.
pub fn has_failed(is_of_its_row: bool, attempts: u32) -> bool {
    is_of_its_row || attempts > 1
}

/// How it has gone until now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Singly {
    some_are_read: bool,
    in_vain: usize,
}

impl Singly {
    /// Whether the next one is tried.
    pub fn goes_on(&self) -> bool {
        self.some_are_read || self.in_vain < MOST_UNREAD
    }

    /// One was read. One whose row is gone shows nothing of the others.
    pub fn read(&mut self, has_row: bool) {
        self.some_are_read |= has_row;
    }

    /// One could not be read, for what is in its row, or for something that may pass by itself.
    pub fn unread(&mut self, is_of_its_row: bool) {
        self.in_vain += usize::from(!is_of_its_row);
    }

    /// How many of those that are left, the oldest first, have failed; the others wait together.
    /// What may pass by itself is a document's own failure where others can be read. Where none can
    /// be, all wait; when that has lasted for `refusals` in a row, the oldest answers for it, lest
    /// it block the others for ever.
    pub fn guilty(&self, left: usize, refusals: u32) -> usize {
        if self.some_are_read {
            left
        } else {
            left.min(usize::from(refusals >= MOST_REFUSALS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_eight_in_vain_it_is_nothing_that_one_of_them_has() {
        let mut singly = Singly::default();
        for tried in 0..MOST_UNREAD {
            assert!(singly.goes_on(), "{tried}");
            singly.unread(true);
            singly.unread(false);
        }
        assert!(!singly.goes_on());
        singly.read(false);
        assert!(!singly.goes_on(), "a row that is gone is no sign");
        singly.read(true);
        assert!(singly.goes_on(), "others can be read");
    }

    #[test]
    fn a_document_fails_for_its_row_and_for_what_it_met_twice() {
        for (is_of_its_row, attempts, fails) in [(true, 1, true), (false, 1, false), (false, 2, true), (true, 9, true)]
        {
            assert_eq!(has_failed(is_of_its_row, attempts), fails, "{is_of_its_row} {attempts}");
        }
    }

    #[test]
    fn the_others_show_whether_those_that_are_left_are_to_blame() {
        // Others were read; left; refusals in a row; how many have failed.
        let table = [
            (true, 5, 0, 5),
            (false, 5, 0, 0),
            (false, 5, MOST_REFUSALS - 1, 0),
            (false, 5, MOST_REFUSALS, 1),
            (false, 0, MOST_REFUSALS, 0),
            (true, 0, 0, 0),
        ];
        for (some_are_read, left, refusals, guilty) in table {
            let mut singly = Singly::default();
            singly.read(some_are_read);
            assert_eq!(
                singly.guilty(left, refusals),
                guilty,
                "{some_are_read} {left} {refusals}"
            );
        }
    }
}
