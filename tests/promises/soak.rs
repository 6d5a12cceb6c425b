//! Weeks in short: memory stays flat over a million frames and hours of work. `make soak` runs these; they take long.

use std::time::{Duration, Instant};

use bike_edge::Result;
use bike_edge::cli::args::ModelArgs;
use bike_edge::events::{EventSettings, EventSpec};
use bike_edge::preprocess::Fit;
use bike_edge::health::current_rss_bytes;
use bike_edge::pipeline::{Camera, Engine, Flow, GateSpec, Sampler, Session, SessionSpec, Told};
use bike_edge::output::{EventFile, EventLine, EventSource};
use bike_edge::source::{Act, FakeCamera, Rate};

use crate::allocations::held;
use crate::support::bundle::{Builder, DIM, Folder, SIZE};
use crate::support::onnx::{Onnx, f32_tensor};
use crate::support::pattern;

/// Memory may grow by this share between the end of the warm-up and the end.
const GROWTH: f64 = 0.01;

/// One camera at 25 frames a second of its own clock, looked at frame by frame, with events in a rotated file.
struct Soak {
    engine: Engine,
    camera: Camera,
    names: Vec<String>,
    file: EventFile,
    steps: u64,
    events: u64,
    losses: u64,
}

impl Soak {
    fn new(bundle: &std::path::Path, folder: &Folder, script: Vec<Act>) -> Self {
        let model = ModelArgs {
            bundle: bundle.as_os_str().to_owned(),
            threads: Some(1),
            lambda: Some(1.0),
            ..ModelArgs::default()
        };
        let engine = Engine::load(&model).unwrap();
        let events: EventSpec = EventSettings { on: Some(0.2), min_length_s: Some(0.0), ..EventSettings::default() }
            .resolve(&[], 0.04)
            .unwrap();
        let spec = SessionSpec {
            camera: "soak".into(),
            fit: Fit::Crop,
            roi: None,
            events,
            // Drawn pictures are flat; here they are all to be encoded.
            gate: GateSpec { enabled: false, ..GateSpec::default() },
        };
        let session = Session::new(&engine, &spec, Sampler::every(0.04).unwrap()).unwrap();
        let names = session.names().to_vec();
        let source = FakeCamera::drawn(64, 48, Rate { num: 25, den: 1 }, script);
        let camera = Camera::new(session, Box::new(source));
        let file = EventFile::new(&folder.path("events.jsonl"), 1 << 20, 3);
        Self { engine, camera, names, file, steps: 0, events: 0, losses: 0 }
    }

    fn poll(&mut self) -> Result<Flow> {
        let Self { engine, camera, names, file, steps, events, losses } = self;
        let source = EventSource { camera: "soak", input: "drawn", categories: names, phrases: &[] };
        camera.poll(engine, Duration::from_millis(200), &mut |told| {
            let told = match told {
                Told::Step { step, .. } => {
                    *steps += 1;
                    step.events
                }
                Told::Ended { events, .. } => events,
                Told::Lost(_) => {
                    *losses += 1;
                    return Ok(());
                }
            };
            for event in told {
                *events += 1;
                file.write(&EventLine::new(event, source, None));
            }
            Ok(())
        })
    }
}

/// An encoder that costs next to nothing. Its bias keeps the embeddings of dark and bright frames from cancelling out.
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

/// What is compared.
#[derive(Clone, Copy, Debug)]
struct Memory {
    rss: f64,
    held: i64,
}

impl Memory {
    fn now() -> Self {
        Self { rss: current_rss_bytes().unwrap() as f64, held: held() }
    }

    fn compare(self, before: Self, what: &str) {
        let growth = self.rss / before.rss - 1.0;
        println!(
            "soak: {what}: resident {:.2} MB -> {:.2} MB ({:+.2} %), allocated {} -> {} bytes",
            before.rss / 1e6,
            self.rss / 1e6,
            growth * 100.0,
            before.held,
            self.held
        );
        assert!(growth <= GROWTH, "resident memory has grown by {:.2} %", growth * 100.0);
        let grown = self.held - before.held;
        assert!(grown <= before.held / 100, "allocations have grown by {grown} bytes");
    }
}

#[test]
#[ignore = "takes minutes; make soak runs it"]
fn a_million_frames_through_a_stub_encoder_leave_memory_flat() {
    const FRAMES: u64 = 1_000_000;
    let folder = Folder::new();
    Builder::new().file("visual.onnx", stub().encode()).write(&folder.bundle());
    let fault =
        [Act::Frames(9_990), Act::Short(3), Act::Unplugged(20.0), Act::Corrupt(2), Act::Silent(5.0), Act::Silent(0.5)];
    let script: Vec<Act> = fault.iter().copied().cycle().take(fault.len() * 101).collect();
    let mut soak = Soak::new(&folder.bundle(), &folder, script);
    let began = Instant::now();
    let mut warm = None;
    while soak.steps < FRAMES {
        assert_eq!(soak.poll().unwrap(), Flow::GoesOn, "after {} frames", soak.steps);
        if soak.steps >= FRAMES / 10 {
            warm.get_or_insert_with(Memory::now);
        }
    }
    let Soak { steps, events, losses, .. } = soak;
    let seconds = began.elapsed().as_secs_f64();
    println!("soak: {steps} frames, {events} event lines, {losses} losses in {seconds:.0} s");
    assert!(events > 1000 && losses > 150, "{events} events, {losses} losses");
    Memory::now().compare(warm.unwrap(), "a million frames through a stub encoder");
}

#[test]
#[ignore = "takes SOAK_SECONDS, an hour unless said otherwise; make soak runs it"]
fn the_demo_model_at_full_speed_leaves_memory_flat() {
    let seconds =
        std::env::var("SOAK_SECONDS").map_or(3600.0, |text| text.parse::<f64>().expect("SOAK_SECONDS is a number"));
    let folder = Folder::new();
    let mut soak = Soak::new("embedded".as_ref(), &folder, vec![Act::Rest]);
    let began = Instant::now();
    let mut warm = None;
    while began.elapsed().as_secs_f64() < seconds {
        soak.poll().unwrap();
        if began.elapsed().as_secs_f64() > seconds / 20.0 && soak.steps > 100 {
            warm.get_or_insert_with(Memory::now);
        }
    }
    let rate = soak.steps as f64 / seconds;
    println!("soak: {} frames of the demo model in {seconds:.0} s, {rate:.1} a second", soak.steps);
    Memory::now().compare(warm.expect("SOAK_SECONDS is long enough for 100 frames"), "the demo model");
}
