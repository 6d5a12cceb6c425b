//! Memory stays constant over a million frames and over hours of work. `make soak` runs these tests, which take long.

use std::path::Path;
use std::time::{Duration, Instant};

use bike_edge::Result;
use bike_edge::events::EventSpec;
use bike_edge::health::current_rss_bytes;
use bike_edge::output::{EventFile, EventLine, EventSource, FileSpec};
use bike_edge::pipeline::{
    Engine, GateSpec, ModelSpec, Progress, Session, SessionSpec, StreamRunner, StreamSource, Update,
};
use bike_edge::units::{ByteSize, Rate};

use crate::support::allocations::allocated_bytes;
use crate::support::bundle::{Builder, DIM, Folder, SIZE};
use crate::support::fake_camera::{FakeCamera, ScriptStep};
use crate::support::onnx::{Onnx, f32_tensor};
use crate::support::pattern;

/// Memory may grow by this share between the end of the warm-up and the end.
const MAX_GROWTH: f64 = 0.01;

/// A camera at 25 frames per second of its own clock, sampled at every frame, with events in a rotated file.
struct Soak {
    engine: Engine,
    runner: StreamRunner<'static>,
    categories: Vec<String>,
    file: EventFile,
    steps: u64,
    events: u64,
    losses: u64,
}

impl Soak {
    fn new(bundle: &Path, folder: &Folder, script: Vec<ScriptStep>) -> Self {
        let model = ModelSpec {
            bundle: bundle.to_owned(),
            threads: Some(1),
            lambda: Some(1.0),
            stride_s: Some(0.04),
            background: Some(Vec::new()),
            ..ModelSpec::default()
        };
        let engine = Engine::load_for_streams(&model).unwrap();
        let spec = SessionSpec {
            camera: "soak".into(),
            events: EventSpec { on: Some(0.2), min_length_s: 0.0, ..EventSpec::default() },
            // Drawn pictures are flat, and here all of them must be encoded.
            gate: GateSpec { enabled: false, ..GateSpec::default() },
            ..SessionSpec::default()
        };
        let source = FakeCamera::drawn(64, 48, Rate { num: 25, den: 1 }, script);
        let runner = StreamRunner::new(Session::new(&engine, &spec).unwrap(), StreamSource::Live(Box::new(source)));
        let file = FileSpec { path: folder.path("events.jsonl"), max_size: ByteSize::mib(1), files: 3 };
        let (categories, file) = (engine.categories().to_vec(), EventFile::new(&file));
        Self { engine, runner, categories, file, steps: 0, events: 0, losses: 0 }
    }

    fn poll(&mut self) -> Result<Progress> {
        let Self { engine, runner, categories, file, steps, events, losses } = self;
        runner.poll(engine, Duration::from_millis(200), &mut |update| {
            let new = match update {
                Update::Step { step, .. } => {
                    *steps += 1;
                    step.events
                }
                Update::EventsEnded { events, .. } => events,
                Update::ConnectionLost(_) => {
                    *losses += 1;
                    return Ok(());
                }
            };
            let source = EventSource { camera: "soak", input: "drawn", categories, phrases: &[] };
            for event in new {
                *events += 1;
                let line = EventLine::new(event, source, None);
                file.write_line(&serde_json::to_string(&line).expect("JSON"));
            }
            Ok(())
        })
    }
}

/// A frame encoder that costs almost nothing. Its bias keeps embeddings of dark and bright frames from cancelling out.
fn stub() -> Onnx {
    let (size, dim) = (SIZE as i64, DIM as i64);
    Onnx::new(&[1, 3, size, size], &[1, dim])
        .tensor(f32_tensor("w", &[3, dim], &pattern(3 * DIM, 5)))
        .tensor(f32_tensor("b", &[1, dim], &[4.0; DIM]))
        .node("GlobalAveragePool", &["x"], &["mean"])
        .node("Flatten", &["mean"], &["flat"])
        .node("MatMul", &["flat", "w"], &["linear"])
        .node("Add", &["linear", "b"], &["y"])
}

/// The memory in use.
#[derive(Clone, Copy, Debug)]
struct Memory {
    rss: f64,
    allocated: i64,
}

impl Memory {
    fn now() -> Self {
        Self { rss: current_rss_bytes().unwrap() as f64, allocated: allocated_bytes() }
    }

    fn compare(self, before: Self, what: &str) {
        let growth = self.rss / before.rss - 1.0;
        println!(
            "soak: {what}: resident {:.2} MB -> {:.2} MB ({:+.2} %), allocated {} -> {} bytes",
            before.rss / 1e6,
            self.rss / 1e6,
            growth * 100.0,
            before.allocated,
            self.allocated
        );
        assert!(growth <= MAX_GROWTH, "resident memory has grown by {:.2} %", growth * 100.0);
        let grown = self.allocated - before.allocated;
        assert!(grown <= before.allocated / 100, "allocations have grown by {grown} bytes");
    }
}

#[test]
#[ignore = "takes minutes; make soak runs it"]
fn a_million_frames_through_a_stub_encoder_leave_memory_flat() {
    const FRAMES: u64 = 1_000_000;
    let folder = Folder::new();
    Builder::new().file("visual.onnx", stub().encode()).write(&folder.bundle());
    let faults = [
        ScriptStep::Frames(9_990),
        ScriptStep::Short(3),
        ScriptStep::Unplugged(20.0),
        ScriptStep::Corrupt(2),
        ScriptStep::Silent(5.0),
        ScriptStep::Silent(0.5),
    ];
    let script: Vec<ScriptStep> = faults.iter().copied().cycle().take(faults.len() * 101).collect();
    let mut soak = Soak::new(&folder.bundle(), &folder, script);
    let started = Instant::now();
    let mut warm = None;
    while soak.steps < FRAMES {
        assert_eq!(soak.poll().unwrap(), Progress::Continue, "after {} frames", soak.steps);
        if soak.steps >= FRAMES / 10 {
            warm.get_or_insert_with(Memory::now);
        }
    }
    let Soak { steps, events, losses, .. } = soak;
    let seconds = started.elapsed().as_secs_f64();
    println!("soak: {steps} frames, {events} event lines, {losses} losses in {seconds:.0} s");
    assert!(events > 1000 && losses > 150, "{events} events, {losses} losses");
    Memory::now().compare(warm.unwrap(), "a million frames through a stub encoder");
}

#[test]
#[ignore = "takes SOAK_SECONDS, by default an hour; make soak runs it"]
fn the_demo_model_at_full_speed_leaves_memory_flat() {
    let seconds =
        std::env::var("SOAK_SECONDS").map_or(3600.0, |text| text.parse::<f64>().expect("SOAK_SECONDS is a number"));
    let folder = Folder::new();
    let mut soak = Soak::new("embedded".as_ref(), &folder, vec![ScriptStep::Rest]);
    let started = Instant::now();
    let mut warm = None;
    while started.elapsed().as_secs_f64() < seconds {
        soak.poll().unwrap();
        if started.elapsed().as_secs_f64() > seconds / 20.0 && soak.steps > 100 {
            warm.get_or_insert_with(Memory::now);
        }
    }
    let rate = soak.steps as f64 / seconds;
    println!("soak: {} frames of the demo model in {seconds:.0} s, {rate:.1} per second", soak.steps);
    Memory::now().compare(warm.expect("SOAK_SECONDS is long enough for 100 frames"), "the demo model");
}
