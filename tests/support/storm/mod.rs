//! A storm: a random sequence of what users, objects in S3, providers, locks and the operating system do to a
//! server, after which all is mended and looked at.

// Each file of tests/ is a program that compiles all of this and uses a part.
#![allow(dead_code)]

mod changes;
mod disturbance;
mod price;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use litemap::LiteMap;
use postgres::fallible_iterator::FallibleIterator;
use provider::vectors::Vocabulary;
use provider::{Behaviour, Provider};
use rustix::process::Pid;

use crate::support::scene::API_KEY;
use crate::support::{Cluster, DEADLINE, Options, S3, Scene, database, wait_until};
use disturbance::{Disturbance, STOP};
use price::Price;

/// Enough for each text to have a vector of its own.
const DIMENSIONS: usize = 32;
/// Chunks of a document, at most.
const PARAGRAPHS: u64 = 3;
const LEASE: Duration = Duration::from_secs(2);
/// After that the WAL writer has everything on the disk: three times its delay, and time to write.
const ON_DISK: Duration = Duration::from_secs(1);
/// The tables: objects in S3, texts in a column, and vectors in the source.
const TABLES: [&str; 3] = ["object", "note", "tag"];
/// Of the provider: long enough for a row to change while it is there.
const LATENCY: Duration = Duration::from_millis(30);
/// Longest wait between two events. There is nothing to wait for: it gives the worker a chance to be at something.
const BREATH_MS: u64 = 80;

/// Sebastiano Vigna's SplitMix64: small, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub fn pick<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        let sides = u64::try_from(things.len()).ok().filter(|sides| *sides > 0)?;
        things.get(usize::try_from(self.roll(sides)).ok()?).cloned()
    }
}

/// What kind of storm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
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

    /// How often a database is looked at although nothing woke the worker, and how long a worker with nothing
    /// to do stays.
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

/// A server, what its tables should hold, and what that should have cost.
pub struct Storm {
    pub scene: Scene,
    weather: Weather,
    pub seed: u64,
    pub dice: Dice,
    /// Makes every paragraph, row and object new.
    counter: u64,
    /// Rows that one event concerns, at most.
    rows: u64,
    /// Objects as they should be in the end, also those that are missing at present.
    pub objects: LiteMap<String, Vec<String>>,
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
    events: LiteMap<&'static str, u64>,
    /// Private memory of the worker since the last look, at most.
    pub worker_peak: u64,
}

impl Storm {
    pub fn new(weather: Weather, seed: u64, rows: u64, in_flight: u64) -> Storm {
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
            objects: LiteMap::new(),
            due: 0,
            lost: 0,
            paid: VecDeque::new(),
            priced: Price::default(),
            stopped: None,
            deck: Vec::new(),
            events: LiteMap::new(),
            worker_peak: 0,
        }
    }

    /// Runs a statement, also one that a restart of the server comes across.
    pub fn sql(&self, statement: &str) {
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
    pub fn column(&self, statement: &str) -> Vec<String> {
        loop {
            match self.scene.cluster.try_rows(statement) {
                Ok(rows) => return rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect(),
                Err(_) => self.wait_for_server(),
            }
        }
    }

    fn put(&self, key: &str) -> String {
        self.scene.s3.put(key, self.objects[&key.to_owned()].join("\n\n"))
    }

    /// So many events, and more until each kind of disturbance has come.
    pub fn rage(&mut self, least: u64) {
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
            let times = |events: &LiteMap<&str, u64>| events.get(kind.name()).copied().unwrap_or(0);
            assert!(
                times(&self.events) > times(&before),
                "seed {}: no {}",
                self.seed,
                kind.name()
            );
        }
    }

    /// Mends everything, and waits until the worker has nothing to do.
    pub fn calm_down(&mut self) {
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

    /// Whoever has mended something says so, rather than wait for a back-off. A document that was in flight
    /// as the mending went on may fail once more, so it is said again.
    fn settle(&self) {
        self.wait_until_settled(|| self.sql("SELECT sum(ai.retry_vectorizer(id)) FROM ai.vectorizer"));
    }

    /// Nobody says anything: each document has its try when its back-off is over.
    pub fn settle_by_itself(&self) {
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

    pub fn check(&self) {
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

    /// In kB; 0 when there is no worker.
    fn worker_memory(&self) -> u64 {
        self.column(WORKER).first().map_or(0, |pid| private_memory(pid))
    }
}

/// Private memory of a process in kB; 0 when it is gone.
pub fn private_memory(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let private = status.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?;
        kilobytes.trim().parse().ok()
    });
    private.unwrap_or(0)
}

/// The seed that somebody wants to see again.
pub fn wanted() -> Option<u64> {
    let seed = std::env::var("CONVERGENCE_SEED").ok()?;
    Some(seed.parse().expect("CONVERGENCE_SEED is a number"))
}
