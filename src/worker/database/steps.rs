//! What the main thread does with a document between its tasks: read, compare, write.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::embed::Embedded;
use ai_pipeline::error as pipeline;
use ai_pipeline::memory::Note;
use ai_pipeline::panics;
use ai_pipeline::plan::Plan;
use ai_pipeline::prepare::Prepared;
use ai_pipeline::worker::batches::{self, Ready, Waiting};
use pgrx::pg_sys::Oid;

use super::accidents::Trace;
use super::duty::Duty;
use super::jobs::StepBatch;
use super::state::VectorizerStation;
use super::state::{BUSY, SLICE, Worker};
use crate::catalog::{self, DestinationStatements, Vectorizer};
use crate::postgres::transaction::{self, Lag, accounts, limit};
use crate::postgres::{error, rewritten};
use crate::runtime::reservation::Reservations;
use crate::settings;
use crate::store::destination::{self, Replacement};
use crate::store::memory;
use crate::store::queue::{self, Hold, Item};
use crate::store::stash;
use crate::worker::job::{Draft, Job, MainStep, Paid, Stage, TaskEvent, TaskOutcome, Unembedded};

/// Vectors of one document that are in memory at a time, in bytes, and texts that they are made of
/// as many: some requests' worth.
const PORTION: usize = 4 << 20;

/// Does the main thread's steps of documents that wait for one: those of a vectorizer that wait for
/// the same, many in a transaction.
pub(super) struct Stepper;

impl Duty for Stepper {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        let jobs = worker.jobs.values();
        let waiting = jobs.filter(|job| job.stage.next_step().is_some());
        let at = |job: &Job| {
            let held = accounts::held_until(job.vectorizer.owner);
            held.map_or(job.not_before, |until| until.max(job.not_before))
        };
        waiting.map(at).min()
    }

    /// Whether more wait for theirs.
    fn run(&mut self, worker: &mut Worker) -> bool {
        let began = Instant::now();
        accounts::begin_turns();
        let mut waiting = worker.batches(began);
        let (order, mut more) = batches::of_round(&worker.ready(&waiting, began));
        for index in order {
            if crate::worker::must_end() {
                return false;
            }
            let step = waiting[index].0;
            let numbers = std::mem::take(&mut waiting[index].1);
            let job = numbers.first().and_then(|number| worker.jobs.get(*number));
            if job.is_some_and(|job| !accounts::has_turn(job.vectorizer.owner)) {
                more = true;
                continue;
            }
            if began.elapsed() > SLICE && step.is_quick() {
                more = true;
                continue;
            }
            // A conflict over a table has put off the others of its vectorizer meanwhile.
            let now = Instant::now();
            let is_due = |number: &u64| worker.jobs.get(*number).is_some_and(|job| job.not_before <= now);
            let numbers: Vec<u64> = numbers.into_iter().filter(is_due).collect();
            let batch = worker.jobs.take_all(&numbers);
            let Some(vectorizer) = batch.first().map(|(_, job)| Arc::clone(&job.vectorizer)) else {
                continue;
            };
            let traces = batch.iter().map(|(number, job)| Trace::of(*number, job)).collect();
            let singly = batch.iter().any(|(_, job)| job.singly) || matches!(step, MainStep::Stash | MainStep::Settle);
            worker.guarded(traces, |worker| {
                if singly {
                    worker.one_by_one(step, batch);
                } else {
                    worker.step(step, &vectorizer, batch);
                }
            });
            worker.last_busy = Instant::now();
        }
        more
    }
}

