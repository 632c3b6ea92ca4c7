//! What processes know together of providers, in memory that they share.
//!
//! All that has to be known is a moment, after which it means nothing: until when a server wants to be left
//! alone, and when a budget of a minute is full again. A moment is one number, so that network threads read
//! and move it without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::fingerprint::Fingerprint;

/// Moments that are kept at the same time.
const ENTRIES: usize = 512;
/// So many of them are for pauses of models. Anybody can think of models, and must not take the places of what an
/// administrator allows with them; a pause that is lost costs one request.
const MODELS: usize = 256;
/// The lower bits of a place are its moment, in microseconds of the machine's clock: enough for 35 years.
/// Those above count the accounts that have had the place.
const MOMENT_BITS: u32 = 50;
const MOMENT: u64 = (1 << MOMENT_BITS) - 1;

/// What a moment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerKind {
    /// A server and a key, or one of their budgets.
    Account,
    /// A model, as it is asked for at a server with a key.
    Model,
}

/// The moments of accounts. When all places are taken, the one is given away that was neither asked for nor
/// had its moment for the longest time: what is over is not missed, and of the others the first to be over is
/// missed least. Who had the place goes on with a moment of its own.
#[derive(Debug)]
#[repr(C)]
pub struct Ledger([LedgerEntry; ENTRIES]);

#[derive(Debug)]
#[repr(C)]
struct LedgerEntry {
    /// The fingerprint of an account; zeros are nobody's.
    account: [AtomicU64; 2],
    /// When it was last asked for.
    asked: AtomicU64,
    place: AtomicU64,
}

impl Default for Ledger {
    fn default() -> Ledger {
        let entry = |_| LedgerEntry {
            account: [AtomicU64::new(0), AtomicU64::new(0)],
            asked: AtomicU64::new(0),
            place: AtomicU64::new(0),
        };
        Ledger(std::array::from_fn(entry))
    }
}

impl Ledger {
    /// The place of an account or of a model, which gets one among those of its kind if it has none. The
    /// caller sees to it that nobody else calls this meanwhile, in whatever process. Does not allocate.
    pub fn place(&'static self, kind: LedgerKind, account: &Fingerprint) -> LedgerPlace {
        let (models, accounts) = self.0.split_at(MODELS);
        let entries = match kind {
            LedgerKind::Account => accounts,
            LedgerKind::Model => models,
        };
        let (high, low) = account.as_bytes().split_at(8);
        let account = [high, low].map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        // Only one thread reads and writes accounts, and a moment is a number by itself: no order has to be kept.
        let is_known = |entry: &&LedgerEntry| {
            std::iter::zip(&entry.account, account).all(|(known, half)| known.load(Ordering::Relaxed) == half)
        };
        let known = entries.iter().find(is_known);
        let entry = known.unwrap_or_else(|| Ledger::give(entries, account));
        entry.asked.store(Clock::moment_of(since_boot()), Ordering::Relaxed);
        LedgerPlace {
            shared: &entry.place,
            account: entry.place.load(Ordering::Relaxed) & !MOMENT,
        }
    }

    fn give(entries: &'static [LedgerEntry], account: [u64; 2]) -> &'static LedgerEntry {
        let missed = |entry: &&LedgerEntry| {
            let moment = entry.place.load(Ordering::Relaxed) & MOMENT;
            moment.max(entry.asked.load(Ordering::Relaxed))
        };
        let entry = entries.iter().min_by_key(missed).expect("there are entries");
        let given = (entry.place.load(Ordering::Relaxed) >> MOMENT_BITS).wrapping_add(1);
        entry.place.store(given << MOMENT_BITS, Ordering::Relaxed);
        std::iter::zip(&entry.account, account).for_each(|(place, half)| place.store(half, Ordering::Relaxed));
        entry
    }
}

/// The place of an account in a [`Ledger`], until it is given to another.
#[derive(Clone, Copy, Debug)]
pub struct LedgerPlace {
    shared: &'static AtomicU64,
    /// The upper bits, as long as it has not been given to another.
    account: u64,
}

impl LedgerPlace {
    fn moment(self, word: u64) -> Option<u64> {
        (word & !MOMENT == self.account).then_some(word & MOMENT)
    }
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// What this process' instants are on the clock that all processes of the machine have in common. Nobody can set it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    instant: Instant,
    since_boot: Duration,
}

impl Clock {
    pub fn new() -> Clock {
        let read = |_| {
            let (before, instant) = (since_boot(), Instant::now());
            (since_boot() - before, before, instant)
        };
        // Who is stopped between two looks at it reads another time than who is not.
        let (_, since_boot, instant) = (0..8).map(read).min_by_key(|(lag, ..)| *lag).expect("it was read");
        Clock { instant, since_boot }
    }

    /// In microseconds, rounded up.
    pub fn moment(&self, at: Instant) -> u64 {
        let since_boot = match at.checked_duration_since(self.instant) {
            Some(later) => self.since_boot + later,
            None => self.since_boot.saturating_sub(self.instant - at),
        };
        Clock::moment_of(since_boot)
    }

    fn moment_of(since_boot: Duration) -> u64 {
        let moment = since_boot.as_nanos().div_ceil(1000);
        u64::try_from(moment).unwrap_or(MOMENT).min(MOMENT)
    }

