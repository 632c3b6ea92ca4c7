//! How large a request is, and how large it may be.

use std::time::Instant;

use super::tokens;

/// Bytes that JSON adds to each input.
const INPUT_BYTES: usize = 3;
/// No server is so slow that fewer tokens, about one chunk, make a difference. Keeps an outage that only
/// small requests met from making all requests after it tiny.
const LEAST_TOKENS: usize = 512;
/// A request may have so much more after each success, while it has less than it may for having been too
/// slow: twice as much after a dozen, so that a time-out, which costs all documents of its request a try,
/// stays a rare one.
const GROWTH: usize = 16;
/// After so many answers in a row, requests of twice the size that was accepted are tried. One that is
/// refused costs nothing but its way.
const TRIAL: usize = 256;

/// Of one input, of a request, or of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub inputs: usize,
    pub tokens: usize,
    pub bytes: usize,
}

impl Size {
    pub fn of(text: &str) -> Size {
        // Control characters become \u0000, quotes and backslashes two bytes. Counted in two goes over the
        // text, which compilers make wide instructions of.
        let control = text.bytes().filter(|byte| *byte < 0x20).count();
        let quoted = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        Size {
            inputs: 1,
            tokens: tokens::estimate(text),
            bytes: text.len() + 5 * control + quoted + INPUT_BYTES,
        }
    }

    pub fn add(&mut self, other: Size) {
        self.inputs += other.inputs;
        self.tokens += other.tokens;
        self.bytes += other.bytes;
    }

    pub fn remove(&mut self, other: Size) {
        self.inputs -= other.inputs;
        self.tokens -= other.tokens;
        self.bytes -= other.bytes;
    }

    pub fn reaches(&self, limit: Size) -> bool {
        self.inputs >= limit.inputs || self.tokens >= limit.tokens || self.bytes >= limit.bytes
    }

    pub fn fits(&self, more: Size, limit: Size) -> bool {
        self.inputs + more.inputs <= limit.inputs
            && self.tokens + more.tokens <= limit.tokens
            && self.bytes + more.bytes <= limit.bytes
    }

    fn min(self, other: Size) -> Size {
        Size {
            inputs: self.inputs.min(other.inputs),
            tokens: self.tokens.min(other.tokens),
            bytes: self.bytes.min(other.bytes),
        }
    }

    fn halved(self) -> Size {
        Size {
            inputs: self.inputs.div_ceil(2),
            tokens: self.tokens.div_ceil(2),
            bytes: self.bytes.div_ceil(2),
        }
    }

    fn doubled(self) -> Size {
        Size {
            inputs: self.inputs.saturating_mul(2),
            tokens: self.tokens.saturating_mul(2),
            bytes: self.bytes.saturating_mul(2),
        }
    }
}

/// The most of a request: a pure state machine over what became of others. What it learns it forgets again
/// bit by bit, as servers are replaced, and recover.
#[derive(Debug)]
pub(super) struct Most {
    /// What the API and the settings allow.
    allowed: Size,
    /// Tokens that fit the budget that the provider shows.
    budget: usize,
    /// Smaller than what was refused as too large.
    accepted: Size,
    /// The same as `accepted`, or half of it during a trial.
    proven: Size,
    /// In a row, since `accepted` changed.
    successes: usize,
    /// Tokens that the server can do in time.
    in_time: usize,
    /// When the last request that was too slow was taken into account: those sent before it say nothing new.
    reacted: Option<Instant>,
}

impl Most {
    pub fn new(allowed: Size) -> Most {
        // A text has more bytes than tokens. Not to grow to what no request ever has.
        let tokens = allowed.tokens.min(allowed.bytes);
        let allowed = Size { tokens, ..allowed };
        Most {
            allowed,
            budget: tokens,
            accepted: allowed,
            proven: allowed,
            successes: 0,
            in_time: tokens,
            reacted: None,
        }
    }

    pub fn get(&self) -> Size {
        let tokens = self.accepted.tokens.min(self.in_time).min(self.budget);
        Size {
            tokens,
            ..self.accepted
        }
    }

    /// A request was answered with vectors.
    pub fn succeeded(&mut self) {
        self.in_time = (self.in_time + (self.in_time / GROWTH).max(1)).min(self.allowed.tokens);
        self.successes += 1;
        if self.successes >= TRIAL {
            self.successes = 0;
            self.proven = self.accepted;
            self.accepted = self.accepted.doubled().min(self.allowed);
        }
    }

