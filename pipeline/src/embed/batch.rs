//! Which inputs go into which request: one task per provider that fills requests across documents.
//!
//! A document is split over as many requests as it takes, and answered when its last vector has come or its first input
//! failed. Inputs wait in `queue`; what a provider sent back (429, or a rejected request that is cut in half to find the
//! bad input) waits in `ready`, already in the form of requests, and goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use super::limiter::Limiter;
use super::openai::{Client, Trouble};
use super::{Error, Refusal, tokens};

/// OpenAI's limits for one request (2,048 inputs, 300,000 tokens).
const REQUEST_INPUTS: usize = 2048;
const REQUEST_TOKENS: usize = 300_000;
/// Most bytes of inputs in a request, as JSON: gateways in front of models refuse bodies of more than a few MB.
const REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that JSON adds to each input.
const INPUT_BYTES: usize = 3;
/// How long inputs wait for company while other requests are in flight. Ten times less than a typical answer takes, and
/// long enough that no more than 50 requests leave per second, OpenAI's lowest paid limit (3,000 per minute).
const LINGER: Duration = Duration::from_millis(20);
/// Pauses up to this long are waited out here. Longer ones are given back to the callers, who hold leases.
const GREATEST_PAUSE: Duration = Duration::from_secs(20);
/// A document that was throttled again and again for this long is given back, too.
const GREATEST_STAY: Duration = Duration::from_secs(60);
/// So many inputs rejected, each alone and with nothing accepted between them: the fault is not theirs. Stops a provider
/// that refuses everything from being asked about each of thousands of inputs.
const HOPELESS: u32 = 8;

/// One document to embed.
pub(super) struct Work {
    pub texts: Vec<String>,
    pub reply: oneshot::Sender<Result<Vec<Vec<f32>>, Error>>,
}

struct Document {
    since: Instant,
    vectors: Vec<Option<Vec<f32>>>,
    missing: usize,
    reply: oneshot::Sender<Result<Vec<Vec<f32>>, Error>>,
}

#[derive(Clone)]
struct Input {
    document: u64,
    index: usize,
    texts: Arc<Vec<String>>,
    size: Size,
}

impl Input {
    fn text(&self) -> &str {
        &self.texts[self.index]
    }
}

/// Of one input, of a request, or of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    inputs: usize,
    tokens: usize,
    bytes: usize,
}

impl Size {
    fn of(text: &str) -> Size {
        // Control characters become \u0000, quotes and backslashes two bytes.
        let escaped = text.bytes().map(|byte| match byte {
            0..0x20 => 6,
            b'"' | b'\\' => 2,
            _ => 1,
        });
        Size {
            inputs: 1,
            tokens: tokens::estimate(text),
            bytes: escaped.sum::<usize>() + INPUT_BYTES,
        }
    }

    fn add(&mut self, other: Size) {
        self.inputs += other.inputs;
        self.tokens += other.tokens;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Size) {
        self.inputs -= other.inputs;
        self.tokens -= other.tokens;
        self.bytes -= other.bytes;
    }

    fn reaches(&self, limit: Size) -> bool {
        self.inputs >= limit.inputs || self.tokens >= limit.tokens || self.bytes >= limit.bytes
    }

    fn fits(&self, more: Size, limit: Size) -> bool {
        self.inputs + more.inputs <= limit.inputs
            && self.tokens + more.tokens <= limit.tokens
            && self.bytes + more.bytes <= limit.bytes
    }
}

struct InFlight {
    inputs: Vec<Input>,
    sent: Instant,
}

type Outcome = Result<Vec<Vec<f32>>, Trouble>;

/// The state of the batching task.
pub(super) struct Batcher {
    client: Arc<Client>,
    limiter: Limiter,
    /// Most of a request; smaller once the provider said so.
    limit: Size,
    documents: HashMap<u64, Document>,
    next_document: u64,
    queue: VecDeque<Input>,
    queued: Size,
    ready: VecDeque<Vec<Input>>,
    requests: JoinSet<Outcome>,
    in_flight: HashMap<Id, InFlight>,
    rejected_in_a_row: u32,
    last_throttle: Option<(Refusal, SystemTime)>,
    throttled_until: Arc<AtomicU64>,
}

impl Batcher {
    pub fn new(client: Client, max_requests_in_flight: usize, throttled_until: Arc<AtomicU64>) -> Batcher {
        Batcher {
            client: Arc::new(client),
            limiter: Limiter::new(max_requests_in_flight),
            limit: Size {
                inputs: REQUEST_INPUTS,
                tokens: REQUEST_TOKENS,
                bytes: REQUEST_BYTES,
            },
            documents: HashMap::new(),
            next_document: 0,
            queue: VecDeque::new(),
            queued: Size::default(),
            ready: VecDeque::new(),
            requests: JoinSet::new(),
            in_flight: HashMap::new(),
            rejected_in_a_row: 0,
            last_throttle: None,
            throttled_until,
        }
    }

