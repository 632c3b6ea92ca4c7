//! What cutting one text may cost. Time, steps, memory and what the chunks come to are counted
//! before they are spent.

use std::cell::Cell;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;

/// Bytes that a chunk takes up beside its text until it is written: its place and what it says of
/// its own (32), its number (8), its digest (32), the key of its vector in a list and in a set (16
/// and up to 40), and some for the allocation of what it says of its own.
pub const CHUNK_BYTES: u64 = 144;
/// Steps between two questions whether to go on: a fraction of a millisecond.
const STRIDE: u64 = 64 * 1024;
/// Steps that any text may take, and those for each of its bytes. Prose takes some tens for a byte.
const STEPS: u64 = 100_000_000;
const STEPS_PER_BYTE: u64 = 4_000;
/// Time that any text may take, and that for each of its mebibytes. Prose takes some milliseconds
/// for one.
const TIME: Duration = Duration::from_secs(2);
const TIME_PER_MEBIBYTE: Duration = Duration::from_secs(10);

/// How far the work on one text may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// A step is to look at a byte, or to make a piece.
    pub steps: u64,
    /// Bytes of what is kept beside the text: [`CHUNK_BYTES`] for each chunk, and the chunks that
    /// the text does not hold.
    pub room: u64,
    /// Bytes of all chunks together, wherever they are kept.
    pub texts: u64,
}

impl Bounds {
    /// For a text of so many bytes.
    pub fn new(text: usize, room: u64, texts: u64) -> Bounds {
        let steps = STEPS.saturating_add((text as u64).saturating_mul(STEPS_PER_BYTE));
        Bounds { steps, room, texts }
    }

    /// None.
    pub const NONE: Bounds = Bounds {
        steps: u64::MAX,
        room: u64::MAX,
        texts: u64::MAX,
    };
}

/// How long the work on a text of so many bytes may take, if nothing may take longer than `most`.
///
/// ```
/// use std::time::Duration;
/// use ai_pipeline::chunk::time_for;
/// let most = Duration::from_secs(60);
/// assert_eq!(time_for(0, most), Duration::from_secs(2));
/// assert_eq!(time_for(1 << 20, most), Duration::from_secs(12));
/// assert_eq!(time_for(1 << 30, most), most);
/// ```
pub fn time_for(text: usize, most: Duration) -> Duration {
    let more = TIME_PER_MEBIBYTE.mul_f64(text as f64 / f64::from(1 << 20));
    Duration::from_secs(TIME.saturating_add(more).as_secs_f64().ceil() as u64).min(most)
}

/// Why work is not to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It has taken as long as it may.
    Late {
        /// How long that is.
        limit: Duration,
    },
    /// Nobody wants it any more, or another's turn has come.
    Unwanted,
}

/// The work on one text, as far as it has gone.
pub struct CutWork<'h> {
    bounds: Bounds,
    steps: Cell<u64>,
    room: Cell<u64>,
    texts: Cell<u64>,
    /// Steps after which to ask again.
    ask_at: Cell<u64>,
    halt: &'h dyn Fn() -> Option<Halt>,
}

impl<'h> CutWork<'h> {
    /// Within bounds, until `halt` says otherwise, which is asked now and then.
    pub fn new(bounds: Bounds, halt: &'h dyn Fn() -> Option<Halt>) -> CutWork<'h> {
        let zero = || Cell::new(0);
        CutWork {
            bounds,
            steps: zero(),
            room: zero(),
            texts: zero(),
            ask_at: Cell::new(STRIDE),
            halt,
        }
    }

    /// Asks whether to go on.
    pub(super) fn ask(&self) -> Result<(), Error> {
        self.ask_at.set(self.steps.get().saturating_add(STRIDE));
        (self.halt)().map_or(Ok(()), |halt| Err(halt.into()))
    }

    /// Counts steps that are about to be made.
    pub(super) fn spend(&self, steps: usize) -> Result<(), Error> {
        let spent = self.steps.get().saturating_add(steps as u64);
        self.steps.set(spent);
        if spent > self.bounds.steps {
            let limit = self.bounds.steps;
            return Err(Error::Steps { limit });
        }
        if spent < self.ask_at.get() {
            return Ok(());
        }
        self.ask()
    }

    /// Checks that there is room for so many bytes more, which are not kept.
    pub(super) fn afford(&self, bytes: usize) -> Result<(), Error> {
        if self.room.get().saturating_add(bytes as u64) > self.bounds.room {
            let limit = self.bounds.room;
            return Err(Error::Room { limit });
        }
        Ok(())
    }

    /// Counts a chunk of so many bytes, of which as many as `own` are a copy.
    pub(super) fn keep(&self, length: usize, own: usize) -> Result<(), Error> {
        self.afford((CHUNK_BYTES as usize).saturating_add(own))?;
        self.room.set(self.room.get() + CHUNK_BYTES + own as u64);
        let texts = self.texts.get().saturating_add(length as u64);
        self.texts.set(texts);
        if texts > self.bounds.texts {
            let limit = self.bounds.texts;
            return Err(Error::Texts { limit });
        }
        Ok(())
    }
}

/// Nothing says otherwise.
pub fn never() -> Option<Halt> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        steps: 1_000_000,
        room: 1_000,
        texts: 100,
    };

    #[test]
    fn what_is_above_a_bound_is_refused() {
        let work = CutWork::new(BOUNDS, &never);
        assert_eq!(work.spend(1_000_000), Ok(()));
        assert_eq!(work.spend(1), Err(Error::Steps { limit: 1_000_000 }));
        assert_eq!(work.spend(usize::MAX), Err(Error::Steps { limit: 1_000_000 }));
        assert_eq!(work.afford(1_000), Ok(()));
        assert_eq!(work.keep(60, 560), Ok(()));
        assert_eq!(work.afford(296), Ok(()));
        assert_eq!(work.afford(297), Err(Error::Room { limit: 1_000 }));
        assert_eq!(work.keep(1, usize::MAX), Err(Error::Room { limit: 1_000 }));
        assert_eq!(work.keep(40, 0), Ok(()));
        assert_eq!(work.keep(1, 0), Err(Error::Texts { limit: 100 }));
    }

    #[test]
    fn whether_to_go_on_is_asked_now_and_then() {
        let (asked, late) = (Cell::new(0), Halt::Late { limit: TIME });
        let halt = || {
            asked.set(asked.get() + 1);
            (asked.get() == 3).then_some(late)
        };
        let work = CutWork::new(BOUNDS, &halt);
        let mut steps = 0_u64;
        let error = loop {
            match work.spend(1_000) {
                Ok(()) => steps += 1_000,
                Err(error) => break error,
            }
        };
        assert_eq!(error, Error::Late { limit: TIME });
        assert!((2 * STRIDE..4 * STRIDE).contains(&steps), "{steps}");
    }
}
