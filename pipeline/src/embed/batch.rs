//! Which inputs go into which request: one task per provider that fills requests across documents.
//!
//! A document is split over as many requests as it takes, and answered when its last vector has come; or,
//! once an input has failed, when all that was sent of it is answered, as what has come by then is paid for.
//! Inputs wait in `queue`; what a provider sent back (429, or a rejected request that is cut in half to find
//! the bad input) waits in `ready`, already in the form of requests, and goes first. Whatever leaves is let
//! in by the gate, one request at a time.

mod documents;
mod doubts;
mod queue;
mod request;
mod search;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use super::backend::{Backend, Request, RequestOutcome, Trouble, Without};
use super::gate::{Admission, Gate, Pass, Throttle};
use super::quota::{Quota, RateBudget};
use super::size::{Most, Size};
use super::stay::{GREATEST_PAUSE, waits};
use super::verdict::{Number, Verdict, Verdicts, WORD};
use super::{Embedded, Error, Incomplete, Refusal};
use crate::panics::{self, Panicked};
use documents::BatchedDocument;
use doubts::{Doubt, Trial, Word};
use request::{Batch, InFlight, Input, Question, runs};

/// Most bytes of inputs in a request, as JSON: gateways in front of models refuse bodies of more than a few MB.
const REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes of vectors in an answer, which is in memory whole, in two forms for a moment.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// How long inputs wait for company while other requests are in flight. Ten times less than a typical answer takes, and
/// long enough that no more than 50 requests leave per second, OpenAI's lowest paid limit (3,000 per minute).
const LINGER: Duration = Duration::from_millis(20);
/// No request is held back longer than this because of what the provider's headers say is left of its limits: gateways
/// send nonsense in them, and a 429 still says what is true.
const GREATEST_HOLD: Duration = Duration::from_secs(5);
/// How often it is looked whether a pause has been ended.
const LOOK: Duration = Duration::from_millis(500);
/// How long the batching task waits after a panic.
const RECOVERY: Duration = Duration::from_millis(100);

/// One document to embed.
pub(super) struct EmbedJob {
    pub texts: Vec<String>,
    /// Those of them that were cut already.
    pub cut: Vec<usize>,
    /// Others may go first, whenever they come.
    pub can_wait: bool,
    pub reply: oneshot::Sender<Result<Embedded, Incomplete>>,
}

/// The state of the batching task.
pub(super) struct Batcher {
    backend: Arc<dyn Backend>,
    gate: Gate,
    /// The last request had to wait because as many as may be are at the server.
    is_full: bool,
    /// Of a request.
    most: Most,
    documents: HashMap<u64, BatchedDocument>,
    next_document: u64,
    queue: VecDeque<Input>,
    queued: Size,
    ready: VecDeque<Batch>,
    requests: JoinSet<RequestOutcome>,
    in_flight: HashMap<Id, InFlight>,
    /// What the server accepts.
    verdicts: Verdicts,
    doubts: Vec<Doubt>,
    /// Requests that wait for a word without what they are to be sent without.
    trials: Vec<(Without, Batch)>,
    /// To be asked, before anything else.
    words: VecDeque<Word>,
    /// When vectors last came.
    answered: Option<Instant>,
    /// Requests and tokens that the provider will take, as far as it says.
    request_budget: Option<RateBudget>,
    token_budget: Option<RateBudget>,
    /// Since when the next request waits for these.
    held_since: Option<Instant>,
}

/// The batching task. Where it panics, the documents that it had fail, as nobody answers them, and it begins anew.
pub(super) async fn run(backend: Arc<dyn Backend>, gate: Gate, mut incoming: mpsc::UnboundedReceiver<EmbedJob>) {
    loop {
        let batcher = async {
            Batcher::new(Arc::clone(&backend), gate.clone())
                .run(&mut incoming)
                .await
        };
        if panics::caught(batcher).await.is_ok() {
            return;
        }
        // Whatever it was, it may be there again.
        tokio::time::sleep(RECOVERY).await;
    }
}

