//! What foreign servers say: the options of `ai_provider` and `ai_source`, their names and values checked.
//!
//! Only administrators write options. They hold no secret: where one is needed, they say where it is.

mod url;

pub use self::url::{AllowedUrl, session_policy};
use crate::credential::Reference;
use crate::embed;

/// The foreign-data wrappers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapper {
    /// Servers that turn text into vectors.
    Provider,
    /// Places where documents are.
    Source,
}

/// What options are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionTarget {
    /// `CREATE SERVER`.
    Server,
    /// `CREATE USER MAPPING`.
    UserMapping,
    /// A wrapper, or a foreign table: they take none.
    Other,
}

/// Why options are refused. Values are shown only where they cannot be a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidOption {
    /// The name is at fault, not the value.
    pub name: bool,
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Options as they are written, name and value.
pub type OptionPairs = [(String, String)];

/// The types of foreign servers, and below the options that each wrapper takes: those that
/// docs/servers.md lists.
const PROVIDER_TYPES: [&str; 7] = [
    "openai",
    "ollama",
    "voyageai",
    "azure",
    "cohere",
    "mistral",
    "huggingface",
];
const SOURCE_TYPES: [&str; 3] = ["s3", "http", "file"];
const PROVIDER: [&str; 4] = ["base_url", "api_key", "requests_per_minute", "tokens_per_minute"];
const S3: [&str; 9] = [
    "endpoint",
    "region",
    "path_style",
    "anonymous",
    "role_arn",
    "external_id",
    "allowed_roles",
    "allowed_urls",
    "request_payer",
];
const HTTP: [&str; 2] = ["allowed_urls", "allow_private"];
const FILE: [&str; 1] = ["allowed_urls"];

impl Wrapper {
    /// Its name in Postgres.
    pub fn name(self) -> &'static str {
        match self {
            Wrapper::Provider => "ai_provider",
            Wrapper::Source => "ai_source",
        }
    }

    /// The types that its servers may have.
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Wrapper::Provider => &PROVIDER_TYPES,
            Wrapper::Source => &SOURCE_TYPES,
        }
    }

    fn options(self, object: OptionTarget) -> Vec<&'static str> {
        match (self, object) {
            (Wrapper::Provider, OptionTarget::Server) => PROVIDER.to_vec(),
            (Wrapper::Provider, OptionTarget::UserMapping) => vec!["api_key"],
            (Wrapper::Source, OptionTarget::Server) => {
                let mut all = [&S3[..], &HTTP, &FILE].concat();
                all.sort_unstable();
                all.dedup();
                all
            }
            (Wrapper::Source, OptionTarget::UserMapping) | (_, OptionTarget::Other) => Vec::new(),
        }
    }

    /// Checks names and values of the options of one object, whatever its type: `CREATE SERVER` does not tell it.
    ///
    /// # Errors
    /// [`InvalidOption`], the first that is found.
    pub fn check(self, object: OptionTarget, options: &OptionPairs) -> Result<(), InvalidOption> {
        must_be_known(&self.options(object), options, self.name())?;
        match self {
            Wrapper::Provider => ProviderOptions::read(options).map(drop),
            Wrapper::Source => DocumentOptions::read(options).map(drop),
        }
    }

    /// Checks what only the type of a server decides: which options it takes, and which URLs it can allow.
    ///
    /// # Errors
    /// [`InvalidOption`]; also where there is no type, or an unknown one.
    pub fn check_type(self, kind: Option<&str>, options: &OptionPairs) -> Result<(), InvalidOption> {
        let known = || format!("types of {} are {}", self.name(), self.types().join(", "));
        let Some(kind) = kind.and_then(|kind| self.types().iter().find(|known| **known == kind)) else {
            return Err(InvalidOption {
                name: false,
                reason: kind.map_or_else(
                    || format!("a server of {} needs a type", self.name()),
                    |kind| format!("a server of {} cannot be of type \"{kind}\"", self.name()),
                ),
                hint: Some(known()),
            });
        };
        let takes: &[&str] = match *kind {
            "s3" => &S3,
            "http" => &HTTP,
            "file" => &FILE,
            _ => &PROVIDER,
        };
        must_be_known(takes, options, &format!("type {kind}"))?;
        if self == Wrapper::Provider {
            return Ok(());
        }
        let source = DocumentOptions::read(options)?;
        match source.allowed_urls.iter().flatten().find(|url| url.kind() != *kind) {
            Some(other) => Err(value(
                "allowed_urls",
                &format!("a server of type {kind} cannot allow {other}"),
            )),
            None => Ok(()),
        }
    }
}

