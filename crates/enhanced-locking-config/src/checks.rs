//! Owns the checks that involve more than one setting. Does not own what a single value may be.

use crate::choice::{Backend, Durability};
use crate::problem::{Problem, ProblemKind, ROOT, Source};
use crate::settings::Settings;
use crate::units::print_duration;

/// Adds what does not go together. A check is left out when a setting it looks at already has a problem:
/// the default standing in for it proves nothing.
pub(crate) fn check(settings: &Settings, problems: &mut Vec<Problem>) {
    let broken: Vec<String> = problems.iter().map(|problem| problem.path.clone()).collect();
    let mut checks = Checks { settings, broken, found: Vec::new() };
    checks.listen();
    checks.token();
    checks.atlantis();
    checks.redis();
    checks.credits();
    checks.times();
    checks.limits();
    problems.append(&mut checks.found);
}

struct Checks<'a> {
    settings: &'a Settings,
    broken: Vec<String>,
    found: Vec<Problem>,
}

impl Checks<'_> {
    /// Reports against the first of `paths`, which are all the settings the check looked at.
    fn refuse(&mut self, paths: &[&str], message: impl Into<String>, help: impl Into<String>) {
        let is_broken = |path: &&str| {
            self.broken.iter().any(|broken| broken.strip_prefix(ROOT) == Some(&format!(".{path}")))
        };
        let Some(first) = paths.first() else { return };
        if paths.iter().any(is_broken) {
            return;
        }
        let mut problem = Problem::of_key(ProblemKind::Conflict, first, message).help(help);
        // Blame what somebody said: nobody can repair a default.
        let mut sources = paths.iter().filter_map(|path| self.settings.source_of(path));
        problem.source = sources.find(|source| **source != Source::Default).cloned();
        self.found.push(problem);
    }

    fn listen(&mut self) {
        let server = &self.settings.server;
        let reachable = !server.listen.ip().to_canonical().is_loopback();
        if reachable && server.auth_token.is_none() && !server.insecure_listen {
            self.refuse(
                &["server.listen", "server.auth-token", "server.auth-token-file", "server.insecure-listen"],
                format!("is `{}`, which other machines reach, and no token protects it", server.listen),
                "set `server.auth-token-file`, or `server.insecure-listen: true` if the network is trusted",
            );
        }
    }

    fn atlantis(&mut self) {
        let atlantis = &self.settings.atlantis;
        let (insecure, tls) = (self.settings.server.insecure_listen, &atlantis.tls);
        if let Some(listen) = atlantis.listen
            && !listen.ip().to_canonical().is_loopback()
            && atlantis.password.is_none()
            && !insecure
        {
            self.refuse(
                &["atlantis.listen", "atlantis.password", "atlantis.password-file", "server.insecure-listen"],
                format!("is `{listen}`, which other machines reach, and no password protects it"),
                "set `atlantis.password-file`, or `server.insecure-listen: true` if the network is trusted",
            );
        }
        let (certificate, key) = ("atlantis.tls.cert-file", "atlantis.tls.key-file");
        let pair = match (&tls.cert_file, &tls.key_file) {
            (Some(_), None) => [certificate, key],
            (None, Some(_)) => [key, certificate],
            _ => return,
        };
        self.refuse(&pair, format!("is set without `{}`", pair[1]), "set both, or none to speak without TLS");
    }

    fn token(&mut self) {
        let sendable = |token: &str| token.bytes().all(|byte| byte.is_ascii_graphic());
        if self.settings.server.auth_token.as_ref().is_some_and(|token| !sendable(token.expose())) {
            self.refuse(
                &["server.auth-token"],
                "has characters that an HTTP header cannot carry",
                "use letters, digits and punctuation without spaces",
            );
        }
    }

    fn redis(&mut self) {
        let redis = &self.settings.redis;
        let used = self.settings.enabled && self.settings.backend == Backend::Redis;
        if used && redis.addresses.is_empty() {
            self.refuse(
                &["redis.addresses", "backend", "enabled"],
                "is empty, but the backend is `redis`",
                "name at least one server, such as `addresses: [\"localhost:6379\"]`",
            );
        }
        if redis.cluster_mode && redis.sentinel_master.is_some() {
            self.refuse(
                &["redis.sentinel-master", "redis.cluster-mode"],
                "is set together with `cluster-mode: true`",
                "a server belongs to a cluster or is watched by Sentinels: keep one of the two",
            );
        }
        if used && redis.addresses.len() > 1 && !redis.cluster_mode && redis.sentinel_master.is_none() {
            self.refuse(
                &["redis.addresses", "redis.cluster-mode", "redis.sentinel-master"],
                format!("names {} servers, and not what they are", redis.addresses.len()),
                "set `cluster-mode: true` if they are a cluster, `sentinel-master` if they are Sentinels, or name one server",
            );
        }
        let has_socket = redis.addresses.iter().any(|address| address.starts_with("unix:"));
        if has_socket && (redis.cluster_mode || redis.sentinel_master.is_some() || redis.tls.enabled) {
            self.refuse(
                &["redis.addresses", "redis.cluster-mode", "redis.sentinel-master", "redis.tls.enabled"],
                "names a socket, which leads to one server on this machine, without TLS",
                "name `host:port`, or remove `cluster-mode`, `sentinel-master` and `tls`",
            );
        }
        let at_sentinel = redis.sentinel_username.is_some() || redis.sentinel_password.is_some();
        if used && at_sentinel && redis.sentinel_master.is_none() {
            self.refuse(
                &[
                    "redis.sentinel-password",
                    "redis.sentinel-username",
                    "redis.sentinel-password-file",
                    "redis.sentinel-master",
                ],
                "is set without `sentinel-master`",
                "for the user of the server itself set `username` and `password`",
            );
        }
        if used && redis.username.is_some() && redis.password.is_none() {
            self.refuse(
                &["redis.username", "redis.password", "redis.password-file"],
                "is set without a password, which Redis asks for together with a user",
                "set `password-file`, or `password: \"${REDIS_PASSWORD}\"`",
            );
        }
        if used && redis.durability != Durability::Fast && redis.replica_timeout >= redis.command_timeout {
            let (replicas, command) =
                (print_duration(&redis.replica_timeout), print_duration(&redis.command_timeout));
            self.refuse(
                &["redis.replica-timeout", "redis.command-timeout", "redis.durability"],
                format!("is `{replicas}`, not less than the `{command}` of `redis.command-timeout`"),
                "replicas must be shorter waited for than answers",
            );
        }
        self.redis_names();
        if used {
            self.redis_tls();
        }
        if redis.cluster_mode && redis.db != 0 {
            self.refuse(
                &["redis.db", "redis.cluster-mode"],
                format!("is `{}`, but a Redis Cluster has only database 0", redis.db),
                "remove `db`",
            );
        }
    }

    fn redis_names(&mut self) {
        let namespace = &self.settings.redis.namespace;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if namespace.len() > 64 || !namespace.bytes().all(fits) {
            self.refuse(
                &["redis.namespace"],
                "has more than 64 characters, or some that do not fit",
                "use letters, digits and any of `-_.:`",
            );
        }
    }

    fn redis_tls(&mut self) {
        let tls = &self.settings.redis.tls;
        let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
        if !tls.enabled && files.iter().any(|file| file.is_some()) {
            // A table switches TLS on; this is a file together with a switch that says no.
            self.refuse(
                &["redis.tls.enabled", "redis.tls.ca-file", "redis.tls.cert-file", "redis.tls.key-file"],
                "is false, but files of TLS are named",
                "set it to true, or remove the files",
            );
        }
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            self.refuse(
                &["redis.tls.cert-file", "redis.tls.key-file"],
                "goes together with `redis.tls.key-file`, and only one of them is set",
                "set both, or none if the server asks for no certificate",
            );
        }
    }

    fn credits(&mut self) {
        let credits = &self.settings.priority_queue.credits;
        let given = [
            ("priority-queue.credits.low", credits.low),
            ("priority-queue.credits.normal", credits.normal),
            ("priority-queue.credits.high", credits.high),
            ("priority-queue.credits.critical", credits.critical),
            ("priority-queue.credits.emergency", credits.emergency),
        ];
        let given: Vec<_> = given.into_iter().filter_map(|(path, credit)| Some((path, credit?))).collect();
        for pair in given.windows(2) {
            if let [(lower_path, lower), (path, credit)] = pair
                && lower > credit
            {
                self.refuse(
                    &[path, lower_path],
                    format!(
                        "is `{}`, less than the `{}` of `{lower_path}`",
                        print_duration(credit),
                        print_duration(lower)
                    ),
                    "a higher priority needs at least the credit of the one below",
                );
            }
        }
    }

    fn times(&mut self) {
        let (locks, retries) = (&self.settings.locks, &self.settings.retries);
        if locks.claim_window > locks.default_lease {
            let (window, lease) = (print_duration(&locks.claim_window), print_duration(&locks.default_lease));
            self.refuse(
                &["locks.claim-window", "locks.default-lease"],
                format!("is `{window}`, longer than the `{lease}` of `locks.default-lease`"),
                "a claim must be shorter than the lease it starts",
            );
        }
        if retries.base_delay > retries.max_delay {
            let (base, max) = (print_duration(&retries.base_delay), print_duration(&retries.max_delay));
            self.refuse(
                &["retries.base-delay", "retries.max-delay"],
                format!("is `{base}`, longer than the `{max}` of `retries.max-delay`"),
                "the first pause is the shortest",
            );
        }
    }

    fn limits(&mut self) {
        let limits = &self.settings.limits;
        let parts = [
            ("limits.waiters-per-key", limits.waiters_per_key),
            ("limits.waiters-per-owner", limits.waiters_per_owner),
        ];
        for (path, part) in parts {
            if part > limits.waiters_total {
                self.refuse(
                    &[path, "limits.waiters-total"],
                    format!(
                        "is `{part}`, more than the `{}` of `limits.waiters-total`",
                        limits.waiters_total
                    ),
                    "a part is at most the whole",
                );
            }
        }
    }
}
