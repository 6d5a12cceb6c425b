//! When what failed is tried again.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Waits twice as long each time, up to a minute; says the same thing only once.
#[derive(Default)]
pub(super) struct Retry {
    due: Option<Instant>,
    wait: Option<Duration>,
    said: Option<String>,
}

impl Retry {
    /// Whether it is time to try.
    pub fn is_due(&self) -> bool {
        self.due.is_none_or(|due| Instant::now() >= due)
    }

    /// It failed.
    pub fn failed(&mut self, name: &str, problem: String) {
        let wait = self.wait.map_or(FIRST, |wait| (2 * wait).min(LONGEST));
        self.wait = Some(wait);
        self.due = Some(Instant::now() + wait);
        if self.said.as_ref() != Some(&problem) {
            log::error!("camera {name}: {problem}; it is tried again until it works");
            self.said = Some(problem);
        }
    }

    /// It works.
    pub fn worked(&mut self, name: &str) {
        if self.said.take().is_some() {
            log::info!("camera {name}: works again");
        }
        (self.due, self.wait) = (None, None);
    }
}
