//! Whatever happens meanwhile, in the end the destination is what the source says, and little was paid for twice.
//!
//! A storm is a random sequence of what users, objects in S3, providers, locks and the operating system do. Then all is
//! mended, the worker gets the time that it needs, and `ai.verify_vectorizer` must find nothing. The seed of a storm is in
//! its output; `CONVERGENCE_SEED=7 cargo test --test convergence` runs that one alone. `make soak MINUTES=60` goes on with
//! storms on the same server at full load.

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Display, Formatter};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use postgres::fallible_iterator::FallibleIterator;
use provider::vectors::Vocabulary;
use provider::{Behaviour, Provider};
use rustix::process::{Pid, Signal, kill_process};
use support::scene::API_KEY;
use support::{Answer, Cluster, DEADLINE, Options, S3, Scene, Stop, database, wait_until};

/// Documents of the worker in flight in a storm.
const IN_FLIGHT: u64 = 4;
/// The same in a soak, whose worker should have all hands full.
const IN_FLIGHT_OF_SOAK: u64 = 512;
/// Enough for each text to have a vector of its own.
const DIMENSIONS: usize = 32;
/// Chunks of a document, at most.
const PARAGRAPHS: u64 = 3;
const LEASE: Duration = Duration::from_secs(2);
/// How long a worker is stopped.
const STOP: Duration = Duration::from_millis(LEASE.as_millis() as u64 + 500);
/// After that the WAL writer has everything on the disk: three times its delay, and time to write.
const ON_DISK: Duration = Duration::from_secs(1);
/// The tables: objects in S3, texts in a column, and vectors in the source.
const TABLES: [&str; 3] = ["object", "note", "tag"];
/// Of the provider: long enough for a row to change while it is there.
const LATENCY: Duration = Duration::from_millis(30);
/// Longest wait between two events. There is nothing to wait for: it gives the worker a chance to be at something.
const BREATH_MS: u64 = 80;

/// Sebastiano Vigna's SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        let sides = u64::try_from(things.len()).ok().filter(|sides| *sides > 0)?;
        things.get(usize::try_from(self.roll(sides)).ok()?).cloned()
    }
}

