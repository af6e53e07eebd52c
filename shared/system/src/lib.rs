//! The one place where real time and real chance come in, in every world: the `Clock` and `Entropy` ports on the
//! machine's wall clock and the operating system's random source.

use async_trait::async_trait;
use rondo_domain::{
    ports::{Clock, Entropy},
    time::Timestamp,
};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// So long at most is slept without a look at the wall clock: it may be set while we sleep.
const LONGEST_NAP: Duration = Duration::from_secs(5);

/// The wall clock, in UTC, to the millisecond.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    fn since_epoch() -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the edge where real time comes in")]
        let now = SystemTime::now();
        now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(Self::since_epoch().as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep_until(&self, at: Timestamp) {
        let Ok(at) = u64::try_from(at.millis()) else {
            return;
        };
        let at = Duration::from_millis(at);
        while let Some(left) = at.checked_sub(Self::since_epoch())
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(LONGEST_NAP)).await;
        }
    }
}

/// Random bits of the operating system, drawn a page at a time: a system call for each token would show.
#[derive(Debug)]
pub struct SystemEntropy {
    drawn: Mutex<Drawn>,
}

#[derive(Debug)]
struct Drawn {
    bytes: [u8; 4096],
    used: usize,
}

impl SystemEntropy {
    pub fn new() -> Self {
        SystemEntropy { drawn: Mutex::new(Drawn { bytes: [0; 4096], used: 4096 }) }
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn bits(&self) -> u128 {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.used + 16 > drawn.bytes.len() {
            #[expect(clippy::disallowed_methods, reason = "the edge where real chance comes in")]
            getrandom::fill(&mut drawn.bytes).expect("the operating system always has random bytes");
            drawn.used = 0;
        }
        let from = drawn.used;
        drawn.used += 16;
        let mut taken = [0; 16];
        taken.copy_from_slice(&drawn.bytes[from..from + 16]);
        // They may become a secret: no copy stays behind.
        drawn.bytes[from..from + 16].fill(0);
        u128::from_ne_bytes(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn bits_do_not_repeat_across_pages() {
        let entropy = SystemEntropy::new();
        let drawn: HashSet<u128> = (0..1000).map(|_| entropy.bits()).collect();
        assert_eq!(drawn.len(), 1000);
    }

    #[tokio::test]
    async fn an_instant_that_has_passed_is_not_waited_for() {
        SystemClock.sleep_until(Timestamp::EPOCH).await;
        SystemClock.sleep_until(Timestamp::from_millis(-5)).await;
        SystemClock.sleep_until(SystemClock.now()).await;
    }
}
