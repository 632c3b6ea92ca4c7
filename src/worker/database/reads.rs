//! How documents that were taken are read, and their tasks begin.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ai_pipeline::budget::Reservation;
use ai_pipeline::error::{Class, Step};
use ai_pipeline::memory::Remembered;
use ai_pipeline::panics;
use ai_pipeline::prepare::Content;
use ai_pipeline::worker::activity::Activity;
use ai_pipeline::worker::singly::{self, Singly};
use serde_json::Value;

use super::state::Worker;
use crate::catalog::Vectorizer;
use crate::postgres::aborted::Aborted;
use crate::postgres::transaction::accounts;
use crate::postgres::{error, failure};
use crate::runtime::reservation::Reservations;
use crate::runtime::services::{Services, Window};
use crate::store::memory;
use crate::store::queue::{self, Item};
use crate::worker::job::{Job, Stage, TaskEvent, TaskOutcome};

/// Documents that were read together, what is remembered of them, and the memory that they were
/// read into.
type ReadBatch = (Vec<Item>, HashMap<i64, Remembered>, Window);

impl Worker {
    /// Reads documents that were taken and has their tasks begin. One whose row cannot be read has
    /// failed by itself. `refusals` is how often in a row they were taken in vain.
    ///
    /// # Errors
    /// What was in the way, for a reason that is not theirs, and those that are not in flight
    /// because of it.
    pub(super) fn take_off(
        &mut self,
        vectorizer: &Arc<Vectorizer>,
        numbers: &[i64],
        lease: i64,
        suspect: bool,
        refusals: u32,
    ) -> Result<(), (Aborted, Vec<i64>)> {
        self.tell_crowd(vectorizer, self.crowd_of(vectorizer));
        let read = |services: &Services, numbers: &[i64]| {
            let window = services.window(vectorizer);
            let read = vectorizer.same_turn(|| {
                vectorizer.act(|| {
                    let items = queue::taken(vectorizer, numbers, lease, window.bytes());
                    let remembered = memory::memories(vectorizer, &items);
                    (items, remembered)
                })
            });
            read.map(|(items, remembered)| (items, remembered, window))
        };
        match read(&self.services, numbers) {
            Ok(read) => self.begin_all(vectorizer, read, suspect),
            Err(aborted) if is_of_a_row(&aborted) || may_pass(&aborted) => {
                self.take_off_singly(vectorizer, numbers, lease, suspect, refusals, read)?;
            }
            Err(aborted) => return Err((aborted, numbers.to_vec())),
        }
        Ok(())
    }

    /// The same one by one, so that those go on that can be read.
    ///
    /// What may pass by itself is a document's own failure where others can be read, or where it
    /// has failed before. Where none can be read, all wait; when that has lasted for long, the
    /// oldest answers for it, lest it block the others for ever.
    ///
    /// Those that the turn of their owner is too short for are given back, and come first in the
    /// next.
    fn take_off_singly(
        &mut self,
        vectorizer: &Arc<Vectorizer>,
        numbers: &[i64],
        lease: i64,
        suspect: bool,
        refusals: u32,
        read: impl Fn(&Services, &[i64]) -> Result<ReadBatch, Aborted>,
    ) -> Result<(), (Aborted, Vec<i64>)> {
        let mut unread: Vec<(Item, Aborted)> = Vec::new();
        let (mut progress, mut left) = (Singly::default(), numbers);
        let rest = |unread: &[(Item, Aborted)], left: &[i64]| {
            let unread = unread.iter().map(|(item, _)| item.number);
            unread.chain(left.iter().copied()).collect()
        };
        let mut has_turn = true;
        while let [number, others @ ..] = left
            && progress.goes_on()
            && has_turn
        {
            let aborted = match read(&self.services, &[*number]) {
                Ok(read) => {
                    progress.read(read.0.iter().any(|item| item.size.is_some()));
                    self.begin_all(vectorizer, read, suspect);
                    left = others;
                    has_turn = accounts::has_turn(vectorizer.owner);
                    continue;
                }
                Err(aborted) if is_of_a_row(&aborted) || may_pass(&aborted) => aborted,
                Err(aborted) => return Err((aborted, rest(&unread, left))),
            };
            progress.unread(is_of_a_row(&aborted));
            let blindly = || queue::taken_blindly(vectorizer, *number, lease);
            match vectorizer.same_turn(|| vectorizer.act(blindly)) {
                Ok(Some(item)) if singly::has_failed(is_of_a_row(&aborted), item.attempts) => {
                    self.settle_unread(vectorizer, item, &aborted, suspect);
                }
                Ok(Some(item)) => unread.push((item, aborted)),
                Ok(None) => (),
                Err(aborted) => return Err((aborted, rest(&unread, left))),
            }
            left = others;
            has_turn = accounts::has_turn(vectorizer.owner);
        }
        let innocent = unread.split_off(progress.guilty(unread.len(), refusals));
        for (item, aborted) in unread {
            self.settle_unread(vectorizer, item, &aborted, suspect);
        }
        match innocent.first() {
            Some((_, aborted)) => Err((aborted.clone(), rest(&innocent, left))),
            None if left.is_empty() => Ok(()),
            None => Err((Aborted::put_off(), left.to_vec())),
        }
    }

