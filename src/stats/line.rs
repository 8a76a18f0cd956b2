//! How far two clocks are apart that nobody has set to each other, by the packets that
//! go between them.
//!
//! A difference of times by two clocks is the way's own time and how far the clocks
//! are apart; on the way back that counts with its sign turned. No packet arrives
//! before it has left, so the clocks' distance, a line where one of them runs faster,
//! lies below all differences out and above all those back, turned. Of these lines
//! the one is taken that has the most room on both sides: what Moon, Skelly and
//! Towsley (1999) do for one way, with both convex hulls. How much queued on each way
//! is exact then; how the smallest round trip divides into its ways nobody can know.

/// When something left or came, by this side's clock, and by how much the other clock
/// differed, in nanoseconds.
pub type Point = (i64, i64);

/// No clock runs faster or slower by more.
const MOST_DRIFT: f64 = 0.01;
/// Clocks of computers drift by up to this: an estimate no better than that says
/// nothing.
const TELLING: f64 = 100e-6;
/// A reading of a clock is no better than this, in nanoseconds.
const RESOLUTION: f64 = 1_000.0;
/// Parts of the time in which the noise is looked at.
const PARTS: u8 = 6;
/// Halvings of the range of drifts: a millionth of a millionth is left.
const HALVINGS: u32 = 34;
/// Pieces of the time that have hulls of their own, so that noise shows.
const PIECES: i64 = 32;
/// Corners of a hull that are kept: of honest delays it has about twenty.
pub(super) const MOST_CORNERS: usize = 64;
/// Over more than an hour clocks keep to no line; what is older is left out.
const HOUR: i64 = 3_600_000_000_000;

/// Of the last hour's points those that no line below all passes without touching one:
/// the lower convex hulls of pieces of the time.
pub fn corners(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_unstable();
    let ends = points.first().zip(points.last());
    let (begin, end) = ends.map_or((0, 0), |(first, last)| (first.0, last.0));
    let begin = begin.max(end - HOUR);
    let width = (end - begin) / PIECES + 1;
    let (mut hulls, mut first, mut piece) = (Vec::new(), 0, 0);
    for point in points.into_iter().filter(|point| point.0 >= begin) {
        if (point.0 - begin) / width != piece {
            (first, piece) = (hulls.len(), (point.0 - begin) / width);
        }
        while let [.., before, last] = hulls[first..]
            && !turns_up(before, last, point)
        {
            hulls.pop();
        }
        if hulls.len() < first + MOST_CORNERS {
            hulls.push(point);
        }
    }
    hulls
}

#[allow(clippy::cast_precision_loss, reason = "small differences are exact")]
fn turns_up(a: Point, b: Point, c: Point) -> bool {
    let slope = |from: Point, to: Point| (to.0 - from.0, to.1.saturating_sub(from.1));
    let ((run, rise), (run_on, rise_on)) = (slope(a, b), slope(b, c));
    (rise as f64) * (run_on as f64) < (rise_on as f64) * (run as f64)
}

/// How far two clocks are apart, as a line over the time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Line {
    /// By how much the other clock runs faster, as a share.
    pub drift: f64,
    /// By how much that may be wrong, as long as the ways themselves stay as they are.
    pub drift_error: f64,
    /// The time in the middle of all that is known, and what differences are counted
    /// from.
    middle: Point,
    /// The smallest differences in the middle, out and back.
    least: [f64; 2],
}

/// Points of one way as they lie around a middle.
struct Way(Vec<(f64, f64)>);

impl Way {
    #[allow(clippy::cast_precision_loss, reason = "small differences are exact")]
    fn new(points: &[Point], (time, difference): Point) -> Self {
        let around =
            |point: &Point| ((point.0 - time) as f64, point.1.saturating_sub(difference) as f64);
        Self(points.iter().map(around).collect())
    }

    /// How far above a line of this slope through the middle points lie at least,
    /// and the first time when one does; of those in a part of the time.
    fn least(&self, slope: f64, from: f64, to: f64) -> (f64, f64) {
        let mut least = (f64::INFINITY, 0.0);
        for (at, difference) in &self.0 {
            let above = difference - slope * at;
            if above < least.0 && (from..=to).contains(at) {
                least = (above, *at);
            }
        }
        least
    }
}

/// The number between `bad` and `good` from which on it is good.
fn edge(mut bad: f64, mut good: f64, is_good: &dyn Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(bad, good);
        *(if is_good(middle) { &mut good } else { &mut bad }) = middle;
    }
    good
}

