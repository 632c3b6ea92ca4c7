use super::*;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn facts() -> Facts {
    Facts {
        schedule: Schedule::AtOnce,
        paused: None,
        refusals: 0,
        has_notes: false,
        has_index: false,
    }
}

fn at_times() -> Facts {
    Facts {
        schedule: Schedule::In(60 * S),
        ..facts()
    }
}

fn station(facts: Facts, now: Instant) -> Station<()> {
    Station::new((), facts, now)
}

#[test]
fn the_schedule_says_when_it_is_looked_at_first() {
    let now = Instant::now();
    let table = [
        (Schedule::AtOnce, Some(now), None, Some(now)),
        (Schedule::In(9 * S), Some(now + 9 * S), Some(now), Some(now)),
        (Schedule::Never, None, Some(now), None),
    ];
    for (schedule, due_at, takes_in_at, index_at) in table {
        let facts = Facts {
            schedule,
            has_index: true,
            ..facts()
        };
        let station = station(facts, now);
        assert_eq!(station.due_at(), due_at, "{schedule:?}");
        assert_eq!(station.takes_in_at(), takes_in_at, "{schedule:?}");
        assert_eq!(station.index.look_at(), index_at, "{schedule:?}");
        assert_eq!(station.next_due(), Some(now), "{schedule:?}");
    }
}

#[test]
fn it_is_due_when_look_pause_and_lock_are_over() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    assert!(one.is_due(now));
    one.pause(30 * S, now);
    assert!(one.is_resting(now) && !one.is_due(now + 29 * S) && one.is_due(now + 30 * S));
    one.locks.met(now + 30 * S);
    assert!(!one.is_due(now + 30 * S));
    assert_eq!(one.due_at(), Some(now + 30 * S + 200 * MS));
    one.written(false);
    assert_eq!(
        one.due_at(),
        Some(now + 30 * S),
        "what it waited for is over, the look is not"
    );
    one.claimed(None, false, now);
    assert_eq!(one.due_at(), None);
    one.woken(now + S);
    assert!(one.is_due(now + S));
}

#[test]
fn a_commit_wakes_no_queue_that_is_worked_on_at_times_but_its_intake() {
    let now = Instant::now();
    let mut one = station(at_times(), now);
    one.took_in(Duration::ZERO, false, now);
    assert_eq!(one.takes_in_at(), None);
    one.woken(now + S);
    assert_eq!((one.due_at(), one.takes_in_at()), (Some(now + 60 * S), Some(now + S)));
    one.asked_to_run(Duration::ZERO, false, now + S);
    assert!(one.is_due(now + S));
}

#[test]
fn a_breath_lies_between_two_looks_unless_more_is_due() {
    let now = Instant::now();
    let table = [
        (Some(Duration::ZERO), true, Some(Duration::ZERO)),
        (Some(Duration::ZERO), false, Some(BREATH)),
        (Some(3 * S), false, Some(3 * S)),
        (None, false, None),
        (None, true, None),
    ];
    for (due, more, wait) in table {
        let mut one = station(facts(), now);
        one.claimed(due, more, now);
        assert_eq!(one.due_at(), wait.map(|wait| now + wait), "{due:?} {more}");
    }
    // Rows that are locked are looked at before.
    let mut one = station(facts(), now);
    one.locks.gave_back(false, false, now);
    for (due, wait) in [(None, 2 * S), (Some(9 * S), 2 * S), (Some(S), S)] {
        one.claimed(due, false, now);
        assert_eq!(one.due_at(), Some(now + wait), "{due:?}");
    }
}

#[test]
fn a_retry_comes_no_later_than_planned_and_begins_no_run() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    for (planned, wait, at) in [(None, 5, 5), (Some(3), 5, 3), (Some(9), 5, 5), (Some(0), 0, 0)] {
        one.claimed(planned.map(|planned| planned * S), true, now);
        one.look_again(wait * S, now);
        assert_eq!(one.due_at(), Some(now + at * S), "{planned:?} {wait}");
    }
    let mut one = station(at_times(), now);
    one.look_again(S, now);
    assert_eq!(one.due_at(), Some(now + 60 * S), "it has not begun");
    one.run_goes_on(now);
    one.look_again(S, now + BREATH);
    assert_eq!(one.due_at(), Some(now + BREATH), "it goes on");
    one.run_ended(None, now);
    one.look_again(S, now);
    assert_eq!(one.due_at(), None, "it has ended");
}

