//! What must hold: nobody is told early, nobody twice but for a crash, nobody left out; nothing is left lying about.

use super::{
    super::world::World,
    Tally,
    people::{Plot, Stage, Story},
    told::Told,
};
use chrono_tz::Tz;
use rondo_domain::{
    ids::ScheduleId,
    push::{device::Group, fan_out::PushRecord},
    time::{Span, Timestamp},
    trigger::{DstPolicy, Occasion, Trigger},
};

/// Between a change and the look at the registry that may or may not have seen it.
const SLACK: Span = Span::from_secs(180);
const ZONE: Tz = Tz::Europe__Madrid;

fn group(stage: Stage) -> Group {
    Group { zone: stage.zone, best_hour: stage.best_hour }
}

pub fn judge(world: &World, plot: &Plot, id: ScheduleId) -> Result<Tally, String> {
    let snapshot = world.memory.snapshot();
    let (definition, state, records) =
        snapshot.iter().find(|(definition, ..)| definition.id == id).ok_or("the schedule is gone")?;
    let occasions = occasions(plot);
    let mut tally = Tally { devices: plot.devices.len() as u64, ..Tally::default() };
    tally.pages = records.iter().filter(|record| record.id.page > 0).count() as u64;
    if !state.status.has_ended()
        || state.waiting != 0
        || records.iter().any(|record| !record.status.is_final())
    {
        let open: Vec<_> = records.iter().filter(|record| !record.status.is_final()).collect();
        return Err(format!("{}: not over: {state:?} {open:?}", definition.id));
    }
    let whole = plot.app.push.upstream.is_some() && matches!(occasions[..], [Occasion::At(_)]);
    let reached = world.pushes.reached();
    if whole {
        return judge_whole(plot, &occasions, reached.whole.get(&id).map_or(0, Vec::len), tally);
    }
    for story in &plot.devices {
        let told = reached.told.get(&(id, story.id.clone())).map_or(&[][..], Vec::as_slice);
        tally.told += told.len() as u64;
        tally.moved += story.stages.len() as u64 - 1;
        // Occasions of one schedule lie a day apart, and each takes 26 hours: by its page a message names its own.
        for occasion in &occasions {
            let occasion_of = |told: &Told| {
                let page = records.iter().find(|record| record.id == told.execution);
                page.and_then(|page| opened_by(plot, page.nominal_at))
            };
            let of_it = told.iter().filter(|told| occasion_of(told) == Some(*occasion));
            let of_it: Vec<Timestamp> = of_it.map(|told| told.at).collect();
            tally.twice += of_it.len().saturating_sub(1) as u64;
            // Whoever was told of a later one needs no older news.
            let later = |told: &Told| occasion_of(told).is_some_and(|other| other.key() > occasion.key());
            if of_it.is_empty() && story.stages.len() > 1 && told.iter().any(later) {
                continue;
            }
            judge_device(plot, story, *occasion, &of_it)
                .map_err(|wrong| format!("{} {}: {wrong}; {story:?}", definition.id, story.id))?;
        }
    }
    for record in records {
        if let Some(PushRecord::Page(page)) = record.push.as_deref()
            && page.result.accepted as usize > 4 * plot.devices.len()
        {
            return Err(format!("{}: {:?}", record.id, page.result));
        }
    }
    Ok(tally)
}

fn judge_whole(plot: &Plot, occasions: &[Occasion], sent: usize, tally: Tally) -> Result<Tally, String> {
    let paused = |due| plot.pause.is_some_and(|(from, until)| from <= due && due <= until.plus(SLACK));
    let due = occasions[0].key();
    if sent == 0
        && !paused(due)
        && plot.pause.is_none_or(|(from, _)| due.plus(SLACK) < from || from < plot.base)
    {
        return Err(format!("the gateway was never asked: {plot:?}"));
    }
    if sent > 1 && plot.faults.crash == 0 && plot.faults.outages.is_empty() {
        return Err(format!("the gateway was asked {sent} times"));
    }
    Ok(tally)
}

/// The occasions, as the schedule has them from its creation on.
fn occasions(plot: &Plot) -> Vec<Occasion> {
    let rule = plot.trigger.rule(DstPolicy::default()).expect("a valid trigger");
    let Trigger::FanOut(fan_out) = &plot.trigger else { return Vec::new() };
    let first = rule.next_after(fan_out.from.minus(Span::from_millis(1)));
    std::iter::successors(first, |at| rule.next_after(*at)).filter_map(|at| rule.occasion(at)).collect()
}