/// What disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
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
    const ALL: [Disturbance; 9] = [
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

    fn name(self) -> &'static str {
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
    fn is_for_a_process(self) -> bool {
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

/// What kind of storm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Everything.
    Wild,
    /// Only what passes by itself: nobody mends anything, says so, or has the worker look.
    Passing,
    /// Nothing that ends or stops the worker, which stays.
    Steady,
}

impl Weather {
    /// Disturbances that come at least once.
    fn kinds(self) -> Vec<Disturbance> {
        let kinds = Disturbance::ALL.into_iter();
        match self {
            Weather::Wild => kinds.collect(),
            Weather::Passing => kinds.filter(|kind| *kind != Disturbance::Switch).collect(),
            Weather::Steady => kinds.filter(|kind| !kind.is_for_a_process()).collect(),
        }
    }

    /// Which of them may come again. A new process looks at everything, and would hide that nobody woke the one before.
    fn may_come_again(self, kind: Disturbance) -> bool {
        self.kinds().contains(&kind) && (self == Weather::Wild || !kind.is_for_a_process())
    }

    /// How often a database is looked at although nothing woke the worker, and how long a worker with nothing to do stays.
    fn patience(self) -> (&'static str, &'static str) {
        match self {
            Weather::Wild => ("1s", "500ms"),
            Weather::Passing => ("1h", "100ms"),
            Weather::Steady => ("1h", "1h"),
        }
    }
}

const WORKER: &str =
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ai worker' AND datname = current_database()";

struct Storm {
    scene: Scene,
    weather: Weather,
    seed: u64,
    dice: Dice,
    /// Makes every paragraph, row and object new.
    counter: u64,
    /// Rows that one event concerns, at most.
    rows: u64,
    /// Objects as they should be in the end, also those that are missing at present.
    objects: BTreeMap<String, Vec<String>>,
    /// Inputs that the changes so far were worth.
    due: u64,
    /// Inputs that were in flight when something put an end to it, and are paid for again.
    lost: u64,
    /// Inputs paid for, as of late.
    paid: VecDeque<(Instant, u64)>,
    /// The provider's inputs, and what changes were worth and losses cost, at the last look.
    priced: Price,
    stopped: Option<(Pid, Instant)>,
    /// Disturbances that have to come before chance decides.
    deck: Vec<Disturbance>,
    events: BTreeMap<&'static str, u64>,
    /// Private memory of the worker since the last look, at most.
    worker_peak: u64,
}

impl Storm {
    fn new(weather: Weather, seed: u64, rows: u64, in_flight: u64) -> Storm {
        println!("CONVERGENCE_SEED={seed}");
        let (naptime, idle_timeout) = weather.patience();
        let provider = Provider::start_with(provider::Options {
            forget_requests: true,
            latency: LATENCY,
            ..provider::Options::default()
        });
        let (s3, provider) = (S3::start(), provider.expect("127.0.0.1 has a free port"));
        let options = s3
            .environment(Options::default())
            .env("OPENAI_API_KEY", API_KEY)
            .env("OPENAI_BASE_URL", provider.base_url())
            .setting("ai.lease_duration", format!("{}s", LEASE.as_secs()))
            .setting("ai.naptime", naptime)
            .setting("ai.idle_timeout", idle_timeout)
            .setting("ai.request_timeout", "1s")
            .setting("ai.loading_timeout", "1s")
            .setting("ai.max_documents_in_flight", in_flight.to_string());
        let cluster = Cluster::start(options);
        cluster.execute("CREATE EXTENSION ai CASCADE");
        let chunks = "chunking => ai.chunking_character_text_splitter(60, 0, E'\\n\\n', false), formatting => ai.formatting_python_template('$chunk')";
        let embedding = format!("embedding => ai.embedding_openai('text-embedding-3-small', {DIMENSIONS})");
        cluster.execute(&format!(
            "CREATE TABLE object (id int PRIMARY KEY, uri text NOT NULL, touched int NOT NULL DEFAULT 0);
             CREATE TABLE note (id int PRIMARY KEY, body text, touched int NOT NULL DEFAULT 0);
             CREATE TABLE tag (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('object', name => 'object', loading => ai.loading_uri('uri'), {chunks}, {embedding});
             SELECT ai.create_vectorizer('note', name => 'note', loading => ai.loading_column('body'), {chunks}, {embedding});
             SELECT ai.create_vectorizer('tag', name => 'tag', loading => ai.loading_column('body'),
                 destination => ai.destination_column('vector'), chunking => ai.chunking_none(), {embedding})"
        ));
        Storm {
            scene: Scene { cluster, s3, provider },
            weather,
            seed,
            dice: Dice(seed),
            counter: 0,
            rows,
            objects: BTreeMap::new(),
            due: 0,
            lost: 0,
            paid: VecDeque::new(),
            priced: Price::default(),
            stopped: None,
            deck: Vec::new(),
            events: BTreeMap::new(),
            worker_peak: 0,
        }
    }

    /// Runs a statement, also one that a restart of the server comes across.
    fn sql(&self, statement: &str) {
        for _ in 0..3 {
            let Err(error) = self.scene.cluster.try_rows(statement) else {
                return;
            };
            match error.as_db_error().map(|said| said.code().code().to_owned()) {
                // The server went away in the middle: it may or may not have been done.
                None => self.wait_for_server(),
                Some(code) if code.starts_with("57") => self.wait_for_server(),
                // Done before the server went away.
                Some(code) if code == "23505" => return,
                Some(_) => panic!("seed {}: {statement}\n{}", self.seed, database::describe(&error)),
            }
        }
        panic!("seed {}: the server does not come back for {statement}", self.seed);
    }

    fn wait_for_server(&self) {
        self.scene.cluster.disconnect();
        let answers = || self.scene.cluster.try_rows("SELECT 1").is_ok();
        wait_until("the server takes connections", DEADLINE, answers, |answers| *answers);
    }

    /// As `Database::column`, whatever happens to the server meanwhile.
    fn column(&self, statement: &str) -> Vec<String> {
        loop {
            match self.scene.cluster.try_rows(statement) {
                Ok(rows) => return rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect(),
                Err(_) => self.wait_for_server(),
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A paragraph that nobody has seen; two of them are too long for one chunk.
    fn paragraph(&mut self) -> String {
        format!("Paragraph number {:09} of storm {:<10}.", self.next(), self.seed)
    }

    fn paragraphs(&mut self) -> Vec<String> {
        let number = 1 + self.dice.roll(PARAGRAPHS);
        (0..number).map(|_| self.paragraph()).collect()
    }

    /// Inputs that a document is worth: the text of a tag is not cut.
    fn worth(table: &str, paragraphs: &[String]) -> u64 {
        if table == "tag" { 1 } else { paragraphs.len() as u64 }
    }

    /// Paragraphs of a row that is embedded anew.
    fn worth_of_row(&self, table: &str, id: &str) -> u64 {
        let text = if table == "object" { "uri" } else { "body" };
        let texts = self.column(&format!("SELECT {text} FROM {table} WHERE id = {id} AND {text} <> ''"));
        let Some(text) = texts.first() else { return 0 };
        match table {
            "object" => {
                let key = text.rsplit('/').next().and_then(|key| self.objects.get(key));
                key.map_or(PARAGRAPHS, |paragraphs| paragraphs.len() as u64)
            }
            "note" => text.split("\n\n").count() as u64,
            _ => 1,
        }
    }

    fn some_id(&mut self, table: &str) -> Option<String> {
        let ids = self.column(&format!("SELECT id FROM {table} ORDER BY id"));
        // Often one that may be in flight at the moment.
        let recent = if self.dice.roll(2) == 0 {
            0
        } else {
            ids.len().saturating_sub(3)
        };
        self.dice.pick(&ids[recent..])
    }

    fn some_object(&mut self) -> Option<String> {
        let keys: Vec<String> = self.objects.keys().cloned().collect();
        self.dice.pick(&keys)
    }

    fn put(&self, key: &str) -> String {
        self.scene.s3.put(key, self.objects[key].join("\n\n"))
    }

    fn insert(&mut self, table: &str) {
        for _ in 0..=self.dice.roll(self.rows) {
            let id = self.next();
            let paragraphs = self.paragraphs();
            self.due += Storm::worth(table, &paragraphs);
            let value = match table {
                "object" => {
                    let key = format!("{id}.txt");
                    self.objects.insert(key.clone(), paragraphs);
                    self.put(&key)
                }
                _ => paragraphs.join("\n\n"),
            };
            let column = if table == "object" { "uri" } else { "body" };
            self.sql(&format!("INSERT INTO {table} (id, {column}) VALUES ({id}, '{value}')"));
        }
    }

    fn update(&mut self, table: &str) {
        let Some(id) = self.some_id(table) else { return };
        match (table, self.dice.roll(3)) {
            ("object", 0) => {
                // The address of another object, or the same.
                let Some(key) = self.some_object() else { return };
                self.due += self.objects[&key].len() as u64;
                let uri = self.scene.s3.uri(&key);
                self.sql(&format!("UPDATE object SET uri = '{uri}' WHERE id = {id}"));
            }
            ("object" | "note", 1) => self.sql(&format!("UPDATE {table} SET touched = touched + 1 WHERE id = {id}")),
            ("object", _) => self.change_object(),
            ("note", 0) => {
                // One paragraph more, at the beginning.
                self.due += 1;
                let paragraph = self.paragraph();
                let first = "nullif(split_part(body, E'\\n\\n', 1), '')";
                self.sql(&format!(
                    "UPDATE note SET body = concat_ws(E'\\n\\n', '{paragraph}', {first}) WHERE id = {id}"
                ));
            }
            _ => {
                let body = match self.dice.roll(6) {
                    0 => "NULL".to_owned(),
                    1 => "''".to_owned(),
                    _ => {
                        let paragraphs = self.paragraphs();
                        self.due += Storm::worth(table, &paragraphs);
                        format!("'{}'", paragraphs.join("\n\n"))
                    }
                };
                self.sql(&format!("UPDATE {table} SET body = {body} WHERE id = {id}"));
            }
        }
    }

    /// Another object under the same address; its rows are touched, which is how a user says so.
    fn change_object(&mut self) {
        let Some(key) = self.some_object() else { return };
        let uri = self.scene.s3.uri(&key);
        let rows = self.column(&format!("SELECT count(*) FROM object WHERE uri = '{uri}'"));
        let rows: u64 = rows[0].parse().expect("a count is a number");
        if self.dice.roll(2) == 0 {
            let paragraph = self.paragraph();
            let paragraphs = self.objects.get_mut(&key).expect("it was picked from them");
            paragraphs[0] = paragraph;
            self.due += rows;
        } else {
            let paragraphs = self.paragraphs();
            self.due += rows * paragraphs.len() as u64;
            self.objects.insert(key.clone(), paragraphs);
        }
        self.put(&key);
        self.sql(&format!("UPDATE object SET touched = touched + 1 WHERE uri = '{uri}'"));
    }

    /// An event of the quiet kind: what users do.
    fn change(&mut self) {
        let table = self.dice.pick(&TABLES).unwrap_or("note");
        match self.dice.roll(20) {
            0..=4 => self.insert(table),
            5..=8 => self.insert_and_change(),
            9..=13 => self.update(table),
            14..=15 => {
                let Some(id) = self.some_id(table) else { return };
                let new = self.next();
                self.due += self.worth_of_row(table, &id);
                self.sql(&format!("UPDATE {table} SET id = {new} WHERE id = {id}"));
            }
            16..=17 => {
                let Some(id) = self.some_id(table) else { return };
                self.sql(&format!("DELETE FROM {table} WHERE id = {id}"));
            }
            18 if self.dice.roll(2) == 0 => {
                // What never happened, and what happened all at once.
                let (id, other, paragraph) = (self.next(), self.next(), self.paragraph());
                self.sql(&format!(
                    "BEGIN; UPDATE note SET body = 'no' WHERE id % 2 = 0; INSERT INTO note VALUES ({id}, 'no'); ROLLBACK"
                ));
                self.due += 1;
                self.sql(&format!(
                    "BEGIN; INSERT INTO note VALUES ({other}, 'no'); UPDATE note SET body = '{paragraph}' WHERE id = {other}; COMMIT"
                ));
            }
            19 if self.dice.roll(4) == 0 => self.truncate(table),
            _ => self.insert_and_change(),
        }
    }

    /// Rows that nobody has looked at yet cost nothing when they go.
    fn truncate(&mut self, table: &str) {
        let (vectorizer, unseen) = match table {
            "note" => (2, "id NOT IN (SELECT id FROM note_embedding_store)"),
            "tag" => (3, "vector IS NULL"),
            _ => return self.sql(&format!("TRUNCATE {table}")),
        };
        let waits = format!(
            "(SELECT id FROM ai._vectorizer_intake_{vectorizer}
              UNION ALL SELECT id FROM ai._vectorizer_q_{vectorizer} WHERE lease IS NULL)"
        );
        // Nothing is taken that the lock keeps from being read.
        let rows = self.column(&format!(
            "BEGIN; LOCK TABLE {table};
             SELECT body FROM {table} WHERE body <> '' AND {unseen} AND id IN {waits} AND id NOT IN
                 (SELECT id FROM ai._vectorizer_q_{vectorizer} WHERE lease IS NOT NULL);
             TRUNCATE {table}; COMMIT"
        ));
        for body in rows {
            let paragraphs: Vec<String> = body.split("\n\n").map(str::to_owned).collect();
            self.due -= Storm::worth(table, &paragraphs);
        }
    }

    /// Changes of a row that come while the worker is at the one before.
    fn insert_and_change(&mut self) {
        let (id, table) = (self.next(), self.dice.pick(&["note", "tag"]).unwrap_or("note"));
        let first = self.paragraph();
        self.sql(&format!("INSERT INTO {table} (id, body) VALUES ({id}, '{first}')"));
        self.due += 1;
        for _ in 0..=self.dice.roll(2) {
            std::thread::sleep(Duration::from_millis(self.dice.roll(2 * BREATH_MS)));
            let paragraphs = self.paragraphs();
            self.due += Storm::worth(table, &paragraphs);
            let body = paragraphs.join("\n\n");
            self.sql(&format!("UPDATE {table} SET body = '{body}' WHERE id = {id}"));
        }
    }

    /// An event of the other kind. A worker that is stopped stays so until its leases have run out.
    fn disturb(&mut self) {
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

    fn count(&mut self, disturbance: Disturbance) {
        *self.events.entry(disturbance.name()).or_default() += 1;
    }

    /// The kinds in random order: each comes at least once.
    fn shuffle(&mut self, mut kinds: Vec<Disturbance>) {
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

    /// Inputs that are paid for again, at most, when the worker ends now. A crash of the server also takes what is not on the
    /// disk yet: of the last moment, as the WAL writer sees to it.
    fn at_stake(&self, crash: bool) -> u64 {
        let recent = self.paid.front().map_or(0, |(_, inputs)| self.inputs() - inputs);
        self.in_flight() + if crash { recent } else { 0 }
    }

    /// Lets a stopped worker go on before its time.
    fn go_on(&mut self) {
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

    /// So many events, and more until each kind of disturbance has come.
    fn rage(&mut self, least: u64) {
        let (started, before) = (Instant::now(), self.events.clone());
        self.shuffle(self.weather.kinds());
        // Where nothing else is said, right answers out of order.
        self.scene.provider.behave(Behaviour::Shuffled);
        let mut events = 0;
        while events < least || !self.deck.is_empty() || self.stopped.is_some() {
            let overdue = events >= least && self.stopped.is_none();
            if self.dice.roll(4) == 0 || overdue {
                self.disturb();
            } else {
                self.change();
            }
            if events % 10 == 0 {
                self.worker_peak = self.worker_peak.max(self.worker_memory());
            }
            if self.stopped.take_if(|(_, since)| since.elapsed() > STOP).is_some() {
                self.count(Disturbance::Stop);
            }
            let (now, inputs) = (Instant::now(), self.inputs());
            self.paid.push_back((now, inputs));
            while self.paid.get(1).is_some_and(|(at, _)| now - *at > ON_DISK) {
                self.paid.pop_front();
            }
            std::thread::sleep(Duration::from_millis(self.dice.roll(BREATH_MS)));
            events += 1;
            assert!(
                events < least || started.elapsed() < DEADLINE * 2,
                "seed {}: {:?} did not come about",
                self.seed,
                self.deck
            );
        }
        for kind in self.weather.kinds() {
            let times = |events: &BTreeMap<&str, u64>| events.get(kind.name()).copied().unwrap_or(0);
            assert!(
                times(&self.events) > times(&before),
                "seed {}: no {}",
                self.seed,
                kind.name()
            );
        }
    }

    /// Mends everything, and waits until the worker has nothing to do.
    fn calm_down(&mut self) {
        self.go_on();
        self.scene.provider.behave(Behaviour::Well);
        self.scene.s3.heal();
        for key in self.objects.keys() {
            self.put(key);
        }
        self.sql("UPDATE object SET touched = touched + 1");
        for table in TABLES {
            self.sql(&format!("SELECT ai.enable_vectorizer_schedule('{table}')"));
        }
        self.settle();
    }

    /// Whoever has mended something says so, rather than wait for a back-off. A document that was in flight as the mending
    /// went on may fail once more, so it is said again.
    fn settle(&self) {
        self.wait_until_settled(|| self.sql("SELECT sum(ai.retry_vectorizer(id)) FROM ai.vectorizer"));
    }

    /// Nobody says anything: each document has its try when its back-off is over.
    fn settle_by_itself(&self) {
        self.wait_until_settled(|| ());
    }

    fn wait_until_settled(&self, say: impl Fn()) {
        // A document that was deleted is in no queue, but may still be on its way to the provider.
        let left = "SELECT name || ' ' || pending_items FROM ai.vectorizer_status WHERE pending_items > 0
                    UNION ALL SELECT f::text FROM ai.vectorizer_failed f
                    UNION ALL SELECT 'in flight: ' || in_flight FROM ai.worker_status WHERE process = 'worker' AND in_flight > 0";
        let started = Instant::now();
        let mut said: Option<Instant> = None;
        loop {
            if said.is_none_or(|said| said.elapsed() > Duration::from_secs(3)) {
                say();
                said = Some(Instant::now());
            }
            let seen = self.column(left);
            if seen.is_empty() && self.scene.provider.counts().in_flight == 0 {
                return;
            }
            assert!(
                started.elapsed() < DEADLINE * 2,
                "seed {}: not converged: {seen:#?}",
                self.seed
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn check(&self) {
        let cluster = &self.scene.cluster;
        for table in TABLES {
            let found = cluster.column(&format!("SELECT v::text FROM ai.verify_vectorizer('{table}') v"));
            assert!(found.is_empty(), "seed {}, {table}: {found:#?}", self.seed);
        }
        // The same said in SQL, for what SQL can say.
        let wrong = "SELECT n.id || ': ' || coalesce(n.body, 'NULL') FROM note n
                     LEFT JOIN (SELECT id, string_agg(chunk, E'\\n\\n' ORDER BY chunk_seq) AS text
                                FROM note_embedding_store GROUP BY id) s ON s.id = n.id
                     WHERE coalesce(n.body, '') <> coalesce(s.text, '')";
        assert_eq!(cluster.column(wrong), Vec::<String>::new(), "seed {}", self.seed);
        let strays = "SELECT id FROM note_embedding_store WHERE id NOT IN (SELECT id FROM note)
                      UNION ALL SELECT id FROM object_embedding_store WHERE id NOT IN (SELECT id FROM object)
                      UNION ALL SELECT id FROM object WHERE id NOT IN (SELECT id FROM object_embedding_store)
                      UNION ALL SELECT id FROM tag WHERE (coalesce(body, '') = '') <> (vector IS NULL)";
        assert_eq!(cluster.column(strays), Vec::<String>::new(), "seed {}", self.seed);
        let left = "SELECT e::text FROM ai.vectorizer_errors e";
        assert_eq!(cluster.column(left), Vec::<String>::new(), "seed {}", self.seed);
        self.check_vectors();
    }

    /// Each vector is that of the text beside it: `ai.verify_vectorizer` asks no provider.
    fn check_vectors(&self) {
        let vocabulary = Vocabulary::default();
        let mut client = self.scene.cluster.connect().expect("the server takes connections");
        let stored = "SELECT 'object ' || id || ', chunk ' || chunk_seq, chunk, embedding::text FROM object_embedding_store
                      UNION ALL SELECT 'note ' || id || ', chunk ' || chunk_seq, chunk, embedding::text FROM note_embedding_store
                      UNION ALL SELECT 'tag ' || id, body, vector::text FROM tag WHERE vector IS NOT NULL";
        let none: [&str; 0] = [];
        // Row by row: a soak has many.
        let mut rows = client.query_raw(stored, none).expect("the tables can be read");
        while let Some(row) = rows.next().expect("the tables can be read") {
            let (place, text, vector): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
            let numbers = vector.trim_matches(['[', ']']).split(',').map(str::parse);
            let vector: Vec<f32> = numbers.collect::<Result<_, _>>().expect("a vector holds numbers");
            let wrong = vector != vocabulary.embed(text, DIMENSIONS);
            assert!(
                !wrong,
                "seed {}, {place}: not the vector of {text:?}: {vector:?}",
                self.seed
            );
        }
    }

    fn inputs(&self) -> u64 {
        self.scene.provider.counts().inputs
    }

    fn price(&self) -> Price {
        let counts = self.scene.provider.counts();
        Price {
            inputs: counts.inputs,
            due: self.due,
            lost: self.lost,
            spoilt: counts.spoilt_inputs,
        }
    }

    /// After a storm: what was in flight at each loss may have been paid for twice, what the provider spoilt was, and nothing
    /// else. The storms of a soak are looked at together.
    fn check_price(&mut self) {
        let (all, before) = (self.price(), std::mem::take(&mut self.priced));
        self.priced = all;
        println!("seed {}: {}; {:?}", self.seed, all.since(before), self.events);
        println!("seed {}, in all: {all}", self.seed);
        assert!(all.inputs <= all.most(), "seed {}: {} at most", self.seed, all.most());
    }

    /// Without any disturbance the changes cost what they are worth, and touching all rows costs nothing.
    fn check_price_of_quiet(&mut self) {
        let (inputs, due) = (self.inputs(), self.due);
        for _ in 0..30 {
            self.change();
        }
        self.settle_by_itself();
        let (spent, worth) = (self.inputs() - inputs, self.due - due);
        assert!(
            spent <= worth,
            "seed {}: {spent} inputs for changes worth {worth}",
            self.seed
        );
        let inputs = self.inputs();
        self.sql("UPDATE object SET touched = touched + 1; UPDATE note SET touched = touched + 1");
        self.settle_by_itself();
        assert_eq!(self.inputs(), inputs, "seed {}: rows were touched", self.seed);
        self.check();
    }
}

/// What a storm costs, in inputs of the provider.
#[derive(Clone, Copy, Default)]
struct Price {
    /// That were paid for.
    inputs: u64,
    /// That the changes so far were worth.
    due: u64,
    /// In flight when something put an end to it, at most.
    lost: u64,
    /// That the provider answered, but not as it should have.
    spoilt: u64,
}

impl Price {
    fn since(self, before: Price) -> Price {
        Price {
            inputs: self.inputs - before.inputs,
            // Rows of earlier rounds may have gone unseen.
            due: self.due.saturating_sub(before.due),
            lost: self.lost - before.lost,
            spoilt: self.spoilt - before.spoilt,
        }
    }

    /// However much is in flight at each loss, most of it is not paid for yet, or written already.
    fn most(self) -> u64 {
        self.due + self.lost.min(self.due / 2) + self.spoilt
    }
}

impl Display for Price {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Price {
            inputs,
            due,
            lost,
            spoilt,
        } = self;
        let ratio = *inputs as f64 / (*due).max(1) as f64;
        write!(
            f,
            "{inputs} inputs for changes worth {due} ({ratio:.2}), {lost} lost at most, {spoilt} spoilt"
        )
    }
}

fn weather(seed: u64) {
    let mut storm = Storm::new(Weather::Wild, seed, 3, IN_FLIGHT);
    storm.rage(80);
    storm.calm_down();
    storm.check();
    storm.check_price();
    storm.check_price_of_quiet();
}

/// Whatever may pass by itself does: retries come when their back-offs are over, and the worker when a change is committed.
fn passing_weather(seed: u64) {
    let mut storm = Storm::new(Weather::Passing, seed, 3, IN_FLIGHT);
    storm.rage(50);
    storm.scene.provider.behave(Behaviour::Well);
    storm.scene.s3.heal();
    storm.settle_by_itself();
    storm.check();
    storm.check_price();
    // One change at a time, so that no other makes up for a call that nobody heard: of a worker that is there, that is about
    // to leave, and that has left.
    for _ in 0..15 {
        std::thread::sleep(Duration::from_millis(storm.dice.roll(250)));
        storm.change();
        storm.settle_by_itself();
    }
    storm.check();
}

/// What must not grow as storms go on.
#[derive(Debug)]
struct Size {
    /// Private memory of the worker during the storm, at most, in kB.
    worker: u64,
    /// Tables and indexes of the queues, in bytes.
    queues: u64,
    /// Tables and indexes of errors, of what is remembered of documents, and of vectors put aside, in bytes.
    tables: u64,
    /// Rows of the failed queues and error rows.
    notes: u64,
}

/// A worker that has nothing to do.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: i32,
    /// Private memory in kB.
    memory: u64,
    descriptors: usize,
    threads: usize,
}

/// Private memory of a process in kB; 0 when it is gone.
fn private_memory(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let private = status.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?;
        kilobytes.trim().parse().ok()
    });
    private.unwrap_or(0)
}

impl Storm {
    /// In kB; 0 when there is no worker.
    fn worker_memory(&self) -> u64 {
        self.column(WORKER).first().map_or(0, |pid| private_memory(pid))
    }

    fn number(&self, sql: &str) -> u64 {
        self.column(sql)[0].parse().expect("it is a number")
    }

    fn size(&mut self) -> Size {
        Size {
            worker: std::mem::take(&mut self.worker_peak),
            queues: self.number(
                "SELECT sum(pg_total_relation_size(queue) + pg_total_relation_size(intake))::bigint FROM ai._vectorizer",
            ),
            tables: self.number(
                "SELECT pg_total_relation_size('ai._vectorizer_errors') + pg_total_relation_size('ai._vectorizer_document')
                      + pg_total_relation_size('ai._vectorizer_stash')",
            ),
            notes: self.number(
                "SELECT (SELECT count(*) FROM ai.vectorizer_failed) + (SELECT count(*) FROM ai.vectorizer_errors)",
            ),
        }
    }

    fn process(&self) -> Process {
        let pid = self.scene.cluster.worker().expect("the worker stays");
        let entries = |of: &str| {
            let entries = std::fs::read_dir(format!("/proc/{pid}/{of}"));
            entries.expect("the worker stays").count()
        };
        Process {
            pid,
            memory: private_memory(&pid.to_string()),
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }

    /// Nothing is remembered of what is not there any more.
    fn check_leftovers(&self) {
        let left = self.number(
            "SELECT (SELECT count(*) FROM ai._vectorizer_stash) + (SELECT count(*) FROM ai._vectorizer_errors)
                  + (SELECT count(*) FROM ai._vectorizer_document d
                     WHERE NOT EXISTS (SELECT FROM object o WHERE d.id = 1 AND o.id = (d.primary_key ->> 'id')::int)
                       AND NOT EXISTS (SELECT FROM note n WHERE d.id = 2 AND n.id = (d.primary_key ->> 'id')::int)
                       AND NOT EXISTS (SELECT FROM tag t WHERE d.id = 3 AND t.id = (d.primary_key ->> 'id')::int))",
        );
        assert_eq!(left, 0, "seed {}: rows of documents that are gone or well", self.seed);
    }

    /// Storm after storm, with many rows at a time; the tables are emptied now and then, so that they stay of one size.
    /// `look` gets what each round has left behind.
    fn soak(&mut self, rounds: Rounds, mut look: impl FnMut(&mut Storm, Size)) {
        let started = Instant::now();
        for round in 1.. {
            for table in ["note", "tag"] {
                self.fill(table, rounds.rows);
            }
            self.rage(rounds.events);
            let size = self.size();
            self.calm_down();
            self.check();
            self.check_leftovers();
            println!("round {round}, minute {}: {size:?}", started.elapsed().as_secs() / 60);
            self.check_price();
            look(self, size);
            if round >= rounds.least && started.elapsed() >= rounds.duration {
                break;
            }
            self.sql("DELETE FROM object; DELETE FROM note; DELETE FROM tag");
            self.objects.clear();
            // A server that has crashed does not know any more what autovacuum should look at, and crashes in each round.
            let queues = "SELECT string_agg(concat_ws(', ', queue::text, intake::text), ', ') FROM ai._vectorizer";
            let queues = self.scene.cluster.value(queues);
            self.sql(&format!(
                "VACUUM ai._vectorizer_errors, ai._vectorizer_document, ai._vectorizer_stash, {queues}"
            ));
        }
    }

    /// The first rounds find the size; the later ones keep it.
    fn soak_in_the_wild(&mut self, rounds: Rounds) {
        let (seed, growth, mut first) = (self.seed, rounds.growth, Vec::new());
        self.soak(rounds, |_, size| {
            if first.len() < 5 {
                first.push(size);
                return;
            }
            let most = |what: fn(&Size) -> u64| first.iter().map(what).max().unwrap_or(0);
            let fits = size.worker <= 2 * most(|size| size.worker) + growth
                && size.queues <= 2 * most(|size| size.queues) + (8 << 20)
                && size.tables <= 2 * most(|size| size.tables) + (8 << 20)
                && size.notes <= 10 * most(|size| size.notes) + 100;
            assert!(fits, "seed {seed}: {size:?} after {first:#?}");
        });
    }

    /// One worker from the beginning to the end, whatever provider and S3 do to it: it ends each round as it ended the third.
    fn soak_of_one_worker(&mut self, rounds: Rounds) {
        let (seed, mut first): (u64, Vec<Process>) = (self.seed, Vec::new());
        let (growth, mut tables) = (rounds.growth, 0);
        self.soak(rounds, |storm, size| {
            let now = storm.process();
            println!("{now:?}");
            if first.len() < 3 {
                tables = size.tables.max(tables);
                first.push(now);
                return;
            }
            assert!(
                size.tables <= 2 * tables + (4 << 20),
                "seed {seed}: {size:?}, {tables} at first"
            );
            let third = first[2];
            let fits = first.iter().all(|process| process.pid == now.pid)
                && now.memory <= third.memory + growth
                && now.descriptors <= third.descriptors + 48
                && now.threads <= third.threads + 4;
            assert!(fits, "seed {seed}: {now:?} after {first:#?}");
        });
    }

    /// Many rows at once, each with one chunk.
    fn fill(&mut self, table: &str, rows: u64) {
        let from = self.counter + 1;
        self.counter += rows;
        self.due += rows;
        let (to, seed) = (self.counter, self.seed);
        self.sql(&format!(
            "INSERT INTO {table} (id, body) SELECT i, format('Row %s of storm %s', i, {seed}) FROM generate_series({from}, {to}) i"
        ));
    }
}

/// How a soak goes on.
struct Rounds {
    duration: Duration,
    least: usize,
    /// Rows that are there at the beginning of a round, in each of two tables.
    rows: u64,
    events: u64,
    /// Private memory that a worker may gain after the first rounds, in kB: what its allocators keep after a greater burst, and
    /// Postgres of more relations and plans.
    growth: u64,
}

/// Parts of a soak have the machine for themselves.
static SOAKS: Mutex<()> = Mutex::new(());

/// How many minutes `make soak` should take. Otherwise a few small rounds show that it works when it is wanted, unless one
/// storm is.
fn minutes() -> Option<u64> {
    match std::env::var("SOAK_MINUTES") {
        Ok(minutes) => Some(minutes.parse().expect("SOAK_MINUTES is a number")),
        Err(_) => wanted().is_none().then_some(0),
    }
}

/// Two thirds of the time of `make soak`.
#[test]
fn a_soak_stays_flat() {
    let Some(minutes) = minutes() else { return };
    let _alone = (minutes > 0).then(|| SOAKS.lock().unwrap_or_else(PoisonError::into_inner));
    let small = minutes == 0;
    let rounds = Rounds {
        duration: Duration::from_secs(minutes * 40),
        least: 1,
        rows: if small { 100 } else { 10_000 },
        events: if small { 30 } else { 200 },
        growth: 32 * 1024,
    };
    Storm::new(Weather::Wild, wanted().unwrap_or(3), 20, IN_FLIGHT_OF_SOAK).soak_in_the_wild(rounds);
}

/// The other third.
#[test]
fn a_soak_stays_flat_in_one_process() {
    let Some(minutes) = minutes() else { return };
    let _alone = (minutes > 0).then(|| SOAKS.lock().unwrap_or_else(PoisonError::into_inner));
    let small = minutes == 0;
    let rounds = Rounds {
        duration: Duration::from_secs(minutes * 20),
        least: 4,
        rows: if small { 50 } else { 2_000 },
        events: if small { 8 } else { 60 },
        growth: if small { 6 * 1024 } else { 16 * 1024 },
    };
    Storm::new(Weather::Steady, wanted().unwrap_or(3), 20, IN_FLIGHT_OF_SOAK).soak_of_one_worker(rounds);
}

/// The seed that somebody wants to see again.
fn wanted() -> Option<u64> {
    let seed = std::env::var("CONVERGENCE_SEED").ok()?;
    Some(seed.parse().expect("CONVERGENCE_SEED is a number"))
}

#[test]
fn a_storm_leaves_no_trace() {
    weather(wanted().unwrap_or(1));
}

#[test]
fn another_storm_leaves_no_trace() {
    if wanted().is_none() {
        weather(2);
    }
}

#[test]
fn what_passes_by_itself_needs_no_help() {
    passing_weather(wanted().unwrap_or(4));
}

/// A new one each time.
#[test]
fn a_storm_that_nobody_has_seen_leaves_no_trace() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    if wanted().is_none() {
        weather(now.map_or(0, |now| now.subsec_nanos().into()));
    }
}
