//! When a vectorizer works, and when one that works at intervals does so next: calendar arithmetic as Postgres does it,
//! without a clock and without time zones. The shell turns moments into what a clock on the wall shows, and back.
//!
//! Times are microseconds since 1970 on that clock.

use std::time::Duration;

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
/// No interval is shorter: a tenth of a second, in microseconds.
pub const SHORTEST: i64 = 100_000;
/// No interval is longer: a hundred years, in microseconds.
pub const LONGEST: i64 = 36_525 * DAY;
/// No time is before the year 1, or after the year 9999.
const TIMES: std::ops::Range<i64> = -719_162 * DAY..2_932_897 * DAY;
/// The mean of the Gregorian calendar, in microseconds.
const MONTH: i64 = 2_629_746_000_000;
/// Steps around an estimate that are looked at. Months differ from their mean by some days, and have 28 at least.
const AROUND: i64 = 3;

/// When the queue of a vectorizer is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Whenever there is something in it.
    AtOnce,
    /// After this long, until it runs dry.
    In(Duration),
    /// Not before it is asked for. What changes meanwhile is put into the queue all the same: a row that changes a
    /// thousand times waits there once.
    Never,
}

/// A span of time in the three parts in which Postgres keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Months; a year is twelve.
    pub months: i64,
    /// Days, which may have 23 or 25 hours.
    pub days: i64,
    /// The rest.
    pub microseconds: i64,
}

impl Interval {
    /// Why a schedule cannot go on by this.
    ///
    /// ```
    /// use ai_pipeline::schedule::Interval;
    /// let month = Interval { months: 1, ..Interval::default() };
    /// assert_eq!(month.check(), Ok(()));
    /// let hardly_a_month = Interval { days: -29, ..month };
    /// assert_eq!(hardly_a_month.check(), Err("must not have negative parts"));
    /// ```
    ///
    /// # Errors
    /// What is wrong, to be put behind its name.
    pub fn check(self) -> Result<(), &'static str> {
        let Interval {
            months,
            days,
            microseconds,
        } = self;
        let parts = [months, days, microseconds];
        let length = self.length();
        if parts.iter().all(|part| *part <= 0) || length <= 0 {
            Err("must be greater than zero")
        } else if parts.iter().any(|part| *part < 0) {
            Err("must not have negative parts")
        } else if length < i128::from(SHORTEST) {
            Err("must not be shorter than 100 milliseconds")
        } else if length > i128::from(LONGEST) {
            Err("must not be longer than 100 years")
        } else {
            Ok(())
        }
    }

    /// Whether it is shorter than a day: such a schedule knows no time zone, or the hour that comes twice in
    /// autumn would be left out.
    pub fn is_short(self) -> bool {
        self.length() < i128::from(DAY)
    }

    /// Its length, where months are as long as they are in the mean.
    fn length(self) -> i128 {
        i128::from(self.months) * i128::from(MONTH)
            + i128::from(self.days) * i128::from(DAY)
            + i128::from(self.microseconds)
    }

    /// The time that is so many intervals after another; `None` beyond the calendar. A day that a month does
    /// not have is its last.
    fn after(self, start: i64, steps: i64) -> Option<i64> {
        let (day, of_day) = (start.div_euclid(DAY), start.rem_euclid(DAY));
        let (year, month, day_of_month) = date(day);
        let months = (year * 12 + month - 1).checked_add(self.months.checked_mul(steps)?)?;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        if !(1..=9999).contains(&year) {
            return None;
        }
        let day = day_number(year, month, day_of_month.min(days_of(year, month)));
        let day = day.checked_add(self.days.checked_mul(steps)?)?;
        let time = day.checked_mul(DAY)?.checked_add(of_day)?;
        let time = time.checked_add(self.microseconds.checked_mul(steps)?)?;
        TIMES.contains(&time).then_some(time)
    }
}

/// The first time after `here` that is a whole number of intervals after `first`, or `first` itself; `None`
/// where the calendar ends before. Whatever lies between the two, a handful of steps is looked at.
///
/// ```
/// use ai_pipeline::schedule::{DAY, Interval, next};
/// let week = Interval { days: 7, ..Interval::default() };
/// assert_eq!(next(0, -5, week), Some(0));
/// assert_eq!(next(0, 0, week), Some(7 * DAY));
/// assert_eq!(next(0, 7_000 * DAY + 1, week), Some(7_007 * DAY));
/// ```
pub fn next(first: i64, here: i64, step: Interval) -> Option<i64> {
    if step.check().is_err() || !TIMES.contains(&first) || !TIMES.contains(&here) {
        return None;
    }
    let between = i128::from(here) - i128::from(first);
    let estimate = i64::try_from(between / step.length()).unwrap_or(i64::MAX).max(0);
    let around = estimate.saturating_sub(AROUND).max(0)..=estimate.saturating_add(AROUND);
    around
        .map(|steps| step.after(first, steps))
        .find(|time| time.is_none_or(|time| time > here))
        .flatten()
}