impl Worker {
    /// Takes over what a task brought.
    pub(super) fn take_result(&mut self, event: TaskEvent) {
        self.last_busy = Instant::now();
        // A job that is gone was ended while its task's result was on the way.
        let Some(mut job) = self.jobs.take(event.job) else {
            return;
        };
        (job.put_off, job.singly) = (None, false);
        job.stage = match (event.outcome, job.stage) {
            (TaskOutcome::Reserved(Ok(memory)), Stage::Queueing { remembered, .. }) => {
                Stage::Reading { remembered, memory }
            }
            (TaskOutcome::Prepared(Ok(prepared)), Stage::Preparing { .. }) => prepared_stage(prepared, &mut job.memory),
            (TaskOutcome::Embedded(Ok(embedded)), Stage::Embedding { mut draft, wanted, .. }) => {
                let (Embedded { vectors, cut }, reservation) = embedded;
                job.memory.vectors = Some(reservation);
                draft.cut.extend(cut.into_iter().map(|index| wanted[index]));
                match draft.stashed {
                    Some(_) => Stage::Stashing { draft, wanted, vectors },
                    None => Stage::Writing { draft, vectors },
                }
            }
            (TaskOutcome::Embedded(Err(unembedded)), Stage::Embedding { draft, wanted, .. }) => {
                let Unembedded {
                    failure,
                    vectors,
                    reservation,
                } = unembedded;
                let (places, vectors): (Vec<usize>, Vec<Vec<f32>>) = vectors.into_iter().unzip();
                let indexes: Vec<usize> = places.into_iter().map(|place| wanted[place]).collect();
                let keys = draft.keys_of(&indexes, &job.vectorizer.config.embedding);
                job.memory = Reservations {
                    vectors: reservation,
                    ..Reservations::default()
                };
                let paid = Paid { keys, vectors };
                Stage::Settling { failure, paid }
            }
            (TaskOutcome::Reserved(Err(failure)) | TaskOutcome::Prepared(Err(failure)), _) => {
                job.memory = Reservations::default();
                Stage::failed(failure)
            }
            (TaskOutcome::Reserved(Ok(_)) | TaskOutcome::Prepared(Ok(_)) | TaskOutcome::Embedded(_), stage) => {
                drop(stage);
                unreachable!("a stage has one task, and ends with it")
            }
        };
        self.jobs.put(event.job, job);
    }

    /// What bears on the order of these batches.
    fn ready(&self, waiting: &[(MainStep, Vec<u64>)], now: Instant) -> Vec<Ready> {
        let ready = waiting.iter().map(|(step, numbers)| {
            let oldest = numbers.first().copied().unwrap_or_default();
            let vectorizer = self.jobs.get(oldest).map(|job| &job.vectorizer);
            Ready {
                is_quick: step.is_quick(),
                spent: vectorizer.map_or(Duration::ZERO, |vectorizer| accounts::spent(vectorizer.owner, now)),
                is_slow: vectorizer.is_some_and(|vectorizer| self.slow.has(vectorizer.id)),
                oldest,
            }
        });
        ready.collect()
    }

    fn step(&mut self, step: MainStep, vectorizer: &Arc<Vectorizer>, batch: StepBatch) {
        match step {
            MainStep::Read => self.read(vectorizer, batch),
            MainStep::Compare => self.compare(vectorizer, batch),
            MainStep::Stash => batch.into_iter().for_each(|(number, job)| self.stash(number, job)),
            MainStep::Write | MainStep::Finish => self.write(step, vectorizer, batch),
            MainStep::Settle => batch.into_iter().for_each(|(number, job)| self.settle(number, job)),
        }
    }

    /// Does a step of documents in a transaction for each, for as long as it is the turn of their
    /// owner. The others wait for its next turn.
    fn one_by_one(&mut self, step: MainStep, batch: StepBatch) {
        let numbers: Vec<u64> = batch.iter().map(|(number, _)| *number).collect();
        self.jobs.put_all(batch);
        for number in numbers {
            // A lock that one has met puts the others off, too.
            let is_due = |job: &&Job| job.not_before <= Instant::now();
            let Some(job) = self.jobs.get(number).filter(is_due) else {
                continue;
            };
            let vectorizer = Arc::clone(&job.vectorizer);
            if let Some(job) = self.jobs.take(number) {
                self.step(step, &vectorizer, vec![(number, job)]);
            }
            if !accounts::has_turn(vectorizer.owner) {
                return;
            }
        }
    }

