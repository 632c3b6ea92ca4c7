//! What spreadsheets have in common: cells by their places, and the numbers that are dates.

use super::Error;
use super::bounds::ParseBounds;
use super::markdown::{Markdown, Rows};

/// The rows of a sheet, as they come. Rows without a gap between them are a table, which begins with its header.
pub(super) struct Grid<'m> {
    out: &'m mut Markdown,
    of: &'static str,
    /// Cells that may still come.
    left: &'m mut usize,
    rows: Rows,
    last: usize,
}

impl<'m> Grid<'m> {
    /// A sheet of that name, whose cells are counted against `left`.
    pub fn new(name: &str, of: &'static str, left: &'m mut usize, out: &'m mut Markdown) -> Grid<'m> {
        out.heading(2, name);
        Grid {
            out,
            of,
            left,
            rows: Rows::new(),
            last: 0,
        }
    }

    /// The cells of the row with that number, by their columns from 0. Rows come in order.
    ///
    /// # Errors
    ///
    /// [`Error::Excessive`] where there are more cells than [`ParseBounds::cells`].
    pub fn row(&mut self, number: usize, mut cells: Vec<(usize, String)>) -> Result<(), Error> {
        cells.retain(|(_, text)| !text.trim().is_empty());
        let width = cells.iter().map(|(column, _)| column + 1).max().unwrap_or(0);
        // An empty cell costs a place, too.
        let excessive = Error::Excessive {
            of: self.of,
            what: "its sheets have more than 4,000,000 cells",
        };
        *self.left = self.left.checked_sub(width).ok_or(excessive)?;
        if width == 0 || number != self.last + 1 {
            self.end();
        }
        self.last = number;
        if width > 0 {
            let mut row = vec![String::new(); width];
            for (column, text) in cells {
                row[column] = text;
            }
            self.rows.push(row);
        }
        Ok(())
    }

    /// Writes what there is as a table, without columns before the first that has something.
    pub fn end(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        let first = rows
            .iter()
            .filter_map(|row| row.iter().position(|cell| !cell.is_empty()))
            .min()
            .unwrap_or(0);
        rows.iter_mut().for_each(|row| drop(row.drain(..first)));
        if !rows.is_empty() {
            self.out.table(&rows);
        }
    }
}

/// Cells that a document may have in all.
pub(super) fn cells(bounds: &ParseBounds) -> usize {
    bounds.cells
}

/// What a format makes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShownNumber {
    Number,
    Date,
    Duration,
}

/// What a number format shows: a date where it has letters of dates beside quoted text, colours and conditions.
pub(super) fn shown(format: &str) -> ShownNumber {
    let first = format.split(';').next().unwrap_or_default();
    let mut characters = first.chars();
    let mut is_date = false;
    while let Some(character) = characters.next() {
        match character {
            '"' => drop(characters.by_ref().find(|end| *end == '"')),
            '\\' | '_' | '*' => drop(characters.next()),
            '[' => {
                let inner: String = characters.by_ref().take_while(|end| *end != ']').collect();
                if !inner.is_empty() && inner.to_lowercase().chars().all(|letter| "hms".contains(letter)) {
                    return ShownNumber::Duration;
                }
            }
            'd' | 'D' | 'm' | 'M' | 'y' | 'Y' | 'h' | 'H' | 's' | 'S' => is_date = true,
            // "General" has letters, too.
            'G' | 'g' if first.to_lowercase().contains("general") => return ShownNumber::Number,
            _ => (),
        }
    }
    if is_date {
        ShownNumber::Date
    } else {
        ShownNumber::Number
    }
}

/// What one of the formats shows that every program knows by their numbers.
pub(super) fn shown_by_number(format: usize) -> ShownNumber {
    match format {
        14..=22 | 27..=36 | 45 | 47 | 50..=58 => ShownNumber::Date,
        46 => ShownNumber::Duration,
        _ => ShownNumber::Number,
    }
}

/// A number as its format shows it: dates and times by ISO 8601, others as they are.
pub(super) fn number(value: f64, shown: ShownNumber, since_1904: bool) -> String {
    match shown {
        ShownNumber::Date if (0.0..2_958_466.0).contains(&value) => date(value, since_1904),
        ShownNumber::Duration if value.is_finite() && value.abs() < 1e9 => {
            let seconds = (value.abs() * 86_400.0).round() as u64;
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        }
        _ => plain(value),
    }
}

/// What an addition leaves in the last digits (0.30000000000000004) is left out, where few digits remain.
fn plain(value: f64) -> String {
    let near: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    let rounded = if format!("{near:e}").len() < 15 { near } else { value };
    if rounded != 0.0 && !(1e-9..1e21).contains(&rounded.abs()) {
        format!("{rounded:e}")
    } else {
        format!("{rounded}")
    }
}

fn date(value: f64, since_1904: bool) -> String {
    let mut seconds = (value * 86_400.0).round() as i64;
    let only_time = value < 1.0;
    let day = seconds.div_euclid(86_400);
    seconds = seconds.rem_euclid(86_400);
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if only_time {
        return time;
    }
    // Days since 1970; those before March 1900 count a day that never was.
    let days = if since_1904 {
        day - 24_107
    } else {
        day - 25_569 + i64::from(day < 60)
    };
    let (year, month, day) = civil(days);
    match seconds {
        0 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:04}-{month:02}-{day:02} {time}"),
    }
}

/// The day of the calendar, from days since 1970.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_their_formats_say() {
        for (format, what) in [
            ("General", ShownNumber::Number),
            ("#,##0.00", ShownNumber::Number),
            ("yyyy-mm-dd", ShownNumber::Date),
            ("[$-409]d/m/yy h:mm AM/PM;@", ShownNumber::Date),
            ("\"days\" 0", ShownNumber::Number),
            ("[Red]0.0", ShownNumber::Number),
            ("[h]:mm:ss", ShownNumber::Duration),
        ] {
            assert_eq!(shown(format), what, "{format}");
        }
        for (value, what, text) in [
            (45_352.0, ShownNumber::Date, "2024-03-01"),
            (45_352.75, ShownNumber::Date, "2024-03-01 18:00:00"),
            (0.5, ShownNumber::Date, "12:00:00"),
            (1.0, ShownNumber::Date, "1900-01-01"),
            (61.0, ShownNumber::Date, "1900-03-01"),
            (1.5, ShownNumber::Duration, "36:00:00"),
            (0.1 + 0.2, ShownNumber::Number, "0.3"),
            (1e300, ShownNumber::Number, "1e300"),
            (-1234.5, ShownNumber::Number, "-1234.5"),
        ] {
            assert_eq!(number(value, what, false), text);
        }
        assert_eq!(number(0.0 + 43_890.0, ShownNumber::Date, true), "2024-03-01");
    }
}
