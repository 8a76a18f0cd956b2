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
/// Pieces of what comes at once: each has a hull of its own, so that noise shows.
const PIECES: usize = 8;
/// Corners of a hull that are kept: of honest delays it has about twenty.
pub(super) const MOST_CORNERS: usize = 128;

/// The points that no line below all of them passes without touching one of these:
/// the lower convex hull.
pub(super) fn lower_hull(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_unstable();
    let mut kept = 0;
    for place in 0..points.len() {
        let point = points[place];
        while kept > 1 && !turns_up(points[kept - 2], points[kept - 1], point) {
            kept -= 1;
        }
        points[kept] = point;
        kept += 1;
    }
    points.truncate(kept);
    while points.len() > MOST_CORNERS {
        let mut place = 0;
        points.retain(|_| {
            place += 1;
            place % 2 == 1
        });
    }
    points
}

/// The lower hulls of parts of the time, which say no less than all points.
pub fn corners(points: &[Point]) -> Vec<Point> {
    let hulls = pieces(points).map(|points| lower_hull(points.to_vec()));
    hulls.collect::<Vec<_>>().concat()
}

pub(super) fn pieces<T>(all: &[T]) -> std::slice::Chunks<'_, T> {
    all.chunks(all.len().div_ceil(PIECES).max(1))
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
    fn new<'a>(points: impl Iterator<Item = &'a Point>, (time, difference): Point) -> Self {
        let around =
            |point: &Point| ((point.0 - time) as f64, point.1.saturating_sub(difference) as f64);
        Self(points.map(around).collect())
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
    /// The line between the differences out and back. Of both the lower hulls are
    /// enough, or several of parts of the time; `None` where a way has none.
    #[allow(clippy::cast_precision_loss, reason = "half of a time")]
    pub fn between<'a>(
        out: impl Iterator<Item = &'a Point> + Clone,
        back: impl Iterator<Item = &'a Point> + Clone,
    ) -> Option<Self> {
        let times = || out.clone().chain(back.clone()).map(|point| point.0);
        let (begin, end) = (times().min()?, times().max()?);
        let middle = (begin + (end - begin) / 2, out.clone().next()?.1);
        let half = (end - begin) as f64 / 2.0;
        let out = Way::new(out, middle);
        let back = Way::new(back, (middle.0, middle.1.saturating_neg()));
        if back.0.is_empty() {
            return None;
        }
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
        let missed = |place: u8| {
            let (from, to) = (f64::from(place), f64::from(place + 1));
            let [from, to] = [from, to].map(|edge| edge * length - half);
            out.least(best, from, to).0 - touch_out + back.least(-best, from, to).0 - touch_back
        };
        let mut missed: Vec<f64> = (0..PARTS).map(missed).filter(|far| far.is_finite()).collect();
        missed.sort_unstable_by(f64::total_cmp);
        let noise = match missed.len() {
            0..3 => None,
            few @ 3..5 => Some(missed[few - 1]),
            many => Some(missed[many - 2]),
        };
        let enough = touch_out + touch_back - noise.unwrap_or(0.0).max(RESOLUTION);
        let fits = |slope: f64| room(slope) >= enough;
        let [low, high] = [-MOST_DRIFT, MOST_DRIFT].map(|most| edge(most, best, &fits));
        let error = (high - low) / 2.0;
        // Of drifts that may all be, the smallest is the likeliest.
        let (drift, drift_error) = match noise {
            Some(_) if error < TELLING => (f64::midpoint(low, high), error),
            Some(_) => (low.max(0.0).min(high), error),
            None => (0.0, MOST_DRIFT),
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

    /// How far a difference out lies above the smallest, in nanoseconds.
    pub fn above_out(&self, (at, difference): Point) -> u64 {
        above(difference.saturating_sub(self.middle.1), self.least[0] + self.grown(at))
    }

    /// The same of one back.
    pub fn above_back(&self, (at, difference): Point) -> u64 {
        above(difference.saturating_add(self.middle.1), self.least[1] - self.grown(at))
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