    /// The database has refused a step of documents together. The one that it refuses must not hold
    /// up the others.
    fn part(&mut self, step: MainStep, vectorizer: &Vectorizer, mut batch: StepBatch) {
        batch.iter_mut().for_each(|(_, job)| job.singly = true);
        if accounts::has_turn(vectorizer.owner) {
            self.one_by_one(step, batch);
        } else {
            self.jobs.put_all(batch);
        }
    }

    /// Documents that wait for the main thread, those together that can share a transaction.
    fn batches(&self, now: Instant) -> Vec<(MainStep, Vec<u64>)> {
        let mut held: HashMap<Oid, bool> = HashMap::new();
        let waiting = self.jobs.iter().filter_map(|(number, job)| {
            let step = job.stage.next_step().filter(|_| job.not_before <= now)?;
            let owner = job.vectorizer.owner;
            if *held.entry(owner).or_insert_with(|| accounts::is_held(owner)) {
                return None;
            }
            Some(Waiting {
                number,
                vectorizer: job.vectorizer.id,
                step,
                singly: job.singly,
                chunks: job.stage.new_chunks(),
                key: job.item.key.len(),
            })
        });
        batches::cut(waiting, queue::KEYS)
    }

    /// Reads documents that were left in their rows, now that there is memory for them.
    fn read(&mut self, vectorizer: &Arc<Vectorizer>, batch: StepBatch) {
        let numbers = batch.iter().map(|(_, job)| job.item.number).collect();
        let read = vectorizer.transaction(|| vectorizer.act(|| queue::read(vectorizer, numbers)));
        let mut rows = match read {
            Ok(rows) => rows,
            Err(aborted) if batch.len() > 1 && !error::is_lock_conflict(&aborted) => {
                return self.part(MainStep::Read, vectorizer, batch);
            }
            Err(aborted) => return self.refused(vectorizer, &aborted, batch),
        };
        for (number, mut job) in batch {
            if let Stage::Reading { remembered, memory } = job.stage {
                let Reservations { columns, document, .. } = memory;
                job.memory.columns = columns;
                let row = rows.remove(&job.item.number);
                job.stage = self.prepare(number, vectorizer, row, remembered, document);
            }
            self.jobs.put(number, job);
        }
    }

    /// What remains to be done once the new texts are known: embed some, or only write.
    ///
    /// What is stored may be far more than the document: it is counted before it is read, and
    /// documents wait until there is room.
    fn compare(&mut self, vectorizer: &Arc<Vectorizer>, batch: StepBatch) {
        let items: Vec<&Item> = batch.iter().map(|(_, job)| &job.item).collect();
        let most = destination::most_stored(self.settings.max_memory_bytes);
        let mine = |job: &&Job| job.vectorizer.owner == vectorizer.owner;
        let held = self
            .jobs
            .values()
            .filter(mine)
            .map(|job| job.stage.stored_chunks())
            .sum();
        let known = vectorizer.transaction(|| {
            let stashed = stash::keys(vectorizer, &items);
            let compared = || {
                let counted = destination::count_stored(vectorizer, queue::numbers(&items), most);
                let has_room = room_for_stored(&batch, &counted, (held, most));
                let chunks = destination::chunks(vectorizer, &has_room);
                let has_room: HashSet<i64> = has_room.into_iter().map(|(number, _)| number).collect();
                (chunks, counted, has_room)
            };
            (vectorizer.act(compared), stashed)
        });
        let ((mut stored, counted, has_room), mut stashed) = match known {
            Ok(known) => known,
            Err(aborted) if batch.len() > 1 && !error::is_lock_conflict(&aborted) => {
                return self.part(MainStep::Compare, vectorizer, batch);
            }
            Err(aborted) => return self.refused(vectorizer, &aborted, batch),
        };
        for (number, mut job) in batch {
            let is_too_much = counted.get(&job.item.number).is_some_and(|count| *count > most);
            if is_too_much {
                job.stage = Stage::failed(too_many_stored(most));
            } else if !has_room.contains(&job.item.number) {
                job.not_before = Instant::now() + BUSY;
            } else if let Stage::Comparing { texts, note } = job.stage {
                let stored = stored.remove(&job.item.number).unwrap_or_default();
                let mut draft = Draft::new(texts, stored, note);
                draft.stashed = stashed.remove(&job.item.number);
                if draft.exceeds((portion(vectorizer), PORTION)) {
                    draft.stashed.get_or_insert_default();
                }
                job.stage = self.embed(number, &job.item, vectorizer, draft);
            }
            self.jobs.put(number, job);
        }
    }