fn must_be_known(known: &[&str], options: &OptionPairs, place: &str) -> Result<(), InvalidOption> {
    let Some((unknown, _)) = options.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    Err(InvalidOption {
        name: true,
        reason: format!("invalid option \"{unknown}\""),
        hint: Some(if known.is_empty() {
            format!("There are no valid options in this context ({place}).")
        } else {
            format!("Valid options in this context ({place}) are: {}", known.join(", "))
        }),
    })
}

fn value(name: &str, what: &str) -> InvalidOption {
    InvalidOption {
        name: false,
        reason: format!("invalid value of option \"{name}\": {what}"),
        hint: None,
    }
}

/// A provider's server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderOptions {
    /// In place of the address in the environment of the server, and of the provider's own.
    pub base_url: Option<String>,
    /// In place of the key in the environment of the server.
    pub api_key: Option<Reference>,
    /// What it may be asked for in a minute.
    pub allowance: embed::Allowance,
}

impl ProviderOptions {
    /// Reads options; unknown ones are ignored.
    ///
    /// # Errors
    /// [`InvalidOption`] for a value that makes no sense.
    pub fn read(options: &OptionPairs) -> Result<ProviderOptions, InvalidOption> {
        let base_url = text(options, "base_url");
        if let Some(base_url) = &base_url {
            embed::check_address(base_url).map_err(|error| InvalidOption {
                name: false,
                reason: error.reason,
                hint: error.hint,
            })?;
        }
        Ok(ProviderOptions {
            base_url,
            api_key: text(options, "api_key")
                .map(|text| reference("api_key", &text))
                .transpose()?,
            allowance: embed::Allowance {
                requests_per_minute: number(options, "requests_per_minute")?,
                tokens_per_minute: number(options, "tokens_per_minute")?,
            },
        })
    }

    /// Whether it says itself where requests go: then nothing that was made for another address goes there.
    pub fn has_own_address(&self) -> bool {
        self.base_url.is_some()
    }
}

/// The external id of a role: no secret in itself, but nobody's business.
#[derive(Clone, PartialEq, Eq)]
pub enum ExternalId {
    /// Where it is.
    Reference(Reference),
    /// What it is.
    Value(crate::secret::Secret),
}

impl std::fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExternalId::Reference(reference) => write!(f, "{reference}"),
            ExternalId::Value(value) => write!(f, "{value}"),
        }
    }
}

/// A place of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentOptions {
    /// Of S3: another address than that of AWS.
    pub endpoint: Option<String>,
    /// Of S3: where buckets are unless they say otherwise.
    pub region: Option<String>,
    /// Of S3: buckets are in the path, not in the host name.
    pub path_style: Option<bool>,
    /// Of S3: requests are not signed.
    pub anonymous: bool,
    /// Of S3: who asks pays for it, where the owner of a bucket does not.
    pub requester_pays: bool,
    /// Of S3: the role that is assumed where the vectorizer names none.
    pub role_arn: Option<String>,
    /// Of S3: sent along when a role is assumed.
    pub external_id: Option<ExternalId>,
    /// Of S3: the roles that a vectorizer may name; a `*` at the end stands for anything.
    pub allowed_roles: Option<Vec<String>>,
    /// What rows may name. `None`: what the type allows by itself.
    pub allowed_urls: Option<Vec<AllowedUrl>>,
    /// Of the web: addresses that are not on the public internet may be connected to.
    pub allow_private: bool,
}

