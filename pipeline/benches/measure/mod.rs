//! How long something takes, in nanoseconds per unit.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each is measured.
const TIME: Duration = Duration::from_millis(500);

/// Does `work` again and again, and prints what the fastest and the middle one took for each of
/// `units`.
pub fn measure<T>(name: &str, (units, unit): (usize, &str), mut work: impl FnMut() -> T) {
    let (mut took, until) = (Vec::new(), Instant::now() + TIME);
    while took.len() < 3 || Instant::now() < until {
        let began = Instant::now();
        black_box(work());
        took.push(began.elapsed().as_secs_f64());
    }
    took.sort_unstable_by(f64::total_cmp);
    let per_unit = |seconds: f64| seconds * 1e9 / units as f64;
    println!(
        "{name:44} {:10.2} ns/{unit} at best, {:10.2} as a rule ({} times)",
        per_unit(took[0]),
        per_unit(took[took.len() / 2]),
        took.len()
    );
}
