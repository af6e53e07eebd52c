//! What happened in a run, as seen from outside: calls that reached targets, claims and changes that were
//! written, answers that users got. Checks at once what can be judged at once; hashes everything.

use super::scenario::Action;
use crate::memory::Applied;
use rondo_domain::{
    ids::{ExecutionId, ScheduleId},
    state::{ClaimAnswer, MAX_TRIES},
    time::Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

/// What all seeds together went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub schedules: u64,
    pub executions: u64,
    pub calls: u64,
    pub repeated_calls: u64,
    pub crashes: u64,
    pub lost_answers: u64,
    pub refused: u64,
    pub dropped: u64,
    pub doubled: u64,
    pub outages: u64,
    pub changes: u64,
    pub missed: u64,
    pub takeovers: u64,
    pub notices: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        let Tally { schedules, executions, calls, repeated_calls, crashes, lost_answers, refused, .. } =
            other;
        let Tally { dropped, doubled, outages, changes, missed, takeovers, notices, .. } = other;
        let pairs = [
            (&mut self.schedules, schedules),
            (&mut self.executions, executions),
            (&mut self.calls, calls),
            (&mut self.repeated_calls, repeated_calls),
            (&mut self.crashes, crashes),
            (&mut self.lost_answers, lost_answers),
            (&mut self.refused, refused),
            (&mut self.dropped, dropped),
            (&mut self.doubled, doubled),
            (&mut self.outages, outages),
            (&mut self.changes, changes),
            (&mut self.missed, missed),
            (&mut self.takeovers, takeovers),
            (&mut self.notices, notices),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

/// A call that reached a target.
#[derive(Clone, Debug)]
pub struct Call {
    /// The true time.
    pub at: Timestamp,
    pub attempt: u32,
    pub due: Timestamp,
    pub version: u32,
}

/// A change that its user knows of.
#[derive(Clone, Debug)]
pub struct Known {
    pub action: Action,
    pub asked_at: Timestamp,
    pub answered_at: Timestamp,
    /// None: the user never learnt what became of it, and everything after it is uncertain.
    pub generation: Option<u32>,
    pub version: u32,
}

#[derive(Default)]
pub struct Life {
    pub calls: BTreeMap<ExecutionId, Vec<Call>>,
    /// Per execution: how many claims allowed a call, and the generation of the last.
    grants: BTreeMap<ExecutionId, (u32, u32)>,
    /// Under which generation each number was first claimed.
    claimed: BTreeMap<u32, u32>,
    generation: u32,
    pub changes: Vec<Known>,
    pub acknowledged: bool,
    /// A pause or cancel whose answer is out: how many may still arrive, and who did.
    stopped: Option<(u32, BTreeSet<ExecutionId>)>,
    pub told: BTreeSet<String>,
    /// Their outcomes are on record: no call of theirs may follow, unless they are opened again.
    recorded: BTreeSet<ExecutionId>,
    /// Claimed by their records: a retry, or delivered by hand.
    reopened: BTreeSet<ExecutionId>,
}

#[derive(Default)]
struct Inside {
    lives: BTreeMap<ScheduleId, Life>,
    tally: Tally,
    hash: u64,
    wrong: Option<String>,
}

pub struct Ledger {
    inside: Mutex<Inside>,
    verbose: bool,
}

impl Ledger {
    pub fn new(verbose: bool) -> Self {
        Ledger { inside: Mutex::new(Inside { hash: 0xcbf2_9ce4_8422_2325, ..Inside::default() }), verbose }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no run goes on after a panic under this lock")
    }

    /// Every event comes by here: the run's hash is made of them.
    pub fn note(&self, at: Timestamp, text: &str) {
        if self.verbose {
            eprintln!("{at} {text}");
        }
        let mut inside = self.inside();
        for byte in at.millis().to_le_bytes().into_iter().chain(text.bytes()) {
            inside.hash = (inside.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub fn violated(&self, what: impl FnOnce() -> String) {
        self.inside().wrong.get_or_insert_with(what);
    }

    pub fn tally(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.inside().tally);
    }

    pub fn with_life<T>(&self, id: ScheduleId, f: impl FnOnce(&mut Life) -> T) -> T {
        f(self.inside().lives.entry(id).or_default())
    }

    pub fn wrong(&self) -> Option<String> {
        self.inside().wrong.clone()
    }

    pub fn end(&self) -> (Tally, u64) {
        let inside = self.inside();
        (inside.tally, inside.hash)
    }

    /// Told by the store, under its lock.
    pub fn applied(&self, at: Timestamp, applied: &Applied) {
        self.note(at, &format!("{applied:?}"));
        let mut inside = self.inside();
        let Inside { lives, tally, wrong, .. } = &mut *inside;
        match applied {
            Applied::Changed { id, generation } => {
                lives.entry(*id).or_default().generation = *generation;
                tally.changes += 1;
            }
            Applied::Recorded { id } => {
                lives.entry(id.schedule).or_default().recorded.insert(*id);
            }
            Applied::Claim { id, number, generation, answer, .. } => {
                let life = lives.entry(*id).or_default();
                let fresh = !life.claimed.contains_key(number);
                life.claimed.entry(*number).or_insert(*generation);
                if fresh && *generation < life.generation {
                    wrong.get_or_insert_with(|| {
                        format!("{id}: number {number} was claimed under generation {generation}, after a change had made it {}", life.generation)
                    });
                }
                if fresh && life.stopped.is_some() {
                    wrong.get_or_insert_with(|| {
                        format!("{id}: number {number} started after a pause or cancel had been answered")
                    });
                }
                if let ClaimAnswer::Claimed { tries } = answer {
                    tally.takeovers += u64::from(*tries > 1);
                    let grant = life.grants.entry(id.execution(*number, 0)).or_default();
                    *grant = (grant.0 + 1, *generation);
                }
            }
            Applied::AttemptClaim { id, generation, tries, .. } => {
                let life = lives.entry(id.schedule).or_default();
                if *generation < life.generation {
                    wrong.get_or_insert_with(|| {
                        format!("{id}: a retry of generation {generation} started after a change")
                    });
                }
                life.reopened.insert(*id);
                life.recorded.remove(id);
                if *tries <= MAX_TRIES {
                    let grant = life.grants.entry(*id).or_default();
                    *grant = (grant.0 + 1, *generation);
                }
            }
        }
    }

    pub fn called(&self, id: ExecutionId, call: Call, skew: u64) {
        self.note(call.at, &format!("call {id} attempt {} v{}", call.attempt, call.version));
        let mut inside = self.inside();
        let Inside { lives, tally, wrong, .. } = &mut *inside;
        tally.calls += 1;
        let life = lives.entry(id.schedule).or_default();
        if call.at.millis() + (skew as i64) < call.due.millis() {
            wrong.get_or_insert_with(|| {
                format!("{id}: called at {}, before it was due at {}", call.at, call.due)
            });
        }
        let (grants, generation) = life.grants.get(&id).copied().unwrap_or_default();
        let calls = life.calls.entry(id).or_default();
        if calls.iter().any(|earlier| earlier.attempt == call.attempt) {
            tally.repeated_calls += 1;
        }
        let newest =
            life.changes.iter().filter(|known| known.generation.is_some_and(|known| known <= generation));
        if let Some(version) =
            newest.map(|known| known.version).max().filter(|version| *version > call.version)
        {
            wrong.get_or_insert_with(|| format!("{id}: called with payload {} under generation {generation}, though {version} had been answered", call.version));
        }
        if let Some((in_flight, arrived)) = &mut life.stopped
            && !life.reopened.contains(&id)
        {
            arrived.insert(id);
            if arrived.len() > *in_flight as usize {
                wrong.get_or_insert_with(|| {
                    format!(
                        "{id}: {} executions arrived after a pause or cancel that had said {in_flight}",
                        arrived.len()
                    )
                });
            }
        }
        if life.recorded.contains(&id) {
            wrong.get_or_insert_with(|| format!("{id}: called, though its outcome was on record"));
        }
        calls.push(call);
        if calls.len() > grants as usize {
            wrong.get_or_insert_with(|| format!("{id}: {} calls under {grants} claims", calls.len()));
        }
    }

    /// A user asks for a change: what it stops or starts is open until the answer is there.
    pub fn asked(&self, id: ScheduleId, action: Action) {
        if matches!(action, Action::Resume) {
            self.with_life(id, |life| life.stopped = None);
        }
    }

    pub fn answered(&self, id: ScheduleId, known: Known, in_flight: Option<u32>) {
        self.note(known.answered_at, &format!("answer {id} {known:?} {in_flight:?}"));
        self.with_life(id, |life| {
            if let (Action::Cancel | Action::Pause, Some(in_flight)) = (known.action, in_flight) {
                life.stopped = Some((in_flight, BTreeSet::new()));
            }
            life.changes.push(known);
        });
    }
}

impl Life {
    /// How many numbers were ever claimed.
    pub fn started(&self) -> u32 {
        self.claimed.len() as u32
    }

    /// Under which generation it was first claimed.
    pub fn generation_of(&self, number: u32) -> Option<u32> {
        self.claimed.get(&number).copied()
    }

    /// How many claims of it allowed a call.
    pub fn claims_of(&self, id: ExecutionId) -> u32 {
        self.grants.get(&id).map_or(0, |grant| grant.0)
    }
}
