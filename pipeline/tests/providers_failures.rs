//! One suite for the APIs of all providers: each misbehaves alike.

mod support;

use std::time::{Duration, Instant};

use ai_pipeline::embed::{EmbedSettings, Embedded, Embedder};
use ai_pipeline::error::Class;
use futures_util::future::join_all;
use provider::{Api, Behaviour, Provider};
use serde_json::{Value, json};
use support::subject::{Subject, subjects};
use support::{in_time, texts};

#[tokio::test]
async fn answers_that_make_no_sense_are_refused() {
    let provider = Provider::start();
    for subject in subjects() {
        let (asked, longer) = (subject.dimensions, subject.dimensions + 1);
        for (behaviour, class, said) in [
            (
                Behaviour::WrongSize,
                Class::Configuration,
                format!("the model returned {longer} dimensions, expected {asked}"),
            ),
            (Behaviour::TooFew, Class::Transient, "1 vectors for 2 texts".to_owned()),
            (Behaviour::NotFinite, Class::Unknown, "not finite".to_owned()),
            (Behaviour::ZeroVector, Class::Unknown, "1 of 2 is zero".to_owned()),
            (Behaviour::Rubbish, Class::Transient, "not JSON".to_owned()),
            (
                Behaviour::HalfJson,
                Class::Transient,
                "in the middle of its JSON".to_owned(),
            ),
            (
                Behaviour::Close,
                Class::Transient,
                "no answer from 127.0.0.1".to_owned(),
            ),
        ] {
            let error = subject.fails(&provider, behaviour.clone()).await;
            assert_eq!(error.class(), class, "{subject:?} {behaviour:?}: {error}");
            assert!(error.to_string().contains(&said), "{subject:?} {behaviour:?}: {error}");
        }
    }
}

/// As TEI writes numbers that JSON does not have.
#[tokio::test]
async fn a_vector_with_null_fails_its_document_and_no_other() {
    let provider = Provider::start();
    let config = json!({ "implementation": "litellm", "model": "huggingface/some/model", "dimensions": 2 });
    let subject = Subject::new(Api::Huggingface, config.clone(), "", json!({}), 32);
    let config = serde_json::from_value(config).unwrap();
    let embedder = Embedder::new(&config, subject.settings(&provider)).unwrap();
    provider.behave(Behaviour::Answer {
        status: 200,
        headers: Vec::new(),
        body: "[[0.5, null], [0.5, 0.25]]".to_owned(),
    });
    let [bad, good] = ["bad", "good"].map(|text| embedder.embed(vec![text.to_owned()]));
    let (bad, good) = in_time(futures_util::future::join(bad, good)).await;
    assert_eq!(good.unwrap().vectors, [[0.5, 0.25]]);
    let error = bad.unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "{error}");
}

#[tokio::test]
async fn refusals_have_their_class_and_show_no_key() {
    let provider = Provider::start();
    for subject in subjects() {
        let error = subject.fails(&provider, Behaviour::Unauthorized).await;
        assert_eq!(error.class(), Class::Configuration, "{subject:?}: {error}");
        assert!(error.to_string().starts_with("Error code: 401"), "{error}");
        match subject.config_of(subject.dimensions).api_key_name() {
            Some(name) => assert!(error.hint().unwrap().contains(&name), "{:?}", error.hint()),
            None => assert!(error.hint().unwrap().contains("no setting"), "{:?}", error.hint()),
        }
        let error = subject.fails(&provider, Behaviour::NotFound).await;
        assert_eq!(error.class(), Class::Configuration, "{subject:?}: {error}");
        let hint = error.hint().unwrap();
        match subject.api {
            Api::Ollama => assert!(hint.contains("ollama pull nomic-embed-text"), "{hint}"),
            _ => assert!(
                hint.contains(subject.config["model"].as_str().unwrap().rsplit('/').next().unwrap()),
                "{hint}"
            ),
        }
        assert_eq!(
            provider.counts().requests,
            1,
            "{subject:?}: a missing model is not looked for in the inputs"
        );
        let error = subject.fails(&provider, Behaviour::ServerError).await;
        assert_eq!(error.class(), Class::Transient, "{subject:?}: {error}");
        let pause = Duration::from_secs(40);
        let error = subject
            .fails(
                &provider,
                Behaviour::TooManyRequests {
                    retry_after: Some(pause),
                },
            )
            .await;
        let Class::Throttled {
            retry_after: Some(wait),
        } = error.class()
        else {
            panic!("{subject:?}: {error:?}")
        };
        assert!(wait <= pause && wait > pause / 2, "{wait:?}");
    }
}

#[tokio::test]
async fn a_short_pause_is_waited_out() {
    const PAUSE: Duration = Duration::from_millis(300);
    let provider = Provider::start();
    for subject in subjects() {
        provider.reset();
        provider.behave_times(
            1,
            Behaviour::TooManyRequests {
                retry_after: Some(PAUSE),
            },
        );
        let started = Instant::now();
        let embedded = in_time(subject.embedder(&provider).embed(texts(2, "a"))).await;
        assert!(
            embedded.is_ok() && started.elapsed() >= PAUSE,
            "{subject:?}: {embedded:?}"
        );
        assert_eq!(provider.counts().requests, 2);
    }
}

