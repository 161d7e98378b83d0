//! What several tests need: the data, hexadecimal, and how many random cases there are.

use std::path::PathBuf;

use enhanced_locking_compat::bolt::BoltFile;
use proptest::test_runner::{Config, FileFailurePersistence};

/// A file of `data/`.
pub(crate) fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect()
}

/// The bytes of a bolt file of `data/`.
pub(crate) fn bolt_bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(&format!("{name}.db"))).unwrap()
}

/// A bolt file of `data/`.
pub(crate) fn bolt(name: &str) -> BoltFile {
    BoltFile::from_bytes(bolt_bytes(name)).unwrap()
}

/// The names of all bolt files of `data/`.
pub(crate) fn bolt_names() -> Vec<String> {
    let files =
        std::fs::read_dir(data("")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|file| file.strip_suffix(".db").map(str::to_owned)).collect();
    names.sort();
    assert!(names.len() > 15, "{names:?}");
    names
}

/// Random cases: `cases`, or as many as `PROPTEST_CASES` says.
pub(crate) fn random(cases: u32) -> Config {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/regressions");
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(file)));
    config
}

/// Bytes from hexadecimal.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    let digits = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
