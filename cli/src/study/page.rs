//! The page: tables, curves and images in one self-contained file.

use std::path::Path;

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use image::{ImageFormat, RgbImage, imageops};
use minijinja::{Environment, context, value::Serde};
use pix2pix::report::Record;
use serde::Serialize;

use super::results::{Results, Summary};
use super::score::column;
use super::statistics::Difference;

/// The largest width in pixels of an image in the grid.
const MAX_CELL: u32 = 128;
/// The area of a chart's curves, in the units of the template's `viewBox`.
const LEFT: f64 = 42.0;
const RIGHT: f64 = 348.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 150.0;

#[derive(Serialize)]
struct Shown<'a> {
    table: &'a Summary,
    headings: Vec<(&'static str, &'static str)>,
    cells: Vec<Vec<Cell>>,
    photographs: Vec<String>,
    /// The two values that each claim compares, their difference and its test, as text.
    compared: Vec<String>,
    /// Each row but the first with its differences from the first, as text.
    differences: Vec<(&'a str, Vec<Compared>)>,
    chart: Option<Chart>,
    grid: Option<Grid>,
}

/// The values of one metric as text.
#[derive(Serialize)]
struct Cell {
    mean: String,
    deviation: String,
    /// The 95 % interval of the mean.
    interval: String,
    paper: String,
    is_best: bool,
}

/// The difference of two variants as text.
#[derive(Serialize)]
struct Compared {
    mean: String,
    interval: String,
    p_value: String,
    /// Whether the interval does not hold 0.
    is_clear: bool,
}

impl Compared {
    fn new(difference: &Difference, digits: usize) -> Self {
        let Difference { mean, interval: [low, high], p_value, .. } = difference;
        Self {
            mean: format!("{mean:+.digits$}"),
            interval: range([*low, *high], digits),
            p_value: if *p_value < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p_value:.3}") },
            is_clear: *low > 0.0 || *high < 0.0,
        }
    }

    /// Returns the difference of a row that has none.
    fn unknown() -> Self {
        Self { mean: String::new(), interval: String::new(), p_value: String::new(), is_clear: false }
    }
}

/// Validation L1 over steps, with a curve for each row.
#[derive(Serialize)]
struct Chart {
    curves: Vec<(String, String)>,
    rows: Vec<(f64, String)>,
    steps: u64,
}

#[derive(Serialize)]
struct Grid {
    columns: Vec<String>,
    width: u32,
    data: String,
}

/// Returns an interval as text.
fn range([low, high]: [f64; 2], digits: usize) -> String {
    format!("{low:.digits$} to {high:.digits$}")
}

/// Returns the page as HTML.
pub(crate) fn render(results: &Results, out: &Path, finished: bool) -> Result<String> {
    let tables = results.tables.iter().map(|table| shown(results, table, out));
    let tables = tables.collect::<Result<Vec<_>>>()?;
    let (plan, runs) = (&results.plan, results.runs.len());
    let seconds: f64 = results.runs.iter().map(|run| run.seconds).sum();
    let data = match &plan.data {
        Some(data) => data.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        None => "façades, drawn".to_owned(),
    };
    let claims: Vec<_> = results.tables.iter().flat_map(|table| &table.claims).filter(|c| c.of > 0).collect();
    let context = context! {
        finished, runs, data,
        claims => claims.len(),
        holding => claims.iter().filter(|claim| claim.holds == claim.of).count(),
        minutes => format!("{:.0}", seconds / 60.0),
        plan => Serde(plan),
        has_reader => results.photographs.is_some(),
        tables => Serde(tables),
    };
    let mut environment = Environment::new();
    environment
        .add_template("page.html.j2", include_str!("page.html.j2"))
        .and_then(|()| environment.get_template("page.html.j2"))
        .and_then(|page| page.render(context))
        .with_context(|| out.join("index.html").display().to_string())
}

/// Returns a table with its values as text, its chart and its grid of images.
fn shown<'a>(results: &Results, table: &'a Summary, out: &Path) -> Result<Shown<'a>> {
    let columns: Vec<_> = table.columns.iter().filter_map(|name| column(name)).collect();
    let text = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let best: Vec<Option<usize>> =
        columns.iter().enumerate().map(|(at, (heading, ..))| best(table, at, heading)).collect();
    let cells = table.rows.iter().enumerate().map(|(row, found)| {
        let intervals = found.intervals.iter().copied().chain(std::iter::repeat(None));
        let cells = found.cells.iter().zip(&columns).zip(&best).zip(intervals);
        let cells = cells.map(|((((mean, deviation, paper), (_, digits, _)), best), interval)| Cell {
            mean: text(*mean, *digits),
            deviation: text(*deviation, *digits),
            interval: interval.map_or_else(String::new, |ends| range(ends, *digits)),
            paper: text(*paper, 2),
            is_best: *best == Some(row),
        });
        cells.collect()
    });
    let compared = table.claims.iter().map(|claim| match (claim.means, column(&claim.metric)) {
        (Some([higher, lower]), Some((_, digits, _))) => {
            let difference = claim.difference.as_ref().map(|difference| {
                let Compared { mean, interval, p_value, .. } = Compared::new(difference, digits);
                format!("; difference {mean} ({interval}), {p_value}")
            });
            format!("{higher:.digits$} and {lower:.digits$}{}", difference.unwrap_or_default())
        }
        _ => String::new(),
    });
    let differences = table.rows.iter().skip(1).filter(|row| row.differences.iter().any(Option::is_some));
    let differences = differences.map(|row| {
        let cells = row.differences.iter().zip(&columns);
        let cells = cells.map(|(difference, (_, digits, _))| match difference {
            Some(difference) => Compared::new(difference, *digits),
            None => Compared::unknown(),
        });
        (row.name.as_str(), cells.collect())
    });
    let photographs = results.photographs.as_ref().map(|scores| {
        let shown = table
            .columns
            .iter()
            .zip(&columns)
            .map(|(name, (_, digits, _))| text(scores.get(name).copied(), *digits));
        shown.collect()
    });
    Ok(Shown {
        table,
        headings: columns.iter().map(|(heading, _, meaning)| (*heading, *meaning)).collect(),
        cells: cells.collect(),
        photographs: photographs.unwrap_or_default(),
        compared: compared.collect(),
        differences: differences.collect(),
        chart: chart(results, table, out)?,
        grid: grid(results, table, out)?,
    })
}