    /// Has new texts of a document embedded, if there are any: all of them, or the next portion of
    /// a large document.
    fn embed(&mut self, number: u64, item: &Item, vectorizer: &Vectorizer, mut draft: Draft) -> Stage {
        let wanted = draft.next_wanted((portion(vectorizer), PORTION), &vectorizer.config.embedding);
        if wanted.is_empty() {
            let vectors = Vec::new();
            return Stage::Writing { draft, vectors };
        }
        let embedder = self.bridge.within(|| self.services.embedder(vectorizer));
        let (memory, of_vectors) = (
            self.services.vectors(vectorizer.owner),
            (wanted.len() * vector_bytes(vectorizer)) as u64,
        );
        // Each of them, and the request that it is in.
        let of_texts = draft.length_of(&wanted).saturating_mul(2) as u64;
        let (texts, chosen, can_wait) = (Arc::clone(&draft.texts), wanted.clone(), item.can_wait);
        let embed = async move {
            let embedder = embedder.map_err(Unembedded::from)?;
            let size = of_vectors.saturating_add(of_texts);
            let mut reservation = if can_wait {
                memory.reserve_behind(size).await
            } else {
                memory.reserve(size).await
            };
            let texts = chosen.into_iter().map(|index| texts.get(index).into_owned()).collect();
            let embedded = embedder.embed_document(texts, can_wait).await;
            reservation.shrink(of_vectors);
            match embedded {
                Ok(embedded) => Ok((embedded, reservation)),
                Err(incomplete) => Err(Unembedded::new(incomplete, reservation)),
            }
        };
        let task = self.bridge.spawn(async move {
            let vectors = panics::guarded(pipeline::Step::Embedding, embed).await;
            TaskEvent {
                job: number,
                outcome: TaskOutcome::Embedded(vectors),
            }
        });
        Stage::Embedding { draft, wanted, task }
    }

    /// Puts vectors of a large document aside and goes on with the next.
    fn stash(&mut self, number: u64, mut job: Job) {
        let (mut draft, wanted, vectors) = match job.stage {
            Stage::Stashing { draft, wanted, vectors } => (draft, wanted, vectors),
            stage => {
                drop(stage);
                unreachable!("a batch is made of documents that wait for the same step")
            }
        };
        let vectorizer = Arc::clone(&job.vectorizer);
        let keys = draft.keys_of(&wanted, &vectorizer.config.embedding);
        match vectorizer.note(|| stash::put(&vectorizer, job.item.number, &keys, &vectors)) {
            Ok(()) => {
                draft.stashed.get_or_insert_default().extend(keys);
                drop(vectors);
                if let Some(station) = self.station_mut(vectorizer.id) {
                    station.put_aside();
                }
                job.memory.vectors = None;
                job.stage = self.embed(number, &job.item, &vectorizer, draft);
                self.jobs.put(number, job);
            }
            Err(aborted) => {
                job.stage = Stage::Stashing { draft, wanted, vectors };
                self.refused(&vectorizer, &aborted, vec![(number, job)]);
            }
        }
    }

