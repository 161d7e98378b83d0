//! The commands, one file each. Each owns its arguments and what it does; connecting, printing and failing are beside this directory.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod force_unlock;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod moving;
pub(crate) mod queue;
pub(crate) mod renew;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod transfer;
pub(crate) mod unlock;
pub(crate) mod watch;

use clap::Args;
use enhanced_locking_foundation::{FencingToken, LockRecord, RequestId};

use crate::failure::Failure;
use crate::identity::{KeyArgs, OwnerArgs};
use crate::session::Session;

/// Which held lock is meant: by its id, or by key and owner.
#[derive(Clone, Debug, Args)]
pub(crate) struct HeldArgs {
    /// The lock's id, as `lock` and `list --wide` show it
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub id: Option<RequestId>,
    /// The fencing token; a lock that was lost and taken anew is left alone then
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<FencingToken>,
    /// What is locked.
    #[command(flatten)]
    pub what: KeyArgs,
    /// Who has it.
    #[command(flatten)]
    pub who: OwnerArgs,
}

impl HeldArgs {
    /// The lock as it is now.
    ///
    /// # Errors
    /// A [`Failure`] if it is not held, or not by this owner.
    pub(crate) async fn find(&mut self, session: &Session) -> Result<LockRecord, Failure> {
        self.what.settle(&mut self.who, session, false)?;
        let mut record = match &self.id {
            Some(id) => session.lock_by_id(id).await?,
            None => session.lock_on(&self.what.one()?, &self.who.owner()?, self.token).await?,
        };
        if let Some(token) = self.token {
            // The service compares it with what is held, at the moment of the change.
            record.token = token;
        }
        Ok(record)
    }
}

fn parse_id(text: &str) -> Result<RequestId, enhanced_locking_foundation::ValueError> {
    RequestId::new(text)
}
