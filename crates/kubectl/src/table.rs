//! Tables as kubectl prints them: upper-case headings, columns padded by three spaces, colours only where they are wanted.

use std::fmt::Write;

/// Spaces between columns, and the least width of a column with them, as kubectl has them.
const PADDING: usize = 3;
const LEAST: usize = 6;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How a cell is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// All is well.
    Good,
    /// To be looked at.
    Warn,
    /// Something is wrong.
    Bad,
    /// Of little weight.
    Dim,
}

impl Style {
    fn code(self) -> Option<&'static str> {
        match self {
            Style::Plain => None,
            Style::Good => Some("32"),
            Style::Warn => Some("33"),
            Style::Bad => Some("31"),
            Style::Dim => Some("2"),
        }
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell of this style.
    pub fn styled(text: impl Into<String>, style: Style) -> Cell {
        Cell { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::styled(text, Style::Plain)
    }
}

/// How tables are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether cells are coloured.
    pub colors: bool,
    /// Whether the row of headings is left out.
    pub no_headers: bool,
}

/// Rows under headings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new<T: Into<String>>(headings: impl IntoIterator<Item = T>) -> Table {
        Table { headings: headings.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As text, each line with its end.
    pub fn text(&self, look: Look) -> String {
        let headings = (!look.no_headers).then(|| self.headings.iter().cloned().map(Cell::from).collect());
        let rows: Vec<&Vec<Cell>> = headings.iter().chain(&self.rows).collect();
        let length = |cell: &Cell| cell.text.chars().count();
        let width = |column: usize| {
            let widest = rows.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0);
            (widest + PADDING).max(LEAST)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut text = String::new();
        for row in rows {
            let mut line = String::new();
            let last = row.iter().rposition(|cell| !cell.text.trim_end().is_empty()).map_or(0, |last| last + 1);
            for (column, cell) in row.iter().take(last).enumerate() {
                let pad = if column + 1 == last { 0 } else { widths.get(column).map_or(0, |w| w - length(cell)) };
                match cell.style.code().filter(|_| look.colors) {
                    // Writing to memory does not fail.
                    Some(code) => _ = write!(line, "\u{1b}[{code}m{}\u{1b}[0m", cell.text),
                    None => line.push_str(&cell.text),
                }
                line.extend(std::iter::repeat_n(' ', pad));
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Values as bars, from nothing to the highest; spaces where nothing was read, nothing at all where nothing ever was.
pub fn sparkline(values: &[Option<f64>]) -> String {
    if values.iter().all(Option::is_none) {
        return String::new();
    }
    let highest = values.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: &Option<f64>| match value {
        None => ' ',
        Some(value) if highest > 0.0 => {
            let step = (value.max(0.0) / highest * 7.0).round() as usize;
            BARS.get(step).copied().unwrap_or('█')
        }
        Some(_) => '▁',
    };
    values.iter().map(bar).collect()
}

/// Lines of a name and what it is, as `kubectl describe` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(Vec<(String, String)>);

impl Facts {
    /// No lines yet.
    pub fn new() -> Facts {
        Facts::default()
    }

    /// Adds a line; with an empty name it goes on below the one before.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// As text, each line with its end.
    pub fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 3;
        let mut text = String::new();
        for (name, value) in &self.0 {
            let name = if name.is_empty() { String::new() } else { format!("{name}:") };
            // Writing to memory does not fail.
            let _ = writeln!(text, "{}", format!("{name:<width$}{value}").trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_three_spaces() {
        let mut table = Table::new(["NAME", "A", "LAST"]);
        table.row(["a-long-name".into(), "1".into(), "x".into()]);
        table.row(["b".into(), Cell::styled("2", Style::Bad), "".into()]);
        let plain = Look::default();
        assert_eq!(table.text(plain), "NAME          A     LAST\na-long-name   1     x\nb             2\n");
        let bare = table.text(Look { no_headers: true, ..plain });
        assert_eq!(bare, "a-long-name   1     x\nb             2\n");
        let coloured = table.text(Look { colors: true, ..plain });
        assert!(coloured.ends_with("b             \u{1b}[31m2\u{1b}[0m\n"), "{coloured:?}");
    }

    #[test]
    fn a_sparkline_shows_heights_and_gaps() {
        assert_eq!(sparkline(&[Some(0.0), None, Some(7.0), Some(3.5)]), "▁ █▅");
        assert_eq!(sparkline(&[Some(0.0), Some(0.0)]), "▁▁");
        assert_eq!(sparkline(&[None, None]), "");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn facts_stand_below_each_other() {
        let mut facts = Facts::new();
        facts.add("Name", "web");
        facts.add("Namespace", "default");
        facts.add("", "and more");
        assert_eq!(facts.text(), "Name:       web\nNamespace:  default\n            and more\n");
    }
}