/// Which occasion opened at this instant; after a pause occasions open when it ends.
fn opened_by(plot: &Plot, opened: Timestamp) -> Option<Occasion> {
    let Trigger::FanOut(fan_out) = &plot.trigger else { return None };
    let resumed = plot.pause.map(|(_, until)| until);
    [Some(fan_out.from), resumed].into_iter().flatten().find_map(|from| {
        let trigger = Trigger::FanOut(fan_out.counting_from(from));
        let rule = trigger.rule(DstPolicy::default()).expect("a valid trigger");
        rule.occasion(opened)
    })
}

fn judge_device(plot: &Plot, story: &Story, occasion: Occasion, told: &[Timestamp]) -> Result<(), String> {
    let Trigger::FanOut(fan_out) = &plot.trigger else { return Ok(()) };
    let from = fan_out.from;
    let due_in = |stage: Stage| occasion.due(group(stage), ZONE).expect("everybody is due");
    let stages: Vec<(Timestamp, Stage)> =
        story.stages.iter().filter_map(|(at, stage)| Some((*at, (*stage)?))).collect();
    let leaves = story.stages.iter().find(|(_, stage)| stage.is_none()).map_or(Timestamp::MAX, |(at, _)| *at);
    let earliest = stages.iter().map(|(_, stage)| due_in(*stage)).min().expect("it was registered once");
    let skew = Span::from_millis(plot.faults.max_skew_ms);
    if let Some(early) = told.iter().find(|at| at.plus(skew) < earliest) {
        return Err(format!("told at {early}, before {earliest}"));
    }
    let crashes = plot.faults.crash > 0 || !plot.faults.outages.is_empty();
    if told.len() > 1 && !crashes {
        return Err(format!("told {} times: {told:?}", told.len()));
    }
    if plot.tag && !story.tagged {
        return if told.is_empty() { Ok(()) } else { Err("told, and not meant".to_owned()) };
    }
    if story.gone && plot.app.push.upstream.is_none() {
        return Ok(());
    }
    let moves = stages.len() > 1;
    let (born, first) = stages[0];
    let stopped = |due: Timestamp| {
        plot.pause.is_some_and(|(pause, until)| pause.minus(SLACK) <= due && due <= until.plus(SLACK))
    };
    if !moves {
        let due = due_in(first);
        let must = born.plus(SLACK) < due
            && due >= from.plus(SLACK)
            && leaves > due.plus(Span::from_secs(4 * 3600))
            && !stopped(due);
        let must = must && plot.busy == 0;
        if must && told.is_empty() {
            return Err(format!("never told, and due at {due}"));
        }
        if due.plus(SLACK) < born && !told.is_empty() && !matches!(occasion, Occasion::BestTime { .. }) {
            return Err(format!("told, although it came after {due}"));
        }
        let calm = plot.faults.none()
            && plot.busy == 0
            && plot.pause.is_none()
            && due > from.plus(SLACK)
            && born.plus(SLACK) < due;
        if let (true, Some(at)) = (calm, told.first())
            && at.since(due) > Span::from_secs(5)
        {
            return Err(format!("told at {at}, and due at {due}"));
        }
        return Ok(());
    }
    // Moved: once, as long as it is there until the last slot is over, and some time of its own lies ahead.
    let last = occasion
        .next_possible(ZONE, Timestamp::EPOCH)
        .map(|_| stages.iter().map(|(_, stage)| due_in(*stage)).max());
    let last = last.flatten().expect("it was registered once");
    let all_ahead =
        stages.iter().all(|(_, stage)| due_in(*stage) >= from.plus(SLACK) && !stopped(due_in(*stage)));
    let before_opening = born.plus(SLACK) < opening(occasion).max(from);
    let settled = stages.iter().all(|(at, _)| *at <= last);
    let stays = leaves > last.plus(Span::from_secs(40 * 3600));
    let must = all_ahead
        && before_opening
        && settled
        && stays
        && plot.busy == 0
        && plot.pause.is_none()
        && plot.faults.none();
    if must && told.is_empty() {
        return Err("moved, and never told".to_owned());
    }
    Ok(())
}

fn opening(occasion: Occasion) -> Timestamp {
    match occasion {
        Occasion::At(at) => at,
        Occasion::Wall(_) => occasion.key().minus(Span::from_secs(14 * 3600)),
        Occasion::BestTime { start, .. } => start,
    }
}
