//! Whose fault a refusal is: that of one text, or of nothing that a document could help. And what it costs to find out.

mod support;

use ai_pipeline::embed::{Allowance, EmbedSettings, Embedder, Error};
use ai_pipeline::error::Class;
use futures_util::future::join_all;
use provider::{Behaviour, Provider};
use support::embedder::{DIMENSIONS, answer, embedder, model, settings};
use support::{in_time, texts};

/// The word of ours.
const WORD: &str = "text";

/// Answers that may mean a text or everything, the class of a text that is refused so, and whether a server
/// that has never accepted anything is asked without parameters that it may not know.
const ANSWERS: [(u16, Class, bool); 6] = [
    (400, Class::Permanent, true),
    (422, Class::Permanent, true),
    (413, Class::Permanent, false),
    (404, Class::Permanent, false),
    (405, Class::Permanent, false),
    // Also that of a filter, whose rules may change.
    (403, Class::Unknown, false),
];

fn words(provider: &Provider) -> usize {
    provider.seen().iter().filter(|request| request.texts == [WORD]).count()
}

fn poison(status: u16) -> Behaviour {
    Behaviour::To("poison".to_owned(), Box::new(answer(status, "{}")))
}

/// One request at a time, so that their order is known.
fn alone(provider: &Provider) -> Embedder {
    let settings = EmbedSettings {
        max_requests_in_flight: 1,
        ..settings(provider)
    };
    Embedder::new(&model("text-embedding-3-small", DIMENSIONS), settings).unwrap()
}

async fn class_of(embedder: &Embedder, text: &str) -> Option<Class> {
    let embedded = in_time(embedder.embed(vec![text.to_owned()])).await;
    embedded.err().map(|error| error.class())
}

/// Neither a document nor two are given up, nor one after the other.
#[tokio::test]
async fn a_server_that_has_never_accepted_anything_is_asked_for_a_word() {
    let provider = Provider::start();
    for (status, _, tries_without) in ANSWERS {
        provider.reset();
        provider.behave(answer(status, "{}"));
        let embedder = embedder(&provider);
        assert_eq!(class_of(&embedder, "one").await, Some(Class::Configuration), "{status}");
        // The word also without encoding_format, and without dimensions.
        let expected = if tries_without { (4, 3) } else { (2, 1) };
        let requests = provider.seen().len();
        assert_eq!((requests, words(&provider)), expected, "{status}");
        let both = in_time(join_all(["two", "three"].map(|text| class_of(&embedder, text)))).await;
        assert_eq!(both, [Some(Class::Configuration); 2], "{status}");
    }
}

/// The very first document is the bad one: a word shows that, and is not needed again while others are accepted.
#[tokio::test]
async fn a_text_is_at_fault_where_others_are_accepted() {
    let provider = Provider::start();
    for (status, class, _) in ANSWERS {
        provider.reset();
        provider.behave(poison(status));
        let embedder = alone(&provider);
        assert_eq!(class_of(&embedder, "poison").await, Some(class), "{status}");
        let before = words(&provider);
        assert_eq!(before, 1, "{status}");
        let mut documents: Vec<String> = texts(40, "fine");
        for place in [3, 17, 18, 39] {
            documents[place].insert_str(0, "poison");
        }
        let classes = in_time(join_all(documents.iter().map(|text| class_of(&embedder, text)))).await;
        for (text, found) in documents.iter().zip(classes) {
            assert_eq!(found, text.contains("poison").then_some(class), "{status} {text}");
        }
        // A key or a model is asked about before the texts are; and what is said to be too large is no
        // search, so that nothing is known to be accepted after the last.
        let more = match status {
            403..=405 => 1..=1,
            // One for each bad text at most: others may have come between, or not.
            413 => 1..=4,
            _ => 0..=0,
        };
        let found = words(&provider) - before;
        assert!(
            more.contains(&found),
            "{status}: the parts of the request show it: {found}"
        );
    }
}

/// One document at a time, and nothing between them that would show that others are accepted.
#[tokio::test]
async fn each_of_a_few_bad_texts_is_given_up_for_a_word() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    assert_eq!(class_of(&embedder, "fine").await, None);
    provider.behave(poison(400));
    for number in 0..4 {
        let text = format!("poison {number}");
        assert_eq!(class_of(&embedder, &text).await, Some(Class::Permanent));
    }
    assert_eq!((provider.seen().len(), words(&provider)), (1 + 2 * 4, 4));
}

/// All that are in doubt at the same time need one.
#[tokio::test]
async fn one_word_is_for_all_in_doubt() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    assert_eq!(class_of(&embedder, "fine").await, None);
    provider.behave(poison(413));
    let documents = texts(4, "poison");
    // So that each goes alone.
    let documents: Vec<String> = documents
        .iter()
        .map(|text| text.clone() + &"x".repeat(3 << 20))
        .collect();
    let classes = in_time(join_all(documents.iter().map(|text| class_of(&embedder, text)))).await;
    assert_eq!(classes, [Some(Class::Permanent); 4]);
    assert!((1..=2).contains(&words(&provider)), "{}", words(&provider));
}