/// Year, month and day of a day since 1970. (Howard Hinnant's `civil_from_days`.)
fn date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_month)
}

/// The day since 1970 of a date. (`days_from_civil`.)
fn day_number(year: i64, month: i64, day_of_month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month_from_march + 2) / 5 + day_of_month - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = DAY / 24;

    fn at(year: i64, month: i64, day: i64, hour: i64) -> i64 {
        day_number(year, month, day) * DAY + hour * HOUR
    }

    fn every(months: i64, days: i64, microseconds: i64) -> Interval {
        Interval {
            months,
            days,
            microseconds,
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(at(2000, 3, 1, 0) - at(2000, 2, 28, 0), 2 * DAY);
        assert_eq!(at(1900, 3, 1, 0) - at(1900, 2, 28, 0), DAY);
        for day in (TIMES.start / DAY)..(TIMES.end / DAY) {
            let (year, month, of_month) = date(day);
            assert_eq!(day_number(year, month, of_month), day);
            assert!((1..=days_of(year, month)).contains(&of_month) && (1..=9999).contains(&year));
        }
    }

    #[test]
    fn the_next_run_is_the_first_one_that_is_to_come() {
        let now = at(2026, 11, 30, 13);
        for (first, step, expected) in [
            (at(2027, 1, 1, 0), every(0, 1, 0), at(2027, 1, 1, 0)),
            (now, every(0, 0, HOUR), now + HOUR),
            (now - 1, every(0, 0, HOUR), now - 1 + HOUR),
            (at(2025, 1, 15, 3), every(0, 1, 0), at(2026, 12, 1, 3)),
            (at(2025, 1, 15, 3), every(1, 0, 0), at(2026, 12, 15, 3)),
            (at(2025, 1, 31, 3), every(1, 0, 0), at(2026, 12, 31, 3)),
            (at(2024, 8, 31, 3), every(6, 0, 0), at(2027, 2, 28, 3)),
            (at(2024, 2, 29, 3), every(12, 0, 0), at(2027, 2, 28, 3)),
            (at(2024, 2, 29, 3), every(48, 0, 0), at(2028, 2, 29, 3)),
            (at(1, 1, 1, 0), every(0, 0, SHORTEST), now + SHORTEST),
            (at(1, 1, 1, 0), every(1_200, 0, 0), at(2101, 1, 1, 0)),
        ] {
            assert_eq!(next(first, now, step), Some(expected), "{step:?}");
        }
    }

    /// Whatever is estimated, nothing that is to come is passed over.
    #[test]
    fn estimates_miss_nothing() {
        let steps = [
            every(1, 0, 0),
            every(1, 1, 0),
            every(3, 0, HOUR),
            every(12, 0, 0),
            every(5, 27, 13 * HOUR),
            every(0, 9, 1),
        ];
        for first in [
            at(1, 1, 31, 0),
            at(1600, 2, 29, 7),
            at(1999, 8, 31, 23),
            at(2000, 1, 1, 0),
        ] {
            for step in steps {
                let mut number = 0;
                let mut here = first - 1;
                while number < 3_000 {
                    let expected = step.after(first, number);
                    assert_eq!(
                        next(first, here, step),
                        expected,
                        "{step:?} from {first}, step {number}"
                    );
                    let Some(time) = expected else { break };
                    here = time;
                    number += 1;
                }
            }
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for (step, why) in [
            (every(0, 0, 0), "must be greater than zero"),
            (every(0, 0, -1), "must be greater than zero"),
            (every(-1, 0, 0), "must be greater than zero"),
            (every(1, -31, 0), "must be greater than zero"),
            (every(1, -29, -86_399_999_999), "must not have negative parts"),
            (every(0, 1, -1), "must not have negative parts"),
            (every(-1, 60, 0), "must not have negative parts"),
            (every(0, 0, SHORTEST - 1), "must not be shorter than 100 milliseconds"),
            (every(1_201, 0, 0), "must not be longer than 100 years"),
            (every(i64::MAX, i64::MAX, i64::MAX), "must not be longer than 100 years"),
            (every(i64::MIN, i64::MIN, i64::MIN), "must be greater than zero"),
        ] {
            assert_eq!(step.check(), Err(why), "{step:?}");
            assert_eq!(next(0, 0, step), None);
        }
        assert_eq!(every(0, 0, SHORTEST).check(), Ok(()));
        assert_eq!(every(1_200, 0, 0).check(), Ok(()));
        // Beyond the calendar.
        assert_eq!(next(i64::MAX, 0, every(0, 1, 0)), None);
        assert_eq!(next(0, i64::MIN, every(0, 1, 0)), None);
        assert_eq!(next(at(9999, 12, 31, 0), at(9999, 12, 31, 1), every(0, 1, 0)), None);
    }
}
