//! The examples of a page. Owns finding fenced blocks, the notes in front of them, and what of a block is a command.
//!
//! A note is an HTML comment on the lines before the fence, so that readers do not see it:
//!
//! | note | meaning |
//! |---|---|
//! | `<!-- not-run: reason -->` | it cannot run here; shown as skipped, with the reason |
//! | `<!-- fails: CODE -->` | it ends with this exit code, on purpose |
//! | `<!-- with: terraform, ./report.sh -->` | these programs are there, and succeed |
//! | `<!-- before: COMMAND -->` | this is done first, which the text around takes for granted |
//! | `<!-- service -->` | it needs the service: says so to people, every block has one |

/// A fenced block of a shell language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// What the shell is given: all of a script, the lines behind `$ ` of a session.
    pub(crate) script: String,
    /// Why it is not run.
    pub(crate) not_run: Option<String>,
    /// The exit code it ends with.
    pub(crate) code: i32,
    /// Programs that are not ours.
    pub(crate) with: Vec<String>,
}

impl Block {
    /// Whether it shows our command, or our service from outside.
    pub(crate) fn is_ours(&self) -> bool {
        ["enhanced-locks", "cargo run", "curl "].iter().any(|word| self.script.contains(word))
    }

    /// The commands that start a service and stay, if that is what it is for.
    pub(crate) fn serves(&self) -> bool {
        self.script.lines().any(|line| {
            let line = line.trim();
            line.starts_with("enhanced-locks serve")
                || (line.starts_with("cargo run") && line.contains("-- serve"))
        })
    }

    fn note(&mut self, note: &str) {
        let (kind, value) = note.split_once(':').unwrap_or((note, ""));
        let value = value.trim();
        match kind.trim() {
            "not-run" => self.not_run = Some(value.to_owned()),
            "fails" => {
                self.code = value.parse().unwrap_or_else(|_| panic!("`fails: {value}` needs an exit code"))
            }
            "before" => self.script.insert_str(0, &format!("{value}\n")),
            "with" => self.with = value.split(',').map(|program| program.trim().to_owned()).collect(),
            _ => {}
        }
    }
}

/// The blocks of a page in their order.
pub(crate) fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut notes: Vec<&str> = Vec::new();
    let mut lines = markdown.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let trimmed = line.trim();
        if let Some(note) = trimmed.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->")) {
            notes.push(note.trim());
        } else if let Some(language) = trimmed.strip_prefix("```") {
            let fence = line.len() - line.trim_start().len();
            let body =
                lines.by_ref().map(|(line, _)| line).take_while(|line| !line.trim_start().starts_with("```"));
            let body: Vec<&str> =
                body.map(|line| line.get(fence..).unwrap_or_else(|| line.trim_start())).collect();
            let script = match language.trim() {
                "console" => session(&body),
                "sh" | "bash" | "shell" => body.join("\n"),
                _ => String::new(),
            };
            if !script.is_empty() {
                let mut block = Block { line: number, script, ..Block::default() };
                // The last one first, so that what comes before ends up in the order of the page.
                notes.iter().rev().for_each(|note| block.note(note));
                blocks.push(block);
            }
            notes.clear();
        } else if !trimmed.is_empty() {
            notes.clear();
        }
    }
    blocks
}

/// The commands of a session: behind `$ `, with the lines they continue on. The rest is output.
fn session(lines: &[&str]) -> String {
    let mut script = Vec::new();
    let mut continues = false;
    for line in lines {
        let command = match line.strip_prefix("$ ") {
            Some(command) => command,
            None if continues => line.strip_prefix("> ").unwrap_or(line),
            None => continue,
        };
        continues = command.ends_with('\\');
        script.push(command);
    }
    script.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shells_are_blocks_and_only_prompts_are_commands() {
        let page = "```yaml\nenhanced-locks: 1\n```\ntext\n```console\n$ enhanced-locks list \\\n>   --output json\n{}\n$ ls\n```\n";
        let blocks = blocks(page);
        assert_eq!(blocks.len(), 1);
        assert_eq!(
            (blocks[0].line, blocks[0].script.as_str()),
            (5, "enhanced-locks list \\\n  --output json\nls")
        );
        assert!(blocks[0].is_ours() && !blocks[0].serves());
    }

    #[test]
    fn notes_belong_to_the_block_below_them_and_to_no_other() {
        let page = "<!-- not-run: too long -->\n\n```sh\na\n```\n```sh\nb\n```\n<!-- fails: 75 -->\nwords\n```sh\nc\n```\n\
                    <!-- fails: 75 -->\n<!-- with: terraform, ./x.sh -->\n```sh\nd\n```\n";
        let blocks = blocks(page);
        assert_eq!(blocks[0].not_run.as_deref(), Some("too long"));
        assert_eq!(blocks[1], Block { line: 6, script: "b".to_owned(), ..Block::default() });
        assert_eq!(blocks[2].code, 0);
        assert_eq!(
            (blocks[3].code, blocks[3].with.as_slice()),
            (75, ["terraform".to_owned(), "./x.sh".to_owned()].as_slice())
        );
    }

    #[test]
    fn what_is_taken_for_granted_comes_first() {
        let page = "<!-- before: a -->\n<!-- before: b -->\n```console\n$ c\n```\n";
        assert_eq!(blocks(page)[0].script, "a\nb\nc");
    }

    #[test]
    fn blocks_in_lists_lose_their_indentation() {
        assert_eq!(blocks("* item\n  ```sh\n  a\n    b\n  ```\n")[0].script, "a\n  b");
    }

    #[test]
    fn a_service_is_started_by_either_spelling() {
        for script in ["enhanced-locks serve", "cargo run -q -- serve --backend memory"] {
            assert!(Block { script: script.to_owned(), ..Block::default() }.serves());
        }
    }
}
