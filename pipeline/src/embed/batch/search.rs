//! The search for the inputs of a request that a provider does not accept: it is cut in half, again
//! and again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{Batch, Batcher, Error, Input, Refusal};

/// So many documents of a request rejected and none accepted: the fault is not theirs. Stops a
/// provider that refuses everything from being asked about each of thousands of inputs. The
/// documents are a sample spread over the request, so if half of them were bad this would be wrong
/// once in 256 times, and cost the others a second try.
const HOPELESS: u32 = 8;

/// What became of the parts of a rejected request.
#[derive(Default)]
pub(super) struct Search {
    /// A part was accepted.
    pub accepted: AtomicBool,
    /// Documents rejected.
    pub rejected: AtomicU32,
}

impl Search {
    pub fn is_hopeless(&self) -> bool {
        !self.accepted.load(Ordering::Relaxed) && self.rejected.load(Ordering::Relaxed) >= HOPELESS
    }
}

impl Batcher {
    /// A request was too large: later ones are smaller. Unless one input makes up most of it: then
    /// that one is to blame, and is found as a rejected one is.
    pub(super) fn shrink(&mut self, batch: Batch, refusal: &Refusal) {
        let size = batch.size();
        if batch.inputs.iter().any(|input| input.size.bytes > size.bytes / 2) {
            self.halve(batch);
            return;
        }
        self.most.refused(size, refusal.is("array_above_max_length"));
        self.put_back(batch.inputs);
    }

    /// Goes on looking for the bad inputs of a rejected request, or gives up.
    pub(super) fn search(&mut self, mut batch: Batch, refusal: Arc<Refusal>) {
        let search = batch.search.get_or_insert_with(|| {
            // Spreads documents that came together, as bad ones often do, but keeps the inputs of
            // each together: they are all done with when the first is rejected.
            let spread = |input: &Input| (input.document.wrapping_mul(0x9e37_79b9_7f4a_7c15), input.index);
            batch.inputs.sort_unstable_by_key(spread);
            Arc::default()
        });
        if !search.is_hopeless() {
            self.halve(batch);
            return;
        }
        let error = Error::Rejected { refusal, alone: false };
        let search = Arc::clone(search);
        self.end_search(&search, &error);
        self.fail_all(&batch.inputs, &error);
    }

    /// Fails what waits to be sent of a rejected request.
    pub(super) fn end_search(&mut self, search: &Arc<Search>, error: &Error) {
        let is_part = |part: &Batch| part.search.as_ref().is_some_and(|other| Arc::ptr_eq(other, search));
        let (parts, others): (VecDeque<Batch>, VecDeque<Batch>) = self.ready.drain(..).partition(is_part);
        self.ready = others;
        self.fail_all(parts.iter().flat_map(|part| &part.inputs), error);
    }

    pub(super) fn halve(&mut self, batch: Batch) {
        let Batch {
            inputs: mut first,
            search,
            since,
            ..
        } = batch;
        let second = first.split_off(first.len() / 2);
        for inputs in [second, first] {
            self.ready.push_front(Batch {
                search: search.clone(),
                since,
                ..Batch::new(inputs)
            });
        }
    }
}
