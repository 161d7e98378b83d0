//! Whatever anybody writes, in whichever layer: settings or problems that name what is wrong, never a panic.

use enhanced_locking_config::{KnownKey, LoadError, Loader, Settings, known_keys};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Either good settings, or problems of which each can be read and one names `path`.
fn names_the_key(result: &Result<Settings, LoadError>, path: &str) -> Result<(), TestCaseError> {
    if let Err(error) = result {
        let full = format!("enhanced-locking.{path}");
        prop_assert!(!error.problems().is_empty());
        for problem in error.problems() {
            prop_assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem:?}");
        }
        prop_assert!(
            error.problems().iter().any(|problem| problem.path == full || problem.message.contains(path)),
            "{path}: {error}"
        );
    }
    Ok(())
}

fn key() -> impl Strategy<Value = KnownKey> {
    select(known_keys())
}

/// Texts that are nearly something: numbers, units, addresses, variables, and noise.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        any::<i128>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|switch| switch.to_string()),
        "[0-9]{0,22} ?(ms|s|m|h|d|KiB|GiB|TiB|MB|B)?",
        "[a-z0-9.\\[\\]:@/,-]{0,24}",
        "(\\$\\{?[A-Z]{0,3}(:-)?[a-z]?\\}?|.){0,6}",
    ]
}

/// A text that cannot be a path to something on this machine.
fn not_a_file(key: &KnownKey, text: &str) -> bool {
    !key.path.ends_with("-file") || !std::path::Path::new(text).exists()
}

fn in_file(path: &str, value: &serde_json::Value) -> String {
    let mut tree = value.clone();
    for part in format!("enhanced-locking.{path}").rsplit('.') {
        tree = serde_json::json!({ part: tree });
    }
    tree.to_string()
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = prop_oneof![select(known_keys()).prop_map(|key| last(key.path)), "[a-z-]{0,8}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn last(path: &str) -> String {
    path.rsplit('.').next().unwrap_or(path).to_owned()
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text_for_any_key_by_flag_or_variable_is_taken_or_refused_by_name(key in key(), text in text()) {
        prop_assume!(not_a_file(&key, &text));
        names_the_key(&Loader::new().flag(key.path, &text).load(), key.path)?;
        names_the_key(&Loader::new().environment([(key.environment.clone(), text)]).load(), key.path)?;
    }

    #[test]
    fn any_value_for_any_key_in_the_file_is_taken_or_refused_by_name(key in key(), value in json()) {
        let yaml = in_file(key.path, &value);
        let result = Loader::new().text("a.yaml", yaml.clone()).load();
        if let Err(error) = &result {
            let full = format!("enhanced-locking.{}", key.path);
            // Noise that is no YAML (a lone surrogate, a control character) and duplicates name the place instead.
            prop_assert!(
                error.problems().iter().any(|problem| problem.path == full || problem.path.is_empty()
                    || problem.message.contains(key.path)),
                "{yaml}: {error}"
            );
        }
    }

    #[test]
    fn what_is_shown_can_be_given_again_and_means_the_same(key in key(), text in text()) {
        prop_assume!(not_a_file(&key, &text));
        if let Ok(settings) = Loader::new().flag(key.path, &text).load() {
            let shown = settings.show();
            let value = shown.iter().find(|setting| setting.path == key.path).and_then(|setting| setting.value.clone());
            if let Some(value) = value.filter(|value| value != "***") {
                let again = Loader::new().flag(key.path, &value).load();
                prop_assert!(again.is_ok(), "{value} {again:?}");
                prop_assert!(Settings::diff(&settings, &again.unwrap()).is_empty());
            }
        }
    }

    #[test]
    fn any_subset_of_the_variables_loads_with_each_as_its_source(
        keys in subsequence(known_keys(), 0..known_keys().len()),
    ) {
        let variables: Vec<_> = keys.iter()
            .filter_map(|key| Some((key.environment.clone(), key.default?.to_owned())))
            .collect();
        let settings = Loader::new().environment(variables.clone()).load();
        prop_assert!(settings.is_ok(), "{settings:?}");
        let settings = settings.unwrap();
        prop_assert!(Settings::diff(&settings, &Settings::default()).is_empty());
        for setting in settings.show() {
            let set = variables.iter().find(|(name, _)| keys.iter().any(|key| key.path == setting.path && key.environment == *name));
            let expected = set.map_or("default".to_owned(), |(name, _)| format!("environment {name}"));
            prop_assert_eq!(setting.source.to_string(), expected);
        }
    }

    #[test]
    fn any_variable_with_our_prefix_and_no_key_is_an_error(name in "[A-Z_]{1,30}") {
        let name = format!("ATLANTIS_ENHANCED_LOCKING_{name}");
        let known = known_keys().into_iter().any(|key| key.environment == name || key.environment == format!("{name}_ENABLED"));
        prop_assume!(!known);
        let error = Loader::new().environment([(name.clone(), "true")]).load().unwrap_err();
        prop_assert!(error.to_string().contains(&name));
    }

    #[test]
    fn any_tree_is_settings_or_problems_with_a_place(tree in json()) {
        let yaml = serde_json::json!({ "enhanced-locking": tree }).to_string();
        if let Err(error) = Loader::new().text("a.yaml", yaml).load() {
            prop_assert!(error.problems().iter().all(|problem| problem.source.is_some()), "{error}");
        }
    }

    #[test]
    fn any_characters_are_settings_or_problems(noise in any::<String>(), yamlish in "[a-z:{}\\[\\]&*!|>'\"#%@`, \n\t-]{0,80}") {
        for body in [noise, yamlish] {
            for text in [body.clone(), format!("enhanced-locking:\n  {body}"), format!("enhanced-locking: {body}")] {
                if let Err(error) = Loader::new().text("a.yaml", text).load() {
                    prop_assert!(!error.problems().is_empty());
                }
            }
        }
    }
}
