//! 32 processes commit to one git repository. Without a lock git complains and commits are lost; under
//! `enhanced-locks run` every commit is there, also when the service is killed again and again.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use enhanced_locking_tests::crew::{Crew, Work};
use enhanced_locking_tests::poll::pause;
use enhanced_locking_tests::program::clean;
use enhanced_locking_tests::random::{number, seed};
use enhanced_locking_tests::{Done, Random, Service, bare, tokens};

/// A machine so busy that a waiter sleeps through its turn is not what is tested here.
const PATIENT: [&str; 2] = ["--set", "locks.claim-window=25s"];

const CREW: Crew = Crew { members: 32, rounds: 3, limit: Duration::from_secs(240), patient: false };

/// How often the service is killed; `GIT_KILLS` for more, `GIT_SEED` to repeat a run.
const KILLS: u64 = 10;

/// What git or the shell say when two of them work at once.
const COMPLAINTS: [&str; 4] = ["index.lock", "cannot lock ref", "Another git process", "fatal:"];

/// One commit: a file of its own, and a line with the fencing token in a log outside of the work tree.
const COMMIT: &str = r#"
set -eu
echo "$NAME" > "$NAME"
git add "$NAME"
git commit --quiet --message "$NAME"
echo "${ENHANCED_LOCK_TOKEN:-0}" >> "$TOKENS"
"#;

struct Repository {
    directory: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repository = Self { directory };
        std::fs::create_dir(repository.tree()).unwrap();
        for arguments in [
            &["init", "--quiet", "--initial-branch", "main"][..],
            // Housekeeping in the background takes git's locks at times of its own.
            &["config", "gc.auto", "0"],
            &["config", "maintenance.auto", "false"],
            &["commit", "--quiet", "--allow-empty", "--message", "first"],
        ] {
            repository.git(arguments);
        }
        repository
    }

    fn tree(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    fn tokens(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(self.tree());
        Done::of(isolated(&mut git)).expect_code(0).out
    }

    /// The environment in which a command makes the commit of a member and round.
    fn committing(&self, mut command: Command, member: usize, round: usize) -> Command {
        command.env("NAME", name(member, round)).env("TOKENS", self.tokens()).current_dir(self.tree());
        isolated(&mut command);
        command
    }

    /// The commits of a crew that are not in the history, or not exactly once.
    fn missing(&self, crew: Crew) -> Vec<String> {
        let log = self.git(&["log", "--format=%s"]);
        let there: Vec<&str> = log.lines().collect();
        let names =
            (0..crew.members).flat_map(|member| (0..crew.rounds).map(move |round| name(member, round)));
        names.filter(|name| there.iter().filter(|subject| *subject == name).count() != 1).collect()
    }

    fn assert_complete(&self, crew: Crew, work: &Work) {
        work.expect_success();
        let said = work.complaints();
        for complaint in COMPLAINTS {
            assert!(!said.contains(complaint), "git complained ({complaint}):\n{said}");
        }
        assert_eq!(self.missing(crew), Vec::<String>::new(), "commits are lost");
        let all = crew.members * crew.rounds;
        assert_eq!(self.git(&["rev-list", "--count", "HEAD"]).trim(), (all + 1).to_string());
        assert_eq!(self.git(&["status", "--porcelain"]), "", "the work tree is not as committed");
        self.git(&["fsck", "--strict", "--no-dangling"]);
        assert_eq!(tokens::strictly_rising(&self.tokens()), all);
    }
}

fn name(member: usize, round: usize) -> String {
    format!("commit-{member}-{round}")
}

/// Lets git know nothing of the user who runs the tests.
fn isolated(command: &mut Command) -> &mut Command {
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    clean(command);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Tester");
        command.env(format!("GIT_{who}_EMAIL"), "tester@example.com");
    }
    command
}

/// Makes the commits under the lock `repo` of a service.
fn commit_under_lock(repository: &Repository, url: &str, crew: Crew) -> Work {
    crew.work(|member, round| {
        // Never longer than the test: if something is wrong, it should be told, not waited for.
        let run = bare(&["run", "--key", "repo", "--wait", "3m", "--", "sh", "-c", COMMIT]);
        let mut run = repository.committing(run, member, round);
        run.env("ENHANCED_LOCKS_SERVER", url);
        run
    })
}

#[test]
fn without_a_lock_the_work_breaks() {
    const ROUNDS: usize = 5;
    for _ in 0..ROUNDS {
        let repository = Repository::new();
        let crew = Crew { rounds: 1, ..CREW };
        let work = crew.work(|member, round| {
            let mut shell = Command::new("sh");
            shell.args(["-c", COMMIT]);
            repository.committing(shell, member, round)
        });
        let failed = work.done.iter().filter(|(_, _, done)| done.code != 0).count();
        let complained = COMPLAINTS.iter().any(|complaint| work.complaints().contains(complaint));
        let missing = repository.missing(crew).len();
        println!(
            "without a lock: {failed} of {} commands failed, {missing} commits are missing",
            crew.members
        );
        if complained || missing > 0 {
            return;
        }
    }
    panic!(
        "{ROUNDS} times {} processes worked without a lock and nothing broke: these tests prove nothing",
        CREW.members
    );
}

#[test]
fn under_a_lock_every_commit_is_there_and_git_never_reports_its_own() {
    let (service, repository) = (Service::start_with(&PATIENT), Repository::new());
    let work = commit_under_lock(&repository, &service.url(), CREW);
    repository.assert_complete(CREW, &work);
    assert_nothing_is_left(&service);
}

#[test]
fn every_commit_is_there_although_the_service_is_killed_again_and_again() {
    let (seed, kills) = (seed("GIT_SEED"), number("GIT_KILLS").unwrap_or(KILLS));
    println!("again with: GIT_SEED={seed} GIT_KILLS={kills} cargo test -p enhanced-locking-tests --test git");
    let (mut service, repository) = (Service::start_with(&PATIENT), Repository::new());
    let (url, done) = (service.url(), AtomicBool::new(false));
    // At least so many rounds, and more until the kills are done: they must hit the work.
    let crew = Crew { patient: true, ..CREW };
    let mut random = Random::new(seed);
    let (mut killed, mut during) = (0, 0);
    let work = std::thread::scope(|scope| {
        let at_work = scope.spawn(|| {
            let _over = Over(&done);
            commit_under_lock(&repository, &url, crew)
        });
        while killed < kills {
            pause(random.millis(20, 600));
            service.kill();
            killed += 1;
            during += u64::from(!done.load(Ordering::Relaxed));
            pause(random.millis(0, 150));
            service.restart();
        }
        at_work.join().unwrap()
    });
    println!(
        "killed {killed} times, {during} of them during the work; {} commands found no service and were started again",
        work.begun_again
    );
    assert!(during * 2 >= kills, "only {during} of {kills} kills came during the work");
    repository.assert_complete(crew, &work);
    assert_nothing_is_left(&service);
    assert_sound(service);
}

/// Says that the work is over, also when it panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[track_caller]
fn assert_nothing_is_left(service: &Service) {
    assert_eq!(service.json(&["list"])["locks"].as_array().map(Vec::len), Some(0), "a lock is left");
    assert_eq!(service.json(&["queue"])["depth"], 0, "somebody still waits");
}

fn assert_sound(mut service: Service) {
    service.stop();
    let store: &Path = service.store();
    enhanced_locking_embedded::check(store).unwrap();
}
