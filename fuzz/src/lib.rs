//! What fuzz targets share.

pub mod boxes;

use std::io::Write;
use std::path::Path;

use bike_edge::source::{Clip, SourceOptions, Stream, VisitOutcome, open_clip, open_stream};
use tempfile::NamedTempFile;

/// Maximum number of frames that are read of an input.
const MAX_FRAMES: u64 = 40;

/// Writes bytes to a temporary file, in memory where the system has such a folder.
pub fn temporary(bytes: &[u8]) -> Option<NamedTempFile> {
    let memory = Path::new("/dev/shm");
    let file = if memory.is_dir() { NamedTempFile::new_in(memory) } else { NamedTempFile::new() };
    let mut file = file.ok()?;
    file.write_all(bytes).ok()?;
    Some(file)
}

/// Reads bytes as a clip and as a stream, without ffmpeg. Errors are of one line, times never go back, and a clip has
/// the frames that it counts.
pub fn read_video(bytes: &[u8]) {
    let Some(file) = temporary(bytes) else { return };
    let options = SourceOptions { ffmpeg: Some("/nowhere".into()), ..SourceOptions::default() };
    let input = file.path().as_os_str();
    match open_clip(input, &options) {
        Ok(mut clip) => read_clip(clip.as_mut()),
        Err(e) => assert!(!e.to_string().contains('\n'), "several lines: {e}"),
    }
    if let Ok(mut stream) = open_stream(input, &options) {
        read_stream(stream.as_mut());
    }
}

fn read_clip(clip: &mut dyn Clip) {
    for _ in 0..3 {
        let Ok(count) = clip.frame_count() else { return };
        let wanted: Vec<u64> = (0..count).step_by((count / 8).max(1) as usize).collect();
        let mut visited = Vec::new();
        let outcome = clip.visit(&wanted, &mut |frame| {
            visited.push(frame.index);
            Ok(())
        });
        match outcome {
            Ok(VisitOutcome::Done) => {
                assert_eq!(visited, wanted);
                return;
            }
            Ok(VisitOutcome::CountChanged) => {}
            Err(_) => return,
        }
    }
}

fn read_stream(stream: &mut dyn Stream) {
    let mut last = 0.0;
    for _ in 0..MAX_FRAMES {
        let Ok(Some(frame)) = stream.first_at_or_after(0.0) else { return };
        assert!(frame.time >= last, "time goes back");
        last = frame.time;
    }
}
