//! Decisions and examples, each with the outcome of its decision.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable as _, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::columns::{Column, Rows};
use super::series::some;
use super::{ExportError, Span};
use crate::store::{self, HistoryError, get, storage};
use crate::types::{Alternative, DecisionId, DecisionRecord, Example, Outcome, UnixMillis, WorkloadKey};

/// Bytes of a row in memory, about.
const ROW_BYTES: usize = 4_096;

type Records = TableDefinition<'static, u64, &'static [u8]>;

/// A decision or example with its outcome.
struct Row<T> {
    of: T,
    outcome: Option<Outcome>,
}

/// A name as JSON writes it, `good` say.
fn word<T: Serialize>(value: &T) -> Option<Cow<'static, str>> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Some(word.into()),
        _ => None,
    }
}

fn json<T: Serialize>(value: &T) -> Option<Cow<'static, str>> {
    serde_json::to_string(value).ok().map(Cow::Owned)
}

fn shared(text: &Option<Arc<str>>) -> Option<Cow<'_, str>> {
    text.as_deref().map(Cow::Borrowed)
}

fn millis(at: Option<UnixMillis>) -> Option<i64> {
    at.map(|at| at.0)
}

fn workload<T: 'static>(of: fn(&T) -> Option<&WorkloadKey>) -> [Column<Row<T>>; 2] {
    [
        Column::text("workload_kind", move |row: &Row<T>| of(&row.of).and_then(|key| some(&key.kind))),
        Column::text("workload_name", move |row: &Row<T>| of(&row.of).and_then(|key| some(&key.name))),
    ]
}

fn outcome<T: 'static>() -> Vec<Column<Row<T>>> {
    fn text<T: 'static>(name: &str, of: fn(&Outcome) -> Option<Cow<'static, str>>) -> Column<Row<T>> {
        Column::text(name, move |row: &Row<T>| row.outcome.as_ref().and_then(of))
    }
    fn time<T: 'static>(name: &str, of: fn(&Outcome) -> Option<UnixMillis>) -> Column<Row<T>> {
        Column::time(name, move |row: &Row<T>| row.outcome.as_ref().and_then(of).map(|at| at.0))
    }
    vec![
        text("outcome_state", |o| word(&o.state)),
        text("outcome_label", |o| word(&o.label)),
        text("outcome_day_label", |o| word(&o.day_label)),
        text("outcome_cause", |o| o.cause.as_ref().and_then(word)),
        text("outcome_node", |o| Some(o.node.to_string().into())),
        time("ready_at", |o| o.ready_at),
        time("trouble_at", |o| o.trouble_at),
        time("ended_at", |o| o.ended_at),
        time("matures_at", |o| Some(o.matures_at)),
        Column::double("outcome_weight", |row: &Row<T>| row.outcome.as_ref().map(|o| o.weight)),
    ]
}

/// A column for each named feature. Names that are none of a column are made one.
fn features<T: 'static>(prefix: &str, names: &[String], of: fn(&T) -> &[Option<f64>]) -> Vec<Column<Row<T>>> {
    let plain = |name: &str| name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect::<String>();
    let column = |(index, name): (usize, &String)| {
        Column::double(&format!("{prefix}{}", plain(name)), move |row: &Row<T>| {
            of(&row.of).get(index).copied().flatten()
        })
    };
    names.iter().enumerate().map(column).collect()
}

fn alternative<T: 'static>(of: fn(&T) -> Option<&Alternative>) -> Vec<Column<Row<T>>> {
    let double = |name: &str, value: fn(&Alternative) -> Option<f64>| {
        Column::double(name, move |row: &Row<T>| of(&row.of).and_then(value))
    };
    vec![
        Column::text("alternative_node", move |row: &Row<T>| of(&row.of).and_then(|a| some(&a.node))),
        double("alternative_margin", |a| Some(a.margin)),
        double("alternative_model_weight", |a| Some(a.weight)),
        double("alternative_p_bad", |a| a.p_bad),
    ]
}

fn of_alternative(alternative: &Option<Alternative>) -> &[Option<f64>] {
    alternative.as_ref().map_or(&[], |a| &a.features)
}