impl DocumentOptions {
    /// Reads options; unknown ones are ignored.
    ///
    /// # Errors
    /// [`InvalidOption`] for a value that makes no sense.
    pub fn read(options: &OptionPairs) -> Result<DocumentOptions, InvalidOption> {
        let role = |name: &str, role: String| match is_role(&role) {
            true => Ok(role),
            false => Err(value(
                name,
                &format!("\"{role}\" is no role, as arn:aws:iam::123456789012:role/reader"),
            )),
        };
        let endpoint = text(options, "endpoint");
        if let Some(endpoint) = &endpoint {
            embed::check_address(endpoint).map_err(|error| InvalidOption {
                name: false,
                reason: error.reason.replace("base_url", "endpoint"),
                hint: Some("an address like https://s3.example.com".to_owned()),
            })?;
        }
        let external_id = text(options, "external_id").map(|text| {
            if text.starts_with("env:") || text.starts_with("file:") {
                return reference("external_id", &text).map(ExternalId::Reference);
            }
            Ok(ExternalId::Value(crate::secret::Secret::new(text)))
        });
        let allowed_roles = list(options, "allowed_roles").map(|roles| {
            let roles = roles.into_iter().map(|name| role("allowed_roles", name));
            roles.collect::<Result<Vec<_>, _>>()
        });
        let allowed_urls = list(options, "allowed_urls").map(|urls| {
            let urls = urls
                .iter()
                .map(|text| AllowedUrl::parse(text).map_err(|what| value("allowed_urls", &what)));
            urls.collect::<Result<Vec<_>, _>>()
        });
        Ok(DocumentOptions {
            endpoint,
            region: text(options, "region"),
            path_style: boolean(options, "path_style")?,
            anonymous: boolean(options, "anonymous")?.unwrap_or(false),
            requester_pays: match text(options, "request_payer").as_deref() {
                None => false,
                Some("requester") => true,
                Some(other) => {
                    let what = format!("\"{other}\" is not requester, the only one that there is");
                    return Err(value("request_payer", &what));
                }
            },
            role_arn: text(options, "role_arn")
                .map(|name| role("role_arn", name))
                .transpose()?,
            external_id: external_id.transpose()?,
            allowed_roles: allowed_roles.transpose()?,
            allowed_urls: allowed_urls.transpose()?,
            allow_private: boolean(options, "allow_private")?.unwrap_or(false),
        })
    }

    /// Whether a vectorizer may name this role here.
    pub fn allows_role(&self, role: &str) -> bool {
        self.allowed_roles
            .iter()
            .flatten()
            .any(|allowed| match allowed.strip_suffix('*') {
                Some(beginning) => role.starts_with(beginning),
                None => role == allowed,
            })
    }
}

/// Whether this is the ARN of a role. Partitions of AWS other than the first (aws-us-gov, aws-cn) have roles as well.
pub fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, "iam", _, _, name] if partition.starts_with("aws") && name.starts_with("role/"))
}

fn text(options: &OptionPairs, name: &str) -> Option<String> {
    let (_, value) = options.iter().find(|(known, _)| known == name)?;
    Some(value.clone()).filter(|value| !value.is_empty())
}

/// Of things that are separated by commas. One that is empty allows nothing.
fn list(options: &OptionPairs, name: &str) -> Option<Vec<String>> {
    let (_, value) = options.iter().find(|(known, _)| known == name)?;
    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
    Some(parts.map(str::to_owned).collect())
}

fn reference(name: &str, text: &str) -> Result<Reference, InvalidOption> {
    Reference::parse(text).map_err(|error| InvalidOption {
        name: false,
        reason: format!("invalid value of option \"{name}\": {error}"),
        hint: Some(
            "Write env:NAME for a variable of the server's environment, or file:/path for a file below \
             ai.secret_directory. If a key was written here, it may be in the log by now: replace it."
                .to_owned(),
        ),
    })
}

fn number(options: &OptionPairs, name: &str) -> Result<Option<u32>, InvalidOption> {
    let number = |text: String| match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(value(name, &format!("\"{text}\" is no positive integer"))),
    };
    text(options, name).map(number).transpose()
}

