//! An embedding server that speaks the APIs of OpenAI and other providers and misbehaves on command.
//!
//! Tests start it in their own process ([`Provider::start`]); the demo and the bench start the binary of the same name.
//! Its vectors are deterministic and carry meaning: texts that share words are near each other (see [`vectors`]).
//!
//! ```
//! let provider = provider::Provider::start();
//! assert!(provider.base_url().starts_with("http://127.0.0.1:"));
//! assert_eq!(provider.counts().requests, 0);
//! ```
#![forbid(unsafe_code)]

mod api;
mod behaviour;
mod limits;
mod refusal;
mod server;
mod state;
pub mod vectors;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use api::Api;
pub use behaviour::Behaviour;
pub use limits::Limits;
use state::State;
pub use state::{Counts, SeenRequest};
use vectors::Vocabulary;

/// How a server is started.
#[derive(Default)]
pub struct Options {
    /// TCP port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Added to every answer.
    pub latency: Duration,
    /// What is known about the frequency of words.
    pub vocabulary: Vocabulary,
    /// Requests without this key get 401; `None` lets everyone in.
    pub require_key: Option<String>,
    /// Rate limits, enforced as OpenAI does.
    pub limits: Limits,
    /// Keep no texts of requests: [`Provider::seen`] stays empty. For long runs.
    pub forget_requests: bool,
    /// One and the same vector for every text, written out once: for benchmarks, where this server must cost little.
    pub same_vector: bool,
}

/// A running server, on a thread and a runtime of its own. Dropping it stops it and closes its connections.
pub struct Provider {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Provider {
    /// Starts on a free port of 127.0.0.1, well-behaved, without a key.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn start() -> Provider {
        Provider::start_with(Options::default()).expect("127.0.0.1 has a free port")
    }

    /// Starts as told.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub fn start_with(options: Options) -> std::io::Result<Provider> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new(options));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let thread = std::thread::spawn({
            let state = state.clone();
            move || {
                runtime.block_on(server::run(listener, state, stopped));
                // Hanging requests must not hold up whoever drops the provider.
                runtime.shutdown_background();
            }
        });
        Ok(Provider {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT/v1`, where OpenAI's API is.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The base address of an API, as a client is configured with it.
    pub fn base_url_of(&self, api: Api) -> String {
        format!("http://{}{}", self.address, api.base())
    }

    /// From now on every request meets this.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state.behave(behaviour, None);
    }

    /// The next `n` requests meet this, then what was before. Calls queue up.
    pub fn behave_times(&self, n: usize, behaviour: Behaviour) {
        self.state.behave(behaviour, Some(n));
    }

    /// Requests without this key get 401 from now on; `None` lets everyone in.
    pub fn require_key(&self, key: Option<&str>) {
        self.state.require_key(key.map(str::to_owned));
    }

    /// From now on these rate limits hold, with full budgets.
    pub fn limit(&self, limits: Limits) {
        self.state.limit(limits);
    }

    /// What was served so far.
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// Every embedding request so far, in order of arrival.
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.state.seen()
    }

    /// Well again, nothing seen, counts at zero. The required key and the rate limits stay.
    pub fn reset(&self) {
        self.state.reset();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