/// Returns the row with the best mean in a column: lowest or highest by the arrow of its heading, else nearest to 1.
fn best(table: &Summary, column: usize, heading: &str) -> Option<usize> {
    let badness = |mean: f64| match heading.chars().next_back() {
        Some('↓') => mean,
        Some('↑') => -mean,
        _ => mean.ln().abs(),
    };
    let rows = table.rows.iter().enumerate();
    let known = rows.filter_map(|(at, row)| Some((at, badness(row.cells[column].0?))));
    let known: Vec<_> = known.collect();
    if known.len() < 2 {
        return None;
    }
    known.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(at, _)| at)
}

/// Returns the folder name of a job's first run.
fn first_run(results: &Results, job: &str) -> Option<String> {
    let run = results.runs.iter().find(|run| run.job == job)?;
    Some(format!("{job}-seed{}", run.seed))
}

/// Returns the validation curves of the first run of each row; `None` without curves.
fn chart(results: &Results, table: &Summary, out: &Path) -> Result<Option<Chart>> {
    let mut series = Vec::new();
    for row in &table.rows {
        let Some(run) = first_run(results, &row.job) else { continue };
        let path = out.join("runs").join(run).join("metrics.jsonl");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            read => read.with_context(|| path.display().to_string())?,
        };
        let points = text.lines().filter_map(|line| match serde_json::from_str(line) {
            Ok(Record::Validation { step, l1, .. }) if l1.is_finite() => Some((step, f64::from(l1))),
            _ => None,
        });
        let points: Vec<_> = points.collect();
        if points.len() > 1 {
            series.push((row.name.clone(), points));
        }
    }
    let Some(steps) = series.iter().flat_map(|(_, points)| points.iter().map(|point| point.0)).max() else {
        return Ok(None);
    };
    let steps = steps.max(1);
    // Without the first point: the value of the untrained generator would flatten the rest.
    let values = || series.iter().flat_map(|(_, points)| points.iter().skip(1).map(|point| point.1));
    let (low, high) = values().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let span = (high - low).max(1e-6);
    let y = |value: f64| BOTTOM - (value - low) / span * (BOTTOM - TOP);
    let curve = |(name, points): &(String, Vec<(u64, f64)>)| {
        let points = points.iter().skip(1).map(|(step, value)| {
            format!("{:.1},{:.1}", LEFT + *step as f64 / steps as f64 * (RIGHT - LEFT), y(*value))
        });
        (name.clone(), points.collect::<Vec<_>>().join(" "))
    };
    let ticks = (0..=4).map(|i| low + span * f64::from(i) / 4.0);
    Ok(Some(Chart {
        curves: series.iter().map(curve).collect(),
        rows: ticks.map(|value| (y(value), format!("{value:.3}"))).collect(),
        steps,
    }))
}

/// Draws input, target and each row's output for the first validation pairs.
fn grid(results: &Results, table: &Summary, out: &Path) -> Result<Option<Grid>> {
    let mut columns: Vec<(String, RgbImage)> = Vec::new();
    for row in &table.rows {
        let Some(run) = first_run(results, &row.job) else { continue };
        let folder = out.join("runs").join(run);
        let open = |name: &str| {
            let path = folder.join(format!("{name}.png"));
            image::open(&path).map(|image| image.to_rgb8()).with_context(|| path.display().to_string())
        };
        if columns.is_empty() {
            columns.push(("input".to_owned(), open("input")?));
            columns.push(("target".to_owned(), open("target")?));
        }
        columns.push((row.name.clone(), open("output")?));
    }
    let Some((_, first)) = columns.first() else { return Ok(None) };
    let size = first.width().clamp(1, MAX_CELL);
    let height = first.height() * size / first.width().max(1);
    let mut all = RgbImage::new(size * columns.len() as u32, height);
    for (at, (_, column)) in columns.iter().enumerate() {
        let small = imageops::thumbnail(column, size, height);
        imageops::replace(&mut all, &small, i64::from(size) * at as i64, 0);
    }
    let mut png = std::io::Cursor::new(Vec::new());
    all.write_to(&mut png, ImageFormat::Png).with_context(|| out.join("index.html").display().to_string())?;
    Ok(Some(Grid {
        columns: columns.into_iter().map(|(name, _)| name).collect(),
        width: all.width(),
        data: format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner())),
    }))
}
