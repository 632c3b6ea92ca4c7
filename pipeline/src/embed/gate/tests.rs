//! The gate by the clock of a test.

use super::super::Ledger;
use super::*;

#[test]
fn one_server_has_one_gate_and_an_account_of_its_own() {
    let gates = Gates::default();
    let now = Instant::now();
    let (key, other) = (Secret::new("key".to_owned()), Secret::new("other".to_owned()));
    let first = gates.of("http://a", Some(&key), Allowance::default(), 1, ASKER);
    let Admission::Open(pass) = first.look(now, 1) else {
        panic!("an empty gate is open")
    };
    assert!(matches!(
        gates
            .of("http://a", Some(&key), Allowance::default(), 1, ASKER)
            .look(now, 1),
        Admission::Full
    ));
    assert!(matches!(
        gates
            .of("http://a", Some(&other), Allowance::default(), 1, ASKER)
            .look(now, 1),
        Admission::Open(_)
    ));
    assert!(matches!(
        gates
            .of("http://b", Some(&key), Allowance::default(), 1, ASKER)
            .look(now, 1),
        Admission::Open(_)
    ));
    drop(pass);
    assert!(matches!(first.look(now, 1), Admission::Open(_)));
}

#[test]
fn a_pause_is_for_all_who_ask_the_server() {
    let gates = Gates::default();
    let now = Instant::now();
    let told = Some(Duration::from_secs(1));
    let refusal = Arc::new(Refusal::new(429, b"{}", None, &[]));
    let gate = gates.of("http://a", None, Allowance::default(), 4, ASKER);
    gate.throttled(now, now, told, 0.5, refusal);
    let until = gate.throttle(now).expect("it is paused").until;
    assert_eq!((until - now).as_secs(), 1);
    assert!(
        matches!(gates.of("http://a", None, Allowance::default(), 4, ASKER).look(now, 1), Admission::Paused(at) if at == until)
    );
    assert!(matches!(
        gates
            .of("http://a", None, Allowance::default(), 4, ASKER)
            .look(until, 1),
        Admission::Open(_)
    ));
}

const ASKER: Asker<'static> = Asker {
    model: "model",
    owner: None,
};

thread_local! {
    /// What two processes share, as it were.
    static LEDGER: &'static Ledger = Box::leak(Box::default());
}

fn shared() -> Gates {
    Gates::shared(|kind, account| LEDGER.with(|ledger| ledger.place(kind, account)))
}

fn refused(message: &str) -> Arc<Refusal> {
    let body = serde_json::json!({ "error": { "message": message } }).to_string();
    Arc::new(Refusal::new(429, body.as_bytes(), None, &[]))
}

/// Providers limit models. Two of one owner say something about that owner's others, and nothing about
/// those of others.
#[test]
fn a_pause_is_that_of_a_model_unless_the_server_says_more() {
    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));
    let owner = |number: u8| Some(Fingerprint::of(None, &[number]));
    let of_model = "Rate limit reached for bad in organization org-1, see https://provider.example/account/limits";
    let of_account = "Too many requests for this account";
    let (seconds, hour) = (GREATEST_GUESS.as_secs(), 3600);
    // Who is refused, with what, and the pauses of: bad and good of mallory, good and bad of ann.
    for (refusals, pauses) in [
        (vec![("bad", of_model)], [hour, 0, 0, hour]),
        (vec![("bad", of_account)], [hour; 4]),
        (vec![("bad", of_model), ("worse", of_model)], [hour, 0, 0, hour]),
        (
            vec![("bad", "slow down"), ("worst", "slow down")],
            [hour, seconds, 0, hour],
        ),
    ] {
        let gates = Gates::default();
        let now = Instant::now();
        let gate = |model, number| {
            let asker = Asker {
                model,
                owner: owner(number),
            };
            gates.of("http://a", None, Allowance::default(), 4, asker)
        };
        // Nobody else asks for what only mallory does.
        let others = ["worse", "worst", "only"].map(|model| gate(model, 1));
        let all = [gate("bad", 1), gate("only", 1), gate("good", 2), gate("bad", 2)];
        for (model, message) in &refusals {
            if *model == "worse" {
                // Between the two, something was accepted.
                std::thread::sleep(Duration::from_millis(2));
                all[1].succeeded();
            }
            let at = if refusals.len() > 1 { Instant::now() } else { now };
            gate(model, 1).throttled(at, at, HOUR, 0.5, refused(message));
        }
        let later = Instant::now();
        let found = all.each_ref().map(|gate| {
            let until = gate.throttle(later).map(|throttle| throttle.until - later);
            until.map_or(0, |pause| pause.as_secs_f64().round() as u64)
        });
        assert_eq!(found, pauses, "{refusals:?}");
        // An owner that wants one asked again has it asked, whatever holds the others.
        for gate in all {
            gate.end_pause();
            assert!(gate.throttle(later).is_none());
        }
        drop(others);
    }
}

