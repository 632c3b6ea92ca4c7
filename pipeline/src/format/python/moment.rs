//! Dates, times and intervals as Python shows them, from Postgres' text in the style ISO and in UTC. `None`:
//! what Python cannot hold, as infinity and years before 1 or after 9999.

use std::fmt::Write;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// The most days of a `timedelta`.
const MOST_DAYS: i64 = 999_999_999;

/// A `date`, a `time` or a `datetime`, with or without an offset from UTC.
#[derive(Debug)]
pub struct Moment {
    date: Option<(u32, u32, u32)>,
    time: Option<Time>,
    /// In seconds.
    offset: Option<i64>,
}

#[derive(Debug)]
struct Time {
    hour: u32,
    minute: u32,
    second: u32,
    micros: u32,
}

impl Moment {
    /// `2024-01-06`
    pub fn date(text: &str) -> Option<Moment> {
        Some(Moment {
            date: Some(date(text)?),
            time: None,
            offset: None,
        })
    }

    /// `01:02:03.5`, `01:02:03.5+02`
    pub fn time(text: &str) -> Option<Moment> {
        let (text, offset) = split_offset(text)?;
        Some(Moment {
            date: None,
            time: Some(time(text)?),
            offset,
        })
    }

    /// `2024-01-06 01:02:03.5`, `2024-01-06 01:02:03.5+00`
    pub fn timestamp(text: &str) -> Option<Moment> {
        let (day, clock) = text.split_once(' ')?;
        let moment = Moment::time(clock)?;
        // psycopg moves it into the time zone of the session, which is UTC.
        (moment.offset.unwrap_or(0) == 0).then_some(())?;
        Some(Moment {
            date: Some(date(day)?),
            ..moment
        })
    }

    /// `str()`
    pub fn shown(&self) -> String {
        let mut out = String::new();
        if let Some((year, month, day)) = self.date {
            let _ = write!(out, "{year:04}-{month:02}-{day:02}");
        }
        if let Some(time) = &self.time {
            out.push_str(if self.date.is_some() { " " } else { "" });
            let _ = write!(out, "{:02}:{:02}:{:02}", time.hour, time.minute, time.second);
            if time.micros > 0 {
                let _ = write!(out, ".{:06}", time.micros);
            }
        }
        if let Some(offset) = self.offset {
            let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            let _ = write!(out, "{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
            if seconds % 60 > 0 {
                let _ = write!(out, ":{:02}", seconds % 60);
            }
        }
        out
    }

    /// `repr()`
    pub fn write_repr(&self, out: &mut String) {
        let mut arguments: Vec<u32> = Vec::new();
        if let Some((year, month, day)) = self.date {
            arguments.extend([year, month, day]);
        }
        if let Some(time) = &self.time {
            arguments.extend([time.hour, time.minute]);
            if time.second > 0 || time.micros > 0 {
                arguments.push(time.second);
            }
            if time.micros > 0 {
                arguments.push(time.micros);
            }
        }
        out.push_str(match (&self.date, &self.time) {
            (Some(_), Some(_)) => "datetime.datetime(",
            (Some(_), None) => "datetime.date(",
            (None, _) => "datetime.time(",
        });
        for (index, argument) in arguments.iter().enumerate() {
            let _ = write!(out, "{}{argument}", if index > 0 { ", " } else { "" });
        }
        match self.offset {
            None => {}
            Some(0) => out.push_str(", tzinfo=datetime.timezone.utc"),
            Some(seconds) => {
                out.push_str(", tzinfo=datetime.timezone(");
                Timedelta(seconds * SECOND).write_repr(out);
                out.push(')');
            }
        }
        out.push(')');
    }
}

fn date(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('-');
    let year = parts.next().filter(|year| year.len() == 4)?;
    let (month, day) = (parts.next()?, parts.next()?);
    parts.next().is_none().then_some(())?;
    Some((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?))
}

fn time(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':').map(str::parse);
    let mut part = || parts.next()?.ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    (hour < 24).then_some(Time {
        hour,
        minute,
        second,
        micros: format!("{fraction:0<6}").parse().ok()?,
    })
}

/// The time and what follows it: `+02`, `-07:30`, `+05:30:15`.
fn split_offset(text: &str) -> Option<(&str, Option<i64>)> {
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, None));
    };
    let mut seconds = 0;
    for (part, worth) in text[at + 1..].split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i64>().ok()? * worth;
    }
    let offset = if text[at..].starts_with('-') { -seconds } else { seconds };
    Some((&text[..at], Some(offset)))
}

/// A `timedelta`, in microseconds.
#[derive(Debug)]
pub struct Timedelta(i64);

impl Timedelta {
    /// From Postgres' own style: `1 year 2 mons -3 days +04:05:06.789`. As in psycopg a year has 365 days and
    /// a month 30.
    pub fn read(text: &str) -> Option<Timedelta> {
        let mut micros: i64 = 0;
        let mut words = text.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let part = if word.contains(':') {
                time_of_day(word)?
            } else {
                let days = match words.next()? {
                    "year" | "years" => 365,
                    "mon" | "mons" => 30,
                    "day" | "days" => 1,
                    _ => return None,
                };
                word.parse::<i64>().ok()?.checked_mul(days * DAY)?
            };
            micros = micros.checked_add(part)?;
        }
        (micros.div_euclid(DAY).abs() <= MOST_DAYS).then_some(Timedelta(micros))
    }

    fn days(&self) -> i64 {
        self.0.div_euclid(DAY)
    }

    fn seconds(&self) -> i64 {
        self.0.rem_euclid(DAY) / SECOND
    }

    fn micros(&self) -> i64 {
        self.0.rem_euclid(SECOND)
    }

    /// `str()`
    pub fn shown(&self) -> String {
        let mut out = String::new();
        let (days, seconds) = (self.days(), self.seconds());
        if days != 0 {
            let _ = write!(out, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" });
        }
        let _ = write!(out, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if self.micros() != 0 {
            let _ = write!(out, ".{:06}", self.micros());
        }
        out
    }

    /// `repr()`
    pub fn write_repr(&self, out: &mut String) {
        out.push_str("datetime.timedelta(");
        let parts = [
            ("days", self.days()),
            ("seconds", self.seconds()),
            ("microseconds", self.micros()),
        ];
        let mut comma = "";
        for (name, value) in parts.into_iter().filter(|(_, value)| *value != 0) {
            let _ = write!(out, "{comma}{name}={value}");
            comma = ", ";
        }
        out.push_str(if comma.is_empty() { "0)" } else { ")" });
    }
}

/// Microseconds of `[+-]HH:MM:SS[.ffffff]`.
fn time_of_day(word: &str) -> Option<i64> {
    let (sign, time) = match word.strip_prefix('-') {
        Some(time) => (-1, time),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    let mut seconds: i64 = 0;
    for part in time.split(':') {
        seconds = seconds.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    seconds.checked_mul(SECOND)?.checked_add(micros)?.checked_mul(sign)
}
