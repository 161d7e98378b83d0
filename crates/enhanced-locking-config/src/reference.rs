//! Owns the reference page's table, generated from the schema so that it cannot drift. Does not own the
//! prose around it (`docs/examples/configuration-examples.md`).

use std::fmt::Write;

use crate::schema::{KEYS, When};

/// All settings as Markdown tables, one per group, for the documentation.
///
/// ```
/// let page = enhanced_locking_config::reference_markdown();
/// assert!(page.contains("| `redis.pool-size` | a whole number from 1 to 1000 | `10` |"));
/// ```
pub fn reference_markdown() -> String {
    let mut page = String::new();
    let mut group = None;
    for key in KEYS {
        let next = key.path.split_once('.').map_or("", |(group, _)| group);
        if group != Some(next) {
            let title = if next.is_empty() { "Top level".to_owned() } else { format!("`{next}`") };
            // Writing to a String cannot fail.
            let _ = write!(page, "{}### {title}\n\n", if group.is_some() { "\n" } else { "" });
            page.push_str("| key | allowed | default | change needs | meaning |\n|---|---|---|---|---|\n");
            group = Some(next);
        }
        let default = key.default.map_or_else(|| "unset".to_owned(), |default| format!("`{default}`"));
        let when = match key.when {
            When::Live => "nothing",
            When::LiveUnlessShared => "nothing; with `redis` a restart",
            When::Restart => "a restart",
        };
        let short = key.switch().map_or_else(String::new, |table| format!(" Short: `{table}: true`."));
        let _ =
            writeln!(page, "| `{}` | {} | {default} | {when} | {}{short} |", key.path, key.rule, key.about);
    }
    page
}