/// What a provider that is asked for one model makes of it is nothing to those who ask for another.
#[test]
fn failures_and_hanging_requests_of_one_leave_room_for_others() {
    let (gates, now) = (Gates::default(), Instant::now());
    let gate = |model, number: u8| {
        let asker = Asker {
            model,
            owner: Some(Fingerprint::of(None, &[number])),
        };
        gates.of("http://a", None, Allowance::default(), 4, asker)
    };
    let (mallory, ann) = (gate("hangs", 1), gate("good", 2));
    let hanging: Vec<Pass> = (0..4)
        .map_while(|_| match mallory.look(now, 1) {
            Admission::Open(pass) => Some(pass),
            _ => None,
        })
        .collect();
    assert_eq!(hanging.len(), 3);
    (0..5).for_each(|_| mallory.overloaded(Instant::now(), Instant::now()));
    for _ in 0..3 {
        assert!(!ann.is_full() && matches!(ann.look(now, 1), Admission::Open(_)));
    }
    drop(hanging);
    let passes = [&mallory, &ann, &ann, &mallory].map(|gate| gate.look(now, 1));
    assert!(matches!(
        passes,
        [
            Admission::Open(_),
            Admission::Open(_),
            Admission::Open(_),
            Admission::Full
        ]
    ));
}

/// Budgets are those of the server and the key.
#[test]
fn all_models_have_one_budget() {
    let (gates, now) = (Gates::default(), Instant::now());
    let allowance = Allowance {
        requests_per_minute: Some(20),
        tokens_per_minute: None,
    };
    let looks = ["one", "other", "third"].map(|model| {
        let asker = Asker { model, owner: None };
        gates.of("http://a", None, allowance, 4, asker).look(now, 1)
    });
    assert!(matches!(
        looks,
        [Admission::Open(_), Admission::Open(_), Admission::Paused(_)]
    ));
}

#[test]
fn a_pause_is_for_all_processes_and_outlives_the_one_that_met_it() {
    let now = Instant::now();
    let (key, other) = (Secret::new("key".to_owned()), Secret::new("other".to_owned()));
    let limited = Allowance {
        requests_per_minute: Some(600),
        tokens_per_minute: None,
    };
    let gate = |key, allowance| shared().of("http://a", Some(key), allowance, 4, ASKER);
    let before = gate(&key, Allowance::default());
    let told = |seconds| Some(Duration::from_secs(seconds));
    let refusal = Arc::new(Refusal::new(429, b"{}", None, &[]));
    gate(&key, Allowance::default()).throttled(now, now, told(30), 0.5, Arc::clone(&refusal));
    for gate in [&before, &gate(&key, Allowance::default()), &gate(&key, limited)] {
        let Admission::Paused(until) = gate.look(now, 1) else {
            panic!("all are paused")
        };
        assert_eq!((until - now + Duration::from_millis(1)).as_secs(), 30);
        assert!(gate.throttle(now).is_some_and(|throttle| throttle.until == until));
    }
    assert!(matches!(
        gate(&other, Allowance::default()).look(now, 1),
        Admission::Open(_)
    ));
    // An owner that wants it asked again ends it for all.
    gate(&key, Allowance::default()).end_pause();
    assert!(before.throttle(now).is_none() && gate(&key, limited).throttle(now).is_none());
    gate(&key, Allowance::default()).throttled(now, now, told(30), 0.5, Arc::clone(&refusal));
    // A shorter one ends no longer one.
    gate(&key, limited).throttled(now, now, told(1), 0.5, refusal);
    assert!(before.throttle(now + Duration::from_secs(29)).is_some());
    assert!(before.throttle(now + Duration::from_secs(31)).is_none());
    // What is known of a key does not show it.
    let seen = LEDGER.with(|ledger| format!("{ledger:?}"));
    assert!(!seen.contains("key"), "{seen}");
}

