//! What disturbs a storm: faults of provider and S3, switches, locks, signals and restarts.

use std::time::{Duration, Instant};

use provider::Behaviour;
use rustix::process::{Pid, Signal, kill_process};

use super::{LEASE, PARAGRAPHS, Storm, TABLES, WORKER, Weather};
use crate::support::{Answer, Stop};

/// How long a worker is stopped.
pub(super) const STOP: Duration = Duration::from_millis(LEASE.as_millis() as u64 + 500);

/// What disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    Provider,
    S3,
    Switch,
    Lock,
    /// SIGTERM for the worker.
    Terminate,
    /// SIGKILL for the worker.
    Kill,
    /// SIGSTOP for the worker, until its leases have run out.
    Stop,
    /// A restart of the server, as after a power cut.
    Immediate,
    /// A restart of the server, in order.
    Fast,
}

impl Disturbance {
    pub(super) const ALL: [Disturbance; 9] = [
        Disturbance::Provider,
        Disturbance::S3,
        Disturbance::Switch,
        Disturbance::Lock,
        Disturbance::Terminate,
        Disturbance::Kill,
        Disturbance::Stop,
        Disturbance::Immediate,
        Disturbance::Fast,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Disturbance::Provider => "faults of the provider",
            Disturbance::S3 => "faults of S3",
            Disturbance::Switch => "switches",
            Disturbance::Lock => "locks",
            Disturbance::Terminate => "SIGTERM",
            Disturbance::Kill => "SIGKILL",
            Disturbance::Stop => "SIGSTOP past the lease",
            Disturbance::Immediate => "immediate restarts",
            Disturbance::Fast => "fast restarts",
        }
    }

    /// Ends or stops the worker, for which there has to be one.
    pub(super) fn is_for_a_process(self) -> bool {
        match self {
            Disturbance::Provider | Disturbance::S3 | Disturbance::Switch | Disturbance::Lock => false,
            Disturbance::Terminate
            | Disturbance::Kill
            | Disturbance::Stop
            | Disturbance::Immediate
            | Disturbance::Fast => true,
        }
    }
}

impl Storm {
    /// An event of the other kind. A worker that is stopped stays so until its leases have run out.
    pub(super) fn disturb(&mut self) {
        let stopped = self.stopped.is_some();
        let card = self.deck.iter().rposition(|card| !(stopped && card.is_for_a_process()));
        let card = card.map(|at| self.deck.remove(at));
        let disturbance = card.unwrap_or_else(|| self.any_disturbance());
        if !self.happens(disturbance) {
            // Later, then.
            card.into_iter().for_each(|card| self.deck.insert(0, card));
        }
    }

    fn any_disturbance(&mut self) -> Disturbance {
        let drawn = match self.dice.roll(24) {
            0..=9 => Disturbance::Provider,
            10..=13 => Disturbance::S3,
            14..=16 => Disturbance::Switch,
            17..=18 => Disturbance::Terminate,
            19 if self.dice.roll(3) == 0 => Disturbance::Kill,
            20 if self.dice.roll(6) == 0 => Disturbance::Immediate,
            20 if self.dice.roll(5) == 0 => Disturbance::Fast,
            21..=22 => Disturbance::Stop,
            _ => Disturbance::Lock,
        };
        if !self.weather.may_come_again(drawn) || self.stopped.is_some() && drawn.is_for_a_process() {
            return Disturbance::Lock;
        }
        drawn
    }

    /// Whether it could be done.
    fn happens(&mut self, disturbance: Disturbance) -> bool {
        if disturbance.is_for_a_process() {
            // So that there is a worker, and something in its hands.
            self.insert("note");
        }
        let done = match disturbance {
            Disturbance::Provider => self.disturb_provider(),
            Disturbance::S3 => self.disturb_s3(),
            Disturbance::Switch => self.disturb_switch(),
            Disturbance::Lock => self.hold_a_lock(),
            Disturbance::Terminate => self.signal(Signal::TERM),
            Disturbance::Kill => self.signal(Signal::KILL),
            Disturbance::Stop => self.signal(Signal::STOP),
            Disturbance::Immediate => self.restart(Stop::Immediate),
            Disturbance::Fast => self.restart(Stop::Fast),
        };
        // Whether a stop lasts long enough is seen later.
        if done.is_some() && disturbance != Disturbance::Stop {
            self.count(disturbance);
        }
        self.lost += done.unwrap_or(0);
        done.is_some()
    }

    pub(super) fn count(&mut self, disturbance: Disturbance) {
        *self.events.entry(disturbance.name()).or_default() += 1;
    }

    /// The kinds in random order: each comes at least once.
    pub(super) fn shuffle(&mut self, mut kinds: Vec<Disturbance>) {
        while let Some(card) = self.dice.pick(&kinds) {
            kinds.retain(|kind| *kind != card);
            self.deck.push(card);
        }
    }

