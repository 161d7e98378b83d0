//! Layers, sources, switches, secrets and every kind of mistake, as a user meets them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test")]

use std::io::Write;

use enhanced_locking_config::{
    LoadError, Loader, Problem, ProblemKind, Settings, check_features, known_keys,
};

fn yaml(body: &str) -> Loader {
    Loader::new().text("a.yaml", body)
}

fn problems(loader: Loader) -> Vec<Problem> {
    loader.load().unwrap_err().problems().to_vec()
}

/// The only problem, as text.
fn problem(loader: Loader) -> String {
    match problems(loader).as_slice() {
        [problem] => problem.to_string(),
        other => panic!("not one problem: {other:#?}"),
    }
}

fn source(settings: &Settings, path: &str) -> String {
    settings.source_of(path).unwrap().to_string()
}

const PREFIX: &str = "ATLANTIS_ENHANCED_LOCKING_";

#[test]
fn without_anything_the_defaults_hold() {
    let settings = Loader::new().load().unwrap();
    assert!(settings.show().iter().all(|setting| setting.source.to_string() == "default"));
    assert!(yaml("").load().is_ok() && yaml("enhanced-locking:\n").load().is_ok());
}

#[test]
fn each_layer_wins_over_the_one_below_and_is_named_as_the_source() {
    let file = yaml("enhanced-locking:\n  redis:\n    pool-size: 1\n");
    assert_eq!(source(&file.load().unwrap(), "redis.pool-size"), "a.yaml:3:16");
    let env = file.environment([(format!("{PREFIX}REDIS_POOL_SIZE"), "2")]);
    let settings = env.load().unwrap();
    assert_eq!(
        (settings.redis.pool_size, source(&settings, "redis.pool-size").as_str()),
        (2, "environment ATLANTIS_ENHANCED_LOCKING_REDIS_POOL_SIZE")
    );
    let settings =
        env.flag("redis.pool-size", "3").flag("enhanced-locking.redis.pool-size", "4").load().unwrap();
    assert_eq!(
        (settings.redis.pool_size, source(&settings, "redis.pool-size").as_str()),
        (4, "flag --set enhanced-locking.redis.pool-size")
    );
}

#[test]
fn every_key_can_be_set_by_file_environment_and_flag() {
    for key in known_keys() {
        let value = match (key.default, key.path) {
            (Some(default), _) => default,
            (None, path) if path.ends_with("boost") => "3",
            (None, path) if path.contains("credits") || path.contains("priority-queue") => "2s",
            (None, "redis.addresses") => "h:1",
            (None, "redis.buckets") => "3",
            (None, "atlantis.listen") => "127.0.0.1:6380",
            (None, path) if path.ends_with("-file") => continue,
            (None, _) => "text",
        };
        let mut file = String::new();
        for (depth, part) in format!("enhanced-locking.{}", key.path).split('.').enumerate() {
            file.push_str(&format!("{}{part}:\n", "  ".repeat(depth)));
        }
        let file = format!("{} {value}\n", file.trim_end());
        for (loader, expected) in [
            (yaml(&file), "a.yaml:"),
            (Loader::new().environment([(key.environment.clone(), value)]), "environment "),
            (Loader::new().flag(key.path, value), "flag "),
        ] {
            let settings = loader.load().unwrap_or_else(|error| panic!("{file}{error}"));
            assert!(source(&settings, key.path).starts_with(expected), "{}", key.path);
        }
    }
}

#[test]
fn a_switch_is_a_bool_or_a_table_and_a_table_turns_it_on() {
    for (body, enabled) in [
        ("deadlock-detection: true", true),
        ("deadlock-detection: {check-interval: 10s}", true),
        ("deadlock-detection: {enabled: false, check-interval: 10s}", false),
        ("deadlock-detection: {}", true),
        ("metrics: true", false),
    ] {
        let settings = yaml(&format!("enhanced-locking: {{{body}}}")).load().unwrap();
        assert_eq!(settings.deadlock_detection.enabled, enabled, "{body}");
    }
    let settings = yaml("enhanced-locking: {metrics: true}")
        .environment([
            (format!("{PREFIX}METRICS"), "false"),
            (format!("{PREFIX}PRIORITY_QUEUE_ENABLED"), "true"),
        ])
        .flag("retries", "true")
        .load()
        .unwrap();
    assert!(!settings.metrics.enabled && settings.priority_queue.enabled && settings.retries.enabled);
}

#[test]
fn a_switch_set_by_two_variables_is_a_conflict() {
    let text =
        problem(Loader::new().environment([
            (format!("{PREFIX}METRICS"), "true"),
            (format!("{PREFIX}METRICS_ENABLED"), "true"),
        ]));
    assert!(text.contains("METRICS`") && text.contains("METRICS_ENABLED`"), "{text}");
}

