//! CSV with a header line. A column is numbers when every cell that is not missing is one.

use std::io::Read;

use anyhow::{Context, bail};

use super::{Column, Table, Values};

/// What stands for a missing value, as pandas reads it.
const MISSING: [&str; 10] = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-nan", "<NA>"];
/// The first bytes of UTF-8 files that some programs write.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// Reads a table.
pub fn read(source: impl Read) -> anyhow::Result<Table> {
    let mut reader = csv::ReaderBuilder::new().has_headers(true).from_reader(source);
    let header = reader.headers().context("line 1 is no CSV header")?.clone();
    if header.len() < 2 {
        bail!("the header has fewer than two columns: is this CSV with commas, or Parquet?");
    }
    let mut cells = vec![Cells::default(); header.len()];
    let mut record = csv::StringRecord::new();
    let mut rows = 0;
    while reader.read_record(&mut record)? {
        for (cells, text) in cells.iter_mut().zip(&record) {
            cells.push(text.trim());
        }
        rows += 1;
    }
    let names = header.iter().map(|name| name.trim().trim_start_matches(BYTE_ORDER_MARK).to_owned());
    let columns = names.zip(cells).map(|(name, cells)| Column { name, values: cells.finish() }).collect();
    Ok(Table { columns, rows })
}

/// Cells of one column, one text after the other.
#[derive(Debug, Clone, Default)]
struct Cells {
    text: String,
    ends: Vec<usize>,
}

impl Cells {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    fn each(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let cell = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            cell
        })
    }

    fn finish(&self) -> Values {
        let numbers: Option<Vec<f64>> = self.each().map(number).collect();
        match numbers {
            Some(numbers) => Values::Numbers(numbers),
            None => {
                let text = |cell: &str| (!MISSING.contains(&cell)).then(|| cell.to_owned());
                Values::Texts(self.each().map(text).collect())
            }
        }
    }
}

fn number(cell: &str) -> Option<f64> {
    match cell {
        "true" | "True" | "TRUE" => Some(1.0),
        "false" | "False" | "FALSE" => Some(0.0),
        cell if MISSING.contains(&cell) => Some(f64::NAN),
        cell => cell.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_numbers_or_texts_and_cells_can_be_missing() {
        let table = read("a,b,c\n1,x,true\n,,false\n2.5e3,NA,True\n".as_bytes()).unwrap();
        assert_eq!(table.rows, 3);
        let Values::Numbers(a) = &table.columns[0].values else { panic!("a is numbers") };
        assert!(a[0] == 1.0 && a[1].is_nan() && a[2] == 2500.0);
        assert_eq!(table.columns[1].values, Values::Texts(vec![Some("x".to_owned()), None, None]));
        assert_eq!(table.columns[2].values, Values::Numbers(vec![1.0, 0.0, 1.0]));
    }

    #[test]
    fn a_line_of_another_length_is_told_with_its_number() {
        let error = read("a,b\n1,2\n1,2,3\n".as_bytes()).unwrap_err().to_string();
        assert!(error.contains("line: 3"), "{error}");
        assert!(read("no table at all\n".as_bytes()).unwrap_err().to_string().contains("fewer than two columns"));
    }
}
