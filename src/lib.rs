//! Embeddings that stay true, inside Postgres: the shell around `ai_pipeline`.
//!
//! The rooms, from the ground up. A room imports from those before it and from none behind it, which `make
//! test` checks:
//!
//! | room | what is in it |
//! |---|---|
//! | `settings` | what can be set |
//! | `postgres` | what Postgres offers, as Rust: statements, transactions, values, errors |
//! | `shared_memory` | what processes know of each other, and what outlives them |
//! | `access` | whom we ask, and with what: foreign servers, addresses, keys, the environment |
//! | `catalog` | the extension's own tables, and the statements of one vectorizer |
//! | `store` | the tables of one vectorizer: queue, destination, index, stash, memory |
//! | `runtime` | where asynchronous work runs, and what it works with |
//! | `intake` | how a change in a source becomes a key that waits |
//! | `vectorizer` | how a vectorizer is made, altered, adopted and dropped |
//! | `session` | what a session calls |
//! | `worker` | the processes that do the work |

use pgrx::prelude::*;

mod access;
mod catalog;
mod intake;
mod postgres;
mod runtime;
mod session;
mod settings;
mod shared_memory;
mod store;
mod vectorizer;
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
    postgres::panics::init();
    postgres::allocation::init();
    postgres::transaction::init();
    settings::init();
    worker::init();
}
