//! What the tasks work with: loader, parser and embedders, made of the settings and the server's environment.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ai_pipeline::budget::{Budget, Reservation};
use ai_pipeline::config::{Config, Destination, Embedding, Loading};
use ai_pipeline::cut::{Cutter, Cutting};
use ai_pipeline::embed::{Allowance, Embedder, Gates};
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::fingerprint::Fingerprint;
use ai_pipeline::format::Template;
use ai_pipeline::load::{self, Loader};
use ai_pipeline::memory::{Basis, Memory, Note, Remembered};
use ai_pipeline::parse::{self, Parser};
use ai_pipeline::prepare::{COST, Content, Instructions, Preparation, Prepared, apart_if_long};
use ai_pipeline::secret::Secret;
use ai_pipeline::server::ExternalId;
use ai_pipeline::texts::{self, Texts};
use ai_pipeline::threads::Threads;
use ai_pipeline::verify::{self, Difference, Stored};
use litemap::LiteMap;
use pgrx::pg_sys::Oid;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::access::{endpoint, environment};
use crate::catalog::Vectorizer;
use crate::postgres::transaction::accounts;
use crate::runtime::reservation::Reservations;
use crate::settings::Settings;
use crate::shared_memory::providers;

/// Documents of a vectorizer that may be on their way to their texts before it counts as a crowd.
const CROWD: usize = 16;

/// Threads for work on texts: as many as for the network.
const TEXT_THREADS: usize = 2;

/// Documents that are read by one statement, in bytes, and columns for templates as many: some hundreds of
/// most. What is above is read one by one.
const WINDOW: u64 = 8 << 20;

/// Documents that are downloaded at the same time. Each takes a descriptor, of which a process has 1,024
/// where nobody has raised the limit, and Postgres takes some hundred for files.
const DOWNLOADS: usize = 256;

/// Embedders and loaders that are kept: what is configured anew, and keys that are replaced, leave one behind.
const GREATEST_SERVICES: usize = 64;

/// Starts as many processes as the settings allow.
pub fn parser(settings: &Settings) -> Parser {
    let limits = parse::ParserLimits {
        timeout: settings.parser_timeout,
        memory_bytes: settings.parser_memory_bytes,
        text_bytes: settings.max_document_bytes,
    };
    Parser::new(settings.parser_path.clone(), limits, settings.parser_processes)
}

/// What an embedder was made for.
#[derive(PartialEq)]
struct EmbedderSettings {
    embedding: Embedding,
    base_url: String,
    api_key: Option<Secret>,
    allowance: Allowance,
    owner: Option<Fingerprint>,
}

/// The budgets of memory, as they are for an owner.
struct Budgets {
    columns: Budget,
    documents: Budget,
    vectors: Budget,
}

/// Shared by all tasks of a worker, so that connections, credentials and limits are.
pub struct Services {
    /// One loader for all vectorizers with the same servers.
    loaders: Vec<(load::DocumentServers, Option<Secret>, Loader)>,
    downloads: Arc<Semaphore>,
    /// Those of them that an owner may have: downloads that hang must leave places to others.
    downloads_of_owners: HashMap<Oid, Arc<Semaphore>>,
    parser: Parser,
    threads: Threads<i32>,
    /// For columns that templates name, and URIs.
    columns: Budget,
    /// For documents and what is made of them. Another budget, because who waits for it holds some of the first.
    documents: Budget,
    /// The parts of these budgets that are for owners, where there are several.
    shares: HashMap<Oid, Budgets>,
    /// Vectorizers with so many documents on their way to their texts that they leave what is kept of memory to others.
    crowds: HashSet<i32>,
    /// For texts on their way to a provider, and vectors. Who waits for it holds some of both.
    vectors: Budget,
    /// One embedder for all vectorizers of an owner with the same provider, model, address and key.
    embedders: Vec<(EmbedderSettings, Embedder)>,
    /// What all embedders with the same server have in common. Pauses and budgets are those of all workers.
    gates: Gates,
    settings: Settings,
}

impl Services {
    /// For a session: one parser at a time, and its part of the memory of a worker. See [`crate::runtime::places`] for
    /// how many of those there are at the same time. Must be called inside the runtime.
    pub fn of_session(settings: &Settings) -> Services {
        let places = settings.parser_processes.max(1);
        Services::new(&Settings {
            parser_processes: 1,
            max_memory_bytes: settings.max_memory_bytes / places as u64,
            ..settings.clone()
        })
    }

