//! `enhanced-locks list`: the locks that are held, all pages of them.

use clap::Args;
use enhanced_locking_client::api::LocksPage;
use enhanced_locking_foundation::{
    LockBackend, LockQuery, LockRecord, OwnerId, Page, PullRequest, Timestamp,
};

use crate::failure::Failure;
use crate::output::{Style, Table, age, expiry, print, print_json};
use crate::session::Session;

/// List the locks that are held
#[derive(Clone, Debug, Args)]
pub(crate) struct ListArgs {
    /// Only keys that start with this
    #[arg(value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Only locks of this owner
    #[arg(long, value_name = "OWNER")]
    pub owner: Option<String>,
    /// Only locks of this pull request; needs --repo
    #[arg(long, value_name = "NUMBER", requires = "repo", allow_negative_numbers = true)]
    pub pull: Option<i64>,
    /// The repository of the pull request
    #[arg(long, value_name = "OWNER/NAME", requires = "pull")]
    pub repo: Option<String>,
    /// Show ids and pull requests, too
    #[arg(long)]
    pub wide: bool,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if the service cannot be asked.
pub(crate) async fn run(args: ListArgs, session: &Session) -> Result<(), Failure> {
    let pull = match (&args.repo, args.pull) {
        (Some(repo), Some(number)) => Some(PullRequest::new(repo, number)?),
        _ => None,
    };
    let owner = args.owner.as_ref().map(OwnerId::new).transpose()?;
    let mut query = LockQuery { prefix: args.prefix, owner, pull, cursor: None, limit: 0 };
    let mut locks = Vec::new();
    loop {
        let page = session.backend.locks(&query).await?;
        locks.extend(page.items);
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    if session.json() {
        return print_json(&LocksPage::from(&Page { items: locks, next: None }));
    }
    if locks.is_empty() {
        return print("no locks are held\n");
    }
    print(&table(&locks, session.now().await?, args.wide, session.out))
}

/// The locks as a table.
pub(crate) fn table(locks: &[LockRecord], now: Timestamp, wide: bool, style: Style) -> String {
    let mut titles = vec!["KEY", "OWNER", "USER", "MODE", "AGE", "EXPIRES", "TOKEN"];
    if wide {
        titles.extend(["PRIORITY", "PULL", "ID"]);
    }
    let mut table = Table::new(style, &titles);
    for record in locks {
        let request = &record.request;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let mut row = vec![
            request.key.to_string(),
            request.owner.to_string(),
            or_dash(request.user.clone()),
            request.mode.to_string(),
            age(record, now),
            expiry(record, now),
            record.token.to_string(),
        ];
        if wide {
            row.extend([
                request.priority.to_string(),
                or_dash(request.pull.as_ref().map(ToString::to_string)),
                request.id.to_string(),
            ]);
        }
        table.row(row);
    }
    table.to_string()
}
