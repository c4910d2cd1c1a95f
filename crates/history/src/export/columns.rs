//! Rows of Rust as columns of Parquet ([`Rows`]): flat, each of them optional, so that every reader can read them.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

/// Rows of one group, the number that DuckDB writes itself; what memory holds at once.
const GROUP: usize = 122_880;

/// Reads a value off a row.
type Of<R, T> = Box<dyn Fn(&R) -> Option<T>>;
/// Reads a text off a row.
type TextOf<R> = Box<dyn for<'r> Fn(&'r R) -> Option<Cow<'r, str>>>;

/// How a column's values are read off a row; `None` is null.
pub(super) enum Values<R> {
    Text(TextOf<R>),
    /// Milliseconds since 1970 (UTC).
    Time(Of<R, i64>),
    Double(Of<R, f64>),
    Integer(Of<R, i64>),
    Flag(Of<R, bool>),
}

/// A column.
pub(super) struct Column<R> {
    name: String,
    values: Values<R>,
}

impl<R> Column<R> {
    pub fn text(name: &str, of: impl Fn(&R) -> Option<Cow<'_, str>> + 'static) -> Self {
        Self { name: name.to_owned(), values: Values::Text(Box::new(of)) }
    }

    pub fn time(name: &str, of: impl Fn(&R) -> Option<i64> + 'static) -> Self {
        Self { name: name.to_owned(), values: Values::Time(Box::new(of)) }
    }

    pub fn double(name: &str, of: impl Fn(&R) -> Option<f64> + 'static) -> Self {
        Self { name: name.to_owned(), values: Values::Double(Box::new(of)) }
    }

    pub fn integer(name: &str, of: impl Fn(&R) -> Option<i64> + 'static) -> Self {
        Self { name: name.to_owned(), values: Values::Integer(Box::new(of)) }
    }

    pub fn flag(name: &str, of: impl Fn(&R) -> Option<bool> + 'static) -> Self {
        Self { name: name.to_owned(), values: Values::Flag(Box::new(of)) }
    }

    fn declared(&self) -> String {
        let (kind, annotation) = match self.values {
            Values::Text(_) => ("binary", " (UTF8)"),
            Values::Time(_) => ("int64", " (TIMESTAMP(MILLIS,true))"),
            Values::Double(_) => ("double", ""),
            Values::Integer(_) => ("int64", ""),
            Values::Flag(_) => ("boolean", ""),
        };
        format!("optional {kind} {}{annotation};", self.name)
    }
}

/// Takes rows in and writes them group by group.
pub(super) struct Rows<R, W: Write> {
    columns: Vec<Column<R>>,
    waiting: Vec<R>,
    most: usize,
    writer: SerializedFileWriter<W>,
    written: u64,
}

impl<R, W: Write + Send> Rows<R, W> {
    /// Rows of some kilobytes come in smaller groups: `row_bytes` tells about how large they are in memory.
    pub fn new(file: W, columns: Vec<Column<R>>, row_bytes: usize) -> Result<Self, ParquetError> {
        let declared: String = columns.iter().map(Column::declared).collect();
        let schema = parse_message_type(&format!("message augur {{ {declared} }}"))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let most = (32 << 20) / row_bytes.max(1);
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { columns, waiting: Vec::new(), most: most.clamp(1, GROUP), writer, written: 0 })
    }

    pub fn add(&mut self, row: R) -> Result<(), ParquetError> {
        self.waiting.push(row);
        if self.waiting.len() >= self.most { self.write() } else { Ok(()) }
    }

    /// Ends the file; answers with the number of its rows.
    pub fn finish(mut self) -> Result<u64, ParquetError> {
        self.write()?;
        self.writer.close()?;
        Ok(self.written)
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &self.columns {
            let rows = self.waiting.iter();
            match &column.values {
                Values::Text(of) => put::<ByteArrayType, W>(
                    &mut group,
                    rows.map(|row| of(row).map(|t| ByteArray::from(t.as_bytes().to_vec()))),
                ),
                Values::Time(of) | Values::Integer(of) => put::<Int64Type, W>(&mut group, rows.map(of)),
                Values::Double(of) => put::<DoubleType, W>(&mut group, rows.map(of)),
                Values::Flag(of) => put::<BoolType, W>(&mut group, rows.map(of)),
            }?;
        }
        group.close()?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

/// Writes the next column of a group. A value that is there has level 1, a null level 0.
fn put<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let mut levels = Vec::with_capacity(values.size_hint().0);
    let mut there = Vec::with_capacity(values.size_hint().0);
    for value in values {
        levels.push(i16::from(value.is_some()));
        there.extend(value);
    }
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("a group has fewer columns than its rows".to_owned()))?;
    column.typed::<T>().write_batch(&there, Some(&levels), None)?;
    column.close()
}