    /// Must be called inside the runtime.
    pub fn new(settings: &Settings) -> Services {
        let parser = parser(settings);
        Services {
            loaders: Vec::new(),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
            downloads_of_owners: HashMap::new(),
            parser,
            threads: Threads::new(TEXT_THREADS),
            columns: Budget::new(settings.max_memory_bytes / 8),
            documents: Budget::new(settings.max_memory_bytes / 8 * 5),
            shares: HashMap::new(),
            crowds: HashSet::new(),
            vectors: Budget::new(settings.max_memory_bytes / 4),
            embedders: Vec::new(),
            gates: Gates::shared(providers::place),
            settings: settings.clone(),
        }
    }

    /// The embedder of a vectorizer. Must be called inside the runtime.
    pub fn embedder(&mut self, vectorizer: &Vectorizer) -> Result<Embedder, Failure> {
        let embedding = &vectorizer.config.embedding;
        let provider = vectorizer.servers.provider.as_ref();
        let provider = provider.map_err(|refusal| refusal.failure(Step::Embedding))?;
        let mut endpoint = endpoint::of(embedding, &provider.options, None, &self.settings)?;
        endpoint.owner = owner_of(vectorizer);
        let place = EmbedderSettings {
            embedding: embedding.clone(),
            base_url: endpoint.base_url.clone(),
            api_key: endpoint.api_key.clone(),
            allowance: endpoint.allowance,
            owner: endpoint.owner,
        };
        if let Some((_, embedder)) = self.embedders.iter().find(|(known, _)| *known == place) {
            return Ok(embedder.clone());
        }
        endpoint.gates = self.gates.clone();
        let embedder = Embedder::new(embedding, endpoint).map_err(Failure::from)?;
        if self.embedders.len() >= GREATEST_SERVICES {
            self.embedders.remove(0);
        }
        self.embedders.push((place, embedder.clone()));
        Ok(embedder)
    }

    /// The loader of a vectorizer; `None` where its documents are in the column itself.
    pub fn loader(&mut self, vectorizer: &Vectorizer) -> Result<Option<Loader>, Failure> {
        let servers = vectorizer.servers.source.as_ref();
        let Some(servers) = servers.map_err(|refusal| refusal.failure(Step::Loading))? else {
            return Ok(None);
        };
        let settings = &self.settings;
        let of_server = match &servers.s3 {
            load::Permission::Open(source) => source.external_id.as_ref(),
            load::Permission::Closed { .. } => None,
        };
        let external_id = match of_server {
            Some(ExternalId::Value(value)) => Some(value.clone()),
            Some(ExternalId::Reference(at)) => Some(environment::credential(at, Step::Loading, settings)?),
            None => environment::secret("AWS_ASSUME_ROLE_EXTERNAL_ID", Step::Loading)?,
        };
        let same =
            |known: &&(load::DocumentServers, Option<Secret>, Loader)| known.0 == *servers && known.1 == external_id;
        if let Some((_, _, loader)) = self.loaders.iter().find(same) {
            return Ok(Some(loader.clone()));
        }
        let loader = Loader::new(load::LoadSettings {
            max_document_bytes: settings.max_document_bytes,
            timeout: settings.loading_timeout,
            http_enabled: settings.allow_http,
            allow_private: settings.allow_private_addresses,
            file_directories: settings.file_directories.clone(),
            external_id: external_id.clone(),
            servers: servers.clone(),
        });
        if self.loaders.len() >= GREATEST_SERVICES {
            self.loaders.remove(0);
        }
        self.loaders.push((servers.clone(), external_id, loader.clone()));
        Ok(Some(loader))
    }

    /// The confinements that the system has refused to a parser, as soon as one has said so.
    pub fn unconfined(&self) -> Option<&str> {
        self.parser.unconfined()
    }

    /// Until when a provider wants to be left alone, if one does.
    pub fn throttled_until(&self) -> Option<SystemTime> {
        let embedders = self.embedders.iter().map(|(_, embedder)| embedder);
        embedders.filter_map(Embedder::throttled_until).max()
    }

    /// How long an administrator's limits keep requests waiting, if they do.
    pub fn limited_for(&self) -> Option<Duration> {
        let embedders = self.embedders.iter().map(|(_, embedder)| embedder);
        embedders.filter_map(Embedder::limited_for).max()
    }

    /// The budget of vectors and the texts that they are made of, as it is for an owner.
    pub fn vectors(&self, owner: Oid) -> Budget {
        let vectors = self.share(owner).map_or(&self.vectors, |share| &share.vectors);
        vectors.clone()
    }

    /// Whether there is memory for another document.
    pub fn has_room(&self) -> bool {
        !self.columns.is_exhausted() && !self.documents.is_exhausted()
    }

