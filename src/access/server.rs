//! Foreign servers as a vectorizer uses them: which, whether its owner may, and what they say.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ai_pipeline::config::{Embedding, Loading};
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::load;
use ai_pipeline::server::{self, InvalidOption, OptionTarget, Wrapper};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use serde::de::DeserializeOwned;

use crate::access::endpoint;
use crate::postgres::error::raise;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;
use crate::shared_memory;

/// The servers of a vectorizer, as they are now.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorizerServers {
    /// Who embeds.
    pub provider: Result<ProviderServer, ServerRefusal>,
    /// Where documents come from; `None` where they are in the column itself.
    pub source: Result<Option<load::DocumentServers>, ServerRefusal>,
}

/// A provider's server.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderServer {
    pub name: String,
    /// With the key of the role, where it has one of its own.
    pub options: server::ProviderOptions,
}

/// Why a server is not used.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerRefusal {
    code: PgSqlErrorCode,
    pub reason: String,
    pub hint: Option<String>,
}

impl ServerRefusal {
    /// As what is wrong with a vectorizer.
    pub fn failure(&self, step: Step) -> Failure {
        Failure {
            step,
            class: Class::Configuration,
            reason: self.reason.clone(),
            hint: self.hint.clone(),
        }
    }

    /// Raises it in the session that asked for the server.
    pub fn raise(&self) -> ! {
        raise(self.code, self.reason.clone(), self.hint.as_deref())
    }
}

/// A server as the catalogue has it, and what a role may do with it.
struct ServerRow {
    name: String,
    wrapper: String,
    kind: Option<String>,
    options: Vec<(String, String)>,
    /// Of the role's user mapping.
    mapping: Vec<(String, String)>,
    may_use: bool,
    /// What would help where it may not.
    grant: String,
}

/// How often this process was told that a server, a user mapping or a role has changed, or who is a member of which.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Up to which change servers are known.
#[derive(Debug)]
pub struct Seen(AtomicU64);

impl Seen {
    /// Of servers that are read by [`of_latest`] after this.
    pub fn now() -> Seen {
        static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
        if !IS_REGISTERED.swap(true, Ordering::Relaxed) {
            use pg_sys::SysCacheIdentifier as Cache;
            let caches = [
                Cache::FOREIGNSERVEROID,
                Cache::FOREIGNDATAWRAPPEROID,
                Cache::USERMAPPINGOID,
                Cache::AUTHOID,
                Cache::AUTHMEMROLEMEM,
            ];
            for cache in caches {
                // SAFETY: on the main thread; the callback lives as long as the library, which is never unloaded.
                unsafe {
                    pg_sys::CacheRegisterSyscacheCallback(cache as c_int, Some(at_change), pg_sys::Datum::from(0usize))
                };
            }
        }
        Seen(AtomicU64::new(CHANGES.load(Ordering::Relaxed)))
    }

    /// Whether nothing has changed since, as far as the running transaction was told when it began: of all that was
    /// committed before.
    pub fn is_latest(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CHANGES.load(Ordering::Relaxed)
    }