#[test]
fn a_budget_is_that_of_all_processes_together() {
    let now = Instant::now();
    let gate = |requests_per_minute| {
        let allowance = Allowance {
            requests_per_minute: Some(requests_per_minute),
            tokens_per_minute: Some(100),
        };
        shared().of("http://a", None, allowance, 1000, ASKER)
    };
    let gates = [gate(20), gate(20), gate(20)];
    let looks: Vec<Admission> = gates.iter().chain(&gates).map(|gate| gate.look(now, 1)).collect();
    let open = looks.iter().filter(|entry| matches!(entry, Admission::Open(_))).count();
    assert_eq!(open, 2, "a tenth of a minute");
    assert!(
        matches!(gate(20).look(now, 1), Admission::Paused(_)),
        "who comes later has no other"
    );
    // Another number is another budget of requests; that of tokens has eight left.
    assert!(matches!(gate(40).look(now, 4), Admission::Open(_)));
    assert!(matches!(gate(40).look(now, 1), Admission::Paused(_)), "less than half");
}

#[test]
fn a_request_that_waits_for_tokens_costs_none() {
    let now = Instant::now();
    let allowance = Allowance {
        requests_per_minute: Some(20),
        tokens_per_minute: Some(100),
    };
    let gate = Gates::default().of("http://a", None, allowance, 4, ASKER);
    assert!(matches!(gate.look(now, 6), Admission::Open(_)));
    for _ in 0..5 {
        assert!(matches!(gate.look(now, 1), Admission::Paused(_)));
    }
    // The token that was missing has come, and no other request.
    assert!(matches!(gate.look(now + Duration::from_secs(1), 1), Admission::Open(_)));
}

#[test]
fn what_an_administrator_allows_is_not_exceeded() {
    let gates = Gates::default();
    let now = Instant::now();
    let allowance = Allowance {
        requests_per_minute: Some(600),
        tokens_per_minute: Some(100),
    };
    let gate = gates.of("http://a", None, allowance, 1000, ASKER);
    let now = now.max(Instant::now());
    assert_eq!(gate.greatest_tokens(), 10);
    assert!(matches!(gate.look(now, 10), Admission::Open(_)));
    let Admission::Paused(until) = gate.look(now, 3) else {
        panic!("the tokens are spent")
    };
    assert_eq!((until - now).as_secs(), 3, "five tokens, of 85 in a minute");
    assert_eq!(
        (gate.limited_until(now), gate.limited_until(until)),
        (Some(until), None)
    );
    assert!(matches!(gate.look(until, 3), Admission::Open(_)));
    assert!(matches!(
        gates
            .of("http://a", None, Allowance::default(), 4, ASKER)
            .look(now, 1000),
        Admission::Open(_)
    ));
}

#[tokio::test]
async fn who_waits_is_called_when_somebody_else_leaves() {
    let gate = Gates::default().of("http://a", None, Allowance::default(), 1, ASKER);
    let Admission::Open(pass) = gate.look(Instant::now(), 1) else {
        panic!("an empty gate is open")
    };
    let mut freed = std::pin::pin!(gate.freed());
    freed.as_mut().enable();
    drop(pass);
    freed.await;
}
