//! Embeddings that stay true, inside Postgres: the shell around `ai_pipeline`.
//!
//! The pages in reading order: what can be set, how the queue and the destination are spoken to, how a vectorizer is
//! made, the processes that do the work, and what a session can ask for itself.

use pgrx::prelude::*;

mod allocation;
mod bridge;
mod catalog;
mod chunk;
mod destination;
mod embed;
mod endpoint;
mod environment;
mod error;
mod failed;
mod index;
mod intake;
mod json;
mod key;
mod latch;
mod panics;
mod places;
mod queue;
mod scan;
mod schema;
mod server;
mod settings;
mod stash;
mod statement;
mod swallowed;
mod transaction;
mod vector;
mod vectorizer;
mod verify;
mod waiting;
mod worker;

pgrx::pg_module_magic!(name, version);

// The install script is these files in this order.
pgrx::extension_sql_file!("../sql/tables.sql", name = "tables", bootstrap);
pgrx::extension_sql_file!("../sql/config.sql", name = "config", requires = ["tables"]);
pgrx::extension_sql_file!("../sql/servers.sql", name = "servers", requires = ["config"]);
pgrx::extension_sql_file!("../sql/functions.sql", name = "functions", requires = ["servers"]);
pgrx::extension_sql_file!("../sql/views.sql", name = "views", requires = ["functions"]);
pgrx::extension_sql_file!("../sql/management.sql", name = "management", requires = ["views"]);
pgrx::extension_sql_file!("../sql/verify.sql", name = "verify", requires = ["management"]);
pgrx::extension_sql_file!("../sql/lifecycle.sql", name = "lifecycle", requires = ["verify"]);
pgrx::extension_sql_file!("../sql/embed.sql", name = "embed", requires = ["lifecycle"]);
pgrx::extension_sql_file!("../sql/adopt.sql", name = "adopt", requires = ["embed"]);
pgrx::extension_sql_file!("../sql/privileges.sql", name = "privileges", finalize);

#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    panics::init();
    allocation::init();
    settings::init();
    worker::init();
}