    /// What was read later is as it was before.
    pub fn renew(&self, later: Seen) {
        self.0.store(later.0.into_inner(), Ordering::Relaxed);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_change(_argument: pg_sys::Datum, _cache: c_int, _hash: u32) {
    CHANGES.fetch_add(1, Ordering::Relaxed);
}

/// [`of`], as they are committed now, whatever the running transaction sees: what it was told of is among it.
pub fn of_latest(embedding: &Embedding, loading: &Loading, role: Oid) -> VectorizerServers {
    statement::on_latest(|| of(embedding, loading, role))
}

/// The servers of a configuration, for the role that it works as.
pub fn of(embedding: &Embedding, loading: &Loading, role: Oid) -> VectorizerServers {
    VectorizerServers {
        provider: provider(embedding, role),
        source: sources(loading, role),
    }
}

/// The server that embeds: the one that is named, or the default one of its type.
pub fn provider(embedding: &Embedding, role: Oid) -> Result<ProviderServer, ServerRefusal> {
    let kind = embedding.server_type().unwrap_or_default();
    let default = format!("ai_{kind}");
    let name = embedding.server().unwrap_or(&default);
    let found = find(name, role)?;
    must_be(&found, Wrapper::Provider, &[kind])?;
    must_be_usable(&found)?;
    let mut options = server::ProviderOptions::read(&found.options).map_err(|invalid| refused(&invalid))?;
    if let Some(own) = server::ProviderOptions::read(&found.mapping)
        .map_err(|invalid| refused(&invalid))?
        .api_key
    {
        options.api_key = Some(own);
    }
    Ok(ProviderServer {
        name: found.name,
        options,
    })
}

/// The servers of the schemes that rows may name: the one that is named, or all default ones. Of those, the role needs
/// one; documents of the others are refused one by one.
fn sources(loading: &Loading, role: Oid) -> Result<Option<load::DocumentServers>, ServerRefusal> {
    let Loading::Uri {
        aws_role_arn, server, ..
    } = loading
    else {
        return Ok(None);
    };
    let aws_role = aws_role_arn.as_deref();
    let Some(name) = server else {
        let [s3, http, file] = ["ai_s3", "ai_http", "ai_file"].map(|name| source(name, role, aws_role));
        if let (Err(refusal), Err(_), Err(_)) = (&s3, &http, &file) {
            return Err(refusal.clone());
        }
        return Ok(Some(load::DocumentServers {
            s3: gate(s3.map(|(_, gate)| gate)),
            http: gate(http.map(|(_, gate)| gate)),
            file: gate(file.map(|(_, gate)| gate)),
        }));
    };
    let (kind, open) = source(name, role, aws_role)?;
    let closed = |scheme: &str| load::Permission::Closed {
        reason: format!("the foreign server {name} is of type {kind}, and not for {scheme}"),
        hint: None,
    };
    let mut servers = load::DocumentServers {
        s3: closed("s3:// documents"),
        http: closed("documents on the web"),
        file: closed("files"),
    };
    match kind.as_str() {
        "s3" => servers.s3 = open,
        "http" => servers.http = open,
        _ => servers.file = open,
    }
    Ok(Some(servers))
}

fn gate(open: Result<load::Permission, ServerRefusal>) -> load::Permission {
    open.unwrap_or_else(|ServerRefusal { reason, hint, .. }| load::Permission::Closed { reason, hint })
}

/// The type of a server of documents, and what it says.
fn source(name: &str, role: Oid, aws_role: Option<&str>) -> Result<(String, load::Permission), ServerRefusal> {
    let found = find(name, role)?;
    must_be(&found, Wrapper::Source, Wrapper::Source.types())?;
    must_be_usable(&found)?;
    let source = server::DocumentOptions::read(&found.options).map_err(|invalid| refused(&invalid))?;
    let kind = found.kind.unwrap_or_default();
    if let Some(aws_role) = aws_role
        && kind == "s3"
        && source.allowed_roles.is_some()
        && !source.allows_role(aws_role)
    {
        return Err(role_not_allowed(&found.name, aws_role, "SET"));
    }
    Ok((kind, load::Permission::Open(source)))
}

fn role_not_allowed(server: &str, aws_role: &str, verb: &str) -> ServerRefusal {
    ServerRefusal {
        code: PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        reason: format!("the foreign server {server} does not allow the role {aws_role}"),
        hint: Some(format!(
            "A superuser can allow it: ALTER SERVER {} OPTIONS ({verb} allowed_roles '...,{aws_role}').",
            statement::identifier(server)
        )),
    }
}

/// Refuses, when a vectorizer is made, what its owner may not use. Who makes it is a superuser, or may choose
/// nothing that decides where credentials of the server are used but a foreign server.
pub fn check(embedding: &Embedding, loading: &Loading, owner: Oid, by_superuser: bool) {
    check_choice(embedding, by_superuser);
    let VectorizerServers { provider, source } = of(embedding, loading, owner);
    if let Err(refusal) = provider {
        refusal.raise();
    }
    let source = source.unwrap_or_else(|refusal| refusal.raise());
    let Loading::Uri {
        aws_role_arn: Some(aws_role),
        server,
        ..
    } = loading
    else {
        return;
    };
    let s3 = source.map(|servers| servers.s3);
    let allowed = matches!(&s3, Some(load::Permission::Open(source)) if source.allows_role(aws_role));
    if !by_superuser && !allowed {
        let name = server.as_deref().unwrap_or("ai_s3");
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "permission denied to choose aws_role_arn",
            role_not_allowed(name, aws_role, "ADD").hint.as_deref(),
        );
    }
}

/// Whether the address and the key of a configuration are for its author to choose.
pub fn check_choice(embedding: &Embedding, by_superuser: bool) {
    let Some(what) = endpoint::choices(embedding).into_iter().next() else {
        return;
    };
    if let Some(server) = embedding.server() {
        // A key and where it is sent are one thing.
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("{what} cannot be chosen beside a server: the foreign server {server} says it"),
            Some("Leave it out, or name no server."),
        );
    }
    if !by_superuser {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied to choose {what}"),
            Some(
                "Only a superuser may say where the credentials of the server are used. Name a foreign server that says \
                 it: server => '...'.",
            ),
        );
    }
}

