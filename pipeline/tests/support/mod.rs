//! What the tests of embedders and of providers have in common.

// Each file that uses it is a program of its own, and uses a part.
#![allow(dead_code)]

pub mod embedder;
pub mod subject;

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;

pub const KEY: &str = "canary-0123456789-abcdefghij-wxyz";

/// No test takes this long; one that hangs fails instead.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub fn texts(count: usize, name: &str) -> Vec<String> {
    (0..count).map(|number| format!("{name} number{number}")).collect()
}

pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("the test hangs")
}

pub async fn until(condition: impl Fn() -> bool) {
    in_time(async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