    fn disturb_provider(&mut self) -> Option<u64> {
        let mut faults = vec![
            Behaviour::ServerError,
            Behaviour::Hang,
            Behaviour::Close,
            Behaviour::Cut,
            Behaviour::FloatsOnly,
            Behaviour::AtMost(1),
            Behaviour::Slow(Duration::from_millis(300)),
            Behaviour::Slow(Duration::from_millis(1500)),
            Behaviour::TooManyRequests { retry_after: None },
            Behaviour::TooManyRequests {
                retry_after: Some(Duration::from_millis(700)),
            },
        ];
        if self.weather != Weather::Passing {
            faults.extend([
                Behaviour::TooFew,
                Behaviour::WrongSize,
                Behaviour::NotFinite,
                Behaviour::Rubbish,
                Behaviour::HalfJson,
                Behaviour::Unauthorized,
                Behaviour::NotFound,
            ]);
        }
        let fault = self.dice.pick(&faults).expect("there are faults");
        let times = 1 + usize::try_from(self.dice.roll(3)).unwrap_or(0);
        // The provider itself counts what was paid for and of no use.
        self.scene.provider.behave_times(times, fault);
        Some(0)
    }

    fn disturb_s3(&mut self) -> Option<u64> {
        if self.dice.roll(3) == 0 {
            self.scene.s3.heal();
        }
        if self.objects.is_empty() {
            self.insert("object");
        }
        let key = self.some_object()?;
        // What is forbidden or gone is given up.
        let kinds = if self.weather == Weather::Passing { 2 } else { 4 };
        match self.dice.roll(kinds) {
            0 => self.scene.s3.answer(&key, Answer::Hang),
            1 => self.scene.s3.answer(&key, Answer::Say("503 Slow Down", String::new())),
            2 => self.scene.s3.answer(&key, Answer::Say("403 Forbidden", String::new())),
            _ => self.scene.s3.delete(&key),
        }
        let uri = self.scene.s3.uri(&key);
        self.sql(&format!("UPDATE object SET touched = touched + 1 WHERE uri = '{uri}'"));
        Some(0)
    }

    /// Whoever disables a vectorizer gives up what is in flight.
    fn disturb_switch(&mut self) -> Option<u64> {
        let table = self.dice.pick(&TABLES).unwrap_or("note");
        let to = self.dice.pick(&["disable", "enable"]).unwrap_or("enable");
        let before = self.in_flight();
        self.sql(&format!("SELECT ai.{to}_vectorizer_schedule('{table}')"));
        // What was taken before the worker heard of it is lost, too.
        Some(if to == "disable" { before + self.in_flight() } else { 0 })
    }

    fn signal(&mut self, signal: Signal) -> Option<u64> {
        let lost = self.at_stake(signal == Signal::KILL);
        let pid = self.column(WORKER).first()?.parse().ok()?;
        // A process that has just left feels nothing.
        let process = Pid::from_raw(pid).filter(|process| kill_process(*process, signal).is_ok())?;
        if signal == Signal::STOP {
            self.stopped = Some((process, Instant::now()));
            // By somebody else: it may have stopped with locks in its hands, for which the next statement waits.
            std::thread::spawn(move || {
                std::thread::sleep(STOP);
                let _ = kill_process(process, Signal::CONT);
            });
            // Its requests are answered all the same.
            return Some(self.in_flight());
        }
        let _ = kill_process(process, Signal::CONT);
        self.stopped = None;
        if self.weather == Weather::Wild {
            // Ends the back-off after an early end.
            self.sql("SELECT pg_reload_conf()");
        }
        Some(lost)
    }

    /// Inputs that the documents in flight are worth, at most.
    fn in_flight(&self) -> u64 {
        let seen = self.column(&format!(
            "SELECT (SELECT {PARAGRAPHS} * count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL)
                  + (SELECT coalesce(sum(CASE WHEN body LIKE 'Row %' THEN 1 ELSE {PARAGRAPHS} END), 0)
                     FROM ai._vectorizer_q_2 JOIN note USING (id) WHERE lease IS NOT NULL)
                  + (SELECT count(*) FROM ai._vectorizer_q_3 WHERE lease IS NOT NULL)"
        ));
        seen[0].parse().expect("it is a number")
    }

    /// Inputs that are paid for again, at most, when the worker ends now. A crash of the server also takes
    /// what is not on the disk yet: of the last moment, as the WAL writer sees to it.
    fn at_stake(&self, crash: bool) -> u64 {
        let recent = self.paid.front().map_or(0, |(_, inputs)| self.inputs() - inputs);
        self.in_flight() + if crash { recent } else { 0 }
    }

    /// Lets a stopped worker go on before its time.
    pub(super) fn go_on(&mut self) {
        if let Some((process, _)) = self.stopped.take() {
            let _ = kill_process(process, Signal::CONT);
        }
    }

    fn restart(&mut self, how: Stop) -> Option<u64> {
        self.go_on();
        let lost = self.at_stake(matches!(how, Stop::Immediate));
        self.scene.cluster.stop(how);
        self.scene.cluster.start_again();
        Some(lost)
    }

    /// A user's transaction that takes its time.
    fn hold_a_lock(&mut self) -> Option<u64> {
        let table = self.dice.pick(&TABLES).unwrap_or("note");
        let lock = match self.dice.roll(3) {
            0 => format!("LOCK TABLE {table}"),
            1 => format!("SELECT FROM {table} FOR UPDATE"),
            _ => "LOCK TABLE ai._vectorizer_q_2".to_owned(),
        };
        let milliseconds = self.dice.roll(400);
        self.sql(&format!(
            "BEGIN; {lock}; SELECT pg_sleep({milliseconds} / 1000.0); COMMIT"
        ));
        Some(0)
    }
}
