//! The settings `ai.*`, and one plain value that holds them all.

use std::ffi::CString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

static MAX_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(4);
static NAPTIME: GucSetting<i32> = GucSetting::<i32>::new(60);
static IDLE_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(2_000);
static LEASE_DURATION: GucSetting<i32> = GucSetting::<i32>::new(300);
static OWNER_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(60_000);
static MAX_DOCUMENTS_IN_FLIGHT: GucSetting<i32> = GucSetting::<i32>::new(2048);
static MAX_REQUESTS_IN_FLIGHT: GucSetting<i32> = GucSetting::<i32>::new(8);
static REQUEST_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(60_000);
static LOADING_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(120_000);
static MAX_DOCUMENT_SIZE: GucSetting<i32> = GucSetting::<i32>::new(65_536);
static MAX_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(256);
static PARSER_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(60_000);
static PARSER_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(1_024);
static PARSER_PROCESSES: GucSetting<i32> = GucSetting::<i32>::new(2);
static PARSER_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ALLOW_HTTP: GucSetting<bool> = GucSetting::<bool>::new(false);
static ALLOW_PRIVATE_ADDRESSES: GucSetting<bool> = GucSetting::<bool>::new(false);
static FILE_DIRECTORIES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static SECRET_DIRECTORY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static INDEXING_DEFAULT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static SCHEDULING_DEFAULT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static OPENAI_BASE_URL: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static OLLAMA_HOST: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static GRANT_TO_DEFAULT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// What the worker goes by, read once per round so that a reload takes effect between two rounds and not within one.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub idle_timeout: Duration,
    pub lease_duration: Duration,
    pub max_documents_in_flight: usize,
    pub max_requests_in_flight: usize,
    pub request_timeout: Duration,
    pub loading_timeout: Duration,
    pub max_document_bytes: u64,
    pub max_memory_bytes: u64,
    pub parser_timeout: Duration,
    pub parser_memory_bytes: u64,
    pub parser_processes: usize,
    pub parser_path: PathBuf,
    pub allow_http: bool,
    pub allow_private_addresses: bool,
    pub file_directories: Vec<PathBuf>,
    pub secret_directory: Option<PathBuf>,
}

/// The settings as they are now.
pub fn current() -> Settings {
    Settings {
        idle_timeout: milliseconds(&IDLE_TIMEOUT),
        lease_duration: Duration::from_secs(LEASE_DURATION.get().unsigned_abs().into()),
        max_documents_in_flight: MAX_DOCUMENTS_IN_FLIGHT.get().unsigned_abs() as usize,
        max_requests_in_flight: MAX_REQUESTS_IN_FLIGHT.get().unsigned_abs() as usize,
        request_timeout: milliseconds(&REQUEST_TIMEOUT),
        loading_timeout: milliseconds(&LOADING_TIMEOUT),
        max_document_bytes: u64::from(MAX_DOCUMENT_SIZE.get().unsigned_abs()) * 1024,
        max_memory_bytes: u64::from(MAX_MEMORY.get().unsigned_abs()) * 1024 * 1024,
        parser_timeout: milliseconds(&PARSER_TIMEOUT),
        parser_memory_bytes: u64::from(PARSER_MEMORY.get().unsigned_abs()) * 1024 * 1024,
        parser_processes: PARSER_PROCESSES.get().unsigned_abs() as usize,
        parser_path: text(&PARSER_PATH).map_or_else(|| library_directory().join("ai-parser"), PathBuf::from),
        allow_http: ALLOW_HTTP.get(),
        allow_private_addresses: ALLOW_PRIVATE_ADDRESSES.get(),
        file_directories: text(&FILE_DIRECTORIES)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|directory| !directory.is_empty())
            .map(PathBuf::from)
            .collect(),
        secret_directory: text(&SECRET_DIRECTORY).map(PathBuf::from),
    }
}

/// Workers in all databases together.
pub fn max_workers() -> usize {
    MAX_WORKERS.get().unsigned_abs() as usize
}

/// How often a database with vectorizers is looked at although nothing woke anybody.
pub fn naptime() -> Duration {
    Duration::from_secs(NAPTIME.get().unsigned_abs().into())
}

/// How long code of an owner may keep a worker.
pub fn owner_timeout() -> Duration {
    milliseconds(&OWNER_TIMEOUT)
}

