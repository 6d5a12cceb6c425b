//! Encodes the sampled frames of a clip: a thread decodes and crops while the caller's thread encodes.

use std::ffi::OsStr;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::clip_views::{ClipSampling, ClipView};
use super::engine::{Embedding, Engine};
use crate::error::{Error, Result};
use crate::io::shown_input;
use crate::preprocess::Preprocessor;
use crate::recognition::FrameStamp;
use crate::source::{Frame, SourceOptions, VisitOutcome, open_clip};
use crate::units::Seconds;

/// Maximum number of decoded crops that wait for encoding: a few megabytes.
const QUEUE: usize = 8;

/// The encoded frames of a clip.
pub struct EncodedClip {
    /// Properties and losses of the clip.
    pub clip: ClipReport,
    /// Numbers of the sampled frames, sorted.
    pub indices: Vec<u64>,
    /// Their stream times.
    pub times: Vec<Seconds>,
    /// Their embeddings, crop by crop, `[frames * crops]`.
    embeddings: Vec<Embedding>,
    crops: usize,
}

/// Properties and losses of a clip.
pub struct ClipReport {
    /// n, the number of frames that can be decoded.
    pub frames: u64,
    /// The clip's length in seconds, if its container gives it.
    pub duration_s: Option<Seconds>,
    /// What was lost while reading, one sentence each.
    pub warnings: Vec<String>,
    /// The views to score.
    pub views: Vec<ClipView>,
    /// Time spent opening, counting and decoding.
    pub decode: Duration,
    /// Time spent cropping.
    pub preprocess: Duration,
}

impl EncodedClip {
    /// Returns the stamp and embedding of a sampled frame in one crop.
    ///
    /// # Errors
    /// [`Error::Internal`] for a frame that was not sampled.
    pub fn get(&self, frame: u64, crop: usize) -> Result<(FrameStamp, &Embedding)> {
        let missing = || Error::Internal(format!("frame {frame} was selected but not decoded"));
        let at = self.indices.binary_search(&frame).map_err(|_| missing())?;
        let time = *self.times.get(at).ok_or_else(missing)?;
        let embedding = self.embeddings.get(at * self.crops + crop).ok_or_else(missing)?;
        Ok((FrameStamp { time, index: frame }, embedding))
    }
}

/// A message from the reading thread.
enum Message {
    /// The numbers of the frames that follow. Discard all earlier crops.
    Indices(Vec<u64>),
    /// The next crop, `[3, S, S]`, of the frame at this time.
    Crop(Seconds, Vec<f32>),
}

/// Reads a clip and encodes the frames that `sampling` selects. Calls `progress` after each encoded crop: done and
/// total crops.
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
    let (recycle_tx, recycle_rx) = channel();
    thread::scope(|scope| {
        let sender = CropSender {
            preprocessor,
            sampling,
            out: send,
            free_buffers: recycle_rx,
            time_in_callback: Duration::ZERO,
            preprocess: Duration::ZERO,
        };
        let reader =
            thread::Builder::new().name("clip".into()).spawn_scoped(scope, || read(input, source, window, sender));
        let reader =
            reader.map_err(|e| Error::Internal(format!("the thread that reads a clip cannot be started ({e})")))?;
        let encoded = encode(engine, crops, receive, &recycle_tx, progress);
        let clip = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // The encoder's error comes first: reading then failed only because its receiver was closed.
        let Encoded { indices, times, embeddings } = encoded?;
        Ok(EncodedClip { clip: clip?, indices, times, embeddings, crops })
    })
}

/// Runs the reading thread. Samples again if the clip has fewer frames than its container claims.
fn read(input: &OsStr, source: &SourceOptions, window: usize, mut sender: CropSender<'_>) -> Result<ClipReport> {
    let started = Instant::now();
    let mut clip = open_clip(input, source)?;
    loop {
        let frames = clip.frame_count()?;
        if frames == 0 {
            return Err(Error::input(shown_input(input), "no frame can be decoded"));
        }
        let views = sender.sampling.clip_views(frames, window);
        let mut indices: Vec<u64> = views.iter().flat_map(|view| view.frames.iter().copied()).collect();
        indices.sort_unstable();
        indices.dedup();
        sender.send(Message::Indices(indices.clone()))?;
        match clip.visit(&indices, &mut |frame| sender.crop(&frame))? {
            VisitOutcome::Done => {
                let (duration_s, warnings) = (clip.info().duration_s, clip.warnings().to_vec());
                let (decode, preprocess) =
                    (started.elapsed().saturating_sub(sender.time_in_callback), sender.preprocess);
                return Ok(ClipReport { frames, duration_s, warnings, views, decode, preprocess });
            }
            VisitOutcome::CountChanged => {
                log::debug!("{}: sampling again over the frames that can be decoded", shown_input(input));
            }
        }
    }
}

/// Crops frames and sends the crops to the encoder.
struct CropSender<'a> {
    preprocessor: &'a mut Preprocessor,
    sampling: &'a ClipSampling,
    out: SyncSender<Message>,
    /// Buffers of encoded crops, for reuse.
    free_buffers: Receiver<Vec<f32>>,
    /// Time spent in [`Self::crop`], including waits for the encoder.
    time_in_callback: Duration,
    /// The part of that time spent cropping.
    preprocess: Duration,
}

impl CropSender<'_> {
    fn crop(&mut self, frame: &Frame<'_>) -> Result<()> {
        let entered = Instant::now();
        let side = self.preprocessor.side();
        for at in self.sampling.crop_positions() {
            let started = Instant::now();
            let mut pixels = self.free_buffers.try_recv().unwrap_or_else(|_| vec![0.0; 3 * side * side]);
            self.preprocessor.run(&frame.picture, *at, &mut pixels)?;
            self.preprocess += started.elapsed();
            self.send(Message::Crop(frame.time, pixels))?;
        }
        self.time_in_callback += entered.elapsed();
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
    recycle_tx: &Sender<Vec<f32>>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Encoded> {
    let mut encoded = Encoded::default();
    for message in messages {
        match message {
            Message::Indices(indices) => encoded = Encoded { indices, ..Encoded::default() },
            Message::Crop(time, pixels) => {
                if encoded.embeddings.len().is_multiple_of(crops) {
                    encoded.times.push(time);
                }
                let mut embedding = Embedding::default();
                engine.encode(&pixels, &mut embedding)?;
                encoded.embeddings.push(embedding);
                progress(encoded.embeddings.len(), encoded.indices.len() * crops);
                // Fails if reading has finished; the buffer is then not needed.
                let _ = recycle_tx.send(pixels);
            }
        }
    }
    Ok(encoded)
}
