//! Vectors of pgvector as its package for Python shows them: those of 32-bit floats are arrays of numpy, the
//! others classes of its own.

use std::fmt::Write;

use super::number;

/// Columns of a line.
const WIDTH: usize = 75;
/// Longer ones are shown by their ends alone.
const MOST: usize = 1000;
const ENDS: usize = 3;
/// Digits behind the point.
const PRECISION: usize = 8;

/// `str()`
pub fn shown(text: &str) -> Option<String> {
    let words = words(text)?;
    Some(wrapped(&words, "[", " ", 1, WIDTH))
}

/// `repr()`
pub fn write_repr(out: &mut String, text: &str) -> Option<()> {
    const NAME: &str = "array(";
    const TYPE: &str = "dtype=float32)";
    let words = words(text)?;
    let list = wrapped(&words, "[", ", ", NAME.len() + 1, WIDTH);
    out.push_str(NAME);
    out.push_str(&list);
    out.push_str(", ");
    let last = list.rsplit('\n').next().unwrap_or_default();
    let column = last.len() + if list.contains('\n') { 0 } else { NAME.len() };
    if column + ", ".len() + TYPE.len() > WIDTH {
        out.truncate(out.trim_end().len());
        out.push('\n');
        out.push_str(&" ".repeat(NAME.len()));
    }
    out.push_str(TYPE);
    Some(())
}

/// `str()` and `repr()` of a `halfvec`.
pub fn half(text: &str) -> Option<String> {
    let mut out = "HalfVector([".to_owned();
    for (index, number) in text.strip_prefix('[')?.strip_suffix(']')?.split(',').enumerate() {
        // Postgres writes as few digits as tell it from other floats of 32 bits; Python those of its 64 bits.
        let number: f32 = number.parse().ok()?;
        let _ = write!(
            out,
            "{}{}",
            if index > 0 { ", " } else { "" },
            number::float(number.into())
        );
    }
    out.push_str("])");
    Some(out)
}

/// `str()` and `repr()` of a `sparsevec`, which counts from 1 in Postgres and from 0 in Python.
pub fn sparse(text: &str) -> Option<String> {
    let (elements, dimensions) = text.strip_prefix('{')?.split_once("}/")?;
    let mut out = "SparseVector({".to_owned();
    for (index, element) in elements.split(',').filter(|element| !element.is_empty()).enumerate() {
        let (place, number) = element.split_once(':')?;
        let place = place.parse::<u32>().ok()?.checked_sub(1)?;
        let _ = write!(
            out,
            "{}{place}: {}",
            if index > 0 { ", " } else { "" },
            number::float_text(number)?
        );
    }
    let _ = write!(out, "}}, {dimensions})");
    Some(out)
}

/// Its numbers, all of one width; `...` in place of those between the ends of a long one.
fn words(text: &str) -> Option<Vec<String>> {
    let numbers = text.strip_prefix('[')?.strip_suffix(']')?.split(',');
    let numbers: Option<Vec<f32>> = numbers.map(|number| number.parse().ok()).collect();
    let mut numbers = numbers?;
    let is_long = numbers.len() > MOST;
    if is_long {
        numbers.drain(ENDS..numbers.len() - ENDS);
    }
    let sizes = || numbers.iter().map(|number| number.abs()).filter(|size| *size > 0.0);
    let most = sizes().fold(0.0, f32::max);
    let least = sizes().fold(f32::INFINITY, f32::min);
    let with_exponent = most > 0.0 && (most >= 1e8 || least < 0.0001 || most / least > 1000.0);
    let mut words = if with_exponent {
        scientific(&numbers)
    } else {
        positional(&numbers)
    };
    if is_long {
        words.insert(ENDS, "...".to_owned());
    }
    Some(words)
}

/// ` 1.  `, `-0.25`
fn positional(numbers: &[f32]) -> Vec<String> {
    let parts = parts(numbers.iter().map(|number| {
        let shortest = format!("{number:?}");
        let digits = shortest.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if digits > PRECISION || shortest.contains('e') {
            format!("{number:.PRECISION$}")
        } else {
            shortest
        }
    }));
    let whole = parts.iter().map(|(whole, _)| whole.len()).max().unwrap_or(0);
    let fraction = parts.iter().map(|(_, fraction)| fraction.len()).max().unwrap_or(0);
    let padded = parts
        .iter()
        .map(|(integer, digits)| format!("{integer:>whole$}.{digits:<fraction$}"));
    padded.collect()
}

/// `1.e+08`, `-2.5e-01`
fn scientific(numbers: &[f32]) -> Vec<String> {
    let split = |number: &f32| {
        let shortest = format!("{number:e}");
        let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        (mantissa.to_owned(), exponent)
    };
    let (mantissas, exponents): (Vec<String>, Vec<i32>) = numbers.iter().map(split).unzip();
    let parts = parts(mantissas.into_iter());
    let whole = parts.iter().map(|(whole, _)| whole.len()).max().unwrap_or(0);
    let fraction = parts.iter().map(|(_, fraction)| fraction.len()).max().unwrap_or(0);
    let padded = parts.iter().zip(exponents).map(|((integer, digits), exponent)| {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{integer:>whole$}.{digits:0<fraction$}e{sign}{:02}", exponent.abs())
    });
    padded.collect()
}

/// What is before the point and behind it, without zeros at its end.
fn parts(numbers: impl Iterator<Item = String>) -> Vec<(String, String)> {
    numbers
        .map(|number| {
            let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
            (whole.to_owned(), fraction.trim_end_matches('0').to_owned())
        })
        .collect()
}

/// In lines of a `width`, those after the first begin with so many blanks.
fn wrapped(words: &[String], opening: &str, separator: &str, indent: usize, width: usize) -> String {
    let indent = " ".repeat(indent);
    let mut out = opening.to_owned();
    // The first line begins where `opening` does, with what is before it.
    let mut column = indent.len();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
            column += separator.len();
        }
        if column + word.len() > width - 1 && column > indent.len() {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(&indent);
            column = indent.len();
        }
        out.push_str(word);
        column += word.len();
    }
    out.push(']');
    out
}
