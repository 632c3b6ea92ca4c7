//! How long a server wants to be left alone, by the headers of its answer.

use std::time::{Duration, SystemTime};

/// `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), which is compared
/// with the server's own clock where the answer shows it, and else with `now`. `header` is asked
/// for headers by their names in lower case.
///
/// `None` where nothing is said, or nonsense; zero for a date that has passed.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use ai_pipeline::retry_after;
/// let header = |name: &str| (name == "retry-after").then_some("7");
/// assert_eq!(retry_after::told(header, SystemTime::now()), Some(Duration::from_secs(7)));
/// ```
pub fn told<'h>(header: impl Fn(&str) -> Option<&'h str>, now: SystemTime) -> Option<Duration> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    if let Some(milliseconds) = header("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let text = header("retry-after")?;
    if let Some(seconds) = number(text) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let now = header("date").and_then(date).unwrap_or(now);
    Some(date(text)?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let told = |headers: &[(&str, &'static str)]| {
            let header = |wanted: &str| {
                headers
                    .iter()
                    .find(|(name, _)| *name == wanted)
                    .map(|(_, value)| *value)
            };
            told(header, now)
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(told(&[("retry-after", " 17 ")]), Some(Duration::from_secs(17)));
        assert_eq!(told(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(
            told(&[("retry-after", "1"), ("retry-after-ms", "20")]),
            Some(Duration::from_millis(20))
        );
        let date = ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT");
        assert_eq!(told(&[date]), Some(Duration::from_secs(30)));
        let date_by_a_fast_clock = [date, ("date", "Sun, 06 Nov 1994 08:50:05 GMT")];
        assert_eq!(told(&date_by_a_fast_clock), Some(Duration::from_secs(2)));
        assert_eq!(
            told(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]),
            Some(Duration::ZERO)
        );
        let far = told(&[("retry-after", "Fri, 31 Dec 2100 23:59:59 GMT")]).unwrap();
        assert!(far > Duration::from_secs(365 * 24 * 3600));
        for nonsense in ["soon", "-1", "NaN", "inf", "1e300", ""] {
            assert_eq!(told(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }
}
