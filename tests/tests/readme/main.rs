//! Every command that `README.md` and `docs/` show is typed in as shown, and does what the page says. How a page says
//! that something fails on purpose or cannot run is in `page`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may panic")]

mod page;
mod reader;

use std::path::{Path, PathBuf};

use enhanced_locking_tests::program::repository;

use crate::page::blocks;
use crate::reader::{Outcome, Reader};

/// The pages that are followed, in a fixed order.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![repository().join("README.md")];
    let mut directories = vec![repository().join("docs")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// Follows a page; how many examples worked, and what did not.
fn follow(name: &str, markdown: &str) -> (usize, Vec<String>) {
    let (mut works, mut failures) = (0, Vec::new());
    let mut reader = None;
    for block in blocks(markdown).iter().filter(|block| block.is_ours()) {
        let at = format!("{name}:{}", block.line);
        match reader.get_or_insert_with(Reader::new).follow(block) {
            Outcome::Works => {
                works += 1;
                println!("{at}: works");
            }
            Outcome::Skipped(reason) => println!("{at}: skipped: {reason}"),
            Outcome::Fails(why) => failures.push(format!("{at}: {why}\n{}", block.script)),
        }
    }
    (works, failures)
}

#[test]
fn what_the_documentation_shows_works() {
    let root = repository();
    let name = |page: &Path| page.strip_prefix(&root).unwrap().display().to_string();
    let (mut readme, mut failures) = (0, Vec::new());
    for page in pages() {
        let (works, failed) = follow(&name(&page), &std::fs::read_to_string(&page).unwrap());
        if name(&page) == "README.md" {
            readme = works;
        }
        failures.extend(failed);
    }
    assert!(failures.is_empty(), "{} examples do not work:\n\n{}", failures.len(), failures.join("\n\n"));
    assert!(
        readme >= 2,
        "the README shows how to start and to use the service; {readme} examples were found"
    );
}

#[test]
fn an_example_that_does_not_work_is_noticed() {
    let page = "
```console
$ cargo run -q -- serve
```

```console
$ enhanced-locks lock --key a --owner alice
$ curl -fsS http://127.0.0.1:4141/api/enhanced-locks/locks
```

<!-- fails: 75 -->
```sh
enhanced-locks run --key a --owner bob --wait 0 -- true
```

<!-- fails: 75 -->
```sh
enhanced-locks run --key free --wait 0 -- true
```

```sh
enhanced-locks get no-such-option --nonsense
echo not reached
```

<!-- not-run: it would fail -->
```sh
enhanced-locks nonsense
```

<!-- with: terraform, ./report.sh -->
```sh
enhanced-locks run --key b -- terraform apply
enhanced-locks run --key b -- ./report.sh
enhanced-locks watch
```

```sh
cargo run --example quickstart
```
";
    let (works, failures) = follow("page", page);
    assert_eq!(works, 4, "{failures:#?}");
    let [code, option, cargo] = failures.as_slice() else { panic!("{failures:#?}") };
    assert!(code.starts_with("page:17: ended with 0 instead of 75"), "{code}");
    assert!(
        option.starts_with("page:21: ended with 2 instead of 0") && option.contains("--nonsense"),
        "{option}"
    );
    assert!(cargo.contains("<!-- not-run: reason -->"), "{cargo}");
}

#[test]
fn a_service_that_does_not_start_is_noticed() {
    let (works, failures) = follow("page", "```sh\nenhanced-locks serve --set nonsense=1\n```\n");
    assert_eq!((works, failures.len()), (0, 1), "{failures:?}");
    assert!(failures[0].contains("the service ended with"), "{failures:?}");
}
