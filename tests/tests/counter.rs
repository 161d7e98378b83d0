//! A counter in a file, read and written back by 50 processes: no increment is lost under the lock, and the tokens
//! of those who wrote rise. Without the lock increments are lost.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use enhanced_locking_tests::crew::Crew;
use enhanced_locking_tests::{Service, tokens};

/// A machine so busy that a waiter sleeps through its turn is not what is tested here.
const PATIENT: [&str; 2] = ["--set", "locks.claim-window=25s"];

const CREW: Crew = Crew { members: 50, rounds: 4, limit: Duration::from_secs(240), patient: false };

/// The pause in the middle is what the lock is for.
const INCREMENT: &str = r#"
set -eu
value=$(cat counter)
sleep 0.002
echo $((value + 1)) > counter
echo "${ENHANCED_LOCK_TOKEN:-0}" >> tokens
"#;

fn counter(directory: &Path) -> usize {
    std::fs::read_to_string(directory.join("counter")).unwrap().trim().parse().unwrap_or(0)
}

#[test]
fn without_a_lock_increments_are_lost() {
    const ROUNDS: usize = 5;
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("counter"), "0\n").unwrap();
        let crew = Crew { rounds: 1, ..CREW };
        let work = crew.work(|_, _| {
            let mut shell = Command::new("sh");
            shell.args(["-c", INCREMENT]).current_dir(&directory);
            shell
        });
        let failed = work.done.iter().filter(|(_, _, done)| done.code != 0).count();
        let counted = counter(directory.path());
        println!("without a lock: {} processes counted to {counted}, {failed} failed", crew.members);
        if counted < crew.members {
            return;
        }
    }
    panic!("{ROUNDS} times no increment was lost without a lock: this test proves nothing");
}

#[test]
fn under_a_lock_no_increment_is_lost_and_tokens_rise() {
    let service = Service::start_with(&PATIENT);
    let directory = service.directory();
    std::fs::write(directory.join("counter"), "0\n").unwrap();
    let work = CREW.work(|_, _| {
        service.command(&["run", "--key", "counter", "--wait", "3m", "--", "sh", "-c", INCREMENT])
    });
    work.expect_success();
    assert_eq!(counter(directory), CREW.members * CREW.rounds);
    assert_eq!(tokens::strictly_rising(&directory.join("tokens")), CREW.members * CREW.rounds);
    assert_eq!(service.json(&["list"])["locks"].as_array().map(Vec::len), Some(0), "a lock is left");
}
