//! Which inputs go into which request: one task per provider that fills requests across documents.
//!
//! A document is split over as many requests as it takes, and answered when its last vector has come; or,
//! once an input has failed, when all that was sent of it is answered, as what has come by then is paid for.
//! Inputs wait in `queue`; what a provider sent back (429, or a rejected request that is cut in half to find
//! the bad input) waits in `ready`, already in the form of requests, and goes first. Whatever leaves is let
//! in by the gate, one request at a time.

mod doubts;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use super::backend::{Backend, Outcome, Request, Trouble, Without};
use super::gate::{Entry, Gate, Pass, Throttle};
use super::patience::{GREATEST_PAUSE, waits};
use super::quota::{Budget, Quota};
use super::size::{Most, Size};
use super::verdict::{Number, Verdict, Verdicts, WORD};
use super::{Embedded, Error, Incomplete, Refusal};
use crate::panics::{self, Panicked};
use doubts::{Doubt, Trial, Word};

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
/// So many documents of a request rejected and none accepted: the fault is not theirs. Stops a provider that
/// refuses everything from being asked about each of thousands of inputs. The documents are a sample spread
/// over the request, so if half of them were bad this would be wrong once in 256 times, and cost the others a
/// second try.
const HOPELESS: u32 = 8;

/// One document to embed.
pub(super) struct Work {
    pub texts: Vec<String>,
    /// Those of them that were cut already.
    pub cut: Vec<usize>,
    /// Others may go first, whenever they come.
    pub can_wait: bool,
    pub reply: oneshot::Sender<Result<Embedded, Incomplete>>,
}

struct Document {
    since: Instant,
    vectors: Vec<Option<Vec<f32>>>,
    cut: Vec<usize>,
    missing: usize,
    /// Inputs that are with the provider.
    sent: usize,
    /// One of its inputs was refused: no more is sent of it until it is known whose fault that is.
    is_in_doubt: bool,
    /// No more is sent of it, and it is answered when nothing is with the provider any more.
    failed: Option<Error>,
    reply: oneshot::Sender<Result<Embedded, Incomplete>>,
}

#[derive(Clone)]
struct Input {
    document: u64,
    index: usize,
    can_wait: bool,
    texts: Arc<Vec<String>>,
    size: Size,
}

impl Input {
    fn text(&self) -> &str {
        &self.texts[self.index]
    }
}

/// The inputs of a request.
struct Batch {
    inputs: Vec<Input>,
    /// Of the search for bad inputs that the batch is a part of.
    search: Option<Arc<Search>>,
    /// The provider shall cut it to what the model takes. Only for a single input, so that it is known which was cut.
    cut: bool,
    /// The request that was first sent with these inputs, or with these among others that it was refused with.
    since: Option<Number>,
    /// It is tried without something.
    trial: Option<Trial>,
    /// It was lost once.
    was_lost: bool,
}

impl Batch {
    fn new(inputs: Vec<Input>) -> Batch {
        Batch {
            inputs,
            search: None,
            cut: false,
            since: None,
            trial: None,
            was_lost: false,
        }
    }

    fn size(&self) -> Size {
        let mut size = Size::default();
        self.inputs.iter().for_each(|input| size.add(input.size));
        size
    }
}

/// What became of the parts of a rejected request.
#[derive(Default)]
struct Search {
    /// A part was accepted.
    accepted: AtomicBool,
    /// Documents rejected.
    rejected: AtomicU32,
}

impl Search {
    fn is_hopeless(&self) -> bool {
        !self.accepted.load(Ordering::Relaxed) && self.rejected.load(Ordering::Relaxed) >= HOPELESS
    }
}

/// What a request asks.
enum Question {
    Batch(Batch),
    Word(Word),
}

impl Question {
    fn size(&self) -> Size {
        match self {
            Question::Batch(batch) => batch.size(),
            Question::Word(_) => Size::of(WORD),
        }
    }
}

struct InFlight {
    question: Question,
    number: Number,
    without: Without,
    sent: Instant,
}

/// The state of the batching task.
pub(super) struct Batcher {
    backend: Arc<dyn Backend>,
    gate: Gate,
    /// The last request had to wait because as many as may be are at the server.
    is_full: bool,
    /// Of a request.
    most: Most,
    documents: HashMap<u64, Document>,
    next_document: u64,
    queue: VecDeque<Input>,
    queued: Size,
    ready: VecDeque<Batch>,
    requests: JoinSet<Outcome>,
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
    request_budget: Option<Budget>,
    token_budget: Option<Budget>,
    /// Since when the next request waits for these.
    held_since: Option<Instant>,
}

