//! A report as one page that needs nothing else: no script, no other file, no
//! address. It is well-formed XML as well.

mod plots;
mod svg;

use super::Report;
use super::facts;
use super::flows::Flows;
use super::words;
use crate::text::format::count;

const STYLE: &str = include_str!("style.css");

/// What every page begins with.
pub const DOCTYPE: &str = "<!DOCTYPE html>\n";

/// Text as it may stand in an element or attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // No page may hold these, not even written as numbers.
            control if control.is_control() && control != '\n' => escaped.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The whole page.
pub fn page(report: &Report) -> String {
    let labels: Vec<&str> = report.sources.iter().map(|source| source.label.as_str()).collect();
    let runs: Vec<&str> = report.runs.iter().map(|run| run.label.as_str()).collect();
    let title = escaped(&labels.join(", "));
    let body = [
        format!("<h1>{title}</h1>\n"),
        headline(report),
        differences(report),
        told(report),
        notes(report),
        table(report),
        legended(&labels, "Throughput", plots::throughput(&report.runs)),
        report.runs.iter().map(flows).collect(),
        timelines(report),
        legended(&runs, "Histogram", plots::histogram(&report.runs)),
        legended(&runs, "Cumulative distribution", plots::distribution(&report.runs)),
        outages(report),
        manifest(report),
    ];
    format!(
        "{DOCTYPE}<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        body.concat()
    )
}

/// The first thing that a reader wants to know of each run.
fn headline(report: &Report) -> String {
    let unit = facts::unit(&report.runs);
    let line = |run: &super::Run| {
        let figures = &run.figures;
        #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
        let shown = |percent| {
            figures.percentile(percent).map_or("-".into(), |nanos| unit.number(nanos as f64))
        };
        let several = report.runs.len() > 1;
        let label = if several { format!("{}: ", escaped(&run.label)) } else { String::new() };
        format!(
            "<p class=\"headline\">{label}p50 <b>{}</b>, p99 <b>{}</b> {}, <b>{:.3} %</b> of {} \
             packets lost, {}</p>\n",
            shown(50.0),
            shown(99.0),
            unit.name(),
            figures.loss_percent(),
            figures.sent(),
            count(figures.outages.count(), "outage"),
        )
    };
    report.runs.iter().map(line).collect()
}

fn list(sentences: impl Iterator<Item = String>) -> String {
    let lines =
        sentences.fold(String::new(), |all, line| format!("{all}<li>{}</li>", escaped(&line)));
    if lines.is_empty() { lines } else { format!("<ul>{lines}</ul>\n") }
}

fn told(report: &Report) -> String {
    let several = report.runs.len() > 1;
    let each = report.runs.iter().flat_map(|run| {
        let label = if several { format!("{}: ", run.label) } else { String::new() };
        report.told(run).into_iter().map(move |sentence| format!("{label}{sentence}"))
    });
    let together = report.together.iter().map(|one| words::together(one, &report.runs));
    list(each.chain(together))
}

fn differences(report: &Report) -> String {
    let Some(first) = report.differences.first() else { return String::new() };
    let base = escaped(&report.runs[first.base].label);
    let sentences = report.differences.iter().flat_map(|difference| difference.told(&report.runs));
    format!("<p class=\"faint\">Compared with {base}:</p>\n{}", list(sentences))
}

fn notes(report: &Report) -> String {
    let line = |note: &String| format!("<p class=\"faint\">Note: {}</p>\n", escaped(note));
    report.notes().iter().map(line).collect()
}

fn cells(tag: &str, texts: impl Iterator<Item = String>) -> String {
    let name = tag.split(' ').next().unwrap_or(tag);
    texts.fold(String::new(), |all, text| format!("{all}<{tag}>{}</{name}>", escaped(&text)))
}

/// A table; the first cell of each row is its name.
fn table_of(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let row = |mut cells_of_row: Vec<String>| {
        let values = cells_of_row.split_off(1.min(cells_of_row.len()));
        let name = cells("th scope=\"row\"", cells_of_row.into_iter());
        format!("<tr>{name}{}</tr>\n", cells("td", values.into_iter()))
    };
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n\
         </table></div>\n",
        cells("th scope=\"col\"", head.into_iter()),
        rows.map(row).collect::<String>()
    )
}

