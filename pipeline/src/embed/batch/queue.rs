//! The queue of inputs: first what a caller waits for, then what can wait.

use std::time::Instant;

use super::{Batcher, Input, LINGER, Size, WORD};

impl Batcher {
    /// Where the inputs of a document belong in the queue: behind all others, or before those that
    /// can wait.
    pub(super) fn place_in_queue(&self, can_wait: bool) -> usize {
        if can_wait {
            self.queue.len()
        } else {
            self.first_that_can_wait()
        }
    }

    /// The queue has first what a caller waits for, then what can wait.
    pub(super) fn first_that_can_wait(&self) -> usize {
        self.queue.partition_point(|input| !input.can_wait)
    }

    /// Drops what nobody wants any more and is the next to be sent: the next request holds
    /// something then.
    pub(super) fn skip_unwanted(&mut self) {
        while let Some(mut batch) = self.ready.pop_front() {
            batch.inputs.retain(|input| self.is_wanted(input));
            if !batch.inputs.is_empty() {
                self.ready.push_front(batch);
                break;
            }
        }
        while let Some(input) = self.queue.pop_front() {
            if self.is_wanted(&input) {
                self.queue.push_front(input);
                break;
            }
            self.queued.remove(input.size);
        }
    }

    /// Tokens of the next request. What is charged is never corrected, so that it is no use to
    /// guess.
    pub(super) fn next_tokens(&self) -> usize {
        if !self.words.is_empty() {
            return Size::of(WORD).tokens;
        }
        if let Some(batch) = self.ready.front() {
            return batch.size().tokens;
        }
        let (mut size, most) = (Size::default(), self.most.get());
        // As `fill` does.
        for input in self.queue.iter().filter(|input| self.wants(input)) {
            if size.inputs > 0 && !size.fits(input.size, most) {
                break;
            }
            size.add(input.size);
        }
        size.tokens
    }

    /// Until when the queue waits for more inputs; `None` when a request can be filled, or none is
    /// in flight.
    pub(super) fn company_due(&self) -> Option<Instant> {
        if self.requests.is_empty() || self.queued.reaches(self.most.get()) {
            return None;
        }
        let oldest = self.documents.get(&self.queue.front()?.document)?;
        Some(oldest.since + LINGER)
    }

    /// Takes a request's worth of inputs off the queue: at least one, however large.
    pub(super) fn fill(&mut self) -> Vec<Input> {
        let mut inputs: Vec<Input> = Vec::new();
        let (mut size, most) = (Size::default(), self.most.get());
        while let Some(next) = self.queue.pop_front() {
            if !self.is_wanted(&next) {
                self.queued.remove(next.size);
                continue;
            }
            if !inputs.is_empty() && !size.fits(next.size, most) {
                self.queue.push_front(next);
                break;
            }
            self.queued.remove(next.size);
            size.add(next.size);
            inputs.push(next);
        }
        inputs
    }

    /// To the front of the queue, each before those of its kind.
    pub(super) fn put_back(&mut self, inputs: Vec<Input>) {
        inputs.iter().for_each(|input| self.queued.add(input.size));
        let (waiting, others): (Vec<Input>, Vec<Input>) = inputs.into_iter().partition(|input| input.can_wait);
        let mut behind = self.queue.split_off(self.first_that_can_wait());
        self.queue.extend(waiting);
        self.queue.append(&mut behind);
        others.into_iter().rev().for_each(|input| self.queue.push_front(input));
    }
}