    /// Works until the last sender of `incoming` is gone.
    pub async fn run(mut self, mut incoming: mpsc::UnboundedReceiver<Work>) {
        loop {
            while let Ok(work) = incoming.try_recv() {
                self.admit(work);
            }
            let wake = self.dispatch(Instant::now());
            tokio::select! {
                work = incoming.recv() => match work {
                    Some(work) => self.admit(work),
                    None => return,
                },
                Some(finished) = self.requests.join_next_with_id() => self.finish(finished),
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {}
            }
        }
    }

    fn admit(&mut self, Work { texts, reply }: Work) {
        let now = Instant::now();
        if let (Some(until), Some((refusal, told))) = (self.limiter.paused_until(now), &self.last_throttle)
            && until - now > GREATEST_PAUSE
        {
            let _ = reply.send(Err(Error::Throttled {
                refusal: refusal.clone(),
                until: *told,
            }));
            return;
        }
        let document = self.next_document;
        self.next_document += 1;
        let texts = Arc::new(texts);
        for (index, text) in texts.iter().enumerate() {
            let size = Size::of(text);
            self.queued.add(size);
            self.queue.push_back(Input {
                document,
                index,
                texts: texts.clone(),
                size,
            });
        }
        let missing = texts.len();
        self.documents.insert(
            document,
            Document {
                since: now,
                vectors: vec![None; missing],
                missing,
                reply,
            },
        );
    }

    /// Sends what may be sent. Returns when there will be more to do, if that is a matter of time.
    fn dispatch(&mut self, now: Instant) -> Option<Instant> {
        while self.limiter.has_room(self.requests.len()) {
            if self.ready.is_empty() && self.queue.is_empty() {
                return None;
            }
            if let Some(until) = self.limiter.paused_until(now) {
                return Some(until);
            }
            let inputs = match self.ready.pop_front() {
                Some(mut inputs) => {
                    inputs.retain(|input| self.is_wanted(input));
                    inputs
                }
                None => {
                    if let Some(due) = self.company_due().filter(|due| *due > now) {
                        return Some(due);
                    }
                    self.fill()
                }
            };
            self.send(inputs, now);
        }
        None
    }

    /// Until when the queue waits for more inputs; `None` when a request can be filled, or none is in flight.
    fn company_due(&self) -> Option<Instant> {
        if self.requests.is_empty() || self.queued.reaches(self.limit) {
            return None;
        }
        let oldest = self.documents.get(&self.queue.front()?.document)?;
        Some(oldest.since + LINGER)
    }

    /// Takes a request's worth of inputs off the queue: at least one, however large.
    fn fill(&mut self) -> Vec<Input> {
        let mut inputs: Vec<Input> = Vec::new();
        let mut size = Size::default();
        while let Some(next) = self.queue.pop_front() {
            if !self.is_wanted(&next) {
                self.queued.remove(next.size);
                continue;
            }
            if !inputs.is_empty() && !size.fits(next.size, self.limit) {
                self.queue.push_front(next);
                break;
            }
            self.queued.remove(next.size);
            size.add(next.size);
            inputs.push(next);
        }
        inputs
    }

    /// Whether its document has neither failed nor been given up by its caller; the latter is forgotten here.
    fn is_wanted(&mut self, input: &Input) -> bool {
        let Some(document) = self.documents.get(&input.document) else {
            return false;
        };
        if document.reply.is_closed() {
            self.documents.remove(&input.document);
            return false;
        }
        true
    }

    fn send(&mut self, inputs: Vec<Input>, now: Instant) {
        if inputs.is_empty() {
            return;
        }
        let client = self.client.clone();
        let sent = inputs.clone();
        let request = self.requests.spawn(async move {
            let texts: Vec<&str> = sent.iter().map(Input::text).collect();
            client.embed(&texts).await
        });
        self.in_flight.insert(request.id(), InFlight { inputs, sent: now });
    }