    /// Writes documents, those that have changed, and takes them off the queue.
    fn write(&mut self, step: MainStep, vectorizer: &Arc<Vectorizer>, batch: StepBatch) {
        let has_notes = self.station(vectorizer.id).is_some_and(|station| station.has_notes);
        let began = Instant::now();
        let written = vectorizer.transaction(|| {
            transaction::may_lag();
            write(vectorizer, &batch, has_notes)
        });
        let (holds, again, is_noted) = match written {
            Ok(written) => {
                self.lag = Lag::of_last_commit();
                self.slow
                    .was_written(vectorizer.id, began.elapsed(), settings::owner_timeout());
                written
            }
            Err(aborted) if batch.len() > 1 && !error::is_lock_conflict(&aborted) => {
                return self.part(step, vectorizer, batch);
            }
            Err(aborted) => return self.refused(vectorizer, &aborted, batch),
        };
        let may_take_more = again
            || self
                .station(vectorizer.id)
                .is_some_and(VectorizerStation::may_take_more);
        if holds.contains(&Hold::Ours)
            && let Some(station) = self.station_mut(vectorizer.id)
        {
            station.written(is_noted || batch.iter().any(|(_, job)| job.was_cut()));
            self.notes.forget(vectorizer.id);
        }
        for ((number, mut job), hold) in std::iter::zip(batch, holds) {
            if hold == Hold::Busy {
                job.wait_for_a_lock(Instant::now(), BUSY);
                self.jobs.put(number, job);
            }
        }
        // Also once nothing is left in flight: then it is done for now.
        if may_take_more || !self.jobs.has_of(vectorizer.id) {
            self.look_again(vectorizer.id, Duration::ZERO);
        }
    }
}

/// Where a document goes on that was prepared.
fn prepared_stage(prepared: Prepared, memory: &mut Reservations) -> Stage {
    match prepared {
        Prepared::Unchanged { note } => Stage::Finishing { note },
        Prepared::Texts {
            texts,
            note,
            reservation,
        } => {
            memory.document = reservation;
            if let Some(columns) = &mut memory.columns {
                columns.shrink(texts.frame_length() as u64);
            }
            Stage::Comparing { texts, note }
        }
    }
}

/// The transaction that writes documents, all of which wait for the same step: what became of each,
/// whether one goes another round, as it has changed meanwhile, and whether one has got an error row.
fn write(vectorizer: &Vectorizer, batch: &StepBatch, has_notes: bool) -> (Vec<Hold>, bool, bool) {
    let (holds, again, changed) = vectorizer.act(|| write_destination(vectorizer, batch));
    let changed = batch.iter().filter(|(_, job)| changed.contains(&job.item.number));
    let changed: Vec<&str> = changed.map(|(_, job)| job.item.key.as_str()).collect();
    // Once is news. Among others it may be the doing of these: such a batch is parted.
    let before = |key: &&str| catalog::has_failed_for(vectorizer.id, pipeline::Step::Writing, key, rewritten::REASON);
    if changed.iter().any(before) {
        rewritten::refuse(&vectorizer.tables.destination);
    }
    note(vectorizer, batch, &holds, &again);
    let large = |job: &Job| matches!(&job.stage, Stage::Writing { draft, .. } if draft.stashed.is_some());
    let emptied = std::iter::zip(batch, &holds).filter(|((_, job), hold)| large(job) && **hold != Hold::Busy);
    let emptied: Vec<i64> = emptied.map(|((_, job), _)| job.item.number).collect();
    if !emptied.is_empty() {
        stash::forget(vectorizer, emptied);
    }
    note_cuts(vectorizer, batch, &holds, has_notes);
    if !changed.is_empty() {
        // It goes when the document is written and stays what it was.
        let failure = rewritten::failure(&vectorizer.tables.destination);
        for key in &changed {
            catalog::record_error(vectorizer.id, Some(&vectorizer.config), Some(key), &failure);
        }
    }
    (holds, !again.is_empty(), !changed.is_empty())
}

