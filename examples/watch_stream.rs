//! Prints the events of a stream as they start and end: `cargo run --release --example watch_stream -- clip.mp4`

use bike_edge::events::{EventKind, EventSpec};
use bike_edge::pipeline::{
    Engine, ModelSpec, Observer, Session, SessionSpec, StreamRunner, StreamSource, Update, drive,
};
use bike_edge::source::{SourceOptions, open_stream};

/// Receives what the loop produces.
struct Printer {
    categories: Vec<String>,
}

impl Observer for Printer {
    fn update(&mut self, update: Update<'_>) -> bike_edge::Result<()> {
        let events = match update {
            Update::Step { step, .. } => step.events,
            Update::EventsEnded { events, .. } => events,
            Update::ConnectionLost(_) => &[],
        };
        for event in events.iter().filter(|event| event.kind != EventKind::Update) {
            let category = &self.categories[event.category];
            println!("{:?} {category}: from {:.1} s to {:?}", event.kind, event.start, event.end);
        }
        Ok(())
    }
}

fn main() -> bike_edge::Result<()> {
    let input = std::env::args_os().nth(1).unwrap_or_else(|| "tests/data/clip.mp4".into());
    let mut engine = Engine::load_for_streams(&ModelSpec::default())?;
    let events = EventSpec { on: Some(0.5), min_length_s: 1.0, ..EventSpec::default() };
    let session = Session::new(&engine, &SessionSpec { events, ..SessionSpec::default() })?;
    let stream = open_stream(&input, &SourceOptions::default())?;
    let mut printer = Printer { categories: engine.categories().to_vec() };
    drive(&mut StreamRunner::new(session, StreamSource::Recorded(stream)), &mut engine, &mut printer)
}