    fn finish(&mut self, finished: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match finished {
            Ok(finished) => finished,
            // The runtime is going down, or the request panicked: its documents must not wait for ever.
            Err(error) => (error.id(), Err(Trouble::Failed(Error::Stopped))),
        };
        let Some(InFlight { inputs, sent }) = self.in_flight.remove(&id) else {
            return;
        };
        match outcome {
            Ok(vectors) => {
                self.limiter.succeeded();
                self.rejected_in_a_row = 0;
                std::iter::zip(inputs, vectors).for_each(|(input, vector)| self.place(&input, vector));
            }
            Err(Trouble::Failed(error)) => self.fail_all(&inputs, &error),
            Err(Trouble::Throttled { refusal, retry_after }) => self.throttle(inputs, sent, refusal, retry_after),
            Err(Trouble::TooLarge(refusal)) if inputs.len() > 1 => self.shrink(inputs, &refusal),
            Err(Trouble::Rejected(refusal)) if inputs.len() > 1 => self.bisect(inputs, refusal),
            Err(Trouble::TooLarge(refusal)) => self.fail_all(&inputs, &Error::Rejected { refusal, alone: true }),
            Err(Trouble::Rejected(refusal)) => {
                self.rejected_in_a_row = self.rejected_in_a_row.saturating_add(1);
                self.fail_all(&inputs, &Error::Rejected { refusal, alone: true });
            }
        }
    }

    fn place(&mut self, input: &Input, vector: Vec<f32>) {
        let Some(document) = self.documents.get_mut(&input.document) else {
            return;
        };
        if !vector.iter().all(|number| number.is_finite()) {
            let of = document.vectors.len();
            let reason = format!(
                "the vector of text {} of {of} holds a number that is not finite",
                input.index + 1
            );
            self.fail(input.document, Error::Answer(reason));
            return;
        }
        document.vectors[input.index] = Some(vector);
        document.missing -= 1;
        if document.missing == 0
            && let Some(document) = self.documents.remove(&input.document)
        {
            let _ = document
                .reply
                .send(Ok(document.vectors.into_iter().flatten().collect()));
        }
    }

    fn fail(&mut self, document: u64, error: Error) {
        if let Some(document) = self.documents.remove(&document) {
            let _ = document.reply.send(Err(error));
        }
    }

    fn fail_all<'a>(&mut self, inputs: impl IntoIterator<Item = &'a Input>, error: &Error) {
        inputs
            .into_iter()
            .for_each(|input| self.fail(input.document, error.clone()));
    }

    fn throttle(&mut self, inputs: Vec<Input>, sent: Instant, refusal: Refusal, told: Option<Duration>) {
        let now = Instant::now();
        let until = self.limiter.throttled(now, sent, told, rand::random());
        let clock = SystemTime::now() + (until - now);
        let milliseconds = clock.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        self.throttled_until.store(milliseconds, Ordering::Relaxed);
        self.last_throttle = Some((refusal.clone(), clock));
        let error = Error::Throttled { refusal, until: clock };
        if until - now > GREATEST_PAUSE {
            self.fail_all(&inputs, &error);
            let waiting: Vec<Input> = self.ready.drain(..).flatten().chain(self.queue.drain(..)).collect();
            self.queued = Size::default();
            self.fail_all(&waiting, &error);
            return;
        }
        let has_time = |document: &Document| until.duration_since(document.since) <= GREATEST_STAY;
        let (again, tired): (Vec<Input>, Vec<Input>) = inputs
            .into_iter()
            .partition(|input| self.documents.get(&input.document).is_some_and(has_time));
        self.fail_all(&tired, &error);
        if !again.is_empty() {
            self.ready.push_front(again);
        }
    }

    /// A request was too large: later ones have half its size at most. Unless one input makes up most of it: then that
    /// one is to blame, and is found as a rejected one is.
    fn shrink(&mut self, inputs: Vec<Input>, refusal: &Refusal) {
        let mut size = Size::default();
        inputs.iter().for_each(|input| size.add(input.size));
        if inputs.iter().any(|input| input.size.bytes > size.bytes / 2) {
            self.halve(inputs);
            return;
        }
        self.limit.inputs = self.limit.inputs.min(size.inputs.div_ceil(2));
        if !refusal.is("array_above_max_length") {
            self.limit.tokens = self.limit.tokens.min(size.tokens.div_ceil(2));
            self.limit.bytes = self.limit.bytes.min(size.bytes.div_ceil(2));
        }
        for input in inputs.into_iter().rev() {
            self.queued.add(input.size);
            self.queue.push_front(input);
        }
    }

    fn bisect(&mut self, inputs: Vec<Input>, refusal: Refusal) {
        if self.rejected_in_a_row < HOPELESS {
            self.halve(inputs);
        } else {
            self.rejected_in_a_row = 0;
            self.fail_all(&inputs, &Error::Rejected { refusal, alone: false });
        }
    }

    fn halve(&mut self, mut first: Vec<Input>) {
        let second = first.split_off(first.len() / 2);
        self.ready.push_front(second);
        self.ready.push_front(first);
    }
}