    /// How many documents of a vectorizer are on their way to their texts, where there are others. Those of
    /// one whose texts take long must not have, or wait for, all the memory there is.
    pub fn crowd(&mut self, vectorizer: &Vectorizer, documents: usize) {
        if documents < CROWD {
            self.crowds.remove(&vectorizer.id);
        } else {
            self.crowds.insert(vectorizer.id);
        }
        if self.shares.len() >= GREATEST_SERVICES {
            let is_in_use = |share: &Budgets| {
                [&share.columns, &share.documents, &share.vectors]
                    .into_iter()
                    .any(Budget::is_in_use)
            };
            self.shares.retain(|_, share| is_in_use(share));
        }
        let share = self.shares.entry(vectorizer.owner);
        share.or_insert_with(|| Budgets {
            columns: self.columns.of_owner(),
            documents: self.documents.of_owner(),
            vectors: self.vectors.of_owner(),
        });
    }

    /// The share of an owner; `None` where there is no other.
    fn share(&self, owner: Oid) -> Option<&Budgets> {
        self.shares.get(&owner).filter(|_| accounts::is_shared())
    }

    /// The budgets of columns and of documents, as they are for a vectorizer.
    fn budgets(&self, vectorizer: &Vectorizer) -> (Budget, Budget) {
        let (columns, documents) = match self.share(vectorizer.owner) {
            Some(share) => (&share.columns, &share.documents),
            None => (&self.columns, &self.documents),
        };
        if self.crowds.contains(&vectorizer.id) {
            (columns.without_kept(), documents.without_kept())
        } else {
            (columns.clone(), documents.clone())
        }
    }

    /// Waits until there is memory for a document of so many bytes, that has not been read yet, and for
    /// columns of so many.
    pub fn reserve(
        &self,
        vectorizer: &Vectorizer,
        document: u64,
        columns: u64,
    ) -> impl Future<Output = Reservations> + Send + use<> {
        let (of_columns, of_documents) = self.budgets(vectorizer);
        async move {
            let columns = match columns {
                0 => None,
                bytes => Some(of_columns.reserve(bytes.saturating_mul(COST)).await),
            };
            let document = match document {
                0 => None,
                bytes => Some(of_documents.reserve(bytes.saturating_mul(COST)).await),
            };
            Reservations {
                columns,
                document,
                vectors: None,
            }
        }
    }

    /// What is free now for documents that are to be read together.
    pub fn window(&self, vectorizer: &Vectorizer) -> Window {
        let is_uri = matches!(vectorizer.config.loading, Loading::Uri { .. });
        let has_columns = is_uri || !vectorizer.template_columns.is_empty();
        let free = |budget: &Budget| budget.reserve_now(WINDOW * COST);
        let (columns, documents) = self.budgets(vectorizer);
        Window {
            documents: (!is_uri).then(|| free(&documents)).flatten(),
            columns: has_columns.then(|| free(&columns)).flatten(),
        }
    }

    /// Checks that the columns that a template names are not longer than a document may be.
    ///
    /// # Errors
    /// They are.
    pub fn check_columns(&self, bytes: u64) -> Result<(), Failure> {
        let most = self.settings.max_document_bytes;
        if bytes <= most {
            return Ok(());
        }
        Err(Failure {
            step: Step::Formatting,
            class: Class::Permanent,
            reason: format!("the columns that the template names have {bytes} bytes, more than {most}"),
            hint: Some(
                "Raise ai.max_document_size (1 GB at most), or have the template name shorter columns.".to_owned(),
            ),
        })
    }

    /// How what is stored of a document differs from what it should be, whatever is remembered of it.
    pub fn differences(
        &mut self,
        vectorizer: &Arc<Vectorizer>,
        document: Option<Content>,
        columns: Value,
        stored: StoredDocument,
    ) -> impl Future<Output = Result<Vec<Difference>, Failure>> + Send + use<> {
        let prepare = self.prepare(vectorizer, document, columns, None, None);
        let (cutter, vectorizer) = (self.cutter(vectorizer), Arc::clone(vectorizer));
        async move {
            match prepare.await? {
                Prepared::Texts {
                    texts,
                    note,
                    reservation: _reservation,
                } => {
                    let now = match note {
                        Note::Remember(memory) => Some(memory),
                        Note::Keep | Note::Forget => None,
                    };
                    let length = (0..texts.len()).map(|index| texts.length(index)).sum();
                    let compare = move || stored.differences(&vectorizer, &texts, now.as_ref());
                    apart_if_long(&cutter, length, compare).await
                }
                Prepared::Unchanged { .. } => unreachable!("nothing is known that it could be unchanged from"),
            }
        }
    }

    fn cutter(&self, vectorizer: &Vectorizer) -> Cutter {
        Cutter {
            parser: self.parser.on_behalf_of(turn_of(vectorizer)),
            threads: self.threads.clone(),
            owner: turn_of(vectorizer),
            timeout: self.settings.parser_timeout,
        }
    }

