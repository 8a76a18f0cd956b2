//! A report as one page that needs nothing else: no script, no other file, no
//! address. It is well-formed XML as well.

mod plots;
mod svg;

use super::Report;
use super::facts;
use super::words;

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
    let title = escaped(&labels.join(", "));
    let body = [
        format!("<h1>{title}</h1>\n"),
        differences(report),
        notes(report),
        table(report),
        timelines(report),
        legended(report, "Histogram", plots::histogram(&report.runs)),
        legended(report, "Cumulative distribution", plots::distribution(&report.runs)),
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

fn differences(report: &Report) -> String {
    let mut text = String::new();
    for difference in &report.differences {
        let base = escaped(&report.runs[difference.base].label);
        let sentences = words::sentences(difference, &report.runs);
        let lines = sentences.iter().map(|line| format!("<li>{}</li>", escaped(line)));
        text += &format!(
            "<p class=\"faint\">Compared with {base}:</p>\n<ul>{}</ul>\n",
            lines.collect::<String>()
        );
    }
    text
}

fn notes(report: &Report) -> String {
    let line = |note: &String| format!("<p class=\"faint\">Note: {}</p>\n", escaped(note));
    report.notes().iter().map(line).collect()
}

fn cells(tag: &str, texts: impl Iterator<Item = String>) -> String {
    texts.fold(String::new(), |all, text| format!("{all}<{tag}>{}</{tag}>", escaped(&text)))
}

/// A table; the first cell of each row is its name.
fn table_of(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let row = |mut cells_of_row: Vec<String>| {
        let values = cells_of_row.split_off(1.min(cells_of_row.len()));
        let name = cells("th", cells_of_row.into_iter());
        format!("<tr>{name}{}</tr>\n", cells("td", values.into_iter()))
    };
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n\
         </table></div>\n",
        cells("th", head.into_iter()),
        rows.map(row).collect::<String>()
    )
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
         the largest. Marks at the foot: losses; shaded from top to foot: an outage. Point at \
         a place for its figures.</p>\n",
    );
    for run in &report.runs {
        if run.figures.sent() > 0 {
            let from = words::time_to_the_second(run.figures.first);
            text += &format!(
                "<figure style=\"margin:0\"><h3>{} <span class=\"faint\">from {from}</span></h3>\n{}\
                 </figure>\n",
                escaped(&run.label),
                plots::timeline(run, &axis, unit)
            );
        }
    }
    text
}

fn legended(report: &Report, title: &str, drawing: Option<String>) -> String {
    let Some(drawing) = drawing else { return String::new() };
    let item = |(place, run): (usize, &super::Run)| {
        format!(
            "<li><svg viewBox=\"0 0 40 12\" aria-hidden=\"true\"><line class=\"line\" {} x1=\"0\" \
             x2=\"40\" y1=\"6\" y2=\"6\"/></svg> {}</li>",
            svg::stroke(place),
            escaped(&run.label)
        )
    };
    let several = report.runs.len() > 1;
    let legend = report.runs.iter().enumerate().map(item).collect::<String>();
    let legend =
        if several { format!("<ul class=\"legend\">{legend}</ul>\n") } else { String::new() };
    format!("<section>\n<h2>{title}</h2>\n{legend}{drawing}</section>\n")
}

fn outages(report: &Report) -> String {
    let all = report.runs.iter().flat_map(|run| {
        let longest = run.figures.outages.longest().iter();
        longest.map(|outage| {
            vec![
                run.label.clone(),
                words::time(outage.start),
                words::span(outage.nanos()),
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
         within 0.1 %; those of the time line within 1 %. Intervals are 95 % by bootstrap over \
         stretches of at most {} round trips of each file. An outage is two or more packets lost in a \
         row, from the first lost to the next that came back.</p>\n",
        table_of(head, rows),
        env!("CARGO_PKG_VERSION"),
        super::reservoir::SIZE,
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