/// The batching task. Where it panics, the documents that it had fail, as nobody answers them, and it begins anew.
pub(super) async fn run(backend: Arc<dyn Backend>, gate: Gate, mut incoming: mpsc::UnboundedReceiver<Work>) {
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
    pub async fn run(mut self, incoming: &mut mpsc::UnboundedReceiver<Work>) {
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

    fn admit(&mut self, work: Work) {
        let Work {
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
            Document {
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

    /// Where the inputs of a document belong in the queue: behind all others, or before those that can wait.
    fn place_in_queue(&self, can_wait: bool) -> usize {
        if can_wait {
            self.queue.len()
        } else {
            self.first_that_can_wait()
        }
    }

    /// The queue has first what somebody waits for, then what can wait.
    fn first_that_can_wait(&self) -> usize {
        self.queue.partition_point(|input| !input.can_wait)
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
                Entry::Open(pass) => pass,
                Entry::Paused(until) => return Some(until),
                Entry::Full => {
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

    /// Drops what nobody wants any more and is the next to be sent: the next request holds something then.
    fn skip_unwanted(&mut self) {
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

    /// Tokens of the next request. What is charged is never corrected, so that it is no use to guess.
    fn next_tokens(&self) -> usize {
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

    /// Until when the queue waits for more inputs; `None` when a request can be filled, or none is in flight.
    fn company_due(&self) -> Option<Instant> {
        if self.requests.is_empty() || self.queued.reaches(self.most.get()) {
            return None;
        }
        let oldest = self.documents.get(&self.queue.front()?.document)?;
        Some(oldest.since + LINGER)
    }

    /// Takes a request's worth of inputs off the queue: at least one, however large.
    fn fill(&mut self) -> Vec<Input> {
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

    /// Whether its document has neither failed, or is about to, nor been given up by its caller.
    fn wants(&self, input: &Input) -> bool {
        let document = self.documents.get(&input.document);
        document
            .is_some_and(|document| document.failed.is_none() && !document.is_in_doubt && !document.reply.is_closed())
    }

    /// The same; a document that was given up is forgotten.
    fn is_wanted(&mut self, input: &Input) -> bool {
        let is_given_up = |document: &Document| document.reply.is_closed();
        if self.documents.get(&input.document).is_some_and(is_given_up) {
            self.documents.remove(&input.document);
        }
        self.wants(input)
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

    fn finish(&mut self, finished: Result<(Id, Outcome), JoinError>) {
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
            self.request_budget = Some(Budget::new(level, now));
        }
        if let Some(level) = quota.tokens {
            self.token_budget = Some(Budget::new(level, now));
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

    fn place(&mut self, input: &Input, vector: Vec<f32>, cut: bool) {
        let Some(document) = self.documents.get_mut(&input.document) else {
            return;
        };
        // Without an early end, which would have each number looked at by itself: nearly all vectors are finite.
        if !vector.iter().fold(true, |finite, number| finite & number.is_finite()) {
            let of = document.vectors.len();
            let reason = format!(
                "the vector of text {} of {of} holds a number that is not finite",
                input.index + 1
            );
            document.failed.get_or_insert(Error::NotFinite(reason));
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

    fn fail(&mut self, number: u64, error: Error) {
        if let Some(document) = self.documents.get_mut(&number) {
            document.failed.get_or_insert(error);
            self.conclude(number);
        }
    }

    fn fail_all<'a>(&mut self, inputs: impl IntoIterator<Item = &'a Input>, error: &Error) {
        inputs
            .into_iter()
            .for_each(|input| self.fail(input.document, error.clone()));
    }

    /// Answers a document that has failed, if nothing of it is with the provider any more.
    fn conclude(&mut self, number: u64) {
        let is_over = |document: &Document| document.failed.is_some() && document.sent == 0;
        if !self.documents.get(&number).is_some_and(is_over) {
            return;
        }
        if let Some(Document {
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

    fn throttle(&mut self, batch: Batch, sent: Instant, refusal: Arc<Refusal>, told: Option<Duration>) {
        self.gate.throttled(Instant::now(), sent, told, rand::random(), refusal);
        if batch.search.is_some() || batch.cut || batch.trial.is_some() {
            self.ready.push_front(batch);
        } else {
            // Filled anew, in case a smaller request is asked for.
            self.put_back(batch.inputs);
        }
    }

    /// Gives back the documents that do not wait for the end of a pause. Those that have inputs in flight are
    /// decided on when these are answered: their vectors would be paid for in vain.
    fn give_back(&mut self, now: Instant, throttle: Throttle) {
        let answered = self.answered;
        let tired = |(number, document): (&u64, &Document)| {
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

    /// A request was too large: later ones are smaller. Unless one input makes up most of it: then that one
    /// is to blame, and is found as a rejected one is.
    fn shrink(&mut self, batch: Batch, refusal: &Refusal) {
        let size = batch.size();
        if batch.inputs.iter().any(|input| input.size.bytes > size.bytes / 2) {
            self.halve(batch);
            return;
        }
        self.most.refused(size, refusal.is("array_above_max_length"));
        self.put_back(batch.inputs);
    }

    /// To the front of the queue, each before those of its kind.
    fn put_back(&mut self, inputs: Vec<Input>) {
        inputs.iter().for_each(|input| self.queued.add(input.size));
        let (waiting, others): (Vec<Input>, Vec<Input>) = inputs.into_iter().partition(|input| input.can_wait);
        let mut behind = self.queue.split_off(self.first_that_can_wait());
        self.queue.extend(waiting);
        self.queue.append(&mut behind);
        others.into_iter().rev().for_each(|input| self.queue.push_front(input));
    }

    /// Goes on looking for the bad inputs of a rejected request, or gives up.
    fn search(&mut self, mut batch: Batch, refusal: Arc<Refusal>) {
        let search = batch.search.get_or_insert_with(|| {
            // Spreads documents that came together, as bad ones often do, but keeps the inputs of each together: they
            // are all done with when the first is rejected.
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
    fn end_search(&mut self, search: &Arc<Search>, error: &Error) {
        let is_part = |part: &Batch| part.search.as_ref().is_some_and(|other| Arc::ptr_eq(other, search));
        let (parts, others): (VecDeque<Batch>, VecDeque<Batch>) = self.ready.drain(..).partition(is_part);
        self.ready = others;
        self.fail_all(parts.iter().flat_map(|part| &part.inputs), error);
    }

    fn halve(&mut self, batch: Batch) {
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

/// The documents of a request, and how many inputs of each follow one another.
fn runs(inputs: &[Input]) -> Vec<(u64, usize)> {
    let runs = inputs.chunk_by(|one, next| one.document == next.document);
    runs.map(|run| (run[0].document, run.len())).collect()
}

#[cfg(test)]
mod tests;