/// The part of it that is done as the owner: what became of each document, the places of those that
/// go another round, and of those that changed when they were written.
fn write_destination(vectorizer: &Vectorizer, batch: &StepBatch) -> (Vec<Hold>, HashSet<i64>, Vec<i64>) {
    let items: Vec<&Item> = batch.iter().map(|(_, job)| &job.item).collect();
    let unchanged = |(_, job): &(u64, Job)| matches!(job.stage, Stage::Finishing { .. });
    let holds = if batch.iter().all(unchanged) {
        queue::hold_items(vectorizer, &items)
    } else {
        queue::hold(vectorizer, &items)
    };
    let ours = std::iter::zip(batch, &holds).filter(|(_, hold)| **hold == Hold::Ours);
    let replacements = ours.filter_map(|((_, job), _)| match &job.stage {
        // A column is written once, with its vector from the stash.
        Stage::Writing { draft, .. }
            if draft.stashed.is_some()
                && matches!(vectorizer.statements.destination, DestinationStatements::Column { .. }) =>
        {
            None
        }
        Stage::Writing { draft, vectors } => Some(Replacement {
            number: job.item.number,
            plan: &draft.plan,
            stored: &draft.stored,
            texts: &draft.texts,
            vectors,
        }),
        _ => None,
    });
    let mut changed = destination::replace(vectorizer, &replacements.collect::<Vec<_>>());
    destination::clear(vectorizer, queue::numbers(&of(&items, &holds, &[Hold::Gone])));
    for ((_, job), _) in std::iter::zip(batch, &holds).filter(|(_, hold)| **hold == Hold::Ours) {
        if let Stage::Writing { draft, .. } = &job.stage
            && draft.stashed.is_some()
        {
            changed.extend(insert_stashed(vectorizer, &job.item, draft));
        }
    }
    let done = of(&items, &holds, &[Hold::Ours, Hold::Gone]);
    let again = if done.is_empty() {
        HashSet::new()
    } else {
        queue::finish(vectorizer, &done)
    };
    (holds, again, changed)
}

/// Error rows of documents that were written go, and what was cut of them is written down anew.
fn note_cuts(vectorizer: &Vectorizer, batch: &StepBatch, holds: &[Hold], has_notes: bool) {
    for ((_, job), hold) in std::iter::zip(batch, holds) {
        let key = job.item.key.as_str();
        let was_cut = if has_notes && matches!(hold, Hold::Ours | Hold::Gone) {
            catalog::forgive(vectorizer.id, Some(key))
        } else {
            Vec::new()
        };
        let cut = match (hold, &job.stage) {
            (Hold::Ours, Stage::Writing { draft, .. }) => draft.cut_chunks(&was_cut),
            // As its chunks are what they were, so are those of them that were cut.
            (Hold::Ours, Stage::Finishing { .. }) => was_cut
                .into_iter()
                .filter_map(|seq| usize::try_from(seq).ok())
                .collect(),
            _ => Vec::new(),
        };
        if !cut.is_empty() {
            catalog::note_cut(vectorizer, key, &cut);
        }
    }
    if has_notes && holds.contains(&Hold::Ours) {
        catalog::resume(vectorizer.id);
    }
}

/// Writes down what is to be remembered of documents that have just been written, in the same
/// transaction: a memory must never say more than the destination.
fn note(vectorizer: &Vectorizer, batch: &StepBatch, holds: &[Hold], again: &HashSet<i64>) {
    let (mut written, mut unchanged, mut forget) = (Vec::new(), Vec::new(), Vec::new());
    for ((_, job), hold) in std::iter::zip(batch, holds) {
        let again = again.contains(&job.item.number);
        let note = match (&job.stage, hold) {
            (_, Hold::Gone) => &Note::Forget,
            // A session that changed the row meanwhile may have meant that the document is to be looked at
            // anew (sql/query/memory/forget_documents.sql). What was remembered before is not what
            // was written.
            (Stage::Writing { .. }, Hold::Ours) if again => &Note::Forget,
            (Stage::Writing { draft, .. }, Hold::Ours) => &draft.note,
            (Stage::Finishing { note }, Hold::Ours) if !again => note,
            _ => &Note::Keep,
        };
        match note {
            Note::Remember(memory) if matches!(job.stage, Stage::Finishing { .. }) => {
                unchanged.push((job.item.key.as_str(), memory));
            }
            Note::Remember(memory) => written.push((job.item.key.as_str(), memory)),
            Note::Forget if job.remembered => forget.push(job.item.key.as_str()),
            Note::Keep | Note::Forget => (),
        }
    }
    if !written.is_empty() {
        memory::remember(vectorizer.id, &written);
    }
    if !unchanged.is_empty() {
        memory::remember_again(vectorizer.id, &unchanged);
    }
    memory::forget_documents(vectorizer.id, &forget);
}