    /// A request was refused as too large, perhaps only for the number of its inputs. Later ones have half
    /// its size, or what was accepted before larger ones were tried.
    pub fn refused(&mut self, size: Size, only_inputs: bool) {
        self.successes = 0;
        if size.min(self.proven) == size {
            let half = size.halved().min(self.proven);
            self.proven = if only_inputs {
                Size {
                    inputs: half.inputs,
                    ..self.proven
                }
            } else {
                half
            };
        }
        self.accepted = self.proven;
    }

    /// A request that was sent at `sent` was not answered in time, or refused for a minute whenever it was
    /// sent: later ones have half the tokens that it had, or the largest that was in flight with it.
    pub fn too_slow(&mut self, now: Instant, sent: Instant, tokens: usize) {
        if self.reacted.is_none_or(|reacted| sent >= reacted) {
            self.reacted = Some(now);
            self.in_time = self.in_time.min(tokens.div_ceil(2).max(LEAST_TOKENS));
        }
    }

    /// The provider shows a budget of so many tokens.
    pub fn show_budget(&mut self, tokens: f64) {
        // A request of more than the whole budget would never be let in, and one of all of it only when
        // nothing else is.
        self.budget = ((tokens / 2.0) as usize).max(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALLOWED: Size = Size {
        inputs: 2048,
        tokens: 300_000,
        bytes: 4_000_000,
    };

    fn of_inputs(inputs: usize) -> Size {
        Size {
            inputs,
            tokens: inputs * 100,
            bytes: inputs * 400,
        }
    }

    #[test]
    fn a_limit_is_found_by_halving_and_a_burst_halves_once() {
        let mut most = Most::new(ALLOWED);
        for inputs in [2000, 2000, 1000, 500, 500] {
            most.refused(of_inputs(inputs), false);
        }
        assert_eq!(most.get(), of_inputs(250));
        most.refused(of_inputs(200), true);
        assert_eq!((most.get().inputs, most.get().tokens), (100, 25_000));
    }

    #[test]
    fn more_is_tried_after_many_answers_and_given_up_at_once() {
        let mut most = Most::new(ALLOWED);
        most.refused(of_inputs(64), false);
        (1..TRIAL).for_each(|_| most.succeeded());
        assert_eq!(most.get().inputs, 32);
        most.succeeded();
        assert_eq!(most.get().inputs, 64);
        most.refused(of_inputs(40), false);
        assert_eq!(most.get().inputs, 32);
        (0..20 * TRIAL).for_each(|_| most.succeeded());
        assert_eq!(most.get(), ALLOWED);
    }

    #[test]
    fn what_was_refused_is_never_asked_for_again_at_once() {
        let mut most = Most::new(ALLOWED);
        for _ in 0..30 {
            let refused = most.get();
            most.refused(refused, false);
            assert!(most.get() != refused || refused.inputs == 1, "{refused:?}");
            (0..TRIAL / 2).for_each(|_| most.succeeded());
        }
        assert_eq!(most.get().inputs, 1);
    }

    #[test]
    fn time_outs_halve_once_per_burst_and_are_forgotten_by_and_by() {
        let now = Instant::now();
        let mut most = Most::new(ALLOWED);
        for tokens in [100_000, 50, 20_000] {
            most.too_slow(now, now - Duration::from_secs(1), tokens);
        }
        assert_eq!(most.get().tokens, 50_000);
        most.too_slow(now, now, 10);
        assert_eq!(most.get().tokens, LEAST_TOKENS);
        (0..11).for_each(|_| most.succeeded());
        assert!((900..1024).contains(&most.get().tokens), "{most:?}");
        (0..120).for_each(|_| most.succeeded());
        assert_eq!(most.get(), ALLOWED);
    }

    #[test]
    fn an_api_without_a_limit_of_tokens_recovers_as_well() {
        let now = Instant::now();
        let mut most = Most::new(Size {
            tokens: usize::MAX,
            ..ALLOWED
        });
        let whole = most.get();
        most.too_slow(now, now, 2000);
        (0..200).for_each(|_| most.succeeded());
        assert_eq!(most.get(), whole);
    }

    #[test]
    fn the_last_budget_counts() {
        let mut most = Most::new(ALLOWED);
        most.show_budget(1000.0);
        assert_eq!(most.get().tokens, 500);
        most.show_budget(1e12);
        assert_eq!(most.get(), ALLOWED);
    }
}