    pub fn instant(&self, moment: u64) -> Instant {
        let since_boot = Duration::from_micros(moment);
        match since_boot.checked_sub(self.since_boot) {
            Some(later) => self.instant + later,
            None => self.instant - (self.since_boot - since_boot),
        }
    }
}

/// A moment: in a ledger, or of this process alone.
#[derive(Debug)]
pub(super) struct LedgerMoment {
    pub clock: Clock,
    place: Option<LedgerPlace>,
    /// Where it was when this process last moved it.
    own: u64,
}

impl LedgerMoment {
    pub fn new(clock: Clock, place: Option<LedgerPlace>) -> LedgerMoment {
        LedgerMoment { clock, place, own: 0 }
    }

    /// The moment, if it is later than `now`.
    pub fn after(&self, now: Instant) -> Option<Instant> {
        let shared = self
            .place
            .and_then(|place| place.moment(place.shared.load(Ordering::Relaxed)));
        let moment = shared.unwrap_or(self.own);
        (moment > self.clock.moment(now)).then(|| self.clock.instant(moment))
    }

    /// Moves it to what `to` makes of it. Returns where it was.
    pub fn update(&mut self, to: impl Fn(u64) -> u64) -> u64 {
        let to = |moment| to(moment).min(MOMENT);
        if let Some(place) = self.place {
            let step = |word| Some(place.account | to(place.moment(word)?));
            match place.shared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
                Ok(before) => {
                    let before = before & MOMENT;
                    self.own = to(before);
                    return before;
                }
                Err(_) => self.place = None,
            }
        }
        let after = to(self.own);
        std::mem::replace(&mut self.own, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ledger() -> &'static Ledger {
        Box::leak(Box::default())
    }

    fn account(name: usize) -> Fingerprint {
        Fingerprint::of(None, &name.to_be_bytes())
    }

    fn mark(ledger: &'static Ledger, name: usize) -> LedgerMoment {
        LedgerMoment::new(Clock::new(), Some(ledger.place(LedgerKind::Account, &account(name))))
    }

    fn extend(mark: &mut LedgerMoment, until: Instant) {
        let until = mark.clock.moment(until);
        mark.update(|moment| moment.max(until));
    }

    #[test]
    fn a_moment_is_the_same_for_every_process() {
        let (ledger, now) = (ledger(), Instant::now());
        let (mut one, other, stranger) = (mark(ledger, 1), mark(ledger, 1), mark(ledger, 2));
        extend(&mut one, now + 3 * SECOND);
        let seen = other.after(now).expect("it is there") - now;
        assert!(seen.abs_diff(3 * SECOND) < SECOND / 100, "{seen:?}");
        assert_eq!(other.after(now + 4 * SECOND), None);
        assert_eq!(stranger.after(now), None);
        assert!(mark(ledger, 1).after(now).is_some(), "one that comes later");
    }

    #[test]
    fn a_clock_gives_back_what_it_was_given() {
        let (before, clock) = (Instant::now(), Clock::new());
        for at in [before, before + SECOND, before - SECOND / 1000] {
            let rounded = clock.instant(clock.moment(at));
            assert!(rounded >= at && rounded - at < Duration::from_micros(1));
            assert_eq!(clock.moment(rounded), clock.moment(at));
        }
    }

    #[test]
    fn what_many_threads_add_is_not_lost() {
        let ledger = ledger();
        // Places are asked for by one at a time.
        let marks: Vec<LedgerMoment> = (0..4).map(|_| mark(ledger, 1)).collect();
        std::thread::scope(|scope| {
            for mut mark in marks {
                scope.spawn(move || (0..1000).map(|_| mark.update(|moment| moment + 1)).max());
            }
        });
        assert_eq!(mark(ledger, 1).update(|moment| moment), 4000);
    }

    #[test]
    fn who_comes_to_a_full_ledger_takes_the_place_that_is_missed_least() {
        let (ledger, now) = (ledger(), Instant::now());
        const PLACES: usize = ENTRIES - MODELS;
        let mut all: Vec<LedgerMoment> = (0..PLACES).map(|name| mark(ledger, name)).collect();
        // Invented names of models take none of these.
        for name in 0..2 * ENTRIES {
            ledger.place(LedgerKind::Model, &account(name));
        }
        // One was there first, but has been asked for since; the next has a pause.
        mark(ledger, 0);
        extend(&mut all[1], now + 60 * SECOND);
        let mut new = mark(ledger, PLACES);
        extend(&mut new, now + 70 * SECOND);
        extend(&mut all[2], now + 80 * SECOND);
        let until = |mark: &LedgerMoment| mark.after(now).map(|until| (until - now).as_secs_f64().round());
        assert_eq!(until(&new), Some(70.0), "who has lost the place leaves it alone");
        assert_eq!(until(&all[2]), Some(80.0), "and goes on by itself");
        for (name, seconds) in [(0, None), (1, Some(60.0)), (3, None), (PLACES, Some(70.0))] {
            assert_eq!(until(&mark(ledger, name)), seconds, "{name}");
        }
        for (name, mark) in all.iter_mut().enumerate().filter(|(name, _)| *name != 2) {
            extend(mark, now + (100 + name as u32) * SECOND);
        }
        mark(ledger, PLACES + 1);
        assert_eq!(until(&mark(ledger, 0)), Some(100.0), "the first to be over makes way");
        assert_eq!(until(&mark(ledger, PLACES)), None);
    }
}
