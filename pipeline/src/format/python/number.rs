//! Numbers as Python shows them.

/// `float` of Postgres' text of a floating-point number. `None`: not that.
pub fn float_text(text: &str) -> Option<String> {
    match text {
        "NaN" => Some(float(f64::NAN)),
        "Infinity" => Some(float(f64::INFINITY)),
        "-Infinity" => Some(float(f64::NEG_INFINITY)),
        _ => text.parse().ok().map(float),
    }
}

/// Python's `repr` of a float: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let shortest = format!("{value:e}");
    let precision = shortest
        .bytes()
        .take_while(|b| *b != b'e')
        .filter(u8::is_ascii_digit)
        .count()
        - 1;
    // Of two shortest forms that are equally near, Python (and Postgres) takes the even one, the standard library the
    // greater: 850295978874678.25 is ...8.2. Asked for a number of digits, the standard library takes the even one too.
    let even = format!("{value:.precision$e}");
    let scientific = if even.parse() == Ok(value) { even } else { shortest };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        return format!(
            "{mantissa}e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.abs()
        );
    }
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |mantissa| ("-", mantissa));
    let mut digits = mantissa.replace('.', "");
    let before_point = if exponent < 0 {
        digits.insert_str(0, &"0".repeat(exponent.unsigned_abs() as usize));
        1
    } else {
        exponent as usize + 1
    };
    while digits.len() <= before_point {
        digits.push('0');
    }
    digits.insert(before_point, '.');
    format!("{sign}{digits}")
}

/// Python's `str` of a `Decimal` that was made from Postgres' text: with an exponent where more than six
/// digits would be nothing but zeros behind the point. `None`: as it is.
pub fn decimal(text: &str) -> Option<String> {
    let (sign, number) = text.strip_prefix('-').map_or(("", text), |number| ("-", number));
    let (whole, fraction) = number.split_once('.')?;
    let digits = [whole, fraction].concat();
    if !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let significant = if significant.is_empty() { "0" } else { significant };
    let exponent = significant.len() as i64 - 1 - fraction.len() as i64;
    if exponent >= -6 {
        return None;
    }
    let (first, rest) = significant.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    Some(format!("{sign}{first}{point}{rest}E{exponent}"))
}
