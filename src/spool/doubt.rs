//! When a file is whole though the system cannot say whether a writer still has it open: on a share, or where a right
//! is missing. Size and time must stay the same over several looks, and the content must not end early (DESIGN,
//! "Taking files in").

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::fs::reading::Stamp;

/// So many looks after the first must see the same.
pub const FURTHER_LOOKS: u32 = 3;

/// Two looks that count are at least so far apart, however short `intake.settle` is.
const APART: Duration = Duration::from_secs(1);

/// So long a file whose end is missing must stay the same before it is read all the same, to be refused.
pub const LONG: Duration = Duration::from_secs(10 * 60);

/// How far apart two looks that count are.
pub fn apart(settle: Duration) -> Duration {
    settle.max(APART)
}

/// What may be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Look again later.
    Wait,
    /// It stayed the same: it may be taken if its end is whole.
    IfWhole,
    /// It stayed the same for so long that it is taken whatever its end is.
    AsItIs,
}

/// What was seen of the files that may still be written to.
#[derive(Debug, Default)]
pub struct OpenFileDoubts {
    /// By the key of their claim.
    files: HashMap<String, OpenFileDoubt>,
}

#[derive(Debug)]
struct OpenFileDoubt {
    stamp: Stamp,
    /// When the last look that counts was.
    last: Instant,
    further_looks: u32,
    /// Its end is missing: when it is taken all the same.
    as_it_is: Option<Instant>,
}

impl OpenFileDoubts {
    /// What this look at a file allows.
    pub fn look(&mut self, key: &str, stamp: Stamp, apart: Duration, now: Instant) -> Patience {
        let doubt = match self.files.get_mut(key) {
            Some(doubt) if doubt.stamp == stamp => doubt,
            _ => {
                let doubt = OpenFileDoubt {
                    stamp,
                    last: now,
                    further_looks: 0,
                    as_it_is: None,
                };
                self.files.insert(key.to_owned(), doubt);
                return Patience::Wait;
            }
        };
        if now.saturating_duration_since(doubt.last) >= apart {
            doubt.further_looks = doubt.further_looks.saturating_add(1);
            doubt.last = now;
        }
        match doubt.as_it_is {
            _ if doubt.further_looks < FURTHER_LOOKS => Patience::Wait,
            None => Patience::IfWhole,
            Some(as_it_is) if now >= as_it_is => Patience::AsItIs,
            Some(_) => Patience::Wait,
        }
    }

    /// The end of this file is missing: unless it changes, it waits until then.
    pub fn ends_early(&mut self, key: &str, as_it_is: Instant) {
        if let Some(doubt) = self.files.get_mut(key) {
            doubt.as_it_is = Some(as_it_is);
        }
    }

    /// The file was taken.
    pub fn forget(&mut self, key: &str) {
        self.files.remove(key);
    }

    /// How many files may be taken after a few looks more.
    pub fn pending(&self) -> usize {
        let pending = |doubt: &&OpenFileDoubt| doubt.as_it_is.is_none();
        self.files.values().filter(pending).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(size: u64) -> Stamp {
        Stamp {
            inode: 1,
            size,
            modified: 0,
        }
    }

    #[test]
    fn three_further_looks_must_see_the_same() {
        let (start, apart) = (Instant::now(), Duration::from_secs(2));
        let at = |tenths: u32| start + Duration::from_millis(100) * tenths;
        let mut doubts = OpenFileDoubts::default();
        for (tenths, size, expected) in [
            (0, 1, Patience::Wait),
            (20, 1, Patience::Wait),
            // It grew: everything begins again.
            (40, 2, Patience::Wait),
            (60, 2, Patience::Wait),
            // Looks that follow at once count for nothing.
            (61, 2, Patience::Wait),
            (62, 2, Patience::Wait),
            (80, 2, Patience::Wait),
            (99, 2, Patience::Wait),
            (100, 2, Patience::IfWhole),
        ] {
            assert_eq!(
                doubts.look("a", seen(size), apart, at(tenths)),
                expected,
                "{tenths}"
            );
        }
        assert_eq!(doubts.pending(), 1);
        doubts.ends_early("a", at(1000));
        assert_eq!(doubts.pending(), 0);
        assert_eq!(doubts.look("a", seen(2), apart, at(999)), Patience::Wait);
        assert_eq!(doubts.look("a", seen(2), apart, at(1000)), Patience::AsItIs);
        assert_eq!(doubts.look("a", seen(3), apart, at(1001)), Patience::Wait);
    }

    #[test]
    fn a_short_settle_does_not_make_looks_worthless() {
        assert_eq!(apart(Duration::ZERO), Duration::from_secs(1));
        assert_eq!(apart(Duration::from_secs(5)), Duration::from_secs(5));
    }
}
