//! What follows a refusal that may be nobody's fault: the same request without what the server may not know,
//! and a word of ours (see [`Verdicts`](super::Verdicts)). Each is a request like any other, that the gate
//! lets in and the budgets are charged with.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Batch, Batcher, Error, InFlight, Number, Question, RequestOutcome, Size, Trouble, Verdict, WORD, Without};
use crate::error::Class;

/// A request that is tried without what the server may not know.
pub(super) struct Trial {
    pub without: Without,
    /// What else can be left out.
    rest: VecDeque<Without>,
    /// How the request was refused as it was meant.
    first: Trouble,
}

/// A request with a word of ours.
pub(super) struct Word {
    about: About,
    trial: Option<Trial>,
    was_lost: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum About {
    /// Is it refused like any other text, or does the fault lie with those in doubt?
    Doubts,
    /// How long are vectors whose length is not asked for? All texts would be paid for to learn that.
    Length(Without),
}

impl Word {
    fn about(about: About) -> Word {
        Word {
            about,
            trial: None,
            was_lost: false,
        }
    }

    /// What it leaves out, where so much is known to be left out.
    pub fn form(&self, known: Without) -> Without {
        match (&self.trial, self.about) {
            (Some(trial), _) => trial.without,
            (None, About::Length(without)) => without,
            (None, About::Doubts) => known,
        }
    }
}

/// A refused request: whose fault that is shows when others are answered.
pub(super) struct Doubt {
    batch: Batch,
    trouble: Trouble,
    /// Those that were with the server up to here are waited for, and one that can be sent after them, before
    /// a word is asked.
    until: Number,
}

/// Whether another form of a request, or another text, may fare better.
fn is_refused(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Rejected(_) | Trouble::Refused { .. } | Trouble::TooLarge(_) => true,
        Trouble::Failed(error) => error.class() == Class::Configuration,
        _ => false,
    }
}

impl Batcher {
    /// Has a refused request sent again without what the server may not know; else gives it back, with its
    /// first refusal.
    pub(super) fn try_without(
        &mut self,
        mut batch: Batch,
        without: Without,
        trouble: Trouble,
    ) -> Option<(Batch, Trouble)> {
        let trial = match batch.trial.take() {
            Some(trial) if is_refused(&trouble) => trial,
            trial @ Some(_) if matches!(trouble, Trouble::Throttled { .. } | Trouble::Lost(_)) => {
                batch.trial = trial;
                return Some((batch, trouble));
            }
            Some(_) => return Some((batch, trouble)),
            None => {
                let rest = self.backend.others(&trouble, without, false);
                if rest.is_empty() {
                    return Some((batch, trouble));
                }
                // Another request has shown it meanwhile.
                if self.backend.known() != without {
                    self.ready.push_front(batch);
                    return None;
                }
                Trial {
                    without,
                    rest: rest.into(),
                    first: trouble,
                }
            }
        };
        self.next_trial(batch, trial)
    }

    fn next_trial(&mut self, mut batch: Batch, mut trial: Trial) -> Option<(Batch, Trouble)> {
        let known = self.backend.known();
        while let Some(without) = trial.rest.pop_front() {
            trial.without = without;
            // The length that a model has by itself may be another, which would be paid for.
            if !without.dimensions || known.dimensions {
                batch.trial = Some(trial);
                self.ready.push_front(batch);
                return None;
            }
            if !self.trials.iter().any(|(asked, _)| *asked == without) {
                let now = Instant::now();
                if self.verdicts.word_due(now).is_some() {
                    continue;
                }
                self.verdicts.ask(now);
                self.words.push_back(Word::about(About::Length(without)));
            }
            batch.trial = Some(trial);
            self.trials.push((without, batch));
            return None;
        }
        Some((batch, trial.first))
    }

    /// Texts were refused, in any form.
    pub(super) fn doubt(&mut self, batch: Batch, trouble: Trouble) {
        self.verdicts.refuse();
        let verdict = batch.since.and_then(|since| self.verdicts.of(since));
        match (verdict, trouble) {
            (Some(verdict), trouble) => self.judge(batch, trouble, verdict),
            (None, Trouble::Rejected(refusal)) if self.can_search(&batch) => self.search(batch, refusal),
            (None, trouble) => {
                if let [input] = &batch.inputs[..]
                    && let Some(document) = self.documents.get_mut(&input.document)
                {
                    document.is_in_doubt = true;
                }
                let until = self.verdicts.last() + 1;
                self.doubts.push(Doubt { batch, trouble, until });
            }
        }
    }

    /// Whether its parts will show which of them is at fault, as the server has accepted others: nothing else
    /// need be asked.
    fn can_search(&self, batch: &Batch) -> bool {
        batch.inputs.len() > 1 && self.backend.is_accepted()
    }

