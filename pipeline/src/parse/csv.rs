//! Tables as text: values between commas, semicolons, tabs or bars.
//!
//! Read: all of it, as one table whose first row is its header. Line breaks in a value become spaces. A file without a
//! second column stays the text that it is.

use super::bounds::ParseBounds;
use super::markdown::Markdown;
use super::reading::FormatReader;
use super::{Error, Parsed, text};

const NAME: &str = "CSV file";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| {
        let is_called = matches!(sample.extension, Some("csv" | "tsv" | "tab"))
            || matches!(
                sample.media_type,
                Some("text/csv" | "text/tab-separated-values" | "application/csv")
            );
        is_called && sample.text.is_some()
    },
    parse,
};

/// What is looked at to see which character is between values.
const SAMPLE: usize = 64 * 1024;

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let text = text::decode(bytes)?;
    let mut out = Markdown::default();
    let Some(separator) = separator(&text) else {
        out.plain(&text);
        return Ok(out.finish());
    };
    let mut left = bounds.cells;
    let mut width = 0;
    let mut rest = text.as_str();
    // Some programs say the separator in a line of its own.
    if rest.starts_with("sep=") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    while !rest.is_empty() {
        let (row, after) = row(rest, separator);
        rest = after;
        let excessive = Error::Excessive {
            of: NAME,
            what: "it has more than 4,000,000 cells",
        };
        left = left.checked_sub(row.len()).ok_or(excessive)?;
        if row.iter().any(|value| !value.trim().is_empty()) {
            width = out.table_row(&row, width);
        }
    }
    Ok(out.finish())
}

/// The character that divides the first lines into the same number of values, more than one, most alike.
fn separator(text: &str) -> Option<char> {
    let mut end = text.len().min(SAMPLE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let sample = &text[..end];
    if let Some(rest) = sample.strip_prefix("sep=") {
        return rest.chars().next();
    }
    let quality = |separator: char| {
        let (mut rest, mut widths) = (sample, Vec::new());
        while !rest.is_empty() && widths.len() < 50 {
            let (row, after) = row(rest, separator);
            rest = after;
            widths.push(row.len());
        }
        let first = widths.first().copied().unwrap_or(0);
        let alike = widths.iter().filter(|width| **width == first).count();
        (first > 1).then_some((alike, first))
    };
    let qualities = [',', ';', '\t', '|']
        .into_iter()
        .filter_map(|separator| Some((quality(separator)?, separator)));
    qualities
        .max_by_key(|(quality, _)| *quality)
        .map(|(_, separator)| separator)
}

/// The values of the first row, and what follows it.
fn row(text: &str, separator: char) -> (Vec<String>, &str) {
    let (mut values, mut rest) = (Vec::new(), text);
    loop {
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            // Two quotation marks are one of the value.
            while let Some((part, after)) = rest.split_once('"') {
                value.push_str(part);
                rest = after;
                match rest.strip_prefix('"') {
                    Some(after) => {
                        value.push('"');
                        rest = after;
                    }
                    None => break,
                }
            }
        }
        let end = rest.find([separator, '\n', '\r']).unwrap_or(rest.len());
        value.push_str(&rest[..end]);
        values.push(value);
        rest = &rest[end..];
        if let Some(after) = rest.strip_prefix(separator) {
            rest = after;
            continue;
        }
        let after = rest.strip_prefix('\r').unwrap_or(rest);
        return (values, after.strip_prefix('\n').unwrap_or(after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_is_between_separators_and_quotation_marks() {
        for (text, separator, values, after) in [
            ("a,b\r\nc", ',', vec!["a", "b"], "c"),
            ("\"a,1\";\"say \"\"x\"\"\"\nrest", ';', vec!["a,1", "say \"x\""], "rest"),
            ("\"two\nlines\",x", ',', vec!["two\nlines", "x"], ""),
            (",", ',', vec!["", ""], ""),
        ] {
            let (found, rest) = row(text, separator);
            assert_eq!(
                (found, rest),
                (values.into_iter().map(str::to_owned).collect(), after),
                "{text}"
            );
        }
        // A quotation mark that is never closed loses nothing.
        assert_eq!(row("\"never closed, x", ',').0.join(","), "never closed, x");
    }

    #[test]
    fn the_separator_is_the_one_that_divides_alike() {
        assert_eq!(separator("a;b;c\n1,5;2,5;3,5\n"), Some(';'));
        assert_eq!(separator("a\tb\n1, 2\t3\n"), Some('\t'));
        assert_eq!(separator("one column\nonly"), None);
    }
}
