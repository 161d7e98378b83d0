//! The log's commits in order. Owns what of it is more than enough; the records themselves are the store's.

use std::collections::VecDeque;

/// The commits that are in the log with one part, oldest first, and how much each has.
#[derive(Debug, Default)]
pub(super) struct Tail {
    commits: VecDeque<(u64, usize)>,
    total: usize,
}

impl Tail {
    /// How many of the oldest commits can go so that enough are kept.
    pub(super) fn surplus(&self, limit: usize) -> usize {
        let mut total = self.total;
        let enough = self.commits.iter().take_while(|(_, count)| {
            total -= count;
            total >= limit
        });
        enough.count()
    }

    /// The numbers of the oldest commits.
    pub(super) fn first(&self, count: usize) -> impl Iterator<Item = u64> {
        self.commits.iter().take(count).map(|(commit, _)| *commit)
    }

    /// Notes a commit.
    pub(super) fn add(&mut self, commit: u64, new: usize) {
        if new > 0 {
            self.total += new;
            self.commits.push_back((commit, new));
        }
    }

    /// Notes that the oldest ones are gone.
    pub(super) fn drop_first(&mut self, gone: usize) {
        self.total -= self.commits.drain(..gone).map(|(_, count)| count).sum::<usize>();
    }
}

impl FromIterator<(u64, usize)> for Tail {
    fn from_iter<I: IntoIterator<Item = (u64, usize)>>(commits: I) -> Self {
        let commits: VecDeque<_> = commits.into_iter().collect();
        let total = commits.iter().map(|(_, count)| count).sum();
        Self { commits, total }
    }
}
