//! Servers that do not know all of OpenAI's parameters, and such as refuse everything.

mod support;

use ai_pipeline::embed::{Embedder, Error};
use ai_pipeline::error::Class;
use futures_util::future::join_all;
use provider::{Behaviour, Provider};
use serde_json::json;
use support::embedder::{DIMENSIONS, answer, embedder, expected, model, settings};
use support::{in_time, texts};

/// How servers refuse a parameter.
fn wordings(name: &str) -> Vec<(u16, String)> {
    vec![
        (400, json!({ "error": { "message": "Unsupported value", "param": name } }).to_string()),
        (400, json!({ "error": { "message": format!("Unrecognized request argument supplied: {name}") } }).to_string()),
        (422, json!({ "detail": [{ "loc": ["body", name], "msg": "extra fields not permitted" }] }).to_string()),
        (422, json!({ "errors": [{ "field": name, "code": "unknown" }] }).to_string()),
        (400, json!({ "object": "error", "message": format!("[{{'type': 'extra_forbidden', 'loc': ('body', '{name}')}}]") }).to_string()),
        (500, json!({ "error": { "message": format!("{name} is not implemented") } }).to_string()),
        // Nothing is named.
        (400, json!({ "error": { "message": "bad request" } }).to_string()),
        (422, json!({ "detail": "Unprocessable Entity" }).to_string()),
        (400, "<html>Bad Request</html>".to_owned()),
        (400, String::new()),
    ]
}

fn refuse(name: &str, (status, body): (u16, String)) -> Behaviour {
    Behaviour::RefuseParameter {
        name: name.to_owned(),
        status,
        body,
    }
}

#[tokio::test]
async fn a_parameter_that_a_server_does_not_know_is_left_out() {
    let provider = Provider::start();
    for name in ["encoding_format", "dimensions"] {
        for wording in wordings(name) {
            // 1,536 is the length that the model has by itself.
            provider.reset();
            provider.behave(refuse(name, wording.clone()));
            let length = if name == "dimensions" { 1536 } else { DIMENSIONS };
            let embedder = Embedder::new(&model("text-embedding-3-small", length), settings(&provider)).unwrap();
            let documents = texts(3, "a");
            let embedded = in_time(embedder.embed(documents.clone())).await;
            let embedded = embedded.unwrap_or_else(|error| panic!("{name}, {wording:?}: {error}"));
            assert_eq!(embedded.vectors.len(), 3);
            assert!(embedded.vectors.iter().all(|vector| vector.len() == length));
            let first = provider.counts().requests;
            in_time(embedder.embed(documents)).await.unwrap();
            assert_eq!(
                provider.counts().requests,
                first + 1,
                "{name}, {wording:?}: it is remembered"
            );
        }
    }
}

/// A model of another length than the one that is wanted is no better without the parameter.
#[tokio::test]
async fn a_length_that_a_model_does_not_have_stays_refused() {
    let provider = Provider::start();
    let said = json!({ "object": "error", "message": "Model \"m\" does not support matryoshka representation" });
    provider.behave(refuse("dimensions", (400, said.to_string())));
    let embedder = embedder(&provider);
    let error = in_time(embedder.embed(texts(500, "a"))).await.unwrap_err();
    assert_eq!(error.class(), Class::Configuration, "{error}");
    assert!(error.to_string().starts_with("Error code: 400"), "{error}");
    let sent = provider
        .seen()
        .iter()
        .filter(|request| request.dimensions.is_none())
        .map(|request| request.texts.len())
        .max();
    assert_eq!(sent, Some(1), "one word is paid for to find that out");
}

/// Once a request was accepted, a refusal is that of its input.
#[tokio::test]
async fn what_was_accepted_before_is_not_left_out_for_a_bad_input() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    in_time(embedder.embed(texts(1, "a"))).await.unwrap();
    provider.behave(Behaviour::RejectInput("poison".to_owned()));
    let error = in_time(embedder.embed(vec!["poison".to_owned()])).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { alone: true, .. }), "{error}");
    assert!(
        provider
            .seen()
            .iter()
            .all(|request| request.encoding_format.is_some() && request.dimensions.is_some())
    );
}

/// The first document of all is the bad one.
#[tokio::test]
async fn a_bad_first_input_fails_alone() {
    let provider = Provider::start();
    provider.behave(Behaviour::RejectInput("poison".to_owned()));
    for documents in [vec!["poison"], vec!["fine", "poison", "well"]] {
        let embedder = embedder(&provider);
        let asked = documents.iter().map(|text| embedder.embed(vec![(*text).to_owned()]));
        for (text, embedded) in documents.iter().zip(in_time(join_all(asked)).await) {
            match *text {
                "poison" => assert_eq!(embedded.unwrap_err().class(), Class::Permanent),
                text => assert_eq!(embedded.unwrap(), expected(&[text.to_owned()])),
            }
        }
    }
}

/// Where not even a word of ours is accepted, no document is at fault.
#[tokio::test]
async fn a_server_that_refuses_everything_is_a_fault_of_the_configuration() {
    let provider = Provider::start();
    for (status, body) in [
        (400, r#"{"error":{"message":"no"}}"#),
        (422, "{}"),
        (400, ""),
        (413, ""),
    ] {
        for documents in [1, 40] {
            provider.reset();
            provider.behave(answer(status, body));
            let embedder = embedder(&provider);
            let asked = (0..documents).map(|number| embedder.embed(texts(1, &format!("document{number}"))));
            for embedded in in_time(join_all(asked)).await {
                let error = embedded.unwrap_err();
                assert_eq!(error.class(), Class::Configuration, "{status} {body}: {error}");
                assert!(error.hint().unwrap().contains("refuses any text"), "{:?}", error.hint());
            }
            // Of a 413, fewer inputs are tried first.
            assert!(provider.counts().requests <= 120, "{:?}", provider.counts());
        }
    }
}

/// A server that numbers all vectors 0 answers in order.
#[tokio::test]
async fn vectors_that_are_all_numbered_0_are_taken_in_order() {
    let provider = Provider::start();
    provider.behave(Behaviour::AllZero);
    let embedder = embedder(&provider);
    for number in [1, 3] {
        let documents = texts(number, "a");
        assert_eq!(
            in_time(embedder.embed(documents.clone())).await.unwrap(),
            expected(&documents)
        );
    }
}