    /// The task that makes the texts of a document: load, parse, chunk, format. It goes no further than it must.
    /// `reservation` is that of a document that there was memory for before it was read.
    pub fn prepare(
        &mut self,
        vectorizer: &Arc<Vectorizer>,
        document: Option<Content>,
        columns: Value,
        remembered: Option<Remembered>,
        reservation: Option<Reservation>,
    ) -> Pin<Box<dyn Future<Output = Result<Prepared, Failure>> + Send>> {
        let Some(document) = document else {
            let note = Note::between(remembered.as_ref().map(|known| &known.memory), None);
            return Box::pin(std::future::ready(Ok(Prepared::Texts {
                texts: Texts::default(),
                note,
                reservation,
            })));
        };
        let loader = match self.loader(vectorizer) {
            Ok(loader) => loader,
            Err(failure) => return Box::pin(std::future::ready(Err(failure))),
        };
        let cutter = self.cutter(vectorizer);
        let preparation = Preparation {
            instructions: Arc::clone(vectorizer),
            loader: loader.map(|loader| Arc::new(loader) as _),
            downloads: Arc::clone(&self.downloads),
            downloads_of_owner: self.downloads_of(vectorizer.owner),
            parser: Arc::new(cutter.parser.clone()),
            cutter,
            documents: self.budgets(vectorizer).1,
            limits: texts::TextLimits::new(self.settings.max_document_bytes),
        };
        Box::pin(preparation.run(document, columns, remembered, reservation))
    }
}

impl Services {
    /// The places for downloads of an owner.
    fn downloads_of(&mut self, owner: Oid) -> Arc<Semaphore> {
        if self.downloads_of_owners.len() >= GREATEST_SERVICES {
            self.downloads_of_owners
                .retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = self.downloads_of_owners.entry(owner);
        Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(DOWNLOADS - DOWNLOADS / 4))))
    }
}

impl Instructions for Vectorizer {
    fn config(&self) -> &Config {
        &self.config
    }

    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn cutting(&self) -> &Cutting {
        &self.cutting
    }

    fn template(&self) -> &Template {
        &self.template
    }

    fn template_columns(&self) -> &LiteMap<String, String> {
        &self.template_columns
    }
}

/// What is stored of a document, as `ai.verify_vectorizer` finds it.
pub struct StoredDocument {
    pub chunks: Vec<Stored>,
    /// Length of the vector in the column, where there is one.
    pub column: Option<usize>,
    /// What is remembered of it, where its vector is in the column: there is no text beside that.
    pub remembered: Option<Memory>,
}

impl StoredDocument {
    fn differences(&self, vectorizer: &Vectorizer, texts: &Texts, now: Option<&Memory>) -> Vec<Difference> {
        let config = &vectorizer.config;
        let dimensions = usize::try_from(config.embedding.dimensions()).unwrap_or(0);
        match config.destination {
            Destination::Table { .. } => verify::differences(texts, &self.chunks, dimensions),
            Destination::Column { .. } => {
                let remembered = self.remembered.as_ref();
                let outdated = remembered.zip(now).is_some_and(|(then, now)| then.is_outdated(now));
                verify::column_differences(!texts.is_empty(), self.column, dimensions, outdated)
            }
        }
    }
}

/// Memory for documents that are read together: reserved before they are, and given to them afterwards.
pub struct Window {
    documents: Option<Reservation>,
    columns: Option<Reservation>,
}

impl Window {
    /// How many bytes of documents may be read, and of columns.
    pub fn bytes(&self) -> (u64, u64) {
        let bytes = |part: &Option<Reservation>| part.as_ref().map_or(0, |part| part.bytes() / COST);
        (bytes(&self.documents), bytes(&self.columns))
    }

    /// The part of a document of so many bytes that was read, and of columns of so many.
    pub fn part(&mut self, document: u64, columns: u64) -> Reservations {
        let part = |of: &mut Option<Reservation>, bytes: u64| {
            let of = of.as_mut().filter(|_| bytes > 0)?;
            Some(of.split(bytes.saturating_mul(COST)))
        };
        Reservations {
            columns: part(&mut self.columns, columns),
            document: part(&mut self.documents, document),
            vectors: None,
        }
    }
}

/// Whose turn it has to be where places are shared: the owner's, where a worker serves several, however many
/// vectorizers one of them has; else the vectorizer's.
fn turn_of(vectorizer: &Vectorizer) -> i32 {
    if accounts::is_shared() {
        vectorizer.owner.to_u32().cast_signed()
    } else {
        vectorizer.id
    }
}

/// Whose requests to a provider these are, where a worker serves several owners.
fn owner_of(vectorizer: &Vectorizer) -> Option<Fingerprint> {
    let owner = vectorizer.owner.to_u32().to_be_bytes();
    accounts::is_shared().then(|| Fingerprint::of(None, &owner))
}