impl Line {
    /// The line between the differences out and back; `None` where a way has none.
    #[allow(clippy::cast_precision_loss, reason = "half of a time")]
    pub fn between([out, back]: &[Vec<Point>; 2]) -> Option<Self> {
        let reference = out.first()?.1;
        let (mut begin, mut end) = (back.first()?.0, back.first()?.0);
        for (time, _) in [out, back].into_iter().flatten() {
            (begin, end) = (begin.min(*time), end.max(*time));
        }
        let middle = (begin + (end - begin) / 2, reference);
        let half = (end - begin) as f64 / 2.0;
        let out = Way::new(out, middle);
        let back = Way::new(back, (middle.0, reference.saturating_neg()));
        let least = |slope: f64| [out.least(slope, -half, half), back.least(-slope, -half, half)];
        let room = |slope: f64| least(slope).iter().map(|(least, _)| least).sum::<f64>();
        // The room is a concave function of the slope, and grows with it while the way
        // back touches later than the way out.
        let full = |slope: f64| {
            let [out, back] = least(slope);
            back.1 <= out.1
        };
        let best = edge(-MOST_DRIFT, MOST_DRIFT, &full);
        // How far the line misses what came closest in each part of the time is how much
        // noise there is; one part may be congested. A line that leaves only so much less
        // room may be the right one.
        let [touch_out, touch_back] = least(best).map(|(least, _)| least);
        let length = 2.0 * half / f64::from(PARTS);
        let (mut most, mut second, mut parts) = (0.0_f64, 0.0_f64, 0);
        for place in 0..PARTS {
            let (from, to) =
                (f64::from(place) * length - half, f64::from(place + 1) * length - half);
            let missed = out.least(best, from, to).0 - touch_out + back.least(-best, from, to).0
                - touch_back;
            if missed.is_finite() {
                parts += 1;
                second = second.max(missed.min(most));
                most = most.max(missed);
            }
        }
        let noise = if parts < 5 { most } else { second };
        let enough = touch_out + touch_back - noise.max(RESOLUTION);
        let fits = |slope: f64| room(slope) >= enough;
        let [low, high] = [-MOST_DRIFT, MOST_DRIFT].map(|most| edge(most, best, &fits));
        let error = (high - low) / 2.0;
        // Of drifts that may all be, the smallest is the likeliest.
        let (drift, drift_error) = match parts {
            0..3 => (0.0, MOST_DRIFT),
            _ if error < TELLING => (f64::midpoint(low, high), error),
            _ => (low.max(0.0).min(high), error),
        };
        let least = least(drift).map(|(least, _)| least);
        Some(Self { drift, drift_error, middle, least })
    }

    /// The drift and its error, in millionths, where they say anything.
    pub fn drift_ppm(&self) -> Option<(f64, f64)> {
        (self.drift_error < TELLING).then_some((self.drift * 1e6, self.drift_error * 1e6))
    }

    /// The smallest round trip that the line leaves room for, in nanoseconds; below
    /// zero where no line does.
    #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
    pub fn room(&self) -> i64 {
        self.least.iter().sum::<f64>() as i64
    }

    /// In the middle of all that is known.
    pub fn middle(&self) -> i64 {
        self.middle.0
    }

    #[allow(clippy::cast_precision_loss, reason = "a share of a time")]
    fn grown(&self, at: i64) -> f64 {
        (at - self.middle.0) as f64 * self.drift
    }

    /// How far the other clock is ahead, in nanoseconds, if the smallest round trip is
    /// halved; nobody knows how it divides.
    #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
    pub fn offset(&self, at: i64) -> i64 {
        let [out, back] = self.least;
        self.middle.1.saturating_add(((out - back) / 2.0 + self.grown(at)) as i64)
    }

    /// How far differences out and back lie above the smallest, in nanoseconds.
    pub fn above(&self, [out, back]: [Point; 2]) -> [u64; 2] {
        [
            above(out.1.saturating_sub(self.middle.1), self.least[0] + self.grown(out.0)),
            above(back.1.saturating_add(self.middle.1), self.least[1] - self.grown(back.0)),
        ]
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "nothing lies below the line but by rounding"
)]
fn above(difference: i64, least: f64) -> u64 {
    (difference as f64 - least).max(0.0) as u64
}
