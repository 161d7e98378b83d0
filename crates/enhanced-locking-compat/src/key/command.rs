//! Atlantis' commands. Owns their numbers, which are stored, and their names, which are in keys.

/// A command of Atlantis.
///
/// ```
/// use enhanced_locking_compat::key::CommandName;
/// assert_eq!(CommandName::Apply.redis_key(), "global/apply/lock");
/// // Two numbers, one name: planning on its own is planning.
/// assert_eq!(CommandName::Autoplan.to_string(), "plan");
/// assert_eq!("plan".parse(), Ok(CommandName::Plan));
/// assert_eq!(CommandName::from_number(5), Some(CommandName::Autoplan));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommandName {
    /// `atlantis apply`: the only one that Atlantis ever locks.
    Apply,
    /// `atlantis plan`.
    Plan,
    /// `atlantis unlock`.
    Unlock,
    /// Checking policies.
    PolicyCheck,
    /// `atlantis approve_policies`.
    ApprovePolicies,
    /// Planning without being asked.
    Autoplan,
    /// `atlantis version`.
    Version,
    /// `atlantis import`.
    Import,
    /// `atlantis state`.
    State,
    /// `atlantis cancel`.
    Cancel,
}

/// A name that is no command of Atlantis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such command; there are apply, plan, unlock, policy_check, approve_policies, version, import, state and cancel"
)]
#[non_exhaustive]
pub struct UnknownCommand;

impl CommandName {
    /// All commands, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Apply,
        Self::Plan,
        Self::Unlock,
        Self::PolicyCheck,
        Self::ApprovePolicies,
        Self::Autoplan,
        Self::Version,
        Self::Import,
        Self::State,
        Self::Cancel,
    ];

    /// The number that is stored.
    #[must_use]
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// The command of a number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|index| Self::ALL.get(index).copied())
    }

    /// The name, as it is in keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Plan | Self::Autoplan => "plan",
            Self::Unlock => "unlock",
            Self::PolicyCheck => "policy_check",
            Self::ApprovePolicies => "approve_policies",
            Self::Version => "version",
            Self::Import => "import",
            Self::State => "state",
            Self::Cancel => "cancel",
        }
    }

    /// The key of its lock in the bolt file.
    #[must_use]
    pub fn bolt_key(self) -> String {
        format!("{self}/lock")
    }

    /// The key of its lock in Redis.
    #[must_use]
    pub fn redis_key(self) -> String {
        format!("global/{self}/lock")
    }

    /// The command of a key in the bolt file; `None` for every other key.
    #[must_use]
    pub fn of_bolt_key(key: &str) -> Option<Self> {
        key.strip_suffix("/lock")?.parse().ok()
    }
}

impl std::fmt::Display for CommandName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for CommandName {
    type Err = UnknownCommand;

    /// `plan` is [`Plan`](Self::Plan): no name means [`Autoplan`](Self::Autoplan).
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|command| command.as_str() == name).ok_or(UnknownCommand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_atlantis() {
        let names: Vec<_> = CommandName::ALL.iter().map(|command| command.as_str()).collect();
        assert_eq!(
            names,
            [
                "apply",
                "plan",
                "unlock",
                "policy_check",
                "approve_policies",
                "plan",
                "version",
                "import",
                "state",
                "cancel"
            ]
        );
        for (number, command) in (0..).zip(CommandName::ALL) {
            assert_eq!((command.number(), CommandName::from_number(number)), (number, Some(command)));
        }
        assert_eq!((CommandName::from_number(-1), CommandName::from_number(10)), (None, None));
    }

    #[test]
    fn keys_lead_back_to_the_command() {
        for command in CommandName::ALL.into_iter().filter(|command| *command != CommandName::Autoplan) {
            assert_eq!(CommandName::of_bolt_key(&command.bolt_key()), Some(command));
        }
        for key in ["", "apply", "/lock", "Apply/lock", "autoplan/lock", "apply/lock/"] {
            assert_eq!(CommandName::of_bolt_key(key), None, "{key}");
        }
    }
}
