//! Reads the frames that `ffmpeg` delivers, forward.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use super::super::{Reader, Wanted, add_warnings};
use super::child::{Process, TimedOutput};
use super::command::{Ffmpeg, Job, Output};
use super::showinfo::FrameInfo;
use crate::picture::{MAX_VIDEO_PIXELS, Picture, Pixels, Rotation, Subsampling, check_size};
use crate::source::timeline::Timeline;
use crate::units::Seconds;
use crate::{Error, Result};

/// Maximum number of frames that are picked by index; if more are wanted, all are delivered, as expressions of ffmpeg's
/// `select` filter are limited to fewer than a hundred terms.
const MAX_PICKED: usize = 64;

/// All frames of a clip, as a first pass found them.
#[derive(Clone, Debug, Default)]
pub(super) struct CountedFrames {
    pub(super) times: Arc<[Seconds]>,
    /// Their timestamps in ticks.
    stamps: Arc<[Option<i64>]>,
    /// The size or pixel format changes. Then frames cannot be picked by number.
    several_sizes: bool,
}

impl CountedFrames {
    pub(super) fn new(stamps: Vec<Option<i64>>, several_sizes: bool, timeline: &mut Timeline) -> Self {
        let following = |i: usize| stamps.get(i + 1).copied().unwrap_or(stamps[i]);
        let times = (0..stamps.len()).map(|i| timeline.next(stamps[i], following(i))).collect();
        Self { times, stamps: stamps.into(), several_sizes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.times.len() as u64
    }
}

/// Reads frames from `ffmpeg`.
pub(super) struct FfmpegReader {
    ffmpeg: Ffmpeg,
    input: String,
    plan: Plan,
    running: Option<Running>,
    warnings: Vec<String>,
}

enum Plan {
    /// Every frame is delivered. The times of all frames, if they were counted before.
    All(Option<Arc<[Seconds]>>),
    /// Only wanted frames are delivered. They are picked at the first `advance`, from the times of all frames.
    Pick { job: Option<Job>, frames: CountedFrames, picked: Vec<u64> },
}

struct Running {
    process: Process,
    output: BufReader<TimedOutput>,
    /// Number of frames that were delivered, including the current one.
    delivered: u64,
    first_size: Option<(u32, u32)>,
    current: Option<FrameInfo>,
    pixels: Vec<u8>,
}

impl Running {
    /// Reads the next delivered frame, and its pixels if `wanted` accepts its position among the delivered frames.
    fn advance(
        &mut self,
        input: &str,
        own_sizes: bool,
        wanted: &dyn Fn(u64, &FrameInfo) -> bool,
    ) -> Result<Option<(u64, FrameInfo)>> {
        self.current = None;
        while let Some(info) = self.process.frames.next()? {
            let position = self.delivered;
            self.delivered += 1;
            let size = *self.first_size.get_or_insert(info.size);
            if size != info.size && !own_sizes {
                let remedy = "which needs ffmpeg 4.4 or newer; update it";
                return Err(Error::input(input, format!("the size of its pictures changes, {remedy}")));
            }
            check_size(info.size.0, info.size.1, MAX_VIDEO_PIXELS).map_err(|problem| Error::input(input, problem))?;
            let Some(subsampling) = info.subsampling else {
                return Err(Error::Internal("ffmpeg delivered another pixel format than those requested".into()));
            };
            let bytes = frame_bytes(info.size, subsampling);
            let failed = |e: io::Error| Error::input(input, e.to_string());
            let take = wanted(position, &info);
            let read = if take {
                self.read(bytes).map_err(failed)?
            } else {
                io::copy(&mut (&mut self.output).take(bytes), &mut io::sink()).map_err(failed)?
            };
            if read != bytes {
                return Ok(None);
            }
            if take {
                self.current = Some(info);
                return Ok(Some((position, info)));
            }
        }
        Ok(None)
    }

    /// Reads the pixels of a frame into the buffer, which grows with the data that arrive.
    fn read(&mut self, bytes: u64) -> io::Result<u64> {
        if self.pixels.len() as u64 == bytes {
            return match self.output.read_exact(&mut self.pixels) {
                Ok(()) => Ok(bytes),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                Err(e) => Err(e),
            };
        }
        self.pixels.clear();
        (&mut self.output).take(bytes).read_to_end(&mut self.pixels).map(|read| read as u64)
    }
}

/// Bytes of a frame: its planes one after another.
fn frame_bytes(size: (u32, u32), subsampling: Subsampling) -> u64 {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let (chroma_width, chroma_height) = subsampling.chroma_size(width, height);
    (width * height + 2 * chroma_width * chroma_height) as u64
}

impl FfmpegReader {
    /// Starts `ffmpeg` immediately and reads every frame.
    pub(super) fn all(ffmpeg: Ffmpeg, job: Job) -> Result<Self> {
        let mut reader =
            Self { input: job.input.clone(), ffmpeg, plan: Plan::All(None), running: None, warnings: Vec::new() };
        reader.start(job)?;
        // A file that cannot be decoded is an error now, as for other formats.
        if let Some(running) = &mut reader.running
            && running.process.frames.peek()?.is_none()
        {
            return Err(running.process.wait()?.no_frames(&reader.input));
        }
        Ok(reader)
    }

