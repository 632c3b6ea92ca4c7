//! What the tasks work with: loader, parser and embedders, made of the settings and the server's environment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use ai_pipeline::config::{Embedding, Loading};
use ai_pipeline::embed::{Embedder, Gates};
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::format::python_text;
use ai_pipeline::load::{self, Loader};
use ai_pipeline::parse::{self, Parser};
use serde_json::Value;

use crate::catalog::Vectorizer;
use crate::queue::Content;
use crate::settings::Settings;
use crate::{endpoint, environment};

/// Shared by all tasks of a worker, so that connections, credentials and limits are.
pub struct Services {
    loader: Loader,
    parser: Parser,
    /// One embedder for all vectorizers with the same provider, model and key.
    embedders: Vec<(Embedding, Embedder)>,
    /// One limiter for all embedders with the same server.
    gates: Gates,
    settings: Settings,
}

impl Services {
    /// Must be called inside the runtime.
    pub fn new(settings: &Settings) -> Services {
        let loader = Loader::new(load::Settings {
            max_document_bytes: settings.max_document_bytes,
            timeout: settings.loading_timeout,
            http_enabled: settings.allow_http,
            allow_private: settings.allow_private_addresses,
            file_directories: settings.file_directories.clone(),
            external_id: environment::secret("AWS_ASSUME_ROLE_EXTERNAL_ID"),
        });
        let limits = parse::Limits {
            timeout: settings.parser_timeout,
            memory_bytes: settings.parser_memory_bytes,
            text_bytes: settings.max_document_bytes,
        };
        let parser = Parser::new(settings.parser_path.clone(), limits, settings.parser_processes);
        Services {
            loader,
            parser,
            embedders: Vec::new(),
            gates: Gates::default(),
            settings: settings.clone(),
        }
    }

    /// The embedder of a vectorizer. Must be called inside the runtime.
    pub fn embedder(&mut self, embedding: &Embedding) -> Result<Embedder, Failure> {
        if let Some((_, embedder)) = self.embedders.iter().find(|(known, _)| known == embedding) {
            return Ok(embedder.clone());
        }
        let mut endpoint = endpoint::of(embedding, None, &self.settings)?;
        endpoint.gates = self.gates.clone();
        let embedder = Embedder::new(embedding, endpoint).map_err(Failure::from)?;
        self.embedders.push((embedding.clone(), embedder.clone()));
        Ok(embedder)
    }

    /// Until when a provider wants to be left alone, if one does.
    pub fn throttled_until(&self) -> Option<SystemTime> {
        let embedders = self.embedders.iter().map(|(_, embedder)| embedder);
        embedders.filter_map(Embedder::throttled_until).max()
    }

    /// The task that makes the texts of a document: load, parse, chunk, format.
    pub fn prepare(
        &self,
        vectorizer: &Arc<Vectorizer>,
        document: Option<Content>,
        columns: Value,
    ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send + use<> {
        let (loader, parser, vectorizer) = (self.loader.clone(), self.parser.clone(), Arc::clone(vectorizer));
        async move {
            let Some(document) = document else {
                return Ok(Vec::new());
            };
            let text = read(&loader, &parser, &vectorizer, document).await?;
            let blocking = tokio::task::spawn_blocking(move || texts(&vectorizer, &text, &columns));
            blocking.await.unwrap_or_else(|_| {
                Err(Failure {
                    step: Step::Chunking,
                    class: Class::Unknown,
                    reason: "the chunker panicked".to_owned(),
                    hint: Some("The server log has the place; please report it.".to_owned()),
                })
            })
        }
    }
}

/// The text of a document: what its column holds, or what the column points at.
async fn read(loader: &Loader, parser: &Parser, vectorizer: &Vectorizer, document: Content) -> Result<String, Failure> {
    let parsing = vectorizer.config.parsing;
    match (&vectorizer.config.loading, document) {
        (Loading::Column { .. }, Content::Text(text)) => Ok(text),
        (Loading::Column { .. }, Content::Bytes(bytes)) => Ok(parser.parse(bytes.into(), None, None, parsing).await?),
        (Loading::Uri { aws_role_arn, .. }, Content::Text(uri)) => {
            let loaded = loader.load(&uri, aws_role_arn.as_deref()).await?;
            let (name, media_type) = (loaded.name.as_deref(), loaded.media_type.as_deref());
            Ok(parser.parse(loaded.bytes, name, media_type, parsing).await?)
        }
        (Loading::Uri { .. }, Content::Bytes(_)) => Err(Failure {
            step: Step::Loading,
            class: Class::Configuration,
            reason: "the column of URIs holds bytes".to_owned(),
            hint: Some("Its type should be text.".to_owned()),
        }),
    }
}

/// What is embedded for a text: its chunks, each in the template.
fn texts(vectorizer: &Vectorizer, text: &str, columns: &Value) -> Result<Vec<String>, Failure> {
    let row: BTreeMap<String, String> = vectorizer
        .template_columns
        .iter()
        .map(|(name, kind)| {
            (
                name.clone(),
                python_text(columns.get(name).unwrap_or(&Value::Null), kind),
            )
        })
        .collect();
    let chunks = vectorizer.splitter.split(text)?;
    chunks
        .iter()
        .map(|chunk| Ok(vectorizer.template.render(chunk, &row)?))
        .collect()
}