fn boolean(options: &OptionPairs, name: &str) -> Result<Option<bool>, InvalidOption> {
    let boolean = |text: String| match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(value(name, &format!("\"{text}\" is neither true nor false"))),
    };
    text(options, name).map(boolean).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(options: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        options.iter().map(own).collect()
    }

    fn server(wrapper: Wrapper, options: &[(&str, &str)]) -> Result<(), InvalidOption> {
        wrapper.check(OptionTarget::Server, &written(options))
    }

    #[test]
    fn unknown_options_are_refused_with_those_that_are_known() {
        let error = server(Wrapper::Provider, &[("api_secret", "canary")]).unwrap_err();
        assert!(
            error.name && error.reason == "invalid option \"api_secret\"",
            "{error:?}"
        );
        assert!(error.hint.unwrap().contains("base_url, api_key, requests_per_minute"));
        assert!(server(Wrapper::Source, &[("api_key", "env:KEY")]).unwrap_err().name);
        let mapping = Wrapper::Provider.check(OptionTarget::UserMapping, &written(&[("base_url", "http://x")]));
        assert!(mapping.unwrap_err().name);
        let mapping = Wrapper::Source.check(OptionTarget::UserMapping, &written(&[("role_arn", "x")]));
        assert!(
            mapping
                .unwrap_err()
                .hint
                .unwrap()
                .starts_with("There are no valid options")
        );
    }

    #[test]
    fn values_are_checked_and_a_key_is_not_repeated() {
        for (wrapper, name, wrong) in [
            (Wrapper::Provider, "api_key", "sk-canary"),
            (Wrapper::Provider, "api_key", "env:sk-canary"),
            (Wrapper::Provider, "base_url", "canary"),
            (Wrapper::Provider, "base_url", "https://me:canary@host/v1"),
            (Wrapper::Provider, "requests_per_minute", "0"),
            (Wrapper::Provider, "tokens_per_minute", "many"),
            (Wrapper::Source, "endpoint", "ftp://host"),
            (Wrapper::Source, "path_style", "perhaps"),
            (Wrapper::Source, "request_payer", "owner"),
            (Wrapper::Source, "role_arn", "reader"),
            (Wrapper::Source, "allowed_roles", "arn:aws:iam::1:role/a, reader"),
            (Wrapper::Source, "external_id", "env:not a name canary"),
            (Wrapper::Source, "allowed_urls", "ftp://host/"),
        ] {
            let error = server(wrapper, &[(name, wrong)]).unwrap_err();
            assert!(
                !error.name && !format!("{error:?}").contains("canary"),
                "{name}: {error:?}"
            );
            assert!(error.reason.contains(name), "{name}: {error:?}");
        }
        let right = [
            ("base_url", "http://localhost:1/v1"),
            ("api_key", "file:/run/key"),
            ("tokens_per_minute", "10"),
        ];
        assert_eq!(server(Wrapper::Provider, &right), Ok(()));
    }

    #[test]
    fn the_type_decides_which_options_there_are() {
        let check = |wrapper: Wrapper, kind, options: &[(&str, &str)]| wrapper.check_type(kind, &written(options));
        assert_eq!(
            check(Wrapper::Provider, Some("openai"), &[("api_key", "env:K")]),
            Ok(())
        );
        assert!(
            check(Wrapper::Provider, None, &[])
                .unwrap_err()
                .hint
                .unwrap()
                .contains("voyageai")
        );
        assert!(check(Wrapper::Provider, Some("s3"), &[]).is_err());
        assert!(
            check(Wrapper::Source, Some("http"), &[("region", "x")])
                .unwrap_err()
                .name
        );
        assert!(check(Wrapper::Source, Some("file"), &[("allowed_urls", "/srv")]).is_ok());
        let mixed = check(
            Wrapper::Source,
            Some("s3"),
            &[("allowed_urls", "s3://docs, https://b/")],
        )
        .unwrap_err();
        assert!(mixed.reason.contains("https://b/"), "{mixed:?}");
    }

    #[test]
    fn a_role_is_allowed_by_name_or_beginning() {
        let allows = |roles: &str, role: &str| {
            DocumentOptions::read(&written(&[("allowed_roles", roles)]))
                .unwrap()
                .allows_role(role)
        };
        assert!(allows(
            "arn:aws:iam::1:role/a,arn:aws:iam::1:role/b",
            "arn:aws:iam::1:role/b"
        ));
        assert!(!allows("arn:aws:iam::1:role/a", "arn:aws:iam::1:role/ab"));
        assert!(allows("arn:aws:iam::1:role/a*", "arn:aws:iam::1:role/ab"));
        assert!(!allows("", "arn:aws:iam::1:role/a"));
    }

    #[test]
    fn an_external_id_does_not_print() {
        let source = DocumentOptions::read(&written(&[("external_id", "canary")])).unwrap();
        assert!(!format!("{source:?}").contains("canary"));
    }
}