    /// Reads only wanted frames; `ffmpeg` is started when they are known. `frames` are all frames.
    pub(super) fn picked(ffmpeg: Ffmpeg, job: Job, frames: CountedFrames) -> Self {
        let plan = Plan::Pick { frames, picked: Vec::new(), job: Some(job) };
        Self { input: String::new(), ffmpeg, plan, running: None, warnings: Vec::new() }
    }

    fn start(&mut self, job: Job) -> Result<()> {
        self.input.clone_from(&job.input);
        let mut process = self.ffmpeg.run(job)?;
        let output = BufReader::with_capacity(1 << 16, process.output()?);
        let (current, pixels) = (None, Vec::new());
        self.running = Some(Running { process, output, delivered: 0, first_size: None, current, pixels });
        Ok(())
    }

    fn collect_warnings(&mut self) {
        if let Some(running) = &mut self.running {
            let outcome = running.process.outcome_so_far();
            // Times that were counted before have been corrected with the knowledge of all frames.
            let timeline = match self.plan {
                Plan::All(None) => outcome.timeline.clone(),
                _ => None,
            };
            add_warnings(&mut self.warnings, outcome.warning().iter().chain(&timeline));
        }
    }

    /// Starts `ffmpeg` for the wanted frames, if that was not done before.
    fn start_picking(&mut self, wanted: &Wanted<'_>) -> Result<()> {
        let Plan::Pick { job, frames, picked } = &mut self.plan else { return Ok(()) };
        let Some(mut job) = job.take() else { return Ok(()) };
        *picked = (0..).zip(frames.times.iter()).filter(|(i, t)| wanted(*i, **t)).map(|(i, _)| i).collect();
        if picked.is_empty() {
            return Ok(());
        }
        if picked.len() > MAX_PICKED || frames.several_sizes {
            job.output = Output::All;
            self.plan = Plan::All(Some(frames.times.clone()));
        } else {
            job.output = Output::Picked(picked.clone());
        }
        self.start(job)
    }
}

impl Reader for FfmpegReader {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        self.start_picking(wanted)?;
        let Some(running) = &mut self.running else { return Ok(None) };
        let own_sizes = self.ffmpeg.abilities.own_sizes;
        let found = match &self.plan {
            Plan::All(None) => running
                .advance(&self.input, own_sizes, &|index, info| wanted(index, info.time))?
                .map(|(index, info)| (index, info.time)),
            Plan::All(Some(times)) => {
                let time = |index: u64| times.get(index as usize).copied();
                running
                    .advance(&self.input, own_sizes, &|index, _| time(index).is_some_and(|t| wanted(index, t)))?
                    .and_then(|(index, _)| Some((index, time(index)?)))
            }
            Plan::Pick { frames, picked, .. } => {
                let frame = |k: u64| {
                    let index = *picked.get(k as usize)?;
                    Some((index, *frames.times.get(index as usize)?))
                };
                let next = running
                    .advance(&self.input, own_sizes, &|k, _| frame(k).is_some_and(|(index, time)| wanted(index, time)))?
                    .and_then(|(k, info)| Some((frame(k)?, info.stamp)));
                // Another timestamp than in the first pass: this is another frame.
                next.filter(|((index, _), stamp)| frames.stamps.get(*index as usize) == Some(stamp))
                    .map(|(frame, _)| frame)
            }
        };
        if found.is_none() {
            self.collect_warnings();
        }
        Ok(found)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        let Some(Running { current: Some(info), pixels, .. }) = &self.running else {
            return Err(Error::Internal("a picture was requested before ffmpeg delivered one".into()));
        };
        let subsampling = info.subsampling.unwrap_or(Subsampling::Gray);
        let (width, height) = (info.size.0 as usize, info.size.1 as usize);
        let (chroma_width, chroma_height) = subsampling.chroma_size(width, height);
        let (luma, chroma) = pixels.split_at(width * height);
        let (u, v) = chroma.split_at(chroma_width * chroma_height);
        Ok(Picture {
            width: info.size.0,
            height: info.size.1,
            rotation: Rotation::None,
            aspect: info.aspect,
            pixels: Pixels::Yuv {
                planes: [luma, u, v],
                strides: [width, chroma_width, chroma_width],
                subsampling,
                full_range: info.full_range,
                matrix: self.ffmpeg.matrix.unwrap_or(info.matrix),
            },
        })
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
