//! Whom we ask, and with what: foreign servers, addresses and keys, and the environment of the server.

pub mod endpoint;
pub mod environment;
pub mod server;
