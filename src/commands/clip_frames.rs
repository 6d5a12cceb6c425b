//! A clip's sampled frames, encoded as they come: decoded and cut on a thread of their own, encoded on the caller's.

use std::ffi::OsStr;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::pipeline::Pipeline;
use crate::config::{PictureSettings, SamplingPlan, View};
use crate::error::{Error, Result};
use crate::preprocess::Preprocessor;
use crate::pipeline::{Embedding, Engine};
use crate::recognition::FrameStamp;
use crate::source::{Frame, Seconds, Visit, open_clip};

/// Crops cut before the encoder has come to them: a few megabytes, and as far as decoding runs ahead.
const AHEAD: usize = 8;

/// What was seen of a clip.
pub struct Seen {
    /// What reading it found.
    pub clip: ClipRead,
    /// Sorted indices of the sampled frames.
    pub indices: Vec<u64>,
    /// Their times.
    pub times: Vec<Seconds>,
    /// Their embeddings, crop by crop, `[frames * crops]`.
    embeddings: Vec<Embedding>,
    crops: usize,
}

/// What reading a clip found.
pub struct ClipRead {
    /// n, decodable frames.
    pub frames: u64,
    /// Seconds, where the clip says.
    pub duration_s: Option<Seconds>,
    /// What was lost on the way.
    pub warnings: Vec<String>,
    /// The windows to score.
    pub windows: Vec<View>,
    /// Time spent opening, counting and decoding.
    pub decode: Duration,
    /// Time spent cutting.
    pub preprocess: Duration,
}

impl Seen {
    /// Stamp and embedding of a sampled frame in one crop.
    ///
    /// # Errors
    /// A frame that was not sampled, which is a fault of ours.
    pub fn get(&self, frame: u64, crop: usize) -> Result<(FrameStamp, &Embedding)> {
        let missing = || Error::Internal(format!("frame {frame} was sampled and not decoded"));
        let at = self.indices.binary_search(&frame).map_err(|_| missing())?;
        let time = *self.times.get(at).ok_or_else(missing)?;
        let embedding = self.embeddings.get(at * self.crops + crop).ok_or_else(missing)?;
        Ok((FrameStamp { time, index: frame }, embedding))
    }
}

/// What the reading thread tells.
enum Message {
    /// These frames follow from the first, and all that came before is void.
    Sampling(Vec<u64>),
    /// The next crop, `[3, S, S]`, of the frame at this time.
    Crop(Seconds, Vec<f32>),
}

/// Reads a clip and encodes the frames that `plan` samples. `tick` is told after each encoded crop: done, of how many.
///
/// # Errors
/// A clip that cannot be read, with no frame in it, or a picture that the flags do not fit; a network that fails.
pub fn see(
    pipeline: &mut Pipeline,
    input: &OsStr,
    plan: &SamplingPlan,
    tick: &mut dyn FnMut(usize, usize),
) -> Result<Seen> {
    let Pipeline { engine, picture, preprocessor, .. } = pipeline;
    let window = engine.model.window;
    let (send, receive) = sync_channel(AHEAD);
    let (give_back, take_back) = channel();
    thread::scope(|scope| {
        let cutting = Cutting {
            preprocessor,
            plan,
            out: send,
            used: take_back,
            away: Duration::ZERO,
            preprocess: Duration::ZERO,
        };
        let reader =
            thread::Builder::new().name("clip".into()).spawn_scoped(scope, || read(input, picture, window, cutting));
        let reader = reader.map_err(|e| Error::Internal(format!("no thread to read the clip with ({e})")))?;
        let encoded = encode(engine, plan.crops.len(), receive, &give_back, tick);
        let clip = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // The encoder's failure comes first: reading then failed for want of someone to tell.
        let Encoded { indices, times, embeddings } = encoded?;
        Ok(Seen { clip: clip?, indices, times, embeddings, crops: plan.crops.len() })
    })
}

/// The reading thread's work. A clip that turns out to hold fewer frames than its container says is sampled anew.
fn read(input: &OsStr, picture: &PictureSettings, window: usize, mut cutting: Cutting<'_>) -> Result<ClipRead> {
    let began = Instant::now();
    let mut clip = open_clip(input, &picture.source)?;
    loop {
        let frames = clip.frame_count()?;
        if frames == 0 {
            return Err(Error::input(super::shown(input), "no frame in it can be decoded"));
        }
        let windows = cutting.plan.windows(frames, window);
        let mut indices: Vec<u64> = windows.iter().flat_map(|view| view.frames.iter().copied()).collect();
        indices.sort_unstable();
        indices.dedup();
        cutting.tell(Message::Sampling(indices.clone()))?;
        match clip.visit(&indices, &mut |frame| cutting.cut(&frame))? {
            Visit::Done => {
                let (duration_s, warnings) = (clip.info().duration_s, clip.warnings().to_vec());
                let (decode, preprocess) = (began.elapsed().saturating_sub(cutting.away), cutting.preprocess);
                return Ok(ClipRead { frames, duration_s, warnings, windows, decode, preprocess });
            }
            Visit::Recounted => {
                log::debug!("{}: sampling anew over the frames that can be decoded", super::shown(input));
            }
        }
    }
}

/// Cuts frames and hands the crops on.
struct Cutting<'a> {
    preprocessor: &'a mut Preprocessor,
    plan: &'a SamplingPlan,
    out: SyncSender<Message>,
    /// Crops that are encoded, to be filled again.
    used: Receiver<Vec<f32>>,
    /// Time spent in here, waiting for the encoder included.
    away: Duration,
    /// Of it, time spent cutting.
    preprocess: Duration,
}

impl Cutting<'_> {
    fn cut(&mut self, frame: &Frame<'_>) -> Result<()> {
        let began = Instant::now();
        let side = self.preprocessor.side();
        for at in self.plan.crops {
            let began = Instant::now();
            let mut pixels = self.used.try_recv().unwrap_or_else(|_| vec![0.0; 3 * side * side]);
            self.preprocessor.run(&frame.picture, *at, &mut pixels)?;
            self.preprocess += began.elapsed();
            self.tell(Message::Crop(frame.time, pixels))?;
        }
        self.away += began.elapsed();
        Ok(())
    }

    fn tell(&self, message: Message) -> Result<()> {
        self.out.send(message).map_err(|_| Error::Internal("the encoder has stopped".into()))
    }
}

#[derive(Default)]
struct Encoded {
    indices: Vec<u64>,
    times: Vec<Seconds>,
    embeddings: Vec<Embedding>,
}

/// Encodes what comes until no more does.
fn encode(
    engine: &mut Engine,
    crops: usize,
    messages: Receiver<Message>,
    give_back: &Sender<Vec<f32>>,
    tick: &mut dyn FnMut(usize, usize),
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
                tick(encoded.embeddings.len(), encoded.indices.len() * crops);
                // Where reading is done nobody wants it.
                let _ = give_back.send(pixels);
            }
        }
    }
    Ok(encoded)
}
