//! `watch` on a source that goes on by itself.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use super::teller::Teller;
use crate::error::{Error, Result};
use crate::live::{Camera, Engine, Flow, Told};

/// How long to wait for a frame before looking whether figures are to be told.
const WAIT: Duration = Duration::from_millis(500);

/// Tells what comes of a live source, until it ends.
pub(super) fn follow(mut camera: Camera, engine: &mut Engine, mut teller: Teller<'_>) -> Result<ExitCode> {
    loop {
        let flow = camera.poll(engine, WAIT, &mut |told| match told {
            Told::Step { step, captured } => teller.step(&step, captured, time_of_day(captured)),
            Told::Ended { events, captured } => teller.ended(events, time_of_day(captured)),
            Told::Lost(loss) => {
                let (input, reason) = (teller.input(), &loss.reason);
                log::warn!("{input}: {reason}; trying again in {:.1} s", loss.retry_in.as_secs_f64());
                Ok(())
            }
        })?;
        teller.stats_if_due(engine, camera.session(), Some(camera.counts()))?;
        if flow == Flow::Over {
            break;
        }
    }
    if camera.session().steps() == 0 {
        return Err(Error::input(teller.input(), "it ended before a frame came"));
    }
    teller.finish(engine, camera.session(), Some(camera.counts()))?;
    Ok(ExitCode::SUCCESS)
}

fn time_of_day(then: Instant) -> Option<SystemTime> {
    SystemTime::now().checked_sub(then.elapsed())
}