impl Batcher {
    pub fn new(backend: Arc<dyn Backend>, gate: Gate) -> Batcher {
        let limits = backend.limits();
        let answers = (ANSWER_BYTES / (backend.dimensions().max(1) * size_of::<f32>())).max(1);
        Batcher {
            backend,
            most: Most::new(Size {
                inputs: limits.inputs.min(answers),
                tokens: limits.tokens.min(gate.greatest_tokens()),
                bytes: REQUEST_BYTES,
            }),
            gate,
            is_full: false,
            documents: HashMap::new(),
            next_document: 0,
            queue: VecDeque::new(),
            queued: Size::default(),
            ready: VecDeque::new(),
            requests: JoinSet::new(),
            in_flight: HashMap::new(),
            verdicts: Verdicts::default(),
            doubts: Vec::new(),
            trials: Vec::new(),
            words: VecDeque::new(),
            answered: None,
            request_budget: None,
            token_budget: None,
            held_since: None,
        }
    }

    /// Works until the last sender of `incoming` is gone.
    pub async fn run(mut self, incoming: &mut mpsc::UnboundedReceiver<EmbedJob>) {
        loop {
            while let Ok(work) = incoming.try_recv() {
                self.admit(work);
            }
            let mut freed = std::pin::pin!(self.gate.freed());
            freed.as_mut().enable();
            let wake = self.dispatch(Instant::now());
            tokio::select! {
                () = freed, if self.is_full => {}
                work = incoming.recv() => match work {
                    Some(work) => self.admit(work),
                    None => return,
                },
                Some(finished) = self.requests.join_next_with_id() => self.finish(finished),
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {}
            }
        }
    }

    fn admit(&mut self, work: EmbedJob) {
        let EmbedJob {
            texts,
            cut,
            can_wait,
            reply,
        } = work;
        let now = Instant::now();
        if let Some(throttle) = self.gate.throttle(now)
            && throttle.until - now > GREATEST_PAUSE
        {
            let _ = reply.send(Err(Error::from(throttle).into()));
            return;
        }
        let document = self.next_document;
        self.next_document += 1;
        let texts = Arc::new(texts);
        let first = self.place_in_queue(can_wait);
        for (index, text) in texts.iter().enumerate() {
            let size = Size::of(text);
            self.queued.add(size);
            let input = Input {
                document,
                index,
                can_wait,
                texts: texts.clone(),
                size,
            };
            self.queue.insert(first + index, input);
        }
        let missing = texts.len();
        self.documents.insert(
            document,
            BatchedDocument {
                since: now,
                vectors: vec![None; missing],
                cut,
                missing,
                sent: 0,
                is_in_doubt: false,
                failed: None,
                reply,
            },
        );
    }

    /// Sends what may be sent. Returns when there will be more to do, if that is a matter of time.
    fn dispatch(&mut self, now: Instant) -> Option<Instant> {
        self.is_full = false;
        let due = self.send_all(now);
        if !self.is_full {
            self.gate.need_not_wait();
        }
        due.into_iter().chain(self.word_due(now)).min()
    }

    fn send_all(&mut self, now: Instant) -> Option<Instant> {
        loop {
            self.skip_unwanted();
            self.word_doubts(now);
            if self.words.is_empty() && self.ready.is_empty() && self.queue.is_empty() {
                break;
            }
            if let Some(throttle) = self.gate.throttle(now) {
                let until = throttle.until;
                self.give_back(now, throttle);
                // Another process may end the pause, and cannot wake this one.
                return Some(until.min(now + LOOK));
            }
            if self.words.is_empty()
                && self.ready.is_empty()
                && let Some(due) = self.company_due().filter(|due| *due > now)
            {
                return Some(due);
            }
            // Before the next request is looked at, input by input: each document that comes asks here.
            if self.gate.is_full() {
                self.is_full = true;
                return None;
            }
            let tokens = self.next_tokens();
            if let Some(due) = self.budget_due(now, tokens) {
                let held_since = *self.held_since.get_or_insert(now);
                let due = due.min(held_since + GREATEST_HOLD);
                if due > now {
                    return Some(due);
                }
            }
            let pass = match self.gate.look(now, tokens) {
                Admission::Open(pass) => pass,
                Admission::Paused(until) => return Some(until),
                Admission::Full => {
                    self.is_full = true;
                    return None;
                }
            };
            let question = match self.words.pop_front() {
                Some(word) => Question::Word(word),
                None => Question::Batch(match self.ready.pop_front() {
                    Some(batch) => batch,
                    None => Batch::new(self.fill()),
                }),
            };
            self.send(question, pass, now);
        }
        self.held_since = None;
        None
    }

