//! Whose fault a refusal is: that of one text, or of nothing that a document could help.
//!
//! A 400 is the answer to an input, but also to a parameter or a model; a 403 is the answer to a key, but
//! also that of a filter in front of a provider. Nothing in it tells the two apart. So a text is given up
//! only where the server is known to accept another, asked after it: a part of the same search, a text of
//! another document, or else a word of ours, which no filter can object to, for the price of one token.
//!
//! | the server, since the text was asked about | the text |
//! |---|---|
//! | has accepted another one, and has not refused [`GREATEST_TRUST`] requests in a row since then | is at fault: permanent |
//! | has refused the word | is not at fault: all documents wait for a change of the configuration |
//! | has done neither | is in doubt: what is with the server is waited for, then the word is asked, once for all in doubt |
//!
//! What the server did earlier is no proof, as a model can be removed and a gateway be changed. Words are
//! rare: [`BURST`] at once, and one in each [`INTERVAL`] from then on; what is in doubt waits for the next.

use std::time::{Duration, Instant};

/// What no filter can object to.
pub(super) const WORD: &str = "text";
/// Refusals in a row after which what was accepted before proves nothing: more than it takes to find one of
/// 2,048 inputs.
const GREATEST_TRUST: u32 = 12;
/// Words that may be asked at once.
const BURST: u32 = 8;
/// In which one more may be asked.
const INTERVAL: Duration = Duration::from_secs(2);

/// The number of a request, in the order in which they are sent.
pub(super) type Number = u64;

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The text: others are accepted.
    Text,
    /// No text: none is accepted.
    All,
}

/// What a server has made of texts.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    last: Number,
    /// The latest request that was accepted.
    accepted: Option<Number>,
    /// Requests refused since.
    in_a_row: u32,
    /// The latest word that was refused.
    refused: Option<Number>,
    /// Words that may be asked, and since when there are so many.
    words: Option<(u32, Instant)>,
}

impl Verdicts {
    /// The number of the next request.
    pub fn number(&mut self) -> Number {
        self.last += 1;
        self.last
    }

    /// The latest number.
    pub fn last(&self) -> Number {
        self.last
    }

    /// A request was answered with vectors.
    pub fn accept(&mut self, number: Number) {
        if self.accepted.is_none_or(|accepted| accepted < number) {
            self.accepted = Some(number);
            self.in_a_row = 0;
        }
    }