    /// Decides on those in doubt that something is known about by now.
    pub(super) fn settle(&mut self) {
        for doubt in std::mem::take(&mut self.doubts) {
            match (doubt.batch.since.and_then(|since| self.verdicts.of(since)), doubt) {
                (Some(verdict), doubt) => self.judge(doubt.batch, doubt.trouble, verdict),
                (
                    None,
                    Doubt {
                        batch,
                        trouble: Trouble::Rejected(refusal),
                        ..
                    },
                ) if self.can_search(&batch) => {
                    self.search(batch, refusal);
                }
                (None, doubt) => self.doubts.push(doubt),
            }
        }
    }

    fn judge(&mut self, batch: Batch, trouble: Trouble, verdict: Verdict) {
        let (refusal, hint) = match trouble {
            Trouble::Rejected(refusal) | Trouble::TooLarge(refusal) => (refusal, self.backend.hint_of_all()),
            Trouble::Refused { refusal, hint } => (refusal, hint),
            // Nothing else is ever in doubt.
            other => return self.take_over_again(batch, Instant::now(), other),
        };
        match verdict {
            Verdict::Text if batch.inputs.len() > 1 => self.search(batch, refusal),
            Verdict::Text => {
                let error = if refusal.is_forbidden() {
                    Error::Forbidden(refusal)
                } else {
                    Error::Rejected { refusal, alone: true }
                };
                self.fail_all(&batch.inputs, &error);
                if let Some(search) = batch.search {
                    search.rejected.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
            Verdict::All => {
                let error = Error::Refused { refusal, hint };
                self.fail_all(&batch.inputs, &error);
                self.fail_waiting(&error);
            }
        }
    }

    /// Fails what waits to be sent, as nothing is accepted: it would be refused one by one.
    fn fail_waiting(&mut self, error: &Error) {
        let ready = std::mem::take(&mut self.ready);
        self.fail_all(ready.iter().flat_map(|batch| &batch.inputs), error);
        let queue = std::mem::take(&mut self.queue);
        self.queued = Size::default();
        self.fail_all(&queue, error);
    }

    /// Has the word asked about those in doubt, where nothing that is with the server will show who is at
    /// fault. Forgets what nobody wants to know any more.
    pub(super) fn word_doubts(&mut self, now: Instant) {
        if self.doubts.is_empty() && self.trials.is_empty() && self.words.is_empty() {
            return;
        }
        let documents = &mut self.documents;
        documents.retain(|_, document| !(document.is_in_doubt && document.sent == 0 && document.reply.is_closed()));
        let is_wanted = |batch: &Batch| {
            batch.inputs.iter().any(|input| {
                let document = documents.get(&input.document);
                document.is_some_and(|document| document.failed.is_none() && !document.reply.is_closed())
            })
        };
        self.doubts.retain(|doubt| is_wanted(&doubt.batch));
        self.trials.retain(|(_, batch)| is_wanted(batch));
        let (doubts, trials) = (&self.doubts, &self.trials);
        self.words.retain(|word| match word.about {
            About::Doubts => !doubts.is_empty(),
            About::Length(without) => trials.iter().any(|(asked, _)| *asked == without),
        });
        if self.needs_word() && self.verdicts.word_due(now).is_none() {
            self.verdicts.ask(now);
            self.words.push_back(Word::about(About::Doubts));
        }
    }

    /// When a word will be asked that must not be asked yet.
    pub(super) fn word_due(&self, now: Instant) -> Option<Instant> {
        self.needs_word().then(|| self.verdicts.word_due(now)).flatten()
    }

    fn needs_word(&self) -> bool {
        let is_about_doubts = |word: &Word| word.about == About::Doubts;
        let mut with_server = self.in_flight.values().map(|request| &request.question);
        let is_asked = self.words.iter().any(is_about_doubts)
            || with_server.any(|question| matches!(question, Question::Word(word) if is_about_doubts(word)));
        // One of those that are sent after it may be accepted yet; any that is accepted has several inputs
        // looked through.
        let has_others = !self.ready.is_empty() || !self.queue.is_empty();
        let is_awaited = |doubt: &Doubt| {
            let is_several = doubt.batch.inputs.len() > 1 && matches!(doubt.trouble, Trouble::Rejected(_));
            let is_later =
                |request: &InFlight| is_several || doubt.batch.since.is_some_and(|since| since < request.number);
            let mut sent = self.in_flight.values().filter(|request| is_later(request));
            sent.any(|request| request.number <= doubt.until) || has_others && self.verdicts.last() < doubt.until
        };
        !is_asked && self.doubts.iter().any(|doubt| !is_awaited(doubt))
    }

    /// Takes over the answer to a word.
    pub(super) fn hear(
        &mut self,
        mut word: Word,
        number: Number,
        without: Without,
        sent: Instant,
        outcome: RequestOutcome,
    ) {
        let mut trouble = match outcome {
            Ok((_, quota)) => {
                self.learn(quota);
                return self.accepted(word, number);
            }
            Err(trouble) => trouble,
        };
        match trouble {
            Trouble::Lost(_) if !word.was_lost => {
                word.was_lost = true;
                return self.words.push_front(word);
            }
            Trouble::Throttled {
                refusal,
                retry_after,
                quota,
            } => {
                self.learn(quota);
                self.gate
                    .throttled(Instant::now(), sent, retry_after, rand::random(), refusal);
                return self.words.push_front(word);
            }
            other => trouble = other,
        }
        if let Trouble::Failed(error) | Trouble::Lost(error) = &trouble {
            self.slow_down(&Size::of(WORD), sent, error);
        }
        if let About::Length(without) = word.about {
            return self.try_another_way(without, sent);
        }
        let trial = match word.trial.take() {
            Some(trial) if is_refused(&trouble) => Some(trial),
            Some(_) => None,
            None => {
                let rest = VecDeque::from(self.backend.others(&trouble, without, true));
                let first = std::mem::replace(&mut trouble, Trouble::Failed(Error::Stopped));
                Some(Trial { without, rest, first })
            }
        };
        if let Some(mut trial) = trial {
            match trial.rest.pop_front() {
                Some(without) => {
                    trial.without = without;
                    word.trial = Some(trial);
                    return self.words.push_front(word);
                }
                None => trouble = trial.first,
            }
        }
        self.judge_by(trouble, number, sent);
    }

    /// The server takes the word: what was refused meanwhile is at fault itself.
    fn accepted(&mut self, word: Word, number: Number) {
        self.gate.succeeded();
        if let Some(trial) = word.trial {
            self.backend.learn(trial.without);
            self.send_again(number);
        }
        self.verdicts.accept(number);
        if let About::Length(without) = word.about {
            let sound = self.take_trials(without);
            self.ready.extend(sound);
        }
        self.settle();
    }

    /// Requests without what the word was refused for are sent without something else.
    fn try_another_way(&mut self, without: Without, sent: Instant) {
        for mut batch in self.take_trials(without) {
            if let Some(trial) = batch.trial.take()
                && let Some((batch, first)) = self.next_trial(batch, trial)
            {
                self.take_over_again(batch, sent, first);
            }
        }
    }

    /// The word was refused as they were, and accepted in another form: so may they be.
    fn send_again(&mut self, number: Number) {
        for doubt in std::mem::take(&mut self.doubts) {
            let is_meant = doubt.batch.since.is_some_and(|since| since < number);
            if !is_meant || !matches!(doubt.trouble, Trouble::Rejected(_)) {
                self.doubts.push(doubt);
                continue;
            }
            for input in &doubt.batch.inputs {
                if let Some(document) = self.documents.get_mut(&input.document) {
                    document.is_in_doubt = false;
                }
            }
            self.ready.push_back(Batch {
                since: None,
                ..doubt.batch
            });
        }
    }

    /// What it means for those in doubt that the word was not accepted either.
    fn judge_by(&mut self, trouble: Trouble, number: Number, sent: Instant) {
        let error = match trouble {
            Trouble::Rejected(_) | Trouble::Refused { .. } | Trouble::TooLarge(_) => {
                self.verdicts.refuse_word(number);
                return self.settle();
            }
            // Nobody knows yet, or it is said what is wrong.
            Trouble::Failed(error) | Trouble::Lost(error) => error,
            Trouble::Panicked(panicked) => Error::Panicked(panicked),
            Trouble::Busy { refusal, retry_after } => {
                self.gate
                    .throttled(Instant::now(), sent, Some(retry_after), rand::random(), refusal.clone());
                Error::Server(refusal)
            }
            Trouble::Throttled { refusal, .. } => Error::Server(refusal),
        };
        let is_meant = |doubt: &Doubt| doubt.batch.since.is_some_and(|since| since < number);
        let (meant, others) = std::mem::take(&mut self.doubts).into_iter().partition(is_meant);
        self.doubts = others;
        let meant: Vec<Doubt> = meant;
        self.fail_all(meant.iter().flat_map(|doubt| &doubt.batch.inputs), &error);
        if error.class() == Class::Configuration {
            self.verdicts.refuse_word(number);
            self.fail_waiting(&error);
        }
    }

    fn take_trials(&mut self, without: Without) -> Vec<Batch> {
        let trials = std::mem::take(&mut self.trials);
        let (meant, others): (Vec<_>, Vec<_>) = trials.into_iter().partition(|(asked, _)| *asked == without);
        self.trials = others;
        meant.into_iter().map(|(_, batch)| batch).collect()
    }
}
