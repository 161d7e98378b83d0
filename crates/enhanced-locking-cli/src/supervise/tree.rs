//! The processes a command has started: finding them all and signalling them.
//!
//! Owns reading the process table. On systems without `/proc` only the command itself is known.

use rustix::process::{Pid, Signal};

/// One living process below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    pid: i32,
    parent: i32,
    alive: bool,
}

/// All living processes below `root`, without `root` itself, in no particular order. Zombies do not count.
pub(crate) fn descendants(root: Pid) -> Vec<Pid> {
    below(&processes(), root.as_raw_pid())
}

/// Sends a signal to every process; one that has gone in the meantime is not an error.
pub(crate) fn signal_all(processes: &[Pid], signal: Signal) {
    for pid in processes {
        signal_one(*pid, signal);
    }
}

/// Sends a signal to one process. That it has gone, or belongs to somebody else by now, is nothing to act on.
pub(crate) fn signal_one(pid: Pid, signal: Signal) {
    let _ = rustix::process::kill_process(pid, signal);
}

fn below(table: &[Entry], root: i32) -> Vec<Pid> {
    let mut known = vec![root];
    let mut next = 0;
    while let Some(parent) = known.get(next).copied() {
        next += 1;
        for entry in table.iter().filter(|entry| entry.parent == parent) {
            if !known.contains(&entry.pid) {
                known.push(entry.pid);
            }
        }
    }
    table
        .iter()
        .filter(|entry| entry.alive && entry.pid != root && known.contains(&entry.pid))
        .filter_map(|entry| Pid::from_raw(entry.pid))
        .collect()
}

fn processes() -> Vec<Entry> {
    let Ok(directory) = std::fs::read_dir("/proc") else { return Vec::new() };
    directory
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let pid: i32 = name.to_str()?.parse().ok()?;
            parse_stat(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        })
        .collect()
}

/// Reads `pid (name) state ppid …`; the name may hold blanks and brackets, so the last one counts.
fn parse_stat(pid: i32, stat: &str) -> Option<Entry> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    Some(Entry { pid, parent: fields.next()?.parse().ok()?, alive: state != "Z" && state != "X" })
}

/// Reaps the dead among the processes that were handed down to this one, except `keep`.
pub(crate) fn reap_orphans(keep: Pid) {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
    for thread in threads.flatten() {
        let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            if pid != keep {
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_do_not_confuse_the_reader() {
        let entry = parse_stat(7, "7 (a ) b (c) S 3 7 7 0 -1").unwrap();
        assert_eq!(entry, Entry { pid: 7, parent: 3, alive: true });
        assert!(!parse_stat(8, "8 (x) Z 3 7").unwrap().alive);
        assert_eq!(parse_stat(9, "nonsense"), None);
    }

    #[test]
    fn grandchildren_are_found_through_dead_parents_and_strangers_are_not() {
        let entry = |pid, parent, alive| Entry { pid, parent, alive };
        // Deliberately listed out of order: a child may have a lower id than its parent.
        let table = [entry(5, 20, true), entry(10, 1, true), entry(20, 10, false), entry(30, 1, true)];
        assert_eq!(below(&table, 10), [Pid::from_raw(5).unwrap()]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_real_grandchild_is_seen() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & echo ready; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line)
            .unwrap();
        let root = Pid::from_child(&child);
        let found = descendants(root);
        assert_eq!(found.len(), 1);
        signal_all(&found, Signal::KILL);
        child.wait().unwrap();
        assert!(descendants(root).is_empty());
    }
}
