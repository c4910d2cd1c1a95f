//! Tables from files: [`Table::read`] takes CSV (also gzip-compressed) and Parquet, whatever the file is called.

mod delimited;
mod parquet;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use anyhow::{Context, bail};

/// Values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers; NaN where there is none. True and false are 1 and 0.
    Numbers(Vec<f64>),
    /// Texts; None where there is none.
    Texts(Vec<Option<String>>),
    /// Something that is neither, as a list or a record.
    Other(String),
}

/// A column with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name in the file's header or schema.
    pub name: String,
    /// Its values, one for each row.
    pub values: Values,
}

/// Columns of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The columns in the file's order.
    pub columns: Vec<Column>,
    /// How many rows each has.
    pub rows: usize,
}

impl Table {
    /// Reads a file by what its first bytes say it is.
    ///
    /// # Errors
    /// When it cannot be read, is neither CSV nor Parquet, has no rows, or two columns of one name.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut file = File::open(path).with_context(|| format!("cannot open the table {name}"))?;
        let mut first = [0u8; 4];
        let known = file.read(&mut first).with_context(|| format!("cannot read the table {name}"))?;
        file.rewind().with_context(|| format!("cannot read the table {name}"))?;
        let table = match &first[..known] {
            b"PAR1" => parquet::read(file),
            [0x1F, 0x8B, ..] => delimited::read(flate2::read::MultiGzDecoder::new(file)),
            _ => delimited::read(file),
        };
        let table = table.with_context(|| format!("cannot read the table {name}"))?;
        if table.rows == 0 || table.columns.is_empty() {
            bail!("the table {name} has no rows");
        }
        for (index, column) in table.columns.iter().enumerate() {
            if table.columns[..index].iter().any(|c| c.name == column.name) {
                bail!("the table {name} has two columns named {:?}: rename one", column.name);
            }
        }
        Ok(table)
    }

    /// The column of that name.
    ///
    /// # Errors
    /// When there is none; the message names those that there are.
    pub fn column(&self, name: &str) -> anyhow::Result<&Column> {
        self.columns.iter().find(|c| c.name == name).with_context(|| {
            let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
            format!("the table has no column {name:?}; it has {}", names.join(", "))
        })
    }
}
