//! Encodes the sampled frames of a clip: a thread decodes and cuts while the caller's thread encodes.

use std::ffi::OsStr;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::clip_windows::{ClipSampling, ClipWindow};
use super::engine::{Embedding, Engine};
use crate::error::{Error, Result};
use crate::io::redact_input;
use crate::preprocess::Preprocessor;
use crate::recognition::FrameStamp;
use crate::source::{Frame, SourceOptions, Visit, open_clip};
use crate::units::Seconds;

/// How many crops decoding may be ahead of encoding: a few megabytes.
const QUEUE: usize = 8;

/// The encoded frames of a clip.
pub struct EncodedClip {
    /// What reading the clip found.
    pub clip: ClipReport,
    /// Sorted numbers of the sampled frames.
    pub indices: Vec<u64>,
    /// Their stream times.
    pub times: Vec<Seconds>,
    /// Their embeddings, crop by crop, `[frames * crops]`.
    embeddings: Vec<Embedding>,
    crops: usize,
}

/// What reading a clip found.
pub struct ClipReport {
    /// n, the number of frames that can be decoded.
    pub frames: u64,
    /// The clip's length in seconds, if its container gives it.
    pub duration_s: Option<Seconds>,
    /// What was lost while reading, one sentence each.
    pub warnings: Vec<String>,
    /// The windows to score.
    pub windows: Vec<ClipWindow>,
    /// Time spent opening, counting and decoding.
    pub decode: Duration,
    /// Time spent cutting.
    pub preprocess: Duration,
}

impl EncodedClip {
    /// Returns the stamp and embedding of a sampled frame in one crop.
    ///
    /// # Errors
    /// [`Error::Internal`] for a frame that was not sampled.
    pub fn get(&self, frame: u64, crop: usize) -> Result<(FrameStamp, &Embedding)> {
        let missing = || Error::Internal(format!("frame {frame} was sampled and not decoded"));
        let at = self.indices.binary_search(&frame).map_err(|_| missing())?;
        let time = *self.times.get(at).ok_or_else(missing)?;
        let embedding = self.embeddings.get(at * self.crops + crop).ok_or_else(missing)?;
        Ok((FrameStamp { time, index: frame }, embedding))
    }
}

/// A message from the reading thread.
enum Message {
    /// These frames follow from the first one on; discard what came before.
    Sampling(Vec<u64>),
    /// The next crop, `[3, S, S]`, of the frame at this time.
    Crop(Seconds, Vec<f32>),
}

/// Reads a clip and encodes the frames that `sampling` selects. Calls `progress` after each encoded crop: how many are
/// done, of how many.
///
/// # Errors
/// A clip that cannot be read or has no frames, a region outside its pictures, or a network that fails.
pub(super) fn encode_clip(
    engine: &mut Engine,
    preprocessor: &mut Preprocessor,
    input: &OsStr,
    source: &SourceOptions,
    sampling: &ClipSampling,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<EncodedClip> {
    let window = engine.model.recognition.window;
    let crops = sampling.crop_positions().len();
    let (send, receive) = sync_channel(QUEUE);
    let (give_back, take_back) = channel();
    thread::scope(|scope| {
        let cutter = Cutter {
            preprocessor,
            sampling,
            out: send,
            used: take_back,
            away: Duration::ZERO,
            preprocess: Duration::ZERO,
        };
        let reader =
            thread::Builder::new().name("clip".into()).spawn_scoped(scope, || read(input, source, window, cutter));
        let reader = reader.map_err(|e| Error::Internal(format!("the thread that reads a clip cannot start ({e})")))?;
        let encoded = encode(engine, crops, receive, &give_back, progress);
        let clip = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // The encoder's error first: reading then failed because its receiver was gone.
        let Encoded { indices, times, embeddings } = encoded?;
        Ok(EncodedClip { clip: clip?, indices, times, embeddings, crops })
    })
}

/// The reading thread. Samples again if the clip turns out to have fewer frames than its container claims.
fn read(input: &OsStr, source: &SourceOptions, window: usize, mut cutter: Cutter<'_>) -> Result<ClipReport> {
    let started = Instant::now();
    let mut clip = open_clip(input, source)?;
    loop {
        let frames = clip.frame_count()?;
        if frames == 0 {
            return Err(Error::input(redact_input(input), "no frame in it can be decoded"));
        }
        let windows = cutter.sampling.windows(frames, window);
        let mut indices: Vec<u64> = windows.iter().flat_map(|view| view.frames.iter().copied()).collect();
        indices.sort_unstable();
        indices.dedup();
        cutter.send(Message::Sampling(indices.clone()))?;
        match clip.visit(&indices, &mut |frame| cutter.cut(&frame))? {
            Visit::Done => {
                let (duration_s, warnings) = (clip.info().duration_s, clip.warnings().to_vec());
                let (decode, preprocess) = (started.elapsed().saturating_sub(cutter.away), cutter.preprocess);
                return Ok(ClipReport { frames, duration_s, warnings, windows, decode, preprocess });
            }
            Visit::Recounted => {
                log::debug!("{}: sampling again over the frames that can be decoded", redact_input(input));
            }
        }
    }
}

/// Cuts frames and sends the crops to the encoder.
struct Cutter<'a> {
    preprocessor: &'a mut Preprocessor,
    sampling: &'a ClipSampling,
    out: SyncSender<Message>,
    /// Buffers of crops that are encoded, to be filled again.
    used: Receiver<Vec<f32>>,
    /// Time spent in here, waiting for the encoder included.
    away: Duration,
    /// Part of it spent cutting.
    preprocess: Duration,
}

impl Cutter<'_> {
    fn cut(&mut self, frame: &Frame<'_>) -> Result<()> {
        let entered = Instant::now();
        let side = self.preprocessor.side();
        for at in self.sampling.crop_positions() {
            let started = Instant::now();
            let mut pixels = self.used.try_recv().unwrap_or_else(|_| vec![0.0; 3 * side * side]);
            self.preprocessor.run(&frame.picture, *at, &mut pixels)?;
            self.preprocess += started.elapsed();
            self.send(Message::Crop(frame.time, pixels))?;
        }
        self.away += entered.elapsed();
        Ok(())
    }

    fn send(&self, message: Message) -> Result<()> {
        self.out.send(message).map_err(|_| Error::Internal("the encoder has stopped".into()))
    }
}

#[derive(Default)]
struct Encoded {
    indices: Vec<u64>,
    times: Vec<Seconds>,
    embeddings: Vec<Embedding>,
}

/// Encodes crops until the reading thread ends.
fn encode(
    engine: &mut Engine,
    crops: usize,
    messages: Receiver<Message>,
    give_back: &Sender<Vec<f32>>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Encoded> {
    let mut encoded = Encoded::default();
    for message in messages {
        match message {
            Message::Sampling(indices) => encoded = Encoded { indices, ..Encoded::default() },
            Message::Crop(time, pixels) => {
                if encoded.embeddings.len().is_multiple_of(crops) {
                    encoded.times.push(time);
                }
                let mut embedding = Embedding::default();
                engine.encode(&pixels, &mut embedding)?;
                encoded.embeddings.push(embedding);
                progress(encoded.embeddings.len(), encoded.indices.len() * crops);
                // Fails if reading has finished, when nobody needs the buffer.
                let _ = give_back.send(pixels);
            }
        }
    }
    Ok(encoded)
}
