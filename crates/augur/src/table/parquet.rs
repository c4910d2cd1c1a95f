//! Parquet files of flat columns, uncompressed or compressed by Snappy or gzip. Nested columns are named, but not read.

use std::fs::File;

use anyhow::Context;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{Column, Table, Values};

/// Reads a table.
pub fn read(file: File) -> anyhow::Result<Table> {
    let reader = SerializedFileReader::new(file)?;
    let metadata = reader.metadata();
    let rows = usize::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    let schema = metadata.file_metadata().schema_descr();
    let mut columns = Vec::new();
    for index in 0..schema.num_columns() {
        let described = schema.column(index);
        let name = described.path().string();
        if described.max_rep_level() > 0 || described.path().parts().len() > 1 {
            columns.push(Column { name, values: Values::Other("it is nested".to_owned()) });
            continue;
        }
        let mut values = None;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            let context = || {
                let codec = group.metadata().column(index).compression();
                format!("column {name} (compressed by {codec}; Snappy, gzip and none can be read)")
            };
            let part = column(group.get_column_reader(index).with_context(context)?, rows).with_context(context)?;
            append(&mut values, part);
        }
        columns.push(Column { name, values: values.unwrap_or(Values::Numbers(Vec::new())) });
    }
    Ok(Table { columns, rows })
}

fn append(all: &mut Option<Values>, part: Values) {
    match (all.as_mut(), part) {
        (Some(Values::Numbers(all)), Values::Numbers(part)) => all.extend(part),
        (Some(Values::Texts(all)), Values::Texts(part)) => all.extend(part),
        (None, part) => *all = Some(part),
        // All row groups of a column have one type.
        (Some(_), _) => {}
    }
}

fn column(reader: ColumnReader, rows: usize) -> anyhow::Result<Values> {
    Ok(match reader {
        ColumnReader::BoolColumnReader(r) => Values::Numbers(cells(r, rows, |v| f64::from(u8::from(*v)), f64::NAN)?),
        ColumnReader::Int32ColumnReader(r) => Values::Numbers(cells(r, rows, |v| f64::from(*v), f64::NAN)?),
        ColumnReader::Int64ColumnReader(r) => Values::Numbers(cells(r, rows, |v| *v as f64, f64::NAN)?),
        ColumnReader::FloatColumnReader(r) => Values::Numbers(cells(r, rows, |v| f64::from(*v), f64::NAN)?),
        ColumnReader::DoubleColumnReader(r) => Values::Numbers(cells(r, rows, |v| *v, f64::NAN)?),
        ColumnReader::ByteArrayColumnReader(r) => {
            Values::Texts(cells(r, rows, |v| Some(String::from_utf8_lossy(v.data()).into_owned()), None)?)
        }
        ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
            Values::Other("its type is neither number nor text".to_owned())
        }
    })
}

/// All values of a column of one row group, in their rows' order.
fn cells<T: DataType, V: Clone>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    convert: impl Fn(&T::T) -> V,
    missing: V,
) -> anyhow::Result<Vec<V>> {
    let mut out = Vec::with_capacity(rows);
    while out.len() < rows {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (records, _, _) = reader.read_records(rows - out.len(), Some(&mut levels), None, &mut values)?;
        if records == 0 {
            anyhow::bail!("it ends after {} of {rows} rows", out.len());
        }
        let mut next = values.iter();
        if levels.is_empty() {
            out.extend(next.map(&convert));
        } else {
            // A level below the greatest, 1 for a flat column, is a missing value.
            out.extend(levels.iter().map(|level| match level {
                0 => missing.clone(),
                _ => next.next().map_or_else(|| missing.clone(), &convert),
            }));
        }
    }
    Ok(out)
}