#[test]
fn an_intake_is_emptied_by_itself_where_its_queue_is_not_looked_at() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    assert_eq!(one.takes_in_at(), None, "the look at its queue empties it");
    one.pause(600 * S, now);
    assert_eq!(one.takes_in_at(), Some(now));
    one.intake_was_locked(now);
    assert_eq!(one.takes_in_at(), Some(now + BLOCKED), "the lock of 200 ms is shorter");
    one.begin_intake();
    assert_eq!(one.takes_in_at(), None);
    one.take_in_after(Duration::ZERO, now + S);
    assert_eq!(one.takes_in_at(), Some(now + S));
    one.took_in(2 * S, false, now + S);
    assert_eq!(one.intake_waits(now + S), 18 * S, "a tenth of the time");
    one.woken(now + 2 * S);
    assert_eq!(one.takes_in_at(), Some(now + 19 * S));
    one.took_in(2 * S, true, now + 20 * S);
    assert_eq!(one.intake_waits(now + 20 * S), Duration::ZERO, "it was made anew");
}

#[test]
fn refusals_that_last_are_tried_more_and_more_rarely_and_said_once() {
    let mut now = Instant::now();
    let mut one = station(facts(), now);
    let (mut waits, mut said) = (Vec::new(), 0);
    for _ in 0..8 {
        let is_first = one.was_refused(true, 1.0, now).unwrap();
        said += u32::from(is_first);
        let at = one.due_at().unwrap();
        assert_eq!(
            one.intake_waits(now),
            at + BLOCKED - now,
            "one of the queue is tried without the intake"
        );
        // A commit has it looked at before: that says nothing new.
        one.woken(now + MS);
        assert_eq!(one.was_refused(true, 1.0, now + MS), None);
        assert_eq!(one.due_at(), Some(at));
        waits.push((at - now).as_secs());
        now = at;
    }
    assert_eq!((waits, said), (vec![2, 4, 8, 16, 32, 64, 64, 64], 1));
    assert!(one.has_notes);
    one.read(1, false, true);
    assert_eq!(one.refusals(), MOST_REFUSALS, "its intake may be what is refused");
    one.read(1, true, true);
    assert_eq!(one.refusals(), 0);
    assert_eq!(one.was_refused(false, 1.0, now), Some(true));
}

#[test]
fn a_lock_met_while_taking_keeps_the_intake_apart_for_a_second() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    one.was_locked(true, now);
    assert_eq!(one.due_at(), Some(now + 200 * MS));
    assert_eq!(
        one.intake_waits(now),
        BLOCKED,
        "the next look takes documents of the queue only"
    );
    let mut one = station(facts(), now);
    one.was_locked(false, now);
    assert_eq!(one.intake_waits(now), Duration::ZERO);
    one.could_not_read(now);
    assert_eq!(
        one.due_at(),
        Some(now + BLOCKED),
        "to take and give back is more than a look"
    );
    one.look_after(9 * S, now);
    one.could_not_read(now);
    assert_eq!(one.due_at(), Some(now + 9 * S));
}

#[test]
fn documents_that_are_read_one_by_one_are_until_some_are_read_together() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    one.turn_was_short(now);
    assert!(one.reads_singly());
    assert_eq!(one.due_at(), Some(now + BREATH));
    one.read(0, true, true);
    assert!(one.reads_singly(), "a look that finds none shows nothing");
    one.read(3, true, true);
    assert!(!one.reads_singly());
}

