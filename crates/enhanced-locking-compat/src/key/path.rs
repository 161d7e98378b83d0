//! Paths as Go cleans them. Owns the two rules of which Atlantis' constructor of projects consists.

/// The path Atlantis stores for a project: cleaned as Go's `path.Clean` does, and `.` for the root of the repository.
///
/// ```
/// use enhanced_locking_compat::key::clean_path;
/// assert_eq!(clean_path("./a//b/../c/"), "a/c");
/// assert_eq!((clean_path(""), clean_path("/")), (".".into(), ".".into()));
/// // A slash in front stays: Atlantis takes `/a` and `a` for two projects.
/// assert_eq!(clean_path("/../a"), "/a");
/// ```
#[must_use]
pub fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // There is nothing above the root.
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (_, true) => ".".to_owned(),
        (true, false) => format!("/{}", parts.join("/")),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, want) in [
            ("", "."),
            ("/", "."),
            (".", "."),
            ("./a", "a"),
            ("a//b", "a/b"),
            ("a/../b/", "b"),
            ("../a", "../a"),
            ("a/../..", ".."),
            ("/a", "/a"),
            ("/..", "."),
            ("...", "..."),
        ] {
            assert_eq!(clean_path(path), want, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn a_clean_path_stays_as_it_is(path in "[ab./]{0,16}") {
            let clean = clean_path(&path);
            prop_assert_eq!(clean_path(&clean), &*clean);
            prop_assert!(!clean.ends_with('/'));
        }
    }
}