/// What `ai.indexing_default()` stands for: the name of a builder, or nothing.
pub fn indexing_default() -> Option<String> {
    text(&INDEXING_DEFAULT)
}

/// What `ai.scheduling_default()` stands for: the name of a builder, or nothing.
pub fn scheduling_default() -> Option<String> {
    text(&SCHEDULING_DEFAULT)
}

/// Where `ai.openai_embed()` asks, unless it is told; then the environment says it.
pub fn openai_base_url() -> Option<String> {
    text(&OPENAI_BASE_URL)
}

/// Where `ai.ollama_embed()` asks, unless it is told; then the environment says it.
pub fn ollama_host() -> Option<String> {
    text(&OLLAMA_HOST)
}

fn milliseconds(setting: &GucSetting<i32>) -> Duration {
    Duration::from_millis(setting.get().unsigned_abs().into())
}

fn text(setting: &GucSetting<Option<CString>>) -> Option<String> {
    setting
        .get()
        .map(|value| value.to_string_lossy().into_owned())
        .filter(|value| !value.is_empty())
}

fn library_directory() -> PathBuf {
    // SAFETY: pkglib_path is a NUL-terminated array that the postmaster fills before any library is loaded.
    let path = unsafe { std::ffi::CStr::from_ptr((&raw const pgrx::pg_sys::pkglib_path).cast()) };
    PathBuf::from(path.to_string_lossy().into_owned())
}

/// What the number of a setting is of.
const NUMBER: GucFlags = GucFlags::empty();
const MILLISECONDS: GucFlags = GucFlags::UNIT_MS;
const SECONDS: GucFlags = GucFlags::UNIT_S;
const KILOBYTES: GucFlags = GucFlags::UNIT_KB;
const MEGABYTES: GucFlags = GucFlags::UNIT_MB;

/// Makes the settings known. Those of the worker are for superusers, who may set them for the server or one database.
pub fn init() {
    of_workers();
    of_work();
    of_documents();
    of_parsers();
    of_sessions();
}

/// How many workers there are, and for how long.
fn of_workers() {
    integer(
        c"ai.max_workers",
        c"Worker processes in all databases together. With 0 none is started, for as long as a dump is restored, say.",
        &MAX_WORKERS,
        0..=64,
        GucContext::Sighup,
        NUMBER,
    );
    integer(
        c"ai.naptime",
        c"How often a database with vectorizers is looked at although nothing woke the worker.",
        &NAPTIME,
        1..=86_400,
        GucContext::Sighup,
        SECONDS,
    );
    integer(
        c"ai.idle_timeout",
        c"How long a worker with nothing to do stays.",
        &IDLE_TIMEOUT,
        0..=3_600_000,
        GucContext::Suset,
        MILLISECONDS,
    );
    integer(
        c"ai.lease_duration",
        c"How long before a silent worker's documents are taken over.",
        &LEASE_DURATION,
        2..=86_400,
        GucContext::Suset,
        SECONDS,
    );
    integer(
        c"ai.owner_timeout",
        c"How long code of an owner (triggers, policies, functions) may keep a worker, before its vectorizer is paused.",
        &OWNER_TIMEOUT,
        100..=3_600_000,
        GucContext::Suset,
        MILLISECONDS,
    );
}

/// How much a worker does at a time, and how patient it is with others.
fn of_work() {
    integer(
        c"ai.max_documents_in_flight",
        c"Documents that a worker works on at the same time.",
        &MAX_DOCUMENTS_IN_FLIGHT,
        1..=10_000,
        GucContext::Suset,
        NUMBER,
    );
    integer(
        c"ai.max_requests_in_flight",
        c"Requests to an embedding provider at the same time.",
        &MAX_REQUESTS_IN_FLIGHT,
        1..=1_000,
        GucContext::Suset,
        NUMBER,
    );
    integer(
        c"ai.request_timeout",
        c"How long an embedding provider may take to answer a request.",
        &REQUEST_TIMEOUT,
        1..=3_600_000,
        GucContext::Suset,
        MILLISECONDS,
    );
    integer(
        c"ai.loading_timeout",
        c"How long the download of a document may take.",
        &LOADING_TIMEOUT,
        1..=3_600_000,
        GucContext::Suset,
        MILLISECONDS,
    );
    integer(
        c"ai.max_document_size",
        c"The largest document that is read, and the longest text that is made of one.",
        &MAX_DOCUMENT_SIZE,
        1..=1_048_576,
        GucContext::Suset,
        KILOBYTES,
    );
    integer(
        c"ai.max_memory",
        c"Memory of a worker for documents and vectors on their way. A larger document runs by itself; small ones may run beside it.",
        &MAX_MEMORY,
        16..=1_048_576,
        GucContext::Suset,
        MEGABYTES,
    );
}

