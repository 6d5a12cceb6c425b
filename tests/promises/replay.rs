//! The same frames with the same trace tell the same, byte for byte: through a file, a pipe and a camera.

use std::ffi::{CString, OsStr};
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bike_edge::cli::Cli;
use bike_edge::cli::args::Command;
use bike_edge::config::{PictureSettings, event_spec};
use bike_edge::pipeline::{
    Camera, Engine, Flow, GateSpec, Sampler, Session, SessionSpec, Step, Told, TracePoint, TraceReader,
};
use bike_edge::output::{EventLine, EventSource};
use bike_edge::source::{Act, FakeCamera, SourceOptions, open_stream};
use clap::Parser;

use crate::clips::{CLIP, as_y4m};

/// What a run told, and which frames it sampled.
#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    trace: Vec<TracePoint>,
}

impl Heard {
    fn step(&mut self, step: &Step<'_>, engine_names: &[String]) {
        self.trace.push(TracePoint { t: step.stamp.time, frame: Some(step.stamp.index) });
        self.events(step.events, engine_names);
    }

    fn events(&mut self, events: &[bike_edge::events::Event], names: &[String]) {
        let source = EventSource { camera: "hall", input: "", categories: names, phrases: &[] };
        for event in events {
            let line = serde_json::to_string(&EventLine::new(event, source, None)).expect("JSON");
            let (line, _wall) = line.split_once(",\"wall\":").expect("wall comes last");
            self.lines.push(line.to_owned());
        }
    }

    /// The trace as --record-trace writes it.
    fn sampler(&self) -> Sampler {
        let lines = self.trace.iter().map(|point| serde_json::to_string(point).expect("JSON") + "\n");
        let text: String = lines.collect();
        let from = Box::new(BufReader::new(std::io::Cursor::new(text.into_bytes())));
        Sampler::repeat(TraceReader::new("trace".into(), from)).expect("a trace")
    }
}

struct Bench {
    engine: Engine,
    names: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let Command::Watch(args) = Cli::parse_from(["bike-edge", "watch", "-", "--threads", "1"]).command else {
            panic!("not watch")
        };
        let engine = Engine::load(&args.model).expect("the bundle inside");
        let names = engine.categories().expect("categories");
        Self { engine, names }
    }

    fn session(&self, sampler: Sampler) -> Session {
        let Command::Watch(args) = Cli::parse_from(["bike-edge", "watch", "-"]).command else { panic!("not watch") };
        let picture = PictureSettings::new(&args.picture).expect("flags");
        let background = &self.engine.bundle.manifest.defaults.background;
        let events = event_spec(&args.events, &self.names, background, 0.5).expect("flags");
        let camera = "hall".to_owned();
        let spec = SessionSpec { camera, fit: picture.fit, roi: None, events, gate: GateSpec::default() };
        Session::new(&self.engine, &spec, sampler).expect("a session")
    }

    fn stream(&mut self, input: &Path, sampler: Sampler) -> Heard {
        let mut session = self.session(sampler);
        let mut stream = open_stream(input.as_os_str(), &SourceOptions::default()).expect("opens");
        let mut heard = Heard::default();
        while let Some(next) = session.next_time() {
            let Some(frame) = stream.first_at_or_after(next).expect("goes on") else { break };
            if let Some(step) = session.take(&mut self.engine, &frame).expect("a step") {
                heard.step(&step, &self.names);
            }
        }
        heard.events(session.finish(), &self.names);
        heard
    }

    fn camera(&mut self, source: FakeCamera, sampler: Sampler) -> Heard {
        let mut camera = Camera::new(self.session(sampler), Box::new(source));
        let (mut heard, names) = (Heard::default(), &self.names);
        let mut flow = Flow::GoesOn;
        while flow == Flow::GoesOn {
            flow = camera
                .poll(&mut self.engine, Duration::from_secs(1), &mut |told| {
                    match told {
                        Told::Step { step, .. } => heard.step(&step, names),
                        Told::Ended { events, .. } => heard.events(events, names),
                        Told::Lost(_) => {}
                    }
                    Ok(())
                })
                .expect("goes on");
        }
        heard
    }
}

/// A named pipe that someone writes `bytes` into.
fn pipe(folder: &Path, bytes: Vec<u8>) -> PathBuf {
    let path = folder.join("pipe");
    let name = CString::new(path.as_os_str().as_bytes()).expect("a name");
    // SAFETY: the name ends with a zero and lives through the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let to = path.clone();
    // The reader may leave before the end.
    std::thread::spawn(move || drop(std::fs::write(to, bytes)));
    path
}

fn every() -> Sampler {
    Sampler::every(0.5).expect("a stride")
}

#[test]
fn a_file_a_pipe_and_a_camera_tell_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clip.y4m");
    let y4m = as_y4m(OsStr::new(CLIP));
    std::fs::write(&file, &y4m).expect("written");
    let mut bench = Bench::new();
    // A taker that is too slow for the camera: what it sampled is known from its trace alone.
    let film = |busy| FakeCamera::replay(&file, None, [Act::Rest]).expect("a camera").busy(busy);
    let live = bench.camera(film(0.17), every());
    assert!(live.lines.iter().any(|line| line.contains("\"end\"")), "{:?}", live.lines);
    assert_ne!(live.trace, bench.stream(&file, every()).trace, "the camera's frames are not those of the grid");

    let again = [
        bench.camera(film(0.0), live.sampler()),
        bench.stream(&file, live.sampler()),
        bench.stream(&pipe(folder.path(), y4m), live.sampler()),
        bench.stream(Path::new(CLIP), live.sampler()),
    ];
    for heard in again {
        assert_eq!(heard.lines, live.lines);
        assert_eq!(heard.trace, live.trace);
    }
}

#[test]
fn a_camera_that_was_lost_is_replayed_from_its_frames_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clip.y4m");
    std::fs::write(&file, as_y4m(OsStr::new(CLIP))).expect("written");
    let mut bench = Bench::new();
    let script = [Act::Frames(60), Act::Unplugged(30.0), Act::Rest];
    let live = bench.camera(FakeCamera::replay(&file, None, script).expect("a camera"), every());
    let longest = live.trace.windows(2).map(|pair| pair[1].t - pair[0].t).fold(0.0, f64::max);
    assert!(longest > 29.0, "{longest}");
    // The loss ends what went on; the frames' numbers and the trace's times are enough to say so again.
    assert_eq!(bench.stream(&file, live.sampler()).lines, live.lines);
}