    /// A document whose row cannot be read has failed.
    fn settle_unread(&mut self, vectorizer: &Arc<Vectorizer>, item: Item, aborted: &Aborted, suspect: bool) {
        let failure = failure::from_database(aborted, Step::Loading);
        self.run(
            vectorizer,
            item,
            Stage::failed(failure),
            (suspect, false),
            Reservations::default(),
        );
    }

    fn begin_all(
        &mut self,
        vectorizer: &Arc<Vectorizer>,
        (items, mut remembered, mut window): ReadBatch,
        suspect: bool,
    ) {
        let before = self.crowd_of(vectorizer);
        for (place, item) in items.into_iter().enumerate() {
            self.tell_crowd(vectorizer, before + place);
            let remembered = remembered.remove(&item.number);
            let (size, columns) = (item.size.unwrap_or_default(), item.columns_size);
            let memory = match item.document {
                Some(_) => window.part(size, columns),
                None => Reservations::default(),
            };
            self.begin(vectorizer, item, (remembered, memory), suspect);
        }
    }

    /// Documents of a vectorizer that are on their way to their texts.
    fn preparing(&self, is_counted: impl Fn(&Vectorizer) -> bool) -> usize {
        let is_preparing = |job: &&Job| job.stage.work() == Activity::Preparing && is_counted(&job.vectorizer);
        self.jobs.values().filter(is_preparing).count()
    }

    /// How many documents count when it is asked whether a vectorizer is a crowd: where there are
    /// several owners, those of all vectorizers of its owner.
    fn crowd_of(&self, vectorizer: &Vectorizer) -> usize {
        if accounts::is_shared() {
            self.preparing(|other| other.owner == vectorizer.owner)
        } else {
            self.preparing(|other| other.id == vectorizer.id)
        }
    }

    fn tell_crowd(&mut self, vectorizer: &Vectorizer, preparing: usize) {
        let is_alone = self.stations.len() < 2;
        self.services.crowd(vectorizer, if is_alone { 0 } else { preparing });
    }

    fn begin(
        &mut self,
        vectorizer: &Arc<Vectorizer>,
        mut item: Item,
        (remembered, mut memory): (Option<Remembered>, Reservations),
        suspect: bool,
    ) {
        let number = self.jobs.next_number();
        let (document, columns) = (item.document.take(), std::mem::take(&mut item.columns));
        let is_remembered = remembered.is_some();
        let too_long = item
            .size
            .and_then(|_| self.services.check_columns(item.columns_size).err());
        let stage = match (too_long, document, item.size) {
            (Some(failure), ..) => Stage::failed(failure),
            (None, None, Some(size)) => {
                self.queue_for_memory(number, vectorizer, (size, item.columns_size), remembered)
            }
            (None, document, _) => {
                let document = document.map(|document| (document, columns));
                self.prepare(number, vectorizer, document, remembered, memory.document.take())
            }
        };
        self.run(vectorizer, item, stage, (suspect, is_remembered), memory);
    }

    /// From now on the document is in flight, under the next number.
    fn run(
        &mut self,
        vectorizer: &Arc<Vectorizer>,
        item: Item,
        stage: Stage,
        (suspect, remembered): (bool, bool),
        memory: Reservations,
    ) {
        let job = Job {
            vectorizer: Arc::clone(vectorizer),
            item,
            stage,
            not_before: Instant::now(),
            put_off: None,
            singly: false,
            suspect,
            remembered,
            memory,
        };
        self.jobs.begin(job);
        self.last_busy = Instant::now();
    }

    /// A document that is large, or one too many, stays in its row until there is room for it.
    fn queue_for_memory(
        &self,
        number: u64,
        vectorizer: &Vectorizer,
        (size, columns): (u64, u64),
        remembered: Option<Remembered>,
    ) -> Stage {
        let reserve = self.services.reserve(vectorizer, size, columns);
        let task = self.bridge.spawn(async move {
            TaskEvent {
                job: number,
                outcome: TaskOutcome::Reserved(panics::guarded(Step::Loading, async { Ok(reserve.await) }).await),
            }
        });
        Stage::Queueing { remembered, task }
    }

    pub(super) fn prepare(
        &mut self,
        number: u64,
        vectorizer: &Arc<Vectorizer>,
        read: Option<(Content, Value)>,
        remembered: Option<Remembered>,
        reservation: Option<Reservation>,
    ) -> Stage {
        let (document, columns) = read.unzip();
        let columns = columns.unwrap_or_default();
        let prepare = self
            .services
            .prepare(vectorizer, document, columns, remembered, reservation);
        let task = self.bridge.spawn(async move {
            TaskEvent {
                job: number,
                outcome: TaskOutcome::Prepared(panics::guarded(Step::Loading, prepare).await),
            }
        });
        Stage::Preparing { task }
    }
}

/// Whether a read was refused for what is in a row.
pub(super) fn is_of_a_row(aborted: &Aborted) -> bool {
    let class = failure::from_database(aborted, Step::Loading).class;
    !error::is_lock_conflict(aborted) && matches!(class, Class::Permanent | Class::Unknown)
}

/// Whether a read was refused for something that may pass by itself (no memory, a time-out): as a
/// rule, no matter of a row.
fn may_pass(aborted: &Aborted) -> bool {
    let class = failure::from_database(aborted, Step::Loading).class;
    !error::is_lock_conflict(aborted) && class == Class::Transient
}