#[test]
fn more_is_taken_after_a_write_where_more_may_be_there() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    assert!(one.may_take_more());
    one.read(3, true, true);
    assert!(!one.may_take_more(), "all that could be taken was");
    one.begin_claim();
    assert!(one.may_take_more());
    one.read(3, true, true);
    one.settled();
    assert!(one.may_take_more(), "a document has failed: others were put off");
    one.read(3, true, true);
    one.pause(S, now);
    assert!(one.may_take_more() && one.is_probing());
    one.written(true);
    assert!(!one.may_take_more() && !one.is_probing() && one.has_notes);
}

#[test]
fn a_locked_table_is_tried_with_one_document_after_patience() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    one.gave_back(true, now);
    assert!(one.is_probing() && one.must_be_remembered());
    assert_eq!(one.due_at(), Some(now + PATIENCE));
    one.written(false);
    assert!(!one.is_probing() && !one.must_be_remembered());
    one.claimed(Some(60 * S), false, now);
    one.gave_back(false, now);
    assert!(!one.is_probing() && one.must_be_remembered());
    assert_eq!(one.due_at(), Some(now + 60 * S), "rows have a look of their own");
}

#[test]
fn a_pause_lasts_from_when_it_is_written_down() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    one.pause_is_noted(600 * S, now);
    assert!(!one.is_paused(), "it has ended meanwhile");
    one.pause(30 * S, now);
    one.pause_is_noted(60 * S, now + 20 * S);
    assert!(one.is_resting(now + 79 * S) && !one.is_resting(now + 80 * S));
    assert!(one.is_paused(), "until a document succeeds");
}

#[test]
fn sweeps_take_a_hundredth_of_the_time_and_none_where_nothing_is() {
    let now = Instant::now();
    let mut one = station(facts(), now);
    assert_eq!(one.sweep(now), Sweep::Now, "an earlier worker may have left something");
    one.swept(true, S, now);
    assert_eq!(one.sweep(now + S), Sweep::In(98 * S));
    assert_eq!(one.sweep(now + 99 * S), Sweep::Now);
    one.swept(false, MS, now);
    assert_eq!(one.sweep(now + 600 * S), Sweep::None);
    one.put_aside();
    assert_eq!(one.sweep(now + 600 * S), Sweep::Now);
}

#[test]
fn refusals_of_the_worker_before_count_up_to_a_bound() {
    let now = Instant::now();
    let refused = Facts {
        refusals: 4_000_000_000,
        ..facts()
    };
    let mut one = station(refused, now);
    assert_eq!(one.refusals(), MOST_REFUSALS);
    assert_eq!(one.was_refused(false, 1.0, now), Some(false), "it has been said");
}

/// One of which all there is to know is known: it is refused, locked, held up, and looked at
/// for rows.
fn experienced(now: Instant) -> Station<()> {
    let mut one = station(facts(), now);
    one.turn_was_short(now);
    one.took_in(2 * S, false, now);
    one.swept(true, S, now);
    one.gave_back(false, now);
    one.gave_back(true, now);
    one.locks.met_in_flight(now);
    one.was_refused(false, 1.0, now).unwrap();
    one.refused_changes.add("(0,1)".to_owned());
    one.swallows.met(&["a".to_owned()], 1.0, now).unwrap();
    one
}

#[test]
fn a_change_of_others_makes_nothing_forgotten() {
    let now = Instant::now();
    let later = now + MS;
    let before = experienced(now);
    let kept = station(facts(), later).knowing(before.clone(), Change::Others, false);
    assert_eq!(kept.due_at(), before.due_at());
    assert_eq!(kept.locks, before.locks);
    assert_eq!(kept.refused_changes, before.refused_changes);
    assert_eq!(kept.intake_waits(later), before.intake_waits(later));
    assert_eq!(kept.sweep(later), before.sweep(later));
    assert_eq!(kept.refusals(), 1);
    assert!(kept.reads_singly() && kept.must_be_remembered() && kept.is_probing());
    let mut kept = kept;
    assert_eq!(kept.was_refused(false, 1.0, later), None, "nothing new");
    let keys = ["a".to_owned()];
    let (_, new) = kept.swallows.met(&keys, 1.0, later).unwrap();
    assert!(new.is_empty(), "it is noted");
}

