//! Aligned tables, and lists of names with values.

use clap::builder::styling::Style;

use super::text::{HEAD, escape, styled};

/// One cell: safe text and its style.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Text from anywhere.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: escape(text.as_ref()).into_owned(),
            style: Style::new(),
        }
    }

    /// The same in a style.
    pub(crate) const fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// A table with a heading.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Self {
        let heading = heading
            .iter()
            .map(|text| Cell::new(text).style(HEAD))
            .collect();
        Self {
            rows: vec![heading],
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// Columns as wide as their widest cell, two blanks apart, nothing after the last one.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| cell.text.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let last = row.iter().rposition(|cell| !cell.text.is_empty());
            for (column, cell) in row.iter().enumerate().take(last.map_or(0, |at| at + 1)) {
                text.push_str(&styled(cell.style, &cell.text));
                if Some(column) != last {
                    let fill = widths[column] - cell.text.chars().count() + 2;
                    text.push_str(&" ".repeat(fill));
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Names with values, one a line. Empty values are left out.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    lines: Vec<(&'static str, Cell)>,
}

impl Facts {
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Cell>) -> &mut Self {
        let value = value.into();
        if !value.text.is_empty() {
            self.lines.push((name, value));
        }
        self
    }

    pub(crate) fn render(&self) -> String {
        let width = self
            .lines
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &self.lines {
            let fill = " ".repeat(width - name.len() + 2);
            text.push_str(&format!(
                "{}{fill}{}\n",
                styled(HEAD, name),
                styled(value.style, &value.text)
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::GOOD;
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_style_and_nothing_trails() {
        let mut table = Table::new(["NAME", "KEYS"]);
        table.row([Cell::new("a-long-name").style(GOOD), "1".into()]);
        table.row(["ü".into(), "".into()]);
        let text = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(text, "NAME         KEYS\na-long-name  1\nü\n");
    }

    #[test]
    fn cells_can_not_break_out_of_their_row() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\nb\x1b[31m".into()]);
        let text = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(text, "NAME\na\\nb\\u{1b}[31m\n");
    }

    #[test]
    fn facts_without_a_value_are_left_out() {
        let mut facts = Facts::default();
        facts
            .add("Name", "x")
            .add("Region", "")
            .add("Endpoint", "y");
        let text = anstream::adapter::strip_str(&facts.render()).to_string();
        assert_eq!(text, "Name      x\nEndpoint  y\n");
    }
}
