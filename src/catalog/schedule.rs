//! Schedules of vectorizers that work at intervals. What an owner has written there is evaluated for that
//! vectorizer alone: the interval and the start are Postgres' to read, the reckoning is done in the pipeline.

use std::time::Duration;

use ai_pipeline::config::Scheduling;
use ai_pipeline::schedule::{self, Interval};

use super::{LONGEST_WAIT, Vectorizer};
use crate::postgres::statement;

/// What a schedule says.
struct Terms<'a> {
    step: Interval,
    /// As it is written.
    interval: &'a str,
    start: Option<&'a str>,
    fixed: bool,
    zone: Option<&'a str>,
}

/// `None` for a vectorizer that does not work at intervals. `Err` is what is wrong with the schedule; what
/// Postgres cannot read is an ERROR of its own.
fn terms(scheduling: &Scheduling) -> Result<Option<Terms<'_>>, String> {
    let Scheduling::Timescaledb {
        schedule_interval,
        initial_start,
        fixed_schedule,
        timezone,
    } = scheduling
    else {
        return Ok(None);
    };
    let (start, zone) = (initial_start.as_deref(), timezone.as_deref());
    let arguments = [schedule_interval.as_str().into(), start.into(), zone.into()];
    let parts = statement::row(
        include_str!("../../sql/query/schedule/schedule.sql"),
        &arguments,
        |row| {
            let step: Option<(i64, i64, i64)> = row
                .get(1)
                .zip(row.get("days"))
                .zip(row.get("microseconds"))
                .map(|((m, d), us)| (m, d, us));
            (step, row.must::<bool>("is_moment"))
        },
    );
    let (step, starts) = parts.expect("a statement without tables answers with one row");
    if !starts {
        let start = start.unwrap_or_default();
        return Err(format!(
            "initial_start must be a time between the years 1 and 9999: {start}"
        ));
    }
    let Some((months, days, microseconds)) = step else {
        return Err(format!("schedule_interval must not be infinite: {schedule_interval}"));
    };
    let step = Interval {
        months,
        days,
        microseconds,
    };
    step.check()
        .map_err(|why| format!("schedule_interval {why}: {schedule_interval}"))?;
    Ok(Some(Terms {
        step,
        interval: schedule_interval,
        start,
        fixed: *fixed_schedule == Some(true),
        zone,
    }))
}

/// Whether a schedule can be followed. In a transaction of its own, or in that of the session that makes it.
///
/// # Errors
/// What is wrong with it; what Postgres cannot read is an ERROR.
pub fn check_schedule(scheduling: &Scheduling) -> Result<(), String> {
    terms(scheduling).map(drop)
}

/// The queue of a vectorizer that is not worked on at once ran dry: how long until the next run, where there
/// is one. A fixed schedule keeps to multiples of the interval since its start.
///
/// # Errors
/// What is wrong with its schedule; what Postgres cannot read is an ERROR.
pub fn finish_run(vectorizer: &Vectorizer) -> Result<Option<Duration>, String> {
    let id = vectorizer.id;
    let Some(terms) = terms(&vectorizer.config.scheduling)? else {
        statement::run(include_str!("../../sql/query/schedule/end_run.sql"), &[id.into()]);
        return Ok(None);
    };
    // Days and months are counted by the clock of the time zone, over days that are longer than others.
    let zone = if terms.step.is_short() { Some("UTC") } else { terms.zone };
    let next = if terms.fixed {
        let sql = include_str!("../../sql/query/schedule/local_times.sql");
        let times = statement::row(sql, &[id.into(), terms.start.into(), zone.into()], |row| {
            (row.must::<i64>(1), row.must::<i64>(2))
        });
        let next = times.and_then(|(here, first)| schedule::next(first, here, terms.step));
        Some(next.ok_or("its schedule leads to no time that there is")?)
    } else {
        None
    };
    let arguments = [id.into(), next.into(), zone.into(), terms.interval.into()];
    let wait: Option<f64> = statement::row(
        include_str!("../../sql/query/schedule/plan_run.sql"),
        &arguments,
        |row| row.must(1),
    );
    Ok(wait.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT))))
}