fn of_decisions(names: &[String]) -> Vec<Column<Row<DecisionRecord>>> {
    type D = Row<DecisionRecord>;
    let mut columns = vec![
        Column::text("decision_id", |row: &D| Some(row.of.id.to_string().into())),
        Column::time("decided_at", |row: &D| Some(row.of.at.0)),
        Column::text("kind", |row: &D| word(&row.of.kind)),
        Column::text("namespace", |row: &D| some(&row.of.pod.namespace)),
        Column::text("pod", |row: &D| some(&row.of.pod.name)),
        Column::text("pod_uid", |row: &D| some(&row.of.pod.uid)),
    ];
    columns.extend(workload(|d: &DecisionRecord| d.workload.as_ref()));
    columns.extend([
        Column::text("profile", |row: &D| some(&row.of.profile)),
        Column::text("node", |row: &D| shared(&row.of.node)),
        Column::text("runner_up", |row: &D| shared(&row.of.runner_up)),
        Column::text("reason", |row: &D| some(&row.of.reason)),
        Column::text("algorithm", |row: &D| some(&row.of.algorithm)),
        Column::text("fallback_reason", |row: &D| shared(&row.of.fallback_reason)),
        Column::text("model_id", |row: &D| shared(&row.of.model_id)),
        Column::double("confidence", |row: &D| row.of.confidence),
        Column::double("p_bad", |row: &D| row.of.p_bad),
        Column::double("propensity", |row: &D| Some(row.of.propensity)),
        Column::integer("nodes", |row: &D| Some(row.of.nodes.into())),
        Column::integer("feasible_nodes", |row: &D| Some(row.of.feasible.into())),
        Column::integer("attempts", |row: &D| Some(row.of.attempts.into())),
        Column::integer("latency_us", |row: &D| Some(row.of.latency_us.into())),
        Column::text("scores_json", |row: &D| json(&row.of.scores)),
        Column::text("rejections_json", |row: &D| json(&row.of.rejections)),
    ]);
    columns.extend(outcome());
    columns.extend(alternative(|d: &DecisionRecord| d.alternative.as_ref()));
    columns.extend(features("f_", names, |d: &DecisionRecord| &d.features));
    columns.extend(features("alt_f_", names, |d: &DecisionRecord| of_alternative(&d.alternative)));
    columns
}

fn of_examples(names: &[String]) -> Vec<Column<Row<Example>>> {
    type E = Row<Example>;
    let mut columns = vec![
        Column::text("decision_id", |row: &E| Some(row.of.decision_id.to_string().into())),
        Column::time("decided_at", |row: &E| Some(row.of.at.0)),
        Column::text("node", |row: &E| some(&row.of.node)),
        Column::text("namespace", |row: &E| row.of.workload.as_ref().and_then(|key| some(&key.namespace))),
    ];
    columns.extend(workload(|e: &Example| e.workload.as_ref()));
    columns.extend([
        Column::text("label", |row: &E| word(&row.of.label)),
        Column::text("cause", |row: &E| row.of.cause.as_ref().and_then(word)),
        Column::time("until", |row: &E| millis(row.of.until)),
        Column::double("propensity", |row: &E| Some(row.of.propensity)),
        Column::text("model_id", |row: &E| shared(&row.of.model_id)),
        Column::double("p_bad", |row: &E| row.of.p_bad),
        Column::flag("holdback", |row: &E| Some(row.of.holdback)),
        Column::flag("feedback", |row: &E| row.of.feedback),
    ]);
    columns.extend(outcome());
    columns.extend(alternative(|e: &Example| e.alternative.as_ref()));
    columns.extend(features("f_", names, |e: &Example| &e.features));
    columns.extend(features("alt_f_", names, |e: &Example| of_alternative(&e.alternative)));
    columns
}

pub(super) fn write_decisions<W: Write + Send>(
    tx: &ReadTransaction,
    span: Span,
    file: W,
    path: &str,
    names: &[String],
) -> Result<u64, ExportError> {
    write(tx, store::DECISIONS, span, file, path, of_decisions(names))
}

pub(super) fn write_examples<W: Write + Send>(
    tx: &ReadTransaction,
    span: Span,
    file: W,
    path: &str,
    names: &[String],
) -> Result<u64, ExportError> {
    write(tx, store::EXAMPLES, span, file, path, of_examples(names))
}

fn write<T: DeserializeOwned, W: Write + Send>(
    tx: &ReadTransaction,
    table: Records,
    span: Span,
    file: W,
    path: &str,
    columns: Vec<Column<Row<T>>>,
) -> Result<u64, ExportError> {
    let parquet = |source| ExportError::Parquet { path: path.to_owned(), source };
    let step = "reading what is to be exported";
    let mut rows = Rows::new(file, columns, ROW_BYTES).map_err(parquet)?;
    let table = tx.open_table(table).map_err(storage(step))?;
    let ids = DecisionId::first_at(span.from).0..DecisionId::first_at(span.until).0;
    for entry in table.range(ids).map_err(storage(step))? {
        let (id, value) = entry.map_err(storage(step))?;
        let of = store::decode(value.value(), "record")?;
        rows.add(Row { of, outcome: get(tx, store::OUTCOMES, id.value())? }).map_err(parquet)?;
    }
    rows.finish().map_err(parquet)
}

fn end(tx: &ReadTransaction, table: Records, last: bool) -> Result<Option<UnixMillis>, HistoryError> {
    let step = "reading what is to be exported";
    let table = tx.open_table(table).map_err(storage(step))?;
    let entry = if last { table.last() } else { table.first() };
    Ok(entry.map_err(storage(step))?.map(|(id, _)| DecisionId(id.value()).at()))
}

pub(super) fn first_decision(tx: &ReadTransaction) -> Result<Option<UnixMillis>, HistoryError> {
    end(tx, store::DECISIONS, false)
}

pub(super) fn last_decision(tx: &ReadTransaction) -> Result<Option<UnixMillis>, HistoryError> {
    end(tx, store::DECISIONS, true)
}

pub(super) fn first_example(tx: &ReadTransaction) -> Result<Option<UnixMillis>, HistoryError> {
    end(tx, store::EXAMPLES, false)
}

pub(super) fn last_example(tx: &ReadTransaction) -> Result<Option<UnixMillis>, HistoryError> {
    end(tx, store::EXAMPLES, true)
}
