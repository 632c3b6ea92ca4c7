//! The documents whose inputs wait, or are with the provider: each is answered once.

use std::collections::HashSet;
use std::time::Instant;

use tokio::sync::oneshot;

use super::{Batcher, Embedded, Error, Incomplete, Input, Size, Throttle, waits};

pub(super) struct BatchedDocument {
    pub since: Instant,
    pub vectors: Vec<Option<Vec<f32>>>,
    pub cut: Vec<usize>,
    pub missing: usize,
    /// Inputs that are with the provider.
    pub sent: usize,
    /// One of its inputs was refused: no more is sent of it until it is known whose fault that is.
    pub is_in_doubt: bool,
    /// No more is sent of it, and it is answered when nothing is with the provider any more.
    pub failed: Option<Error>,
    pub reply: oneshot::Sender<Result<Embedded, Incomplete>>,
}

impl Batcher {
    pub(super) fn place(&mut self, input: &Input, vector: Vec<f32>, cut: bool) {
        let Some(document) = self.documents.get_mut(&input.document) else {
            return;
        };
        // Without an early end, which would have each number looked at by itself: nearly all
        // vectors are good.
        let looked_at = vector.iter().fold((true, true), |(is_finite, is_zero), number| {
            (is_finite & number.is_finite(), is_zero & (*number == 0.0))
        });
        let fault = match looked_at {
            (false, _) => Some("holds a number that is not finite"),
            // It has no direction, so that no search by cosine ever finds it: a model has failed
            // in silence.
            (_, true) if !vector.is_empty() && !input.text().is_empty() => Some("is zero"),
            _ => None,
        };
        if let Some(fault) = fault {
            let of = document.vectors.len();
            let reason = format!("the vector of text {} of {of} {fault}", input.index + 1);
            document.failed.get_or_insert(Error::Vector(reason));
            return;
        }
        document.vectors[input.index] = Some(vector);
        document.cut.extend(cut.then_some(input.index));
        document.missing -= 1;
        if document.missing == 0
            && let Some(mut document) = self.documents.remove(&input.document)
        {
            document.cut.sort_unstable();
            let _ = document.reply.send(Ok(Embedded {
                vectors: document.vectors.into_iter().flatten().collect(),
                cut: document.cut,
            }));
        }
    }

    pub(super) fn fail(&mut self, number: u64, error: Error) {
        if let Some(document) = self.documents.get_mut(&number) {
            document.failed.get_or_insert(error);
            self.conclude(number);
        }
    }

    pub(super) fn fail_all<'a>(&mut self, inputs: impl IntoIterator<Item = &'a Input>, error: &Error) {
        inputs
            .into_iter()
            .for_each(|input| self.fail(input.document, error.clone()));
    }

    /// Answers a document that has failed, if nothing of it is with the provider any more.
    pub(super) fn conclude(&mut self, number: u64) {
        let is_over = |document: &BatchedDocument| document.failed.is_some() && document.sent == 0;
        if !self.documents.get(&number).is_some_and(is_over) {
            return;
        }
        if let Some(BatchedDocument {
            vectors,
            cut,
            failed: Some(error),
            reply,
            ..
        }) = self.documents.remove(&number)
        {
            let cut: HashSet<usize> = cut.into_iter().collect();
            let there = vectors
                .into_iter()
                .enumerate()
                .filter(|(index, _)| !cut.contains(index));
            let vectors = there.filter_map(|(index, vector)| Some((index, vector?))).collect();
            let _ = reply.send(Err(Incomplete { error, vectors }));
        }
    }

    /// Gives back the documents that do not wait for the end of a pause. Those that have inputs in
    /// flight are decided on when these are answered: their vectors would be paid for in vain.
    pub(super) fn give_back(&mut self, now: Instant, throttle: Throttle) {
        let answered = self.answered;
        let tired = |(number, document): (&u64, &BatchedDocument)| {
            let answered = answered.filter(|_| document.missing < document.vectors.len());
            let waits = waits(now, throttle.until, document.since, answered) && !document.reply.is_closed();
            (!waits && document.sent == 0).then_some(*number)
        };
        let tired: Vec<u64> = self.documents.iter().filter_map(tired).collect();
        if tired.is_empty() {
            return;
        }
        let error = Error::from(throttle);
        tired
            .into_iter()
            .for_each(|document| self.fail(document, error.clone()));
        // Now, and not when they are taken up again: their texts are in memory until then.
        let documents = &self.documents;
        let is_there = |input: &Input| documents.contains_key(&input.document);
        self.ready.iter_mut().for_each(|batch| batch.inputs.retain(is_there));
        self.ready.retain(|batch| !batch.inputs.is_empty());
        self.queue.retain(is_there);
        self.queued = Size::default();
        self.queue.iter().for_each(|input| self.queued.add(input.size));
    }

    /// Whether its document has neither failed, or is about to, nor been given up by its caller.
    pub(super) fn wants(&self, input: &Input) -> bool {
        let document = self.documents.get(&input.document);
        document
            .is_some_and(|document| document.failed.is_none() && !document.is_in_doubt && !document.reply.is_closed())
    }

    /// The same; a document that was given up is forgotten.
    pub(super) fn is_wanted(&mut self, input: &Input) -> bool {
        let is_given_up = |document: &BatchedDocument| document.reply.is_closed();
        if self.documents.get(&input.document).is_some_and(is_given_up) {
            self.documents.remove(&input.document);
        }
        self.wants(input)
    }
}