/// A model was removed, or a gateway changed: whether it has just accepted a text or a word.
#[tokio::test]
async fn nothing_is_given_up_by_a_server_that_accepts_no_more() {
    let provider = Provider::start();
    for (status, class, _) in ANSWERS {
        for last_accepted in [WORD, "a text"] {
            provider.reset();
            let embedder = embedder(&provider);
            assert_eq!(class_of(&embedder, "fine").await, None);
            provider.behave(poison(status));
            if last_accepted == WORD {
                assert_eq!(class_of(&embedder, "poison").await, Some(class), "{status}");
            }
            provider.behave(answer(status, "{}"));
            let before = words(&provider);
            for number in 0..3 {
                let found = class_of(&embedder, &format!("fine {number}")).await;
                assert_eq!(found, Some(Class::Configuration), "{status} after {last_accepted}");
            }
            assert_eq!(words(&provider), before + 3);
            provider.behave(poison(status));
            assert_eq!(class_of(&embedder, "fine").await, None, "it accepts again");
        }
        // Many at once: nearly all of them are not even asked about.
        provider.reset();
        let embedder = embedder(&provider);
        assert_eq!(class_of(&embedder, "fine").await, None);
        provider.behave(answer(status, "{}"));
        let documents: Vec<String> = texts(1000, "fine");
        let classes = in_time(join_all(documents.iter().map(|text| class_of(&embedder, text)))).await;
        assert!(
            classes.iter().all(|found| *found == Some(Class::Configuration)),
            "{status}"
        );
        let counts = (provider.seen().len(), words(&provider));
        assert!(counts.0 <= 100 && counts.1 <= 3, "{status}: {counts:?}");
    }
}

/// The other parts of a document show that its bad line is at fault: nothing is paid for but what is handed
/// over, wherever the line is and however many requests go at a time.
#[tokio::test]
async fn the_parts_of_a_document_show_which_of_them_is_at_fault() {
    const LINES: usize = 5000;
    let provider = Provider::start();
    // Whatever comes first is by chance.
    for most in [1, 2, 8, 8, 8] {
        for bad in [0, 1, 2047, 2048, 2500, 4999] {
            provider.reset();
            provider.behave(Behaviour::RejectInput("poison".to_owned()));
            let settings = EmbedSettings {
                max_requests_in_flight: most,
                ..settings(&provider)
            };
            let embedder = Embedder::new(&model("text-embedding-3-small", DIMENSIONS), settings).unwrap();
            let mut lines = texts(LINES, "line");
            lines[bad] = "poison".to_owned();
            let incomplete = in_time(embedder.embed_document(lines, true)).await.unwrap_err();
            assert_eq!(incomplete.error.class(), Class::Permanent, "{bad} of {most}");
            assert_eq!(words(&provider), 0, "{bad} of {most}");
            assert_eq!(
                provider.counts().inputs,
                incomplete.vectors.len() as u64,
                "{bad} of {most}"
            );
        }
    }
}

/// Nobody knows yet.
#[tokio::test]
async fn a_text_is_not_judged_while_the_server_fails() {
    let provider = Provider::start();
    for (behaviour, class) in [
        (Behaviour::ServerError, Class::Transient),
        (Behaviour::Rubbish, Class::Transient),
        (Behaviour::Unauthorized, Class::Configuration),
    ] {
        provider.reset();
        let embedder = embedder(&provider);
        assert_eq!(class_of(&embedder, "fine").await, None);
        provider.behave_times(1, answer(400, "{}"));
        provider.behave_times(1, behaviour.clone());
        assert_eq!(class_of(&embedder, "fine").await, Some(class), "{behaviour:?}");
    }
    // A connection that is closed at once is none of that: the word goes again.
    provider.reset();
    let embedder = embedder(&provider);
    assert_eq!(class_of(&embedder, "fine").await, None);
    provider.behave_times(1, answer(400, "{}"));
    provider.behave_times(1, Behaviour::Close);
    assert_eq!(class_of(&embedder, "fine").await, Some(Class::Permanent));
    // And a word that is throttled is asked when it may be.
    provider.behave_times(1, answer(400, "{}"));
    let retry_after = Some(std::time::Duration::from_millis(200));
    provider.behave_times(1, Behaviour::TooManyRequests { retry_after });
    assert_eq!(class_of(&embedder, "fine").await, Some(Class::Permanent));
}

/// Whatever leaves, for whatever reason, is one of those that an administrator allows.
#[tokio::test]
async fn words_and_second_tries_are_in_the_budget() {
    let provider = Provider::start();
    for (behaviour, class) in [
        (answer(400, "{}"), Class::Configuration),
        (answer(403, "{}"), Class::Configuration),
        (Behaviour::Close, Class::Transient),
        (Behaviour::RejectInput("poison".to_owned()), Class::Permanent),
    ] {
        provider.reset();
        provider.behave(behaviour.clone());
        let settings = EmbedSettings {
            // One at once, and the next after 1.1 seconds.
            allowance: Allowance {
                requests_per_minute: Some(60),
                tokens_per_minute: None,
            },
            ..settings(&provider)
        };
        let embedder = Embedder::new(&model("text-embedding-3-small", DIMENSIONS), settings).unwrap();
        // Half of a tenth of a minute goes at once.
        let documents = join_all(texts(6, "poison").into_iter().map(|text| embedder.embed(vec![text])));
        for embedded in in_time(documents).await {
            assert_eq!(
                embedded.map_err(|error: Error| error.class()),
                Err(class),
                "{behaviour:?}"
            );
        }
        let seen = provider.seen();
        for (number, request) in seen.iter().enumerate() {
            let earliest = number.saturating_sub(6) as f64;
            let passed = (request.at - seen[0].at).as_secs_f64();
            assert!(
                passed >= earliest - 0.2,
                "{behaviour:?}: request {number} after {passed} s"
            );
        }
    }
}
