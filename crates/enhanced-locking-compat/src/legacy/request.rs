//! A lock of Atlantis as a request of ours, and back. Owns whose it is and which of its details are shown.

use std::collections::BTreeMap;

use enhanced_locking_foundation::{
    AcquireRequest, Lease, LockRecord, Metadata, OwnerId, ProjectKey, PullRequest, ResourceKey, Wait,
};

use super::alias::{TEXT_LABEL, label, text_of};
use super::error::LegacyError;
use crate::key::LockKey;
use crate::record::{CloneUrl, Project, ProjectLock, Pull, RecordTime, Stored, User};

const URL_LABEL: &str = "url";
const HOST_LABEL: &str = "host";
const AUTHOR_LABEL: &str = "author";

/// The owner and the pull request a lock stands for: the same that the command makes of Atlantis' variables.
///
/// # Errors
/// [`LegacyError::Nobody`] without a repository, [`LegacyError::Value`] if its name is too long or has control characters.
pub fn owner_of(lock: &ProjectLock) -> Result<(OwnerId, PullRequest), LegacyError> {
    // Very old records do not have the one in the pull request.
    let repos = [&lock.project.repo, &lock.pull.base_repo.full_name];
    let repo = repos.into_iter().find(|repo| !repo.is_empty()).ok_or(LegacyError::Nobody)?;
    let pull = PullRequest::new(repo, lock.pull.number)?;
    Ok((OwnerId::new(pull.to_string())?, pull))
}

/// The request for a lock: sticky, because a pull request lives for days, and unwilling to wait, because Atlantis is.
pub(super) fn request_for(
    key: ResourceKey,
    text: Option<String>,
    lock: &ProjectLock,
) -> Result<AcquireRequest, LegacyError> {
    let (owner, pull) = owner_of(lock)?;
    let details = [
        // Shown to people: a token in it would be seen.
        (URL_LABEL, CloneUrl::new(&lock.pull.url).to_string()),
        (HOST_LABEL, lock.pull.base_repo.vcs_host.hostname.clone()),
        (AUTHOR_LABEL, lock.pull.author.clone()),
        ("head_commit", lock.pull.head_commit.clone()),
        ("head_branch", lock.pull.head_branch.clone()),
        ("base_branch", lock.pull.base_branch.clone()),
        ("repo", lock.project.repo.clone()),
        ("path", lock.project.path.clone()),
        ("workspace", lock.workspace.clone()),
        ("project", lock.project.name.clone()),
    ];
    let mut labels: BTreeMap<String, String> = details
        .into_iter()
        .map(|(name, value)| (name.to_owned(), shown(&value, Metadata::MAX_VALUE_BYTES)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    if let Some(text) = text {
        labels.insert(TEXT_LABEL.to_owned(), text);
    }
    let mut request = AcquireRequest::new(key, owner)
        .pull(pull)
        .lease(Lease::Sticky)
        .wait(Wait::No)
        .metadata(Metadata::new(labels)?);
    request.user =
        Some(shown(&lock.user.username, AcquireRequest::MAX_USER_BYTES)).filter(|user| !user.is_empty());
    Ok(request)
}

/// Whether two hosts are known and not the same: then equal names and numbers are not the same pull request.
pub(super) fn on_another_host(record: &LockRecord, lock: &ProjectLock) -> bool {
    let theirs = record.request.metadata.entries().get(HOST_LABEL).map_or("", String::as_str);
    let mine = shown(&lock.pull.base_repo.vcs_host.hostname, Metadata::MAX_VALUE_BYTES);
    !theirs.is_empty() && !mine.is_empty() && theirs != mine
}

/// Whether a value speaks of the holder: after a transfer it does not.
pub(super) fn is_of(lock: &ProjectLock, record: &LockRecord) -> bool {
    owner_of(lock).is_ok_and(|(owner, _)| owner == *record.owner())
}

/// What Atlantis would have stored for a lock that it did not take.
pub(super) fn synthesise(record: &LockRecord) -> Result<Stored<ProjectLock>, LegacyError> {
    let request = &record.request;
    let labels = request.metadata.entries();
    let text = |name: &str| labels.get(name).cloned().unwrap_or_default();
    // The parts as they were given, if they were; the key has them cleaned.
    let parts = match ProjectKey::parse(&request.key) {
        Some(project) => LockKey::from(&project),
        None => LockKey::new("", request.key.as_str(), "", ""),
    };
    let repo = request.pull.as_ref().map_or_else(|| parts.repo.clone(), |pull| pull.repo.clone());
    let mut pull = Pull { number: request.pull.as_ref().map_or(0, |pull| pull.number), ..Pull::default() };
    pull.url = text(URL_LABEL);
    pull.head_commit = text("head_commit");
    pull.head_branch = text("head_branch");
    pull.base_branch = text("base_branch");
    pull.author = Some(text(AUTHOR_LABEL)).filter(|author| !author.is_empty()).unwrap_or_else(|| {
        // Atlantis shows the author as the one who holds the lock.
        request.user.clone().unwrap_or_else(|| record.owner().to_string())
    });
    let (owner, name) = repo.rsplit_once('/').unwrap_or(("", &repo));
    (pull.base_repo.owner, pull.base_repo.name) = (owner.to_owned(), name.to_owned());
    pull.base_repo.full_name = repo;
    pull.base_repo.vcs_host.hostname = text(HOST_LABEL);
    let lock = ProjectLock {
        project: Project { name: parts.project, repo: parts.repo, path: parts.path, ..Project::default() },
        pull,
        user: User { username: request.user.clone().unwrap_or_default(), ..User::default() },
        workspace: parts.workspace,
        time: RecordTime::from(record.acquired_at),
        ..ProjectLock::default()
    };
    Ok(Stored::<ProjectLock>::write(lock)?)
}

/// The text under which a lock is told, or our own key if Atlantis has none for it.
pub(super) fn name_of(record: &LockRecord) -> String {
    text_of(record)
        .or_else(|| label(record).map(str::to_owned))
        .unwrap_or_else(|| record.request.key.as_str().to_owned())
}

/// What fits: without control characters, and cut where a character ends.
pub(super) fn shown(value: &str, bytes_max: usize) -> String {
    let mut shown = String::new();
    for c in value.chars().filter(|c| !c.is_control()) {
        if shown.len() + c.len_utf8() > bytes_max {
            break;
        }
        shown.push(c);
    }
    shown
}
