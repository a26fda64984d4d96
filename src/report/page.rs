//! The page `index.html`: curves as SVG and samples as data URIs in one file. Its size does not grow with the length of
//! the run.

use std::fmt::{self, Display, Formatter, Write};

use super::chart::{self, ACROSS, DOWN, Drawing};
use super::embedded::Sample;
use super::record::Record;
use super::series;

/// The contents of a page.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    /// The names and values of the table about the run.
    pub(super) facts: &'a [(String, String)],
    pub(super) records: &'a [Record],
    pub(super) images_per_second: Option<f32>,
    /// The samples, newest first.
    pub(super) samples: Vec<Sample>,
    /// Whether the run has ended. Until then the page reloads regularly.
    pub(super) is_finished: bool,
}

impl Display for Page<'_> {
    fn fmt(&self, html: &mut Formatter<'_>) -> fmt::Result {
        let series = chart::series(self.records);
        let steps = self.records.iter().map(|record| record.position().0).max().unwrap_or(0);
        let charts: Vec<(Drawing, &str)> = series::charts()
            .into_iter()
            .filter_map(|chart| Some((chart::draw(&series, &chart.curves, steps)?, chart.note)))
            .collect();
        self.head(html)?;
        self.status(html, &charts)?;
        if !charts.is_empty() {
            html.write_str("<h2>Curves</h2>\n<div class=\"charts\">\n")?;
            charts.iter().try_for_each(|(drawing, note)| section(html, drawing, note))?;
            html.write_str("</div>\n")?;
        }
        self.samples(html)?;
        self.facts(html)?;
        html.write_str("</body>\n</html>\n")
    }
}

impl Page<'_> {
    /// Writes the head of the document, the heading, and whether the run has ended.
    fn head(&self, html: &mut Formatter<'_>) -> fmt::Result {
        let title = Escaped(self.title);
        let (reload, state) = match self.is_finished {
            true => ("", "<span class=\"state done\">Finished</span>"),
            false => (
                "<meta http-equiv=\"refresh\" content=\"30\">\n",
                "<span class=\"state\">Training</span> · this page reloads every 30 seconds",
            ),
        };
        let style = include_str!("style.css");
        // The browser shows the time of the last write in the reader's time zone.
        write!(
            html,
            r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{reload}<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<h1>{title}</h1>
<p class="quiet">{state}<span id="written"></span></p>
<script>document.getElementById("written").textContent = " · written " + document.lastModified;</script>
"#
        )
    }

    /// Writes the latest values.
    fn status(&self, html: &mut Formatter<'_>, charts: &[(Drawing, &str)]) -> fmt::Result {
        let mut values: Vec<(&str, String)> = vec![];
        if let Some((step, epoch)) = self.records.last().map(Record::position) {
            values.extend([("Epoch", epoch.to_string()), ("Step", step.to_string())]);
        }
        values.extend(self.images_per_second.map(|speed| ("Images/s", chart::number(f64::from(speed)))));
        let curves = charts.iter().flat_map(|(drawing, _)| &drawing.curves);
        values.extend(curves.map(|curve| (curve.name, curve.latest.clone())));
        html.write_str("<dl class=\"status\">\n")?;
        for (name, value) in values {
            writeln!(html, "<div class=\"card\"><dt>{name}</dt><dd>{value}</dd></div>")?;
        }
        html.write_str("</dl>\n")?;
        if self.records.is_empty() {
            html.write_str("<p>Nothing is recorded yet.</p>\n")?;
        }
        Ok(())
    }

    /// Writes the samples.
    fn samples(&self, html: &mut Formatter<'_>) -> fmt::Result {
        if self.samples.is_empty() {
            return Ok(());
        }
        html.write_str("<h2>Samples</h2>\n<div class=\"strips\">\n")?;
        for (index, Sample { epoch, file, data }) in self.samples.iter().enumerate() {
            let latest = if index == 0 { ", the latest" } else { "" };
            // Neither base64 nor the name of a sample has characters to escape.
            writeln!(
                html,
                r#"<figure class="card">
<figcaption>Epoch {epoch}{latest}</figcaption>
<ol><li>input</li><li>output</li><li>target</li></ol>
<a href="samples/{file}"><img alt="Rows of input, output and target after epoch {epoch}" src="{data}"></a>
</figure>"#
            )?;
        }
        html.write_str("</div>\n")
    }

    /// Writes the table about the run.
    fn facts(&self, html: &mut Formatter<'_>) -> fmt::Result {
        if self.facts.is_empty() {
            return Ok(());
        }
        html.write_str("<h2>About this run</h2>\n<table class=\"card\">\n")?;
        for (name, value) in self.facts {
            let (name, value) = (Escaped(name), Escaped(value));
            writeln!(html, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>")?;
        }
        html.write_str("</table>\n")
    }
}

/// Writes a chart and the text that explains it.
fn section(html: &mut Formatter<'_>, drawing: &Drawing, note: &str) -> fmt::Result {
    let Drawing { curves, rows, columns, not_finite } = drawing;
    html.write_str("<section class=\"card\">\n<header>")?;
    for curve in curves {
        write!(html, "<span>{} <b>{}</b></span>", curve.name, curve.latest)?;
    }
    let label = curves.first().map_or("", |curve| curve.name);
    writeln!(
        html,
        "</header>\n<svg viewBox=\"0 0 360 182\" role=\"img\" aria-label=\"{label} over steps\">"
    )?;
    let (left, right, bottom) = (ACROSS.start, ACROSS.end, DOWN.end);
    for (y, label) in rows {
        let (x, below) = (left - 5.0, y + 3.5);
        writeln!(
            html,
            r#"<line x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text x="{x}" y="{below:.1}" text-anchor="end">{label}</text>"#
        )?;
    }
    for (x, label) in columns {
        let (end, below) = (bottom + 4.0, bottom + 15.0);
        writeln!(
            html,
            r#"<line x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{end}"/><text x="{x:.1}" y="{below}" text-anchor="middle">{label}</text>"#
        )?;
    }
    writeln!(html, r#"<text x="{right}" y="178" text-anchor="end">step</text>"#)?;
    for curve in curves {
        let (raw, smooth) = (&curve.raw, &curve.smooth);
        write!(html, r#"<g><polyline class="raw" points="{raw}"/><polyline points="{smooth}"/>"#)?;
        if let Some((x, y)) = curve.end {
            write!(html, r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.5"/>"#)?;
        }
        html.write_str("</g>\n")?;
    }
    write!(html, "</svg>\n<p class=\"quiet\">{note}")?;
    if *not_finite > 0 {
        write!(html, " Not drawn because NaN or infinite: {not_finite}.")?;
    }
    html.write_str("</p>\n</section>\n")
}

/// A text whose HTML special characters are escaped when written.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, html: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => html.write_str("&amp;"),
            '<' => html.write_str("&lt;"),
            '>' => html.write_str("&gt;"),
            '"' => html.write_str("&quot;"),
            '\'' => html.write_str("&#39;"),
            other => html.write_char(other),
        })
    }
}