    /// When the provider's budget allows a request of so many tokens, if that is later than `now`.
    fn budget_due(&self, now: Instant, tokens: usize) -> Option<Instant> {
        let requests = self.request_budget.as_ref().map(|budget| budget.due(now, 1.0));
        let tokens = self.token_budget.as_ref().map(|budget| budget.due(now, tokens as f64));
        requests.max(tokens).filter(|due| *due > now)
    }

    fn send(&mut self, mut question: Question, pass: Pass, now: Instant) {
        let size = question.size();
        if size.inputs == 0 {
            return;
        }
        if let Some(budget) = &mut self.request_budget {
            budget.spend(now, 1.0);
        }
        if let Some(budget) = &mut self.token_budget {
            budget.spend(now, size.tokens as f64);
        }
        self.held_since = None;
        let number = self.verdicts.number();
        let known = self.backend.known();
        let (inputs, cut, without) = match &mut question {
            Question::Batch(batch) => {
                batch.since.get_or_insert(number);
                for (document, inputs) in runs(&batch.inputs) {
                    if let Some(document) = self.documents.get_mut(&document) {
                        document.sent += inputs;
                    }
                }
                let without = batch.trial.as_ref().map_or(known, |trial| trial.without);
                (batch.inputs.clone(), batch.cut, without)
            }
            Question::Word(word) => (Vec::new(), false, word.form(known)),
        };
        let backend = Arc::clone(&self.backend);
        let request = self.requests.spawn(async move {
            let _pass = pass;
            let texts: Vec<&str> = match &inputs[..] {
                [] => vec![WORD],
                inputs => inputs.iter().map(Input::text).collect(),
            };
            let texts = &texts;
            let embedded = panics::caught(backend.embed(Request { texts, cut, without })).await;
            embedded.unwrap_or_else(|panicked| Err(Trouble::Panicked(panicked)))
        });
        let sent = InFlight {
            question,
            number,
            without,
            sent: now,
        };
        self.in_flight.insert(request.id(), sent);
    }

    fn finish(&mut self, finished: Result<(Id, RequestOutcome), JoinError>) {
        let (id, outcome) = match finished {
            Ok(finished) => finished,
            // Its documents must not wait for ever.
            Err(error) if error.is_panic() => (error.id(), Err(Trouble::Panicked(Panicked::Lost))),
            Err(error) => (error.id(), Err(Trouble::Failed(Error::Stopped))),
        };
        let Some(InFlight {
            question,
            number,
            without,
            sent,
        }) = self.in_flight.remove(&id)
        else {
            return;
        };
        let batch = match question {
            Question::Batch(batch) => batch,
            Question::Word(word) => return self.hear(word, number, without, sent, outcome),
        };
        let answered = runs(&batch.inputs);
        for (document, inputs) in &answered {
            if let Some(document) = self.documents.get_mut(document) {
                document.sent -= inputs;
            }
        }
        match outcome {
            Ok(answer) => self.accept(batch, number, answer),
            Err(trouble) => self.take_over(batch, without, sent, trouble),
        }
        answered.iter().for_each(|(document, _)| self.conclude(*document));
    }

    fn accept(&mut self, batch: Batch, number: Number, (vectors, quota): (Vec<Vec<f32>>, Quota)) {
        self.learn(quota);
        self.answered = Some(Instant::now());
        self.gate.succeeded();
        self.most.succeeded();
        if let Some(trial) = batch.trial {
            self.backend.learn(trial.without);
        }
        if let Some(search) = batch.search {
            search.accepted.store(true, Ordering::Relaxed);
        }
        std::iter::zip(batch.inputs, vectors).for_each(|(input, vector)| self.place(&input, vector, batch.cut));
        self.verdicts.accept(number);
        self.settle();
    }