#[tokio::test]
async fn one_bad_input_fails_one_document() {
    let provider = Provider::start();
    for subject in subjects() {
        provider.reset();
        provider.behave(Behaviour::RejectInput("poison".to_owned()));
        let embedder = subject.embedder(&provider);
        let mut documents: Vec<Vec<String>> = (0..16).map(|number| texts(2, &format!("document{number}"))).collect();
        documents[11][1] = "a long and private text of the user that has poison in it".to_owned();
        let embedded = in_time(join_all(documents.iter().map(|texts| embedder.embed(texts.clone())))).await;
        for (number, (texts, result)) in documents.iter().zip(embedded).enumerate() {
            match result {
                Ok(Embedded { vectors, cut }) => {
                    assert!(
                        number != 11 && vectors == subject.expected(texts) && cut.is_empty(),
                        "{subject:?}"
                    );
                }
                Err(error) => {
                    assert_eq!((number, error.class()), (11, Class::Permanent), "{subject:?}: {error}");
                    let said = format!("{error} {error:?}");
                    assert!(said.starts_with("Error code: ") && !said.contains("private"), "{said}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_provider_that_rejects_all_documents_is_not_asked_about_each_input() {
    let provider = Provider::start();
    for subject in subjects().into_iter().filter(|subject| subject.inputs > 90) {
        provider.reset();
        provider.behave(Behaviour::RejectInput("bad".to_owned()));
        provider.behave_times(1, Behaviour::Slow(Duration::from_secs(1)));
        let settings = EmbedSettings {
            max_requests_in_flight: 1,
            ..subject.settings(&provider)
        };
        let embedder = Embedder::new(&subject.config_of(subject.dimensions), settings).unwrap();
        // All texts are there before the second request may leave, so that requests are full on a busy machine, too.
        let first = tokio::spawn({
            let embedder = embedder.clone();
            async move { embedder.embed(vec!["first".to_owned()]).await }
        });
        while provider.counts().in_flight == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let documents: Vec<String> = texts(500, "bad");
        let embedded = in_time(join_all(
            documents.iter().map(|text| embedder.embed(vec![text.clone()])),
        ))
        .await;
        assert!(first.await.unwrap().is_ok(), "{subject:?}");
        let classes: Vec<Class> = embedded.into_iter().map(|result| result.unwrap_err().class()).collect();
        assert!(classes.contains(&Class::Permanent), "{subject:?}: some were sent alone");
        // A request is given up after eight of its documents; each may be sent twice, the second time to be
        // cut. Without that there would be two or three requests for each text.
        let most = 60 * 500_usize.div_ceil(subject.inputs);
        assert!(
            provider.counts().requests <= most as u64,
            "{subject:?} {:?}",
            provider.counts()
        );
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_is_cut_and_named_or_fails_alone() {
    const GREATEST: usize = 200;
    let provider = Provider::start();
    for subject in subjects() {
        provider.reset();
        provider.behave(Behaviour::TooLong(GREATEST));
        let embedder = subject.embedder(&provider);
        let long = "é word ".repeat(100);
        let mut with_long = texts(5, "first");
        with_long[3].clone_from(&long);
        let short = texts(5, "second");
        let (first, second) = in_time(futures_util::future::join(
            embedder.embed(with_long.clone()),
            embedder.embed(short.clone()),
        ))
        .await;
        let second = second.unwrap();
        assert!(
            second.vectors == subject.expected(&short) && second.cut.is_empty(),
            "{subject:?}"
        );
        if matches!(subject.api, Api::Openai | Api::Azure | Api::Mistral) {
            assert_eq!(first.unwrap_err().class(), Class::Permanent, "{subject:?}");
            continue;
        }
        let first = first.unwrap();
        with_long[3].truncate(long.floor_char_boundary(GREATEST));
        assert!(first.vectors == subject.expected(&with_long), "{subject:?}");
        assert_eq!(first.cut, [3], "{subject:?}");
        let asked_to_cut = |body: &Value| {
            [&body["truncate"], &body["truncation"]].contains(&&json!(true)) || body["truncate"] == "END"
        };
        let cut: Vec<usize> = provider
            .seen()
            .iter()
            .filter(|request| asked_to_cut(&request.body))
            .map(|request| request.texts.len())
            .collect();
        assert_eq!(
            cut,
            [1],
            "{subject:?}: only the text that was refused alone is to be cut"
        );
    }
}

#[tokio::test]
async fn a_server_without_base64_is_asked_for_floats() {
    let provider = Provider::start();
    for subject in subjects()
        .into_iter()
        .filter(|subject| subject.body["encoding_format"] == "base64")
    {
        provider.reset();
        let body = json!({ "error": { "message": "unknown field", "param": "encoding_format" } }).to_string();
        provider.behave_times(
            1,
            Behaviour::Answer {
                status: 400,
                headers: Vec::new(),
                body,
            },
        );
        let embedder = subject.embedder(&provider);
        for _ in 0..2 {
            in_time(embedder.embed(texts(1, "a"))).await.unwrap();
        }
        let seen = provider.seen();
        assert_eq!((seen.len(), &seen[0].body["encoding_format"]), (3, &json!("base64")));
        for request in &seen[1..] {
            assert_ne!(request.body["encoding_format"], "base64", "{subject:?}");
        }
    }
}
