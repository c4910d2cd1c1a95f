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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// Two row groups of columns of each kind; every third cell of `x` and of `kind` is missing.
    fn written(compression: Compression) -> parquet::errors::Result<File> {
        let schema =
            "message t { required int64 label; optional double x; optional binary kind (UTF8); required boolean yes;
                      repeated int64 list; }";
        let properties = WriterProperties::builder().set_compression(compression).build();
        let schema = Arc::new(parse_message_type(schema)?);
        let file = tempfile::tempfile().unwrap();
        let mut writer = SerializedFileWriter::new(file.try_clone().unwrap(), schema, Arc::new(properties))?;
        for group in 0..2 {
            let mut out = writer.next_row_group()?;
            let levels = [1, 0, 1];
            let mut next = out.next_column()?.unwrap();
            next.typed::<Int64Type>().write_batch(&[0, 1, group], None, None)?;
            next.close()?;
            let mut next = out.next_column()?.unwrap();
            next.typed::<DoubleType>().write_batch(&[0.5, 2.5], Some(&levels), None)?;
            next.close()?;
            let mut next = out.next_column()?.unwrap();
            let texts = ["a", "b"].map(ByteArray::from);
            next.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None)?;
            next.close()?;
            let mut next = out.next_column()?.unwrap();
            next.typed::<BoolType>().write_batch(&[true, false, true], None, None)?;
            next.close()?;
            let mut next = out.next_column()?.unwrap();
            next.typed::<Int64Type>().write_batch(&[], Some(&[0, 0, 0]), Some(&[0, 0, 0]))?;
            next.close()?;
            out.close()?;
        }
        writer.close()?;
        Ok(file)
    }

    #[test]
    fn columns_come_with_their_missing_values_from_all_row_groups() {
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::GZIP(Default::default())] {
            let table = read(written(compression).unwrap()).unwrap();
            assert_eq!(table.rows, 6);
            let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
            assert_eq!(names, ["label", "x", "kind", "yes", "list"]);
            assert_eq!(table.columns[0].values, Values::Numbers(vec![0.0, 1.0, 0.0, 0.0, 1.0, 1.0]));
            let Values::Numbers(x) = &table.columns[1].values else { panic!("x is numbers") };
            assert!(x[0] == 0.5 && x[1].is_nan() && x[2] == 2.5 && x[4].is_nan());
            let kinds = ["a", "", "b", "a", "", "b"].map(|t| (!t.is_empty()).then(|| t.to_owned()));
            assert_eq!(table.columns[2].values, Values::Texts(kinds.to_vec()));
            assert_eq!(table.columns[3].values, Values::Numbers(vec![1.0, 0.0, 1.0, 1.0, 0.0, 1.0]));
            assert_eq!(table.columns[4].values, Values::Other("it is nested".to_owned()));
        }
    }
}