/// What the parser may take, and which program it is.
fn of_parsers() {
    integer(
        c"ai.parser_timeout",
        c"How long the parser may take for a document, and cutting its text after that.",
        &PARSER_TIMEOUT,
        1..=3_600_000,
        GucContext::Suset,
        MILLISECONDS,
    );
    integer(
        c"ai.parser_memory",
        c"Memory that the parser may use for a document, or cutting a text at regular expressions.",
        &PARSER_MEMORY,
        16..=1_048_576,
        GucContext::Suset,
        MEGABYTES,
    );
    integer(
        c"ai.parser_processes",
        c"Parser processes of a worker at the same time, and of all sessions together. Texts are cut at regular expressions in such, too.",
        &PARSER_PROCESSES,
        1..=64,
        GucContext::Suset,
        NUMBER,
    );
    string(
        c"ai.parser_path",
        c"The program that parses documents; empty for ai-parser in Postgres' library directory.",
        &PARSER_PATH,
        GucContext::Suset,
    );
}

/// Where documents and credentials may come from.
fn of_documents() {
    flag(
        c"ai.allow_http",
        c"Whether documents may be loaded from http:// and https:// addresses.",
        &ALLOW_HTTP,
    );
    flag(
        c"ai.allow_private_addresses",
        c"Whether http:// and https:// documents may come from loopback, link-local and private addresses.",
        &ALLOW_PRIVATE_ADDRESSES,
    );
    string(
        c"ai.file_directories",
        c"Directories below which file:// documents may be read, separated by commas; none when empty.",
        &FILE_DIRECTORIES,
        GucContext::Suset,
    );
    string(
        c"ai.secret_directory",
        c"The directory below which foreign servers may name files with credentials (file:/path); none when empty.",
        &SECRET_DIRECTORY,
        GucContext::Sighup,
    );
}

/// What functions of a session stand for, or ask, where they are not told.
fn of_sessions() {
    string(
        c"ai.indexing_default",
        c"What ai.indexing_default() stands for: empty or indexing_none, indexing_hnsw, indexing_diskann.",
        &INDEXING_DEFAULT,
        GucContext::Userset,
    );
    string(
        c"ai.scheduling_default",
        c"What ai.scheduling_default() stands for: empty for the background worker at once, scheduling_timescaledb or scheduling_none.",
        &SCHEDULING_DEFAULT,
        GucContext::Userset,
    );
    // For superusers: the keys of the server are sent there.
    string(
        c"ai.openai_base_url",
        c"Where ai.openai_embed() asks when its client_config does not say it; empty for the environment's OPENAI_BASE_URL, or OpenAI.",
        &OPENAI_BASE_URL,
        GucContext::Suset,
    );
    string(
        c"ai.ollama_host",
        c"Where ai.ollama_embed() asks when its host does not say it; empty for the environment's OLLAMA_HOST, or this machine.",
        &OLLAMA_HOST,
        GucContext::Suset,
    );
    // For superusers: the owner of a database could have it grant the tables of others.
    string(
        c"ai.grant_to_default",
        c"Roles that ai.grant_to() adds, separated by commas.",
        &GRANT_TO_DEFAULT,
        GucContext::Suset,
    );
}

fn integer(
    name: &'static std::ffi::CStr,
    what: &'static std::ffi::CStr,
    setting: &'static GucSetting<i32>,
    range: RangeInclusive<i32>,
    context: GucContext,
    unit: GucFlags,
) {
    GucRegistry::define_int_guc(name, what, c"", setting, *range.start(), *range.end(), context, unit);
}

fn flag(name: &'static std::ffi::CStr, what: &'static std::ffi::CStr, setting: &'static GucSetting<bool>) {
    GucRegistry::define_bool_guc(name, what, c"", setting, GucContext::Suset, GucFlags::empty());
}

fn string(
    name: &'static std::ffi::CStr,
    what: &'static std::ffi::CStr,
    setting: &'static GucSetting<Option<CString>>,
    context: GucContext,
) {
    GucRegistry::define_string_guc(name, what, c"", setting, context, GucFlags::empty());
}
