//! The main job: the documents of a table become embeddings that follow the table.

mod support;

use support::{DEADLINE, Scene, wait_until};

#[test]
fn seed_case() {
    let scene = Scene::start();
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    wait_until(
        "embedded",
        DEADLINE,
        || scene.chunks(&uri),
        |chunks| chunks == &["Some text."],
    );
}
