//! The picture of a day in `docs/push.md` is drawn from what the code reckons, so that it stays true.

use rondo_domain::push::best_time::{histogram, of, smoothed};

/// Four weeks of somebody who looks in on most workdays at eight, on Saturdays at one, and every evening at seven, eight or
/// nine: the fullest hour is none of the evening's.
fn visits() -> Vec<i32> {
    let today = 20_500;
    let mut visits = Vec::new();
    for ago in 0..28 {
        let (day, week_day) = (today - ago, (today - ago) % 7);
        let others = [(week_day < 5 && ago % 3 != 2).then_some(8), (week_day == 5).then_some(13)];
        visits.extend([Some(19 + ago % 3)].into_iter().chain(others).flatten().map(|hour| day * 24 + hour));
    }
    visits.sort_unstable();
    visits
}

fn drawn(visits: &[i32]) -> String {
    let raw = histogram(visits);
    let smooth = smoothed(&raw);
    let best = of(visits).expect("a history");
    let most = smooth.iter().copied().fold(0.0, f64::max);
    let mut text = "hour   weight  smoothed\n".to_owned();
    for hour in 0..24 {
        let bar = "█".repeat((smooth[hour] / most * 40.0).round() as usize);
        let mark = if hour == usize::from(best.hour) { " ◀ best time" } else { "" };
        let line = format!("{hour:02}:00   {:5.2}     {:5.2}  {bar}{mark}", raw[hour], smooth[hour]);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[test]
fn the_documentation_shows_what_is_reckoned() {
    let visits = visits();
    let (picture, page) = (drawn(&visits), include_str!("../../../docs/push.md"));
    assert!(page.contains(&picture), "docs/push.md has another picture than this:\n{picture}");
    let raw = histogram(&visits);
    let fullest = (0..24).max_by(|a, b| raw[*a].total_cmp(&raw[*b])).expect("24 hours");
    let said = format!("{} visits; the fullest hour alone would be {fullest:02}:00", visits.len());
    assert!(page.contains(&said), "docs/push.md does not say: {said}");
}
