//! Owns finding the name somebody probably meant. Does not own the names.

/// The candidate nearest to `name`, if any is near enough to be worth saying.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A hostile name must not cost quadratic time.
    if name.len() > 100 {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('_', "-");
    let near_enough = 1 + name.chars().count() / 4;
    candidates
        .into_iter()
        .map(|candidate| {
            let plain = candidate.to_ascii_lowercase().replace('_', "-");
            let mut distance = strsim::damerau_levenshtein(&name, &plain);
            // A cut-off name: `addr` is rather `addresses` than `db`.
            if name.len() >= 3 && plain.starts_with(&name) {
                distance = distance.min(1);
            }
            (distance, strsim::jaro_winkler(&name, &plain), candidate)
        })
        .filter(|(distance, similarity, _)| *distance <= near_enough || *similarity >= 0.88)
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_and_the_other_spelling_are_recognised() {
        let names = ["pool-size", "password", "password-file", "addresses", "db"];
        assert_eq!(nearest("pool_size", names), Some("pool-size"));
        assert_eq!(nearest("poolsize", names), Some("pool-size"));
        assert_eq!(nearest("PASSWORD", names), Some("password"));
        assert_eq!(nearest("pasword", names), Some("password"));
        assert_eq!(nearest("addr", names), Some("addresses"));
        assert_eq!(nearest("REDIS_ADDR", ["REDIS_DB", "REDIS_ADDRESSES"]), Some("REDIS_ADDRESSES"));
    }

    #[test]
    fn a_far_name_suggests_nothing() {
        assert_eq!(nearest("colour", ["pool-size", "password"]), None);
        assert_eq!(nearest(&"p".repeat(10_000), ["p"]), None);
    }
}