    fn take_over(&mut self, batch: Batch, without: Without, sent: Instant, trouble: Trouble) {
        if let Some((batch, trouble)) = self.try_without(batch, without, trouble) {
            self.take_over_again(batch, sent, trouble);
        }
    }

    /// The same in no other form.
    fn take_over_again(&mut self, batch: Batch, sent: Instant, trouble: Trouble) {
        let alone = batch.inputs.len() == 1;
        match trouble {
            // It goes through the gate again as any other request does.
            Trouble::Lost(_) if !batch.was_lost => self.ready.push_front(Batch {
                was_lost: true,
                ..batch
            }),
            Trouble::Failed(error) | Trouble::Lost(error) => {
                self.slow_down(&batch.size(), sent, &error);
                // Nothing is accepted: the other parts of what was cut in half need not be asked about.
                if let (Error::Refused { .. }, Some(search)) = (&error, &batch.search) {
                    self.end_search(search, &error);
                }
                self.fail_all(&batch.inputs, &error);
            }
            // One of them may be the reason, which harms no other.
            Trouble::Panicked(Panicked::At(_)) if !alone => self.halve(batch),
            Trouble::Panicked(panicked) => self.fail_all(&batch.inputs, &Error::Panicked(panicked)),
            Trouble::Busy { refusal, retry_after } => {
                self.gate
                    .throttled(Instant::now(), sent, Some(retry_after), rand::random(), refusal.clone());
                self.fail_all(&batch.inputs, &Error::Server(refusal));
            }
            Trouble::Throttled {
                refusal,
                retry_after,
                quota,
            } => {
                self.learn(quota);
                if quota.tokens.is_none() && self.gate.is_stuck(Instant::now()) {
                    self.most.too_slow(Instant::now(), sent, batch.size().tokens);
                }
                self.throttle(batch, sent, refusal, retry_after);
            }
            Trouble::TooLarge(refusal) if !alone => self.shrink(batch, &refusal),
            // If it is only too long, it will do when it is cut. Otherwise nothing was paid for to find out.
            Trouble::Rejected(_) if alone && !batch.cut && self.backend.can_cut() => {
                self.ready.push_front(Batch {
                    cut: true,
                    trial: None,
                    ..batch
                });
            }
            trouble @ (Trouble::Rejected(_) | Trouble::Refused { .. } | Trouble::TooLarge(_)) => {
                self.doubt(batch, trouble);
            }
        }
    }

    fn learn(&mut self, quota: Quota) {
        let now = Instant::now();
        if let Some(level) = quota.requests {
            self.request_budget = Some(RateBudget::new(level, now));
        }
        if let Some(level) = quota.tokens {
            self.token_budget = Some(RateBudget::new(level, now));
            self.most.show_budget(level.limit);
        }
    }

    /// A server that cannot keep up is asked for less at a time, or it goes on doing work whose answers come too late.
    fn slow_down(&mut self, of: &Size, sent: Instant, error: &Error) {
        let now = Instant::now();
        match error {
            Error::TimedOut { .. } => {
                self.gate.overloaded(now, sent);
                let beside = self.in_flight.values().map(|request| request.question.size().tokens);
                let tokens = beside.fold(of.tokens, usize::max);
                self.most.too_slow(now, sent, tokens);
            }
            Error::Server(_) | Error::Connection { .. } => self.gate.overloaded(now, sent),
            _ => {}
        }
    }

    fn throttle(&mut self, batch: Batch, sent: Instant, refusal: Arc<Refusal>, told: Option<Duration>) {
        self.gate.throttled(Instant::now(), sent, told, rand::random(), refusal);
        if batch.search.is_some() || batch.cut || batch.trial.is_some() {
            self.ready.push_front(batch);
        } else {
            // Filled anew, in case a smaller request is asked for.
            self.put_back(batch.inputs);
        }
    }
}

#[cfg(test)]
mod tests;