#[test]
fn other_trees_of_the_file_are_left_alone_but_a_misspelt_one_of_ours_is_not() {
    assert!(yaml("repos:\n- id: /.*/\n  x: ${NOT_SET}\nport: 4141\n").load().is_ok());
    for name in ["enhanced_locking", "Enhanced-Locking", "enhanced-lockin"] {
        let text = problem(yaml(&format!("{name}: {{enabled: false}}\n")));
        assert_eq!(
            text,
            format!("a.yaml:1:1: `{name}` is not a setting\n  help: did you mean `enhanced-locking`?")
        );
    }
}

#[test]
fn an_unknown_key_is_named_with_path_place_and_the_nearest_key() {
    let text = problem(yaml("enhanced-locking:\n  redis:\n    pool_size: 3\n"));
    assert_eq!(
        text,
        "a.yaml:3:5: `enhanced-locking.redis.pool_size` is not a setting\n  help: did you mean `pool-size`?"
    );
    let text = problem(yaml("enhanced-locking: {redis.db: 3}"));
    assert!(text.contains("instead of a dot"), "{text}");
}

#[test]
fn a_variable_that_sets_nothing_is_an_error_with_the_nearest_one() {
    for (name, near) in [
        ("REDIS_POOLSIZE", "REDIS_POOL_SIZE"),
        ("LOG_LVEL", "LOG_LEVEL"),
        ("DEADLOCK_DETECTOIN", "DEADLOCK_DETECTION"),
    ] {
        let text = problem(Loader::new().environment([(format!("{PREFIX}{name}"), "hunter2")]));
        assert!(text.contains(&format!("did you mean `{PREFIX}{near}`?")), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(
        problem(Loader::new().environment([("ATLANTIS_ENHANCED_LOCKING", "true")]))
            .contains("sets no setting")
    );
    assert!(Loader::new().environment([("ATLANTIS_PORT", "1"), ("ATLANTIS_ENHANCED", "1")]).load().is_ok());
}

#[test]
fn a_flag_that_sets_nothing_is_an_error_with_the_nearest_key() {
    assert!(problem(Loader::new().flag("redis.poolsize", "1")).contains("did you mean `redis.pool-size`?"));
    assert!(problem(Loader::new().flag("redis", "1")).contains("set one of its keys: addresses,"));
}

#[test]
fn a_wrong_value_says_what_it_was_and_what_is_allowed_with_the_place() {
    for (body, expected) in [
        (
            "enabled: yes",
            "a.yaml:2:12: `enhanced-locking.enabled` is `yes`, but must be true or false\n  help: write `true`",
        ),
        ("enabled: [true]", "a.yaml:2:12: `enhanced-locking.enabled` is a list, but must be true or false"),
        ("enabled: {a: 1}", "a.yaml:2:12: `enhanced-locking.enabled` is a table, but must be true or false"),
        (
            "backend: reddis",
            "a.yaml:2:12: `enhanced-locking.backend` is `reddis`, but must be one of embedded, boltdb, redis, memory\n  help: did you mean `redis`?",
        ),
        (
            "backend:",
            "a.yaml:2:3: `enhanced-locking.backend` has no value, but must be one of embedded, boltdb, redis, memory\n  help: give it a value, or remove the line",
        ),
        (
            "migration: {traffic-percentage: 101}",
            "a.yaml:2:35: `enhanced-locking.migration.traffic-percentage` is `101`, but must be a whole number from 0 to 100",
        ),
        (
            "locks: {default-lease: 30}",
            "a.yaml:2:26: `enhanced-locking.locks.default-lease` is `30`, but must be a duration from 10ms to 720h\n  help: a duration needs a unit: write `30s` for seconds or `30ms` for milliseconds",
        ),
        (
            "embedded: {map-size: 64}",
            "a.yaml:2:24: `enhanced-locking.embedded.map-size` is `64`, but must be a size from 1MiB to 16TiB\n  help: a size needs a unit, as in `64MiB`",
        ),
        (
            "redis: on",
            "a.yaml:2:10: `enhanced-locking.redis` must be a table with the keys addresses, username, password, password-file, cluster-mode, sentinel-master, sentinel-username, sentinel-password, sentinel-password-file, db, namespace, buckets, pool-size, connect-timeout, command-timeout, poll-period, durability, replicas, replica-timeout, promotion-grace, tls",
        ),
        (
            "metrics:",
            "a.yaml:2:10: `enhanced-locking.metrics` must be true, false or a table with the keys enabled",
        ),
    ] {
        assert_eq!(problem(yaml(&format!("enhanced-locking:\n  {body}\n"))), expected);
    }
    let env = Loader::new().environment([(format!("{PREFIX}LIMITS_EVENTS"), "many")]);
    assert_eq!(
        problem(env),
        format!(
            "environment {PREFIX}LIMITS_EVENTS: `enhanced-locking.limits.events` is `many`, but must be a whole number from 1 to 100000000"
        )
    );
    let flag = Loader::new().dedicated_flag("--listen", "server.listen", "4141");
    assert!(
        problem(flag)
            .starts_with("flag --listen: `enhanced-locking.server.listen` is `4141`, but must be an address")
    );
    let empty = Loader::new().environment([(format!("{PREFIX}LOG_LEVEL"), "")]);
    assert!(problem(empty).contains("is set to nothing"));
}

#[test]
fn all_problems_are_reported_at_once() {
    let found = problems(
        yaml("enhanced-locking:\n  enabld: true\n  backend: x\n  redis:\n    db: -1\n    password: ${NO}\n")
            .environment([(format!("{PREFIX}X"), "1")])
            .flag("log.level", "loud"),
    );
    let kinds: Vec<_> = found.iter().map(|problem| problem.kind).collect();
    assert_eq!(
        kinds,
        [
            ProblemKind::UnknownKey,
            ProblemKind::Variable,
            ProblemKind::UnknownKey,
            ProblemKind::WrongValue,
            ProblemKind::WrongValue,
            ProblemKind::WrongValue
        ]
    );
}

#[test]
fn a_wrong_value_is_reported_even_where_a_higher_layer_overrides_it() {
    let loader = yaml("enhanced-locking: {log: {level: loud}}").flag("log.level", "info");
    assert!(problem(loader).contains("`loud`"));
}

#[test]
fn texts_stay_as_they_are_written() {
    for text in ["0123", "1e5", "true", "0x10", "1_000", "1.50"] {
        let file = yaml(&format!("enhanced-locking: {{redis: {{password: {text}, username: {text}}}}}"))
            .load()
            .unwrap();
        let env = Loader::new().environment([(format!("{PREFIX}REDIS_PASSWORD"), text)]).load().unwrap();
        assert_eq!(file.redis.password.as_ref().unwrap().expose(), text);
        assert_eq!(file.redis.username.as_deref(), Some(text));
        assert_eq!(env.redis.password.as_ref().unwrap().expose(), text);
    }
}

#[test]
fn addresses_come_as_a_list_or_separated_by_commas() {
    let expected = ["a:1", "b:2"];
    let from = |loader: Loader| loader.load().unwrap().redis.addresses;
    assert_eq!(from(yaml("enhanced-locking: {redis: {addresses: [\"a:1\", \"b:2\"]}}")), expected);
    assert_eq!(from(Loader::new().environment([(format!("{PREFIX}REDIS_ADDRESSES"), "a:1,b:2")])), expected);
    assert_eq!(from(Loader::new().flag("redis.addresses", "a:1, b:2")), expected);
    let expanded =
        yaml("enhanced-locking: {redis: {addresses: \"${HOSTS}\"}}").environment([("HOSTS", "a:1,b:2")]);
    assert_eq!(from(expanded), expected);
}

#[test]
fn a_secret_is_never_printed() {
    let settings = yaml("enhanced-locking: {redis: {password: hunter2}}")
        .flag("server.auth-token", "hunter3")
        .load()
        .unwrap();
    let json = serde_json::to_string(&settings.show()).unwrap();
    for text in [format!("{settings:?}"), format!("{:?}", settings.show()), json] {
        assert!(!text.contains("hunter") && text.contains("***"), "{text}");
    }
    let loader = yaml("enhanced-locking: {redis: {password: [hunter2], db: hunter3}}")
        .environment([("X", "hunter4"), ("ATLANTIS_ENHANCED_LOCKING_SERVER_AUTH_TOKEN", "hunter5\u{7}")]);
    assert!(!format!("{loader:?}").contains("hunter"));
    let error = loader.load().unwrap_err();
    let text = format!("{error} {error:?}").replace("hunter3", "");
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn what_a_variable_expanded_to_is_not_repeated_in_an_error() {
    let loader = yaml("enhanced-locking: {redis: {db: \"${SECRET}\"}}").environment([("SECRET", "hunter2")]);
    let text = problem(loader);
    assert!(text.contains("is `${SECRET}`, but must be") && !text.contains("hunter2"), "{text}");
}

fn secret_file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

#[test]
fn a_secret_file_is_read_without_its_last_line_break() {
    for content in ["hunter2", "hunter2\n", "hunter2\r\n"] {
        let file = secret_file(content.as_bytes());
        let settings =
            Loader::new().flag("redis.password-file", file.path().to_str().unwrap()).load().unwrap();
        assert_eq!(settings.redis.password.as_ref().unwrap().expose(), "hunter2");
        assert_eq!(source(&settings, "redis.password"), "flag --set redis.password-file");
    }
}

#[test]
fn a_bad_secret_file_is_named_and_not_quoted() {
    for content in [&b""[..], b"\n", b"hunter\n\n", b"hun\0ter", b"\xffhunter", &[b'x'; 70_000]] {
        let file = secret_file(content);
        let path = file.path().to_str().unwrap();
        let text = problem(Loader::new().flag("server.auth-token-file", path));
        assert!(text.contains(path) && !text.contains("hun"), "{text}");
    }
    let text = problem(Loader::new().flag("server.auth-token-file", "/no/such/file"));
    assert!(text.ends_with("names the file `/no/such/file`, which does not exist"), "{text}");
    assert!(problem(Loader::new().flag("server.auth-token-file", "/")).ends_with("is not a file"));
}

#[test]
fn of_a_secret_and_a_secret_file_the_higher_layer_wins_and_in_one_layer_they_conflict() {
    let file = secret_file(b"from-file");
    let path = file.path().to_str().unwrap();
    let body = format!("enhanced-locking: {{redis: {{password-file: {path}}}}}");
    let settings = yaml(&body).environment([(format!("{PREFIX}REDIS_PASSWORD"), "direct")]).load().unwrap();
    assert_eq!(settings.redis.password.unwrap().expose(), "direct");
    let direct = yaml("enhanced-locking: {redis: {password: direct}}");
    let settings = direct.environment([(format!("{PREFIX}REDIS_PASSWORD_FILE"), path)]).load().unwrap();
    assert_eq!(settings.redis.password.unwrap().expose(), "from-file");
    let both = Loader::new().flag("redis.password", "x").flag("redis.password-file", path);
    assert!(problem(both).contains("is set together with `enhanced-locking.redis.password`"));
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (flags, expected) in [
        (&[("server.listen", "0.0.0.0:4141")][..], "no token protects it"),
        (&[("server.listen", "[::ffff:10.0.0.1]:1")], "no token protects it"),
        (&[("server.auth-token", "two words")], "an HTTP header cannot carry"),
        (&[("backend", "redis")], "is empty, but the backend is `redis`"),
        (
            &[("redis.cluster-mode", "true"), ("redis.sentinel-master", "m")],
            "set together with `cluster-mode: true`",
        ),
        (&[("redis.cluster-mode", "true"), ("redis.db", "1")], "has only database 0"),
        (&[("redis.addresses", "a:1,b:2"), ("backend", "redis")], "names 2 servers, and not what they are"),
        (&[("redis.addresses", "unix:/s"), ("redis.cluster-mode", "true")], "names a socket"),
        (&[("redis.addresses", "unix:/s"), ("redis.tls", "true")], "names a socket"),
        (
            &[("redis.sentinel-password", "x"), ("redis.addresses", "a:1"), ("backend", "redis")],
            "is set without `sentinel-master`",
        ),
        (
            &[("redis.username", "x"), ("redis.addresses", "a:1"), ("backend", "redis")],
            "is set without a password",
        ),
        (&[("redis.namespace", "a b")], "some that do not fit"),
        (
            &[
                ("redis.tls", "false"),
                ("redis.tls.ca-file", "/ca"),
                ("redis.addresses", "a:1"),
                ("backend", "redis"),
            ],
            "files of TLS are named",
        ),
        (
            &[
                ("redis.tls", "true"),
                ("redis.tls.key-file", "/key"),
                ("redis.addresses", "a:1"),
                ("backend", "redis"),
            ],
            "only one of them is set",
        ),
        (
            &[("priority-queue.credits.low", "2s"), ("priority-queue.credits.high", "1s")],
            "less than the `2s` of",
        ),
        (&[("locks.claim-window", "31s")], "longer than the `30s` of `locks.default-lease`"),
        (&[("retries.base-delay", "1m")], "longer than the `30s` of `retries.max-delay`"),
        (&[("limits.waiters-per-key", "2000000")], "more than the `1000000` of `limits.waiters-total`"),
    ] {
        let loader = flags.iter().fold(Loader::new(), |loader, (path, value)| loader.flag(path, value));
        let text = problem(loader);
        assert!(text.contains(expected) && text.contains("help: "), "{text}");
        assert!(text.starts_with("flag --set "), "{text}");
    }
}

#[test]
fn an_address_that_others_reach_is_allowed_with_a_token_or_on_demand() {
    let open = || Loader::new().flag("server.listen", "0.0.0.0:4141");
    assert!(open().flag("server.auth-token", "t0ken").load().is_ok());
    assert!(open().flag("server.insecure-listen", "true").load().is_ok());
    for local in ["127.0.0.2:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"] {
        assert!(Loader::new().flag("server.listen", local).load().is_ok(), "{local}");
    }
}

#[test]
fn a_broken_value_does_not_cause_a_second_problem() {
    assert!(
        problem(Loader::new().flag("locks.claim-window", "1m").flag("locks.default-lease", "2"))
            .contains("needs a unit")
    );
    let both =
        Loader::new().flag("server.listen", "0.0.0.0:1").flag("server.auth-token-file", "/no/such/file");
    assert!(problem(both).contains("does not exist"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    assert_eq!(problem(Loader::new().file("/no/such.yaml")), "/no/such.yaml: does not exist");
    assert!(Loader::new().optional_file("/no/such.yaml").load().is_ok());
    assert_eq!(problem(Loader::new().file("/")), "/: is not a file");
    assert_eq!(problem(Loader::new().optional_file("/")), "/: is not a file");
    let large = secret_file(&vec![b'#'; 2 << 20]);
    assert!(problem(Loader::new().file(large.path())).ends_with("is larger than 1048576 bytes"));
    let binary = secret_file(b"\xff\xfe\x00");
    assert!(problem(Loader::new().file(binary.path())).ends_with("is not UTF-8 text"));
}

#[test]
fn duplicates_and_broken_yaml_have_their_place() {
    let text = problem(yaml("enhanced-locking:\n  enabled: true\n  enabled: false\n"));
    assert!(text.starts_with("a.yaml:3:3: has the key `enabled` twice"), "{text}");
    let text = problem(yaml("enhanced-locking:\n  redis: [a\n"));
    assert!(text.starts_with("a.yaml:"), "{text}");
    let text = problem(yaml("a: 1\n---\nb: 2\n"));
    assert!(text.starts_with("a.yaml:3:1: holds more than one YAML document"), "{text}");
    let text = problem(yaml("a: b: c"));
    assert!(text.starts_with("a.yaml:1:5: is not valid YAML: "), "{text}");
    assert!(problem(yaml("[1]")).contains("is not a table"));
    assert!(problem(yaml("enhanced-locking: true")).contains("must be a table of settings"));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_an_error_only_if_it_is_ours() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let bad = || OsString::from_vec(vec![0xff]);
    assert!(Loader::new().environment([("OTHER", bad())]).load().is_ok());
    assert!(
        problem(Loader::new().environment([(format!("{PREFIX}DATA_DIR"), bad())])).contains("is not UTF-8")
    );
}

#[test]
fn the_features_a_configuration_needs_are_named() -> Result<(), LoadError> {
    let all = ["embedded", "redis", "memory", "priority-queue", "deadlock-detection", "retries", "compat"];
    for (flags, feature) in [
        (&[("backend", "boltdb")][..], "embedded"),
        (&[("backend", "memory")], "memory"),
        (&[("backend", "redis"), ("redis.addresses", "h:1")], "redis"),
        (&[("priority-queue", "true")], "priority-queue"),
        (&[("deadlock-detection", "true")], "deadlock-detection"),
        (&[("retries", "true")], "retries"),
        (&[("compatibility-mode", "true")], "compat"),
        (&[("migration.mode", "shadow"), ("enabled", "false")], "compat"),
    ] {
        let loader = flags.iter().fold(Loader::new(), |loader, (path, value)| loader.flag(path, value));
        let settings = loader.load()?;
        assert!(check_features(&settings, &all).is_empty());
        let compiled: Vec<_> = all.into_iter().filter(|name| *name != feature).collect();
        let missing = check_features(&settings, &compiled);
        assert_eq!(missing.len(), 1, "{flags:?}");
        assert_eq!(missing[0].feature, feature);
        assert!(missing[0].to_string().contains(flags[0].1), "{}", missing[0]);
        let real = ["embedded", "redis", "memory", "priority-queue"].contains(&feature);
        assert_eq!(missing[0].exists(), real, "{feature}");
        let words = if real { "a build with the cargo feature" } else { "yet; leave it off" };
        assert!(missing[0].to_string().contains(words), "{}", missing[0]);
    }
    let off = Loader::new().flag("enabled", "false").flag("deadlock-detection", "true").load()?;
    assert!(check_features(&off, &[]).is_empty());
    Ok(())
}