#[test]
fn a_queue_that_was_empty_is_not_looked_at_for_a_change_of_others() {
    let now = Instant::now();
    let mut before = station(facts(), now);
    before.claimed(None, false, now);
    before.read(0, true, true);
    let table = [(Change::Others, None), (Change::Own, Some(now + S))];
    for (change, due_at) in table {
        let kept = station(facts(), now + S).knowing(before.clone(), change, false);
        assert_eq!(kept.due_at(), due_at, "{change:?}");
        assert_eq!(kept.may_take_more(), change == Change::Own);
    }
}

#[test]
fn a_change_of_its_own_has_all_tried_anew_but_what_would_cost_others() {
    let now = Instant::now();
    let later = now + MS;
    let before = experienced(now);
    let mut kept = station(facts(), later).knowing(before.clone(), Change::Own, false);
    // Its tables may be others: nothing of them is known.
    assert_eq!(kept.refused_changes, RefusedChanges::none(later));
    assert_eq!(kept.intake_waits(later), Duration::ZERO);
    assert_eq!(kept.sweep(later), Sweep::Now);
    assert!(!kept.reads_singly() && !kept.is_probing());
    // What was locked is, for as long as it was to be left alone.
    assert_eq!(kept.due_at(), before.locks.until());
    assert_eq!(kept.locks.look_at(), before.locks.look_at());
    // It was said, and what it is refused next is to be tried later than before.
    assert_eq!(kept.refusals(), 1);
    assert_eq!(kept.was_refused(false, 1.0, later), Some(false));
}

#[test]
fn a_pause_holds_as_it_is_written_down_or_where_it_could_not_be() {
    let now = Instant::now();
    let mut before = station(facts(), now);
    before.pause(30 * S, now);
    let written = Facts {
        paused: Some(10 * S),
        ..facts()
    };
    // What is written down, whether it is not yet, and until when it rests.
    let table = [
        (facts(), false, None),
        (facts(), true, Some(30 * S)),
        (written, false, Some(11 * S)),
        (written, true, Some(11 * S)),
    ];
    for (facts, is_unnoted, rests) in table {
        for change in [Change::Own, Change::Others] {
            let kept = station(facts, now + S).knowing(before.clone(), change, is_unnoted);
            let until = rests.map_or(now + S, |rests| now + rests);
            assert_eq!(kept.is_resting(until - MS), rests.is_some(), "{change:?} {is_unnoted}");
            assert!(!kept.is_resting(until));
            let looks_at_once = kept.due_at() == Some(now + S);
            assert_eq!(looks_at_once, rests.is_none(), "a pause that is over is over at once");
        }
    }
}

#[test]
fn a_schedule_is_what_it_says_now() {
    let now = Instant::now();
    let stopped = Facts {
        schedule: Schedule::Never,
        ..facts()
    };
    let before = experienced(now);
    for (facts, due_at) in [(at_times(), Some(now + 61 * S)), (stopped, None)] {
        for change in [Change::Own, Change::Others] {
            let kept = station(facts, now + S).knowing(before.clone(), change, false);
            assert_eq!(kept.due_at(), due_at, "{change:?}");
            assert!(kept.is_at_times());
        }
        let changed = station(facts, now + S).knowing(before.clone(), Change::Own, false);
        assert_eq!(changed.locks.look_at(), None, "its rows are looked at when it works");
    }
    let mut ended = station(at_times(), now);
    ended.run_ended(None, now);
    let kept = station(facts(), now + S).knowing(ended, Change::Others, false);
    assert_eq!(kept.due_at(), Some(now + S), "it works at once from now on");
}

#[test]
fn an_index_is_looked_after_when_its_vectorizer_was_read() {
    let now = Instant::now();
    let with_index = Facts {
        has_index: true,
        ..facts()
    };
    let mut before = station(with_index, now);
    before.index.looked(true, false, S, now);
    for change in [Change::Own, Change::Others] {
        let kept = station(with_index, now + S).knowing(before.clone(), change, false);
        assert_eq!(
            kept.index.look_at(),
            Some(now + S),
            "it may be gone, or be built: {change:?}"
        );
    }
}
