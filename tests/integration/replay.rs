//! The same frames with the same trace give the same events, byte for byte, from a file, a pipe and a camera.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bike_edge::events::{EventReport, EventSpec};
use bike_edge::output::{EventLine, EventSource};
use bike_edge::pipeline::{
    Engine, Follow, FollowSpec, FrameSelection, ModelSpec, Progress, Session, SessionSpec, StreamRunner, StreamSource,
    TracePoint, TraceWriter, Update,
};
use bike_edge::source::{SourceOptions, open_stream};

use crate::support::clips::{CLIP, as_y4m};
use crate::support::fake_camera::{FakeCamera, ScriptStep};

/// The event lines of a run without their time of day, and the frames that it sampled.
#[derive(Default)]
struct Recording {
    lines: Vec<String>,
    trace: Vec<TracePoint>,
}

impl Recording {
    fn record(&mut self, update: &Update<'_>, categories: &[String]) {
        match update {
            Update::Step { step, .. } => {
                self.trace.push(TracePoint { t: step.stamp.time, frame: Some(step.stamp.index) });
                self.record_events(step.events, categories);
            }
            Update::EventsEnded { events, .. } => self.record_events(events, categories),
            Update::ConnectionLost(_) => {}
        }
    }

    fn record_events(&mut self, events: &[EventReport], categories: &[String]) {
        let source = EventSource { camera: "hall", input: "", categories, phrases: &[] };
        for event in events {
            let line = serde_json::to_string(&EventLine::new(event, source, None)).expect("JSON");
            let (line, _wall) = line.split_once(",\"wall\":").expect("wall comes last");
            self.lines.push(line.to_owned());
        }
    }

    /// Writes the trace as --record-trace does.
    fn selection(&self, folder: &Path) -> FrameSelection {
        let path = folder.join("trace");
        let mut writer = TraceWriter::create(&path).expect("created");
        self.trace.iter().for_each(|point| writer.write(*point).expect("written"));
        writer.finish().expect("written");
        FrameSelection::Trace(path)
    }
}

struct Bench {
    engine: Engine,
    categories: Vec<String>,
    spec: SessionSpec,
}

impl Bench {
    fn new() -> Self {
        let model = ModelSpec { threads: Some(1), stride_s: Some(0.5), ..ModelSpec::default() };
        let engine = Engine::load_for_streams(&model).expect("the embedded bundle");
        let categories = engine.categories().to_vec();
        Self { engine, categories, spec: SessionSpec { camera: "hall".into(), ..SessionSpec::default() } }
    }

    fn session(&self, selection: FrameSelection) -> Session {
        let spec = SessionSpec { selection, ..self.spec.clone() };
        Session::new(&self.engine, &spec).expect("a session")
    }

    fn stream(&mut self, input: &Path, selection: FrameSelection) -> Recording {
        let stream = open_stream(input.as_os_str(), &SourceOptions::default()).expect("opens");
        self.run(StreamSource::Recorded(stream), selection)
    }

    fn camera(&mut self, source: FakeCamera, selection: FrameSelection) -> Recording {
        self.run(StreamSource::Live(Box::new(source)), selection)
    }

    fn run(&mut self, source: StreamSource<'_>, selection: FrameSelection) -> Recording {
        let mut runner = StreamRunner::new(self.session(selection), source);
        let mut recording = Recording::default();
        let mut poll = Progress::Continue;
        while poll == Progress::Continue {
            let on_update = &mut |update: Update<'_>| {
                recording.record(&update, &self.categories);
                Ok(())
            };
            // A fake camera's clock advances by the wait, so that a long one does not take long.
            poll = runner.poll(&mut self.engine, Duration::from_secs(1), on_update).expect("a poll");
        }
        recording
    }
}

/// Creates a named pipe that a thread writes `bytes` into.
fn pipe(folder: &Path, bytes: Vec<u8>) -> PathBuf {
    let path = folder.join("pipe");
    let name = CString::new(path.as_os_str().as_bytes()).expect("a name");
    // SAFETY: the name ends with a zero and lives through the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let to = path.clone();
    // The reader may close the pipe before the end.
    std::thread::spawn(move || drop(std::fs::write(to, bytes)));
    path
}

#[test]
fn a_replay_follows_the_same_regions() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clip.y4m");
    std::fs::write(&file, as_y4m(OsStr::new(CLIP))).expect("written");
    for follow in [Follow::Region, Follow::Both] {
        let mut bench = Bench::new();
        bench.spec.follow = FollowSpec { follow, follow_regions: 2, ..FollowSpec::default() };
        bench.spec.events = EventSpec { on: Some(0.1), min_length_s: 0.0, ..EventSpec::default() };
        let camera = FakeCamera::replay(&file, [ScriptStep::Rest]).expect("a camera").busy(0.17);
        let live = bench.camera(camera, FrameSelection::Stride);
        assert!(live.lines.iter().any(|line| line.contains("\"region\":[")), "{:?}", live.lines);
        let replayed = bench.stream(&file, live.selection(folder.path()));
        assert_eq!(live.lines, replayed.lines);
    }
}

#[test]
fn a_file_a_pipe_and_a_camera_report_the_same_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clip.y4m");
    let y4m = as_y4m(OsStr::new(CLIP));
    std::fs::write(&file, &y4m).expect("written");
    let mut bench = Bench::new();
    // A reader that is too slow for the camera: only its trace shows which frames it sampled.
    let camera = |busy| FakeCamera::replay(&file, [ScriptStep::Rest]).expect("a camera").busy(busy);
    let live = bench.camera(camera(0.17), FrameSelection::Stride);
    assert!(live.lines.iter().any(|line| line.contains("\"end\"")), "{:?}", live.lines);
    let recorded = bench.stream(&file, FrameSelection::Stride);
    assert_ne!(live.trace, recorded.trace, "the camera's frames are not those of the grid");

    let replays = [
        bench.camera(camera(0.0), live.selection(folder.path())),
        bench.stream(&file, live.selection(folder.path())),
        bench.stream(&pipe(folder.path(), y4m), live.selection(folder.path())),
        bench.stream(Path::new(CLIP), live.selection(folder.path())),
    ];
    for replay in replays {
        assert_eq!(replay.lines, live.lines);
        assert_eq!(replay.trace, live.trace);
    }
}

#[test]
fn a_lost_camera_is_replayed_from_its_recorded_frames() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clip.y4m");
    std::fs::write(&file, as_y4m(OsStr::new(CLIP))).expect("written");
    let mut bench = Bench::new();
    let script = [ScriptStep::Frames(60), ScriptStep::Unplugged(30.0), ScriptStep::Rest];
    let live = bench.camera(FakeCamera::replay(&file, script).expect("a camera"), FrameSelection::Stride);
    let longest = live.trace.windows(2).map(|pair| pair[1].t - pair[0].t).fold(0.0, f64::max);
    assert!(longest > 29.0, "{longest}");
    // The loss ends open events. The frames and the times of the trace are enough to end them in the same way again.
    assert_eq!(bench.stream(&file, live.selection(folder.path())).lines, live.lines);
}
