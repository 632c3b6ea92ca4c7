//! Databases whose encoding is another than UTF-8: the extension is not for them, and says so.

mod support;

use support::Scene;

/// Postgres' encodings of each sort: of single bytes, of several, and the one that takes any byte for text.
const OTHERS: [&str; 6] = ["LATIN1", "WIN1252", "EUC_JP", "SQL_ASCII", "KOI8R", "EUC_KR"];

#[test]
fn the_extension_is_refused_in_a_database_of_another_encoding() {
    let scene = Scene::start();
    for encoding in OTHERS {
        let name = format!("in_{}", encoding.to_lowercase());
        scene.cluster.execute(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        ));
        let database = scene.cluster.database(&name);
        let refusal = database.refusal("CREATE EXTENSION ai CASCADE");
        let expected = format!("the encoding of this database is {encoding}, but ai needs UTF8");
        assert_eq!(refusal, ("0A000".to_owned(), expected), "{encoding}");
        let left = "SELECT count(*) FROM pg_extension WHERE extname IN ('ai', 'vector')";
        assert_eq!(database.value(left), "0", "{encoding}");
        assert_eq!(
            database.value("SELECT to_regnamespace('ai') IS NULL"),
            "t",
            "{encoding}"
        );
    }
}

/// What is not in ASCII would be read in the encoding of the database, and fail there for a reason that
/// nobody understands.
#[test]
fn the_scripts_of_the_extension_are_in_ascii() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("sql")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is part of the repository") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let script = std::fs::read(&path).expect("the file can be read");
            let line = script.split(|byte| *byte == b'\n').position(|line| !line.is_ascii());
            assert_eq!(
                line.map(|line| line + 1),
                None,
                "{} is not in ASCII in this line",
                path.display()
            );
            read += 1;
        }
    }
    assert!(read > 50, "{read} scripts");
    assert!(
        std::fs::read(root.join("ai.control"))
            .expect("the file is there")
            .is_ascii()
    );
}
