//! Tables for people: columns without frames, so that they can be cut and searched. Owns their looks.

use comfy_table::{Attribute, Cell, ContentArrangement, presets};

use super::Style;

/// A table with a line of titles.
#[derive(Debug)]
pub(crate) struct Table {
    table: comfy_table::Table,
    rows: usize,
}

impl Table {
    /// An empty table. On a terminal long cells are wrapped to its width, elsewhere lines stay whole.
    #[must_use]
    pub(crate) fn new(style: Style, titles: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        let arrangement =
            if style.terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.set_content_arrangement(arrangement);
        table.set_header(titles.iter().map(|title| {
            let cell = Cell::new(title);
            if style.color { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
        if style.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        Self { table, rows: 0 }
    }

    /// Adds a row.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.table.add_row(cells.into_iter().map(|cell| Cell::new(cell.into())));
        self.rows += 1;
    }

    /// Whether it has no rows.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.table.to_string();
        for line in text.lines() {
            writeln!(f, "{}", line.strip_prefix(' ').unwrap_or(line).trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_the_text_does() {
        let mut table = Table::new(Style::default(), &["KEY", "OWNER"]);
        table.row(["a-long-key", "me"]);
        table.row(["b", "you"]);
        assert_eq!(table.to_string(), "KEY         OWNER\na-long-key  me\nb           you\n");
    }
}
