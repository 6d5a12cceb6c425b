//! `watch` on a source that goes on by itself.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use super::teller::Teller;
use crate::error::{Error, Result};
use crate::pipeline::{Camera, Engine, Flow, Told};
use crate::stop::Stop;

/// How long to wait for a frame before looking whether figures are to be told, or all is to end.
const WAIT: Duration = Duration::from_millis(200);

/// Tells what comes of a live source, until it ends or a signal asks to stop.
pub(super) fn follow(mut camera: Camera, engine: &mut Engine, mut teller: Teller<'_>, stop: &Stop) -> Result<ExitCode> {
    loop {
        let mut tell = |told: Told<'_>| match told {
            Told::Step { step, captured } => teller.step(&step, captured, time_of_day(captured)),
            Told::Ended { events, captured } => teller.ended(events, time_of_day(captured)),
            Told::Lost(loss) => {
                let (input, reason) = (teller.input(), &loss.reason);
                log::warn!("{input}: {reason}; trying again in {:.1} s", loss.retry_in.as_secs_f64());
                Ok(())
            }
        };
        let flow = camera.poll(engine, WAIT, &mut tell)?;
        if stop.asked() {
            camera.finish(&mut tell)?;
            break;
        }
        teller.stats_if_due(engine, camera.session(), Some(camera.counts()))?;
        if flow == Flow::Over {
            break;
        }
    }
    if camera.session().steps() == 0 && !stop.asked() {
        return Err(Error::input(teller.input(), "it ended before a frame came"));
    }
    teller.finish(engine, camera.session(), Some(camera.counts()))?;
    Ok(stop.exit_code().map_or(ExitCode::SUCCESS, ExitCode::from))
}

fn time_of_day(then: Instant) -> Option<SystemTime> {
    SystemTime::now().checked_sub(then.elapsed())
}
