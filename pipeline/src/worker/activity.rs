//! What a worker says about itself.

use std::time::Duration;

/// What is done with a document in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It is on its way to its texts.
    Preparing,
    /// It waits for vectors.
    Embedding,
    /// It is, or waits to be, written or settled.
    Writing,
}

/// What goes on, as text for `ai.worker_status`.
///
/// ```
/// use ai_pipeline::worker::activity::{Activity, activity};
/// assert_eq!(activity([].into_iter()), "idle");
/// let jobs = [Activity::Embedding, Activity::Writing, Activity::Embedding];
/// assert_eq!(activity(jobs.into_iter()), "loading and parsing 0, embedding 2, writing 1 documents");
/// ```
pub fn activity(jobs: impl Iterator<Item = Activity>) -> String {
    let (mut preparing, mut embedding, mut writing) = (0, 0, 0);
    for work in jobs {
        match work {
            Activity::Preparing => preparing += 1,
            Activity::Embedding => embedding += 1,
            Activity::Writing => writing += 1,
        }
    }
    match preparing + embedding + writing {
        0 => "idle".to_owned(),
        _ => format!("loading and parsing {preparing}, embedding {embedding}, writing {writing} documents"),
    }
}

/// Why it is not faster: for how long the provider, or a limit that is set, has it wait; and what
/// its parsers lack.
pub fn reason(throttled: Option<Duration>, limited: Option<Duration>, unconfined: Option<&str>) -> Option<String> {
    let throttled = throttled.map(|wait| {
        format!(
            "the embedding provider asked for patience: throttled for another {} s",
            wait.as_secs()
        )
    });
    let limited = limited.map(|wait| {
        format!(
            "the limits of a foreign server (requests_per_minute, tokens_per_minute) are reached for another {} s",
            wait.as_secs() + 1
        )
    });
    let unconfined = unconfined.map(|missing| format!("parsers run without some of their confinement: {missing}"));
    throttled.or(limited).or(unconfined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_comes_before_limits_and_those_before_parsers() {
        let wait = Some(Duration::from_millis(2500));
        let table = [
            (wait, wait, Some("seccomp"), "throttled for another 2 s"),
            (None, wait, Some("seccomp"), "are reached for another 3 s"),
            (
                None,
                None,
                Some("seccomp"),
                "without some of their confinement: seccomp",
            ),
        ];
        for (throttled, limited, unconfined, end) in table {
            let said = reason(throttled, limited, unconfined).unwrap();
            assert!(said.ends_with(end), "{said}");
        }
        assert_eq!(reason(None, None, None), None);
    }

    #[test]
    fn each_document_is_counted_where_it_is() {
        let jobs = [Activity::Preparing, Activity::Preparing, Activity::Writing];
        let said = activity(jobs.into_iter());
        assert_eq!(said, "loading and parsing 2, embedding 0, writing 1 documents");
    }
}