fn find(name: &str, role: Oid) -> Result<ServerRow, ServerRefusal> {
    let sql = include_str!("../../sql/query/server/server.sql");
    // User mappings are hidden from everybody else.
    let found = acting_as_extension(|| {
        statement::look_up(sql, &[name.into(), role.into()], |row| ServerRow {
            name: row.must("name"),
            wrapper: row.must("wrapper"),
            kind: row.get("kind"),
            options: written(row.get("options")),
            mapping: written(row.get("mapping")),
            may_use: row.must("may_use"),
            grant: row.must("grant"),
        })
    });
    found.ok_or_else(|| ServerRefusal {
        code: PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        reason: format!("the foreign server {name} does not exist"),
        hint: Some("CREATE SERVER makes one; \\des+ in psql lists those that there are.".to_owned()),
    })
}

fn must_be(found: &ServerRow, wrapper: Wrapper, kinds: &[&str]) -> Result<(), ServerRefusal> {
    let kind = found.kind.as_deref().unwrap_or_default();
    if found.wrapper == wrapper.name() && kinds.contains(&kind) {
        return Ok(());
    }
    Err(ServerRefusal {
        code: PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
        reason: format!(
            "the foreign server {} is of {} and type \"{kind}\": it takes one of {} and type {}",
            found.name,
            found.wrapper,
            wrapper.name(),
            kinds.join(", ")
        ),
        hint: None,
    })
}

fn must_be_usable(found: &ServerRow) -> Result<(), ServerRefusal> {
    if found.may_use {
        return Ok(());
    }
    Err(ServerRefusal {
        code: PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        reason: format!("permission denied for foreign server {}", found.name),
        hint: Some(found.grant.clone()),
    })
}

fn refused(invalid: &InvalidOption) -> ServerRefusal {
    let code = if invalid.name {
        PgSqlErrorCode::ERRCODE_FDW_INVALID_OPTION_NAME
    } else {
        PgSqlErrorCode::ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE
    };
    ServerRefusal {
        code,
        reason: invalid.reason.clone(),
        hint: invalid.hint.clone(),
    }
}

/// `name=value`, as the catalogue keeps options.
fn written(options: Option<Vec<Option<String>>>) -> Vec<(String, String)> {
    let options = options.unwrap_or_default().into_iter().flatten();
    let pair = |option: String| {
        let (name, value) = option.split_once('=').unwrap_or((&option, ""));
        (name.to_owned(), value.to_owned())
    };
    options.map(pair).collect()
}

#[pg_extern(sql = false)]
fn provider_options(options: Option<Vec<Option<String>>>, catalogue: Oid) {
    validate(Wrapper::Provider, options, catalogue);
}

#[pg_extern(sql = false)]
fn source_options(options: Option<Vec<Option<String>>>, catalogue: Oid) {
    validate(Wrapper::Source, options, catalogue);
}

/// The validator of a wrapper.
///
/// Options say which credential goes to which address. So only superusers write them: neither the owner of a
/// server, nor a role for its own user mapping.
fn validate(wrapper: Wrapper, options: Option<Vec<Option<String>>>, catalogue: Oid) {
    let object = match catalogue {
        pg_sys::ForeignServerRelationId => OptionTarget::Server,
        pg_sys::UserMappingRelationId => OptionTarget::UserMapping,
        _ => OptionTarget::Other,
    };
    // SAFETY: a look at the role of the session.
    if !unsafe { pg_sys::superuser() } {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied to write options of {}", wrapper.name()),
            Some("Only a superuser may say where the credentials of the server are used."),
        );
    }
    if let Err(invalid) = wrapper.check(object, &written(options)) {
        refused(&invalid).raise();
    }
}

/// Checks what the validator cannot see: the type of a server, and the options that go with it.
#[pg_extern(sql = false)]
fn check_server(wrapper: String, kind: Option<String>, options: Option<Vec<Option<String>>>) {
    let wrapper = match wrapper.as_str() {
        "ai_provider" => Wrapper::Provider,
        "ai_source" => Wrapper::Source,
        _ => return,
    };
    if let Err(invalid) = wrapper.check_type(kind.as_deref(), &written(options)) {
        refused(&invalid).raise();
    }
}

/// For the event trigger: servers or user mappings are others than before. The worker looks at them anew.
#[pg_extern(sql = false)]
fn servers_changed(classes: Vec<Oid>, objects: Vec<Oid>) {
    let sql = include_str!("../../sql/query/server/servers_altered.sql");
    let arguments = [classes.into(), objects.into()];
    let altered = acting_as_extension(|| statement::on_latest(|| statement::rows(sql, &arguments, |row| row.must(1))));
    changed(altered);
}

