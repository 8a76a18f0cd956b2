//! A drawing with two axes, as inline SVG.

use super::escaped;

/// All drawings are that wide, in units of their own.
pub(super) const WIDTH: f64 = 900.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

/// Colours of series before they come again; the dashes then differ.
const COLOURS: usize = 6;
/// So that lines can be told apart without colour.
const DASHES: [&str; 6] = ["none", "7 3", "2 3", "10 3 2 3", "5 5", "12 4"];

/// The look of the `place`th series.
pub(super) fn stroke(place: usize) -> String {
    let dashes = DASHES[(place + place / COLOURS) % DASHES.len()];
    format!("stroke=\"{}\" stroke-dasharray=\"{dashes}\"", colour(place))
}

/// Its colour alone.
pub(super) fn colour(place: usize) -> String {
    format!("var(--s{})", place % COLOURS)
}

/// A drawing under construction; places are shares of its area, 0 to 1, from
/// the lower left.
pub(super) struct Plot {
    height: f64,
    text: String,
}

impl Plot {
    pub(super) fn new(height: f64, says: &str) -> Self {
        let text = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(says)
        );
        Self { height, text }
    }

    fn x(place: f64) -> f64 {
        LEFT + place * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, place: f64) -> f64 {
        self.height - BOTTOM - place * (self.height - TOP - BOTTOM)
    }

    /// A line across at a height, with what it means.
    pub(super) fn tick_y(&mut self, place: f64, label: &str) {
        let (y, right) = (self.y(place), Self::x(1.0));
        put!(
            self.text,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 6.0,
            y + 4.0,
            escaped(label)
        );
    }

    /// A line upwards, with what it means.
    pub(super) fn tick_x(&mut self, place: f64, label: &str) {
        let (x, top, bottom) = (Self::x(place), self.y(1.0), self.y(0.0));
        let anchor = match place {
            left if left < 0.03 => "start",
            right if right > 0.95 => "end",
            _ => "middle",
        };
        put!(
            self.text,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
            bottom + 17.0,
            escaped(label)
        );
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: &[(f64, f64)], look: &str) {
        let points: Vec<String> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", Self::x(x), self.y(y))).collect();
        self.text +=
            &format!("<polyline class=\"line\" {look} points=\"{}\"/>\n", points.join(" "));
    }

    /// A rectangle between two corners, with what it says when pointed at.
    pub(super) fn area(&mut self, from: (f64, f64), to: (f64, f64), look: &str, says: &str) {
        let (x, y) = (Self::x(from.0), self.y(to.1));
        let (width, height) = (Self::x(to.0) - x, self.y(from.1) - y);
        let shape = format!(
            "<rect {look} x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\""
        );
        if says.is_empty() {
            put!(self.text, "{shape}/>\n");
        } else {
            put!(self.text, "{shape}><title>{}</title></rect>\n", escaped(says));
        }
    }

    /// A short line across.
    pub(super) fn dash(&mut self, from: f64, to: f64, height: f64, look: &str) {
        let y = self.y(height);
        put!(
            self.text,
            "<line {look} x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n",
            Self::x(from),
            Self::x(to)
        );
    }

    pub(super) fn finish(mut self) -> String {
        let (left, right) = (Self::x(0.0), Self::x(1.0));
        let bottom = self.y(0.0);
        put!(
            self.text,
            "<line class=\"frame\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{bottom:.1}\" \
             y2=\"{bottom:.1}\"/>\n</svg>\n"
        );
        self.text
    }
}