    /// Texts were refused.
    pub fn refuse(&mut self) {
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// The word was refused.
    pub fn refuse_word(&mut self, number: Number) {
        self.refused = self.refused.max(Some(number));
    }

    /// Who is at fault for the refusal of what was first asked about with this number; `None` where that is not known.
    pub fn of(&self, since: Number) -> Option<Verdict> {
        let later = |known: Option<Number>| known.filter(|known| *known > since);
        let trusted = |_: &Number| self.in_a_row <= GREATEST_TRUST;
        match (later(self.accepted), later(self.refused)) {
            (accepted, Some(refused)) if accepted.is_none_or(|accepted| accepted < refused) => Some(Verdict::All),
            (accepted, _) => accepted.filter(trusted).map(|_| Verdict::Text),
        }
    }

    /// When a word may be asked; `None` means now.
    pub fn word_due(&self, now: Instant) -> Option<Instant> {
        let (left, since) = self.words_at(now);
        (left == 0).then(|| since + INTERVAL)
    }

    /// A word is asked.
    pub fn ask(&mut self, now: Instant) {
        let (left, since) = self.words_at(now);
        self.words = Some((left.saturating_sub(1), since));
    }

    fn words_at(&self, now: Instant) -> (u32, Instant) {
        let Some((left, since)) = self.words else {
            return (BURST, now);
        };
        let passed = now.saturating_duration_since(since).as_nanos() / INTERVAL.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        match left.saturating_add(passed) {
            most if most >= BURST => (BURST, now),
            left => (left, since + INTERVAL * passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to the requests after that of the text, which is the first.
    #[derive(Clone, Copy)]
    enum TestEvent {
        Accepted,
        Refused,
        WordAccepted,
        WordRefused,
    }
    use TestEvent::{Accepted, Refused, WordAccepted, WordRefused};

    fn verdict(before: &[TestEvent], since: &[TestEvent]) -> Option<Verdict> {
        let mut verdicts = Verdicts::default();
        let mut happen = |events: &[TestEvent]| {
            for event in events {
                let number = verdicts.number();
                match event {
                    Accepted | WordAccepted => verdicts.accept(number),
                    Refused => verdicts.refuse(),
                    WordRefused => verdicts.refuse_word(number),
                }
            }
            verdicts.last()
        };
        happen(before);
        let text = happen(&[Refused]);
        happen(since);
        verdicts.of(text)
    }

    #[test]
    fn a_text_is_given_up_only_where_another_is_accepted_after_it() {
        let many = vec![Refused; GREATEST_TRUST as usize];
        let after_many = |events: &[TestEvent]| [&[Accepted][..], &many, events].concat();
        for (before, since, expected) in [
            // A server that has never accepted anything.
            (vec![], vec![], None),
            (vec![], vec![Refused, Refused], None),
            (vec![], vec![WordRefused], Some(Verdict::All)),
            (vec![], vec![WordAccepted], Some(Verdict::Text)),
            // One that accepts others, before and still.
            (vec![Accepted], vec![Accepted], Some(Verdict::Text)),
            (vec![Accepted], vec![Refused, Accepted, Refused], Some(Verdict::Text)),
            (vec![WordRefused], vec![Accepted], Some(Verdict::Text)),
            // One that did, and does no more.
            (vec![Accepted], vec![], None),
            (vec![WordAccepted], vec![Refused], None),
            (vec![Accepted, WordRefused], vec![], None),
            (vec![Accepted], vec![WordRefused], Some(Verdict::All)),
            (vec![Accepted], vec![Accepted, WordRefused], Some(Verdict::All)),
            (vec![Accepted], vec![WordRefused, Accepted], Some(Verdict::Text)),
            (vec![], after_many(&[]), Some(Verdict::Text)),
            (vec![], after_many(&[Refused]), None),
            (vec![], after_many(&[Refused, WordAccepted]), Some(Verdict::Text)),
            (vec![], after_many(&[Refused, WordRefused]), Some(Verdict::All)),
        ] {
            let shown = |events: &[TestEvent]| {
                let name = |event: &TestEvent| match event {
                    Accepted => 'a',
                    Refused => 'r',
                    WordAccepted => 'A',
                    WordRefused => 'R',
                };
                events.iter().map(name).collect::<String>()
            };
            let case = format!("{} | {}", shown(&before), shown(&since));
            assert_eq!(verdict(&before, &since), expected, "{case}");
        }
    }

    #[test]
    fn an_answer_that_comes_late_proves_nothing_of_what_was_asked_after_it() {
        let mut verdicts = Verdicts::default();
        let (slow, text) = (verdicts.number(), verdicts.number());
        verdicts.refuse();
        verdicts.accept(slow);
        assert_eq!(verdicts.of(text), None);
    }

    #[test]
    fn words_are_rare() {
        let start = Instant::now();
        let asked = |seconds: u64, every: Duration| {
            let (mut verdicts, mut now, mut words) = (Verdicts::default(), start, 0);
            while now < start + Duration::from_secs(seconds) {
                match verdicts.word_due(now) {
                    None => {
                        verdicts.ask(now);
                        words += 1;
                        now += every;
                    }
                    Some(due) => {
                        assert!(due > now && due <= now + INTERVAL);
                        now = due;
                    }
                }
            }
            words
        };
        assert_eq!(asked(1, Duration::from_millis(1)), BURST);
        assert_eq!(asked(60, Duration::from_millis(1)), BURST + 29);
        assert_eq!(
            asked(60, Duration::from_secs(10)),
            6,
            "and all of them where few are asked"
        );
    }
}