/// The flows of a run, where its file tells them apart.
fn flows(run: &super::Run) -> String {
    let (rows, more) = run.figures.flows.rows();
    if rows.is_empty() {
        return String::new();
    }
    let table = table_of(Flows::HEAD.map(str::to_owned).to_vec(), rows.into_iter());
    let more = more.map_or_else(String::new, |more| format!("<p class=\"faint\">{more}</p>\n"));
    format!("<h2>{}, by flow</h2>\n{table}{more}", escaped(&run.label))
}

fn table(report: &Report) -> String {
    let labels = report.runs.iter().map(|run| run.label.clone());
    let head = std::iter::once(String::new()).chain(labels).collect();
    let rows = facts::table(&report.runs).into_iter().map(|fact| {
        let mut row = vec![fact.name];
        row.extend(fact.values);
        row
    });
    format!("<h2>Figures</h2>\n{}", table_of(head, rows))
}

fn timelines(report: &Report) -> String {
    let Some(axis) = plots::axis(&report.runs) else { return String::new() };
    let unit = facts::unit(&report.runs);
    let mut text = String::from(
        "<h2>Time line</h2>\n<p class=\"faint key\">Line: p50. Band: up to p99. Strokes above: \
         the largest. Marks at the foot: losses; shaded from top to foot: an outage. Upright \
         lines: the level or the loss changed. Point at a place for its figures.</p>\n",
    );
    for run in &report.runs {
        if run.figures.sent() > 0 {
            let from = words::time_to_the_second(run.figures.first);
            put!(
                text,
                "<figure style=\"margin:0\"><h3>{} <span class=\"faint\">from {from}</span></h3>\n{}\
                 </figure>\n",
                escaped(&run.label),
                plots::timeline(run, &axis, unit)
            );
        }
    }
    text
}

fn legended(labels: &[&str], title: &str, drawing: Option<String>) -> String {
    let Some(drawing) = drawing else { return String::new() };
    let item = |(place, label): (usize, &&str)| {
        format!(
            "<li><svg viewBox=\"0 0 40 12\" aria-hidden=\"true\"><line class=\"line\" {} x1=\"0\" \
             x2=\"40\" y1=\"6\" y2=\"6\"/></svg> {}</li>",
            svg::stroke(place),
            escaped(label)
        )
    };
    let legend = labels.iter().enumerate().map(item).collect::<String>();
    let legend = if labels.len() > 1 {
        format!("<ul class=\"legend\">{legend}</ul>\n")
    } else {
        String::new()
    };
    format!("<section>\n<h2>{title}</h2>\n{legend}{drawing}</section>\n")
}

fn outages(report: &Report) -> String {
    let all = report.runs.iter().flat_map(|run| {
        let longest = run.figures.outages.longest().iter();
        longest.map(|outage| {
            vec![
                run.label.clone(),
                words::time(outage.start).into(),
                words::span(outage.nanos()).into(),
                outage.packets.to_string(),
            ]
        })
    });
    let rows: Vec<Vec<String>> = all.collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = ["", "began", "lasted", "packets lost"].map(str::to_owned).to_vec();
    format!("<h2>Longest outages</h2>\n{}", table_of(head, rows.into_iter()))
}

fn manifest(report: &Report) -> String {
    let rows = report.sources.iter().map(|source| {
        vec![
            source.label.clone(),
            source.path.clone(),
            source.bytes.to_string(),
            source.rows.to_string(),
        ]
    });
    let head = ["", "file", "bytes", "rows"].map(str::to_owned).to_vec();
    format!(
        "<h2>Files</h2>\n{}<p class=\"faint\">echotest {}. Percentiles are by nearest rank, \
         exact up to {} replies and within 0.01 % beyond; those of the time line within 1 %. \
         Intervals are 95 %, by the spread of ten batches of each file, or of the differences in \
         rounds that both measured. An outage is two or more packets lost in a row, from the first \
         lost to the next that came back.</p>\n",
        table_of(head, rows),
        env!("CARGO_PKG_VERSION"),
        super::kept::MOST,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_label_becomes_markup() {
        assert_eq!(
            escaped("<a href=\"x\">&\u{1b}\u{ffff}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}\u{fffd}"
        );
    }
}
