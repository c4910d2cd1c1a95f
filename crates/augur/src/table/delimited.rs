//! CSV with a header line, by commas, semicolons, tabs or bars, whichever the header has most of. A column is numbers when every
//! cell that is not missing is one.

use std::io::{BufRead as _, BufReader, Read};

use anyhow::{Context, bail};

use super::{Column, Table, Values};

/// What stands for a missing value, as pandas reads it, and the question mark of older collections.
const MISSING: [&str; 14] =
    ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "null", "NULL", "None", "<NA>", "NaT", "?"];
/// The first bytes of UTF-8 files that some programs write.
const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
/// The first bytes of UTF-16, in both orders.
const UTF_16: [[u8; 2]; 2] = [[0xFF, 0xFE], [0xFE, 0xFF]];
/// What may stand between cells, the usual first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// A header is looked for in so many bytes.
const HEADER: usize = 1 << 16;

/// Reads a table.
pub fn read(source: impl Read) -> anyhow::Result<Table> {
    let mut source = BufReader::with_capacity(HEADER, source);
    let first = source.fill_buf()?;
    if UTF_16.iter().any(|mark| first.starts_with(mark)) {
        bail!("it is UTF-16: write it as UTF-8");
    }
    if first.starts_with(&BYTE_ORDER_MARK) {
        source.consume(BYTE_ORDER_MARK.len());
    }
    let delimiter = delimiter(source.fill_buf()?);
    let mut reader = csv::ReaderBuilder::new().has_headers(true).delimiter(delimiter).from_reader(source);
    let text = |cell: &[u8]| String::from_utf8_lossy(cell).trim().to_owned();
    let names: Vec<String> = reader.byte_headers().context("line 1 is no CSV header")?.iter().map(text).collect();
    if names.len() < 2 {
        bail!("the header has fewer than two columns: is this CSV, or Parquet?");
    }
    let mut cells = vec![Cells::default(); names.len()];
    // Cells may be of another encoding; those of numbers read alike in most.
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record)? {
        for (cells, cell) in cells.iter_mut().zip(&record) {
            cells.push(String::from_utf8_lossy(cell).trim());
        }
        rows += 1;
    }
    let columns = names.into_iter().zip(cells).map(|(name, cells)| Column { name, values: cells.finish() }).collect();
    Ok(Table { columns, rows })
}

/// What stands most often between the cells of the first line, quoted parts aside.
fn delimiter(start: &[u8]) -> u8 {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut counts = [0usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in line {
        quoted ^= *byte == b'"';
        if let Some(at) = DELIMITERS.iter().position(|known| known == byte)
            && !quoted
        {
            counts[at] += 1;
        }
    }
    // Of equally many the usual one.
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.iter().position(|count| *count == most).map_or(b',', |at| DELIMITERS[at])
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
        // Trees compare: what is infinite says no more than that it is missing.
        cell => cell.parse().ok().map(|value: f64| if value.is_finite() { value } else { f64::NAN }),
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
    fn marks_quotes_delimiters_and_other_encodings_are_read() {
        let of = |bytes: &[u8]| {
            let table = read(bytes).unwrap();
            let names: Vec<String> = table.columns.iter().map(|c| c.name.clone()).collect();
            (names, table.columns.into_iter().map(|c| c.values).collect::<Vec<_>>())
        };
        let numbers = |values: &[f64]| Values::Numbers(values.to_vec());
        let plain = (vec!["a".to_owned(), "b".to_owned()], vec![numbers(&[1.0, 3.0]), numbers(&[2.0, 4.0])]);
        assert_eq!(of(b"\xEF\xBB\xBF\"a\",b\r\n1,2\r\n\"3\",4\r\n"), plain);
        assert_eq!(of(b"a;b\n1;2\n3;4\n"), plain);
        assert_eq!(of(b"\"a\"\tb\n1\t2\n3\t4\n"), plain);
        let (names, values) = of(b"\"x, y\",kind\n1,\"a, \"\"b\"\"\"\ninf,caf\xE9\n");
        assert_eq!(names, ["x, y", "kind"]);
        let Values::Numbers(x) = &values[0] else { panic!("x is numbers") };
        assert!(x[0] == 1.0 && x[1].is_nan());
        assert_eq!(values[1], Values::Texts(vec![Some("a, \"b\"".to_owned()), Some("caf\u{FFFD}".to_owned())]));
        assert!(read(&b"\xFF\xFEa\0"[..]).unwrap_err().to_string().contains("UTF-16"));
    }

    #[test]
    fn a_line_of_another_length_is_told_with_its_number() {
        let error = read("a,b\n1,2\n1,2,3\n".as_bytes()).unwrap_err().to_string();
        assert!(error.contains("line: 3"), "{error}");
        assert!(read("no table at all\n".as_bytes()).unwrap_err().to_string().contains("fewer than two columns"));
    }
}