/// Inserts the new chunks of a large document, whose vectors are in the stash, portion by portion.
/// Where none of it runs code of the owner, each portion has the time of a turn for itself: an
/// index takes what it takes. Returns what [`destination::replace`] does.
fn insert_stashed(vectorizer: &Vectorizer, item: &Item, draft: &Draft) -> Vec<i64> {
    let is_of_postgres = !destination::runs_owners_code(vectorizer);
    let portions = draft.plan.embed.chunks(portion(vectorizer));
    let insert = |indexes: &[usize]| {
        if is_of_postgres {
            limit::anew();
        }
        transaction::in_its_own_memory(|| insert_portion(vectorizer, item, draft, indexes))
    };
    portions.flat_map(insert).collect()
}

fn insert_portion(vectorizer: &Vectorizer, item: &Item, draft: &Draft, indexes: &[usize]) -> Vec<i64> {
    let keys = draft.keys_of(indexes, &vectorizer.config.embedding);
    let vectors = stash::take(vectorizer, item.number, &keys);
    assert_eq!(
        vectors.len(),
        keys.len(),
        "what was put aside in an earlier transaction is there"
    );
    let plan = Plan {
        embed: indexes.to_vec(),
        ..Plan::default()
    };
    let portion = Replacement {
        number: item.number,
        plan: &plan,
        stored: &[],
        texts: &draft.texts,
        vectors: &vectors,
    };
    destination::replace(vectorizer, &[portion])
}

/// Vectors of a document that are in memory at a time. What has more is embedded portion by
/// portion.
fn portion(vectorizer: &Vectorizer) -> usize {
    (PORTION / vector_bytes(vectorizer)).max(1)
}

fn vector_bytes(vectorizer: &Vectorizer) -> usize {
    let dimensions = usize::try_from(vectorizer.config.embedding.dimensions()).unwrap_or(1);
    dimensions.max(1) * size_of::<f32>()
}

/// Those of the documents whose hold is one of `wanted`.
fn of<'a>(items: &[&'a Item], holds: &[Hold], wanted: &[Hold]) -> Vec<&'a Item> {
    let pairs = std::iter::zip(items, holds).filter(|(_, hold)| wanted.contains(hold));
    pairs.map(|(item, _)| *item).collect()
}

/// Those of a batch whose stored chunks there is room for beside the `held` ones, and at least the
/// first where none are; with the length of the longest text of each.
fn room_for_stored(
    batch: &StepBatch,
    counted: &HashMap<i64, usize>,
    (held, most): (usize, usize),
) -> Vec<(i64, usize)> {
    let stored = |(_, job): &(u64, Job)| counted.get(&job.item.number).copied().unwrap_or_default();
    let fits = batches::have_room(batch.iter().map(stored), held, most);
    let fitting = std::iter::zip(batch, fits).filter(|(_, fits)| *fits);
    let has_room = fitting.filter_map(|((_, job), _)| match &job.stage {
        Stage::Comparing { texts, .. } => {
            let longest = (0..texts.len()).map(|index| texts.length(index)).max();
            Some((job.item.number, longest.unwrap_or_default()))
        }
        _ => None,
    });
    has_room.collect()
}

fn too_many_stored(most: usize) -> pipeline::Failure {
    pipeline::Failure {
        step: pipeline::Step::Writing,
        class: pipeline::Class::Permanent,
        reason: format!(
            "more than {most} chunks of it are stored in the destination, which is more than ai.max_memory has room for"
        ),
        hint: Some(
            "Remove those that the vectorizer has not written, or raise ai.max_memory; then call ai.retry_vectorizer."
                .to_owned(),
        ),
    }
}