thread_local! {
    /// Who may use which server, as it was before the GRANT or REVOKE that is running.
    static GRANTS: RefCell<HashMap<String, String>> = RefCell::default();
}

fn grants() -> HashMap<String, String> {
    let sql = include_str!("../../sql/query/server/server_grants.sql");
    let read = || statement::rows(sql, &[], |row| (row.must::<String>(1), row.must::<String>(2)));
    acting_as_extension(|| statement::on_latest(read)).into_iter().collect()
}

/// For the event trigger before a GRANT or REVOKE.
#[pg_extern(sql = false)]
fn note_grants() {
    GRANTS.set(grants());
}

/// For the event trigger after one on a foreign server. One that grants nothing, as the role may not, or as that was
/// granted before, concerns nobody.
#[pg_extern(sql = false)]
fn grants_changed() {
    let before = GRANTS.take();
    let now = grants()
        .into_iter()
        .filter(|(name, grants)| before.get(name) != Some(grants));
    changed(now.map(|(name, _)| name).collect());
}

/// Has the worker look at the vectorizers that use these servers once the transaction commits, and try those that are
/// paused.
fn changed(servers: Vec<String>) {
    if servers.is_empty() {
        return;
    }
    let found = acting_as_extension(|| {
        statement::on_latest(|| {
            let there = "SELECT s.srvname::text FROM pg_foreign_server s";
            (users(), statement::rows(there, &[], |row| row.must::<String>(1)))
        })
    });
    let (users, there) = found;
    let concerned = users.into_iter().filter(|user| user.may_use(&servers, &there));
    concerned.for_each(|user| shared_memory::servers_changed_at_commit(user.id));
}

/// A vectorizer, what it asks, and where its documents are. `None` is what cannot be read, in a row
/// that was changed by hand.
struct ServerUser {
    id: i32,
    name: String,
    embedding: Option<Embedding>,
    loading: Option<Loading>,
}

fn users() -> Vec<ServerUser> {
    fn read<T: DeserializeOwned>(section: Option<String>) -> Option<T> {
        serde_json::from_str(&section?).ok()
    }
    statement::rows(include_str!("../../sql/query/server/users.sql"), &[], |row| {
        ServerUser {
            id: row.must("id"),
            name: row.must("name"),
            embedding: read(row.get("embedding")),
            loading: read(row.get("loading")),
        }
    })
}

impl ServerUser {
    /// The foreign servers that it names.
    fn named(&self) -> impl Iterator<Item = &str> {
        let loading = match &self.loading {
            Some(Loading::Uri { server, .. }) => server.as_deref(),
            Some(Loading::Column { .. }) | None => None,
        };
        let embedding = self.embedding.as_ref().and_then(Embedding::server);
        embedding.into_iter().chain(loading)
    }

    /// Whether it uses one of these servers, by name or as the default of what it asks; or one that
    /// is not there, which may have been called so until now.
    fn may_use(&self, servers: &[String], there: &[String]) -> bool {
        let is_one = |name: &str| servers.iter().any(|server| server == name);
        let by_default = self.embedding.as_ref().is_none_or(|embedding| {
            // The model may name no provider that is known.
            let kind = embedding.server_type();
            let is_its = |server: &String| {
                server
                    .strip_prefix("ai_")
                    .is_some_and(|of| kind.is_none_or(|kind| kind == of))
            };
            embedding.server().is_none() && servers.iter().any(is_its)
        });
        let of_documents = ["ai_s3", "ai_http", "ai_file"].into_iter().any(is_one);
        let is_uri = matches!(&self.loading, None | Some(Loading::Uri { server: None, .. }));
        by_default
            || is_uri && of_documents
            || self
                .named()
                .any(|name| is_one(name) || !there.iter().any(|there| there == name))
    }
}

/// Whether dropping a user mapping of this server, which writes options, too, is not for the caller. Seen as
/// it is now, also in a transaction that began before the server was made.
#[pg_extern(sql = false)]
fn keeps_mappings(server: &str) -> bool {
    let sql = include_str!("../../sql/query/server/keeps_mappings.sql");
    let is_ours = statement::on_latest(|| statement::row(sql, &[server.into()], |row| row.must(1))) == Some(true);
    // SAFETY: a look at the role of the session.
    let may_drop = unsafe { pg_sys::superuser() };
    if may_drop && is_ours {
        changed(vec![server.to_owned()]);
    }
    is_ours && !may_drop
}

/// A vectorizer that uses this server, of any owner: also one that is newer than the transaction's view of the data.
#[pg_extern(sql = false)]
fn user_of_server(server: &str) -> Option<String> {
    let mut users = statement::on_latest(users).into_iter();
    users
        .find(|user| user.named().any(|name| name == server))
        .map(|user| user.name)
}
