//! The same by hand: how late a burst is, stage by stage, from rates alone. What `docs/scaling.md` reckons with.

use super::quotas::Quotas;

/// What one callback asks of each stage, and how long an invocation takes.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Callbacks due at one instant.
    pub callbacks: f64,
    /// Seconds before the instant over which EventBridge Scheduler brings them, and when the last is meant to come.
    pub lead: f64,
    pub lead_spread: f64,
    /// Seconds that one batch takes once its messages are due.
    pub batch_seconds: f64,
    /// Write units on the table itself, and on each index.
    pub table_units: f64,
    pub index_units: f64,
}

/// Seconds after the instant until a stage alone would be through with all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reckoned {
    pub scheduler: f64,
    pub pollers: f64,
    pub table: f64,
    pub indexes: f64,
}

impl Reckoned {
    pub fn of(work: &Work, quotas: &Quotas) -> Reckoned {
        Reckoned {
            scheduler: scheduler(work, quotas),
            pollers: pollers(work, quotas),
            table: work.callbacks * work.table_units / quotas.table_writes,
            indexes: work.callbacks * work.index_units / quotas.index_writes,
        }
    }

    /// The stage that bends first, and when the last callback starts.
    pub fn worst(&self) -> (&'static str, f64) {
        let stages = [
            ("EventBridge Scheduler's invocations", self.scheduler),
            ("Lambda's pollers of the queue", self.pollers),
            ("the table's write units", self.table),
            ("the indexes' write units", self.indexes),
        ];
        stages.into_iter().fold(stages[0], |worst, stage| if stage.1 > worst.1 { stage } else { worst })
    }
}

/// They come over `lead_spread`, up to `lead` before the instant; what is above the quota queues up.
fn scheduler(work: &Work, quotas: &Quotas) -> f64 {
    let begins = -(work.lead + work.lead_spread);
    let arrives = work.callbacks / work.lead_spread;
    let takes = if arrives > quotas.scheduler { work.callbacks / quotas.scheduler } else { work.lead_spread };
    (begins + takes + quotas.scheduler_late.millis() as f64 / 1000.0).max(0.0)
}

/// Concurrency grows from where it starts, second by second, and each invocation takes a batch.
fn pollers(work: &Work, quotas: &Quotas) -> f64 {
    let each = quotas.batch as f64 / work.batch_seconds;
    let most = quotas.most_at_once();
    let (mut done, mut at_once, mut seconds) = (0.0, quotas.pollers_start.min(most), 0.0);
    let step = 0.1;
    while done < work.callbacks && seconds < 1e6 {
        done += at_once * each * step;
        at_once = (at_once + quotas.pollers_added * step).min(most);
        seconds += step;
    }
    seconds
}

/// Recurring schedules in steady state: what share of each quota they use. Above 1 it falls behind for good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steady {
    pub executions_per_second: f64,
    pub scheduler: f64,
    pub pollers: f64,
    pub table: f64,
    pub indexes: f64,
}

impl Steady {
    /// `window` and `lead` (the middle of its spread) in s: a schedule plans anew so long after its last plan as its
    /// window is longer than its lead. One whose next instant lies beyond the window comes by EventBridge Scheduler.
    pub fn of(schedules: f64, every: f64, window: f64, lead: f64, held: f64, quotas: &Quotas) -> Steady {
        let executions_per_second = schedules / every;
        let far = every > window;
        let plans_per_second =
            if far { executions_per_second } else { schedules / (window - lead).max(every) };
        // The wake and, where it came too early, the segment again are brief beside what is held.
        let at_once = executions_per_second * held / quotas.batch as f64;
        Steady {
            executions_per_second,
            scheduler: if far { plans_per_second / quotas.scheduler } else { 0.0 },
            pollers: at_once / quotas.most_at_once(),
            table: (3.0 * executions_per_second + plans_per_second) / quotas.table_writes,
            // A plan moves the state's instant in `due`; where nothing is open after it, so does the last end.
            indexes: if far { 4.0 } else { 2.0 } * plans_per_second / quotas.index_writes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        callbacks: 1_000_000.0,
        lead: 180.0,
        lead_spread: 480.0,
        batch_seconds: 0.15,
        table_units: 2.0,
        index_units: 1.0,
    };

    #[test]
    fn a_million_at_one_instant_waits_for_the_table_first() {
        let reckoned = Reckoned::of(&WORK, &Quotas::new_account());
        // 1,000,000 / 1,000 a second, begun 660 s ahead, and a minute of the scheduler's own.
        assert_eq!(reckoned.scheduler, 399.0);
        assert_eq!(reckoned.table, 500.0);
        assert_eq!(reckoned.indexes, 250.0);
        assert!((70.0..90.0).contains(&reckoned.pollers), "{reckoned:?}");
        assert_eq!(reckoned.worst().0, "the table's write units");
    }

    #[test]
    fn ten_million_an_hour_are_too_many_for_the_schedulers_quota_alone() {
        let steady = Steady::of(1e7, 3600.0, 840.0, 420.0, 1.6, &Quotas::raised());
        assert_eq!(steady.executions_per_second.round(), 2778.0);
        assert!((steady.scheduler - 2777.8 / 5_000.0).abs() < 0.001, "{steady:?}");
        assert!((steady.table - 4.0 * 2777.8 / 40_000.0).abs() < 0.001, "{steady:?}");
        let new = Steady::of(1e7, 3600.0, 840.0, 420.0, 1.6, &Quotas::new_account());
        assert!(new.scheduler > 1.0 && new.table > 1.0, "{new:?}");
        let daily = Steady::of(1e7, 86_400.0, 840.0, 420.0, 1.6, &Quotas::new_account());
        assert!(daily.scheduler < 0.2 && daily.table < 0.2 && daily.pollers < 0.1, "{daily:?}");
    }

    #[test]
    fn what_comes_below_the_quota_is_ahead_of_its_time() {
        let few = Work { callbacks: 400_000.0, ..WORK };
        assert_eq!(Reckoned::of(&few, &Quotas::new_account()).scheduler, 0.0);
    }
}
