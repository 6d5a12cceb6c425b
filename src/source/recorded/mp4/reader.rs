//! Reads the pictures of an MP4 file forward, and decodes no more than necessary.
//!
//! Samples are sent to the decoder in file order, and pictures are output in display order, each with the number of its
//! sample. Unwanted pictures that no other picture refers to are not sent. If there is an IDR picture before the next
//! wanted one, everything before the IDR picture is skipped.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use super::super::{Reader, Wanted};
use super::decoder::{Decoder, PictureTags};
use super::movie::{HIDDEN, Movie};
use super::nal::{CodedPicture, to_annex_b};
use super::slice::{LONG_TERM, ParameterSets};
use crate::picture::{OwnedPicture, Picture};
use crate::units::Seconds;
use crate::{Error, Result};

/// Maximum size in bytes of a coded picture: more than the largest picture of level 5.2 uncompressed.
const MAX_SAMPLE: u32 = 64 << 20;
/// Maximum number of pictures that wait for an earlier one: as many as an H.264 decoder may hold back.
const MAX_EARLY: usize = 16;

/// Reads an MP4 file forward.
pub(super) struct Mp4Reader {
    input: String,
    file: File,
    movie: Rc<Movie>,
    tags: PictureTags,
    decoder: Decoder,
    /// Decodes everything; needed for damaged files, where skipping pictures could change others.
    thorough: bool,
    /// Whether, so far, the container's sync samples were IDR pictures.
    seekable: bool,
    /// The sample to send next.
    next_sample: usize,
    /// The first rank that has not been passed.
    next_rank: u64,
    /// Samples that were sent and not output yet.
    pending: BTreeSet<u32>,
    /// Ranks of pictures that cannot be decoded.
    lost: BTreeSet<u64>,
    /// How many of them are below `next_rank`.
    lost_passed: u64,
    parameter_sets: ParameterSets,
    /// Set when a coded picture was found to be a long-term reference, or to refer to one.
    long_term: Rc<Cell<bool>>,
    /// Wanted pictures that were output before their turn, by rank.
    early: BTreeMap<u64, OwnedPicture>,
    /// The current picture if it was output early; else it is still in the decoder.
    current: Option<OwnedPicture>,
    sample: Vec<u8>,
    annex_b: Vec<u8>,
    warnings: Vec<String>,
}

/// One step of decoding.
enum DecodeResult {
    /// The picture of this sample was output.
    Output(u32),
    Nothing,
    End,
}

impl Mp4Reader {
    pub(super) fn new(
        input: &str,
        file: File,
        movie: Rc<Movie>,
        tags: PictureTags,
        thorough: bool,
        long_term: Rc<Cell<bool>>,
    ) -> Result<Self> {
        let mut decoder = Decoder::new()?;
        if !movie.config.parameter_sets.is_empty() {
            decoder.send(&movie.config.parameter_sets, 0);
            decoder.finish();
        }
        Ok(Self {
            input: input.into(),
            file,
            tags,
            decoder,
            thorough,
            seekable: !thorough,
            next_sample: 0,
            next_rank: 0,
            pending: BTreeSet::new(),
            lost: BTreeSet::new(),
            lost_passed: 0,
            parameter_sets: movie.config.known_sets.clone(),
            long_term,
            early: BTreeMap::new(),
            current: None,
            sample: Vec::new(),
            annex_b: Vec::new(),
            warnings: Vec::new(),
            movie,
        })
    }

    /// Decodes everything that is left; calls `output` with every sample whose picture was output.
    pub(super) fn drain(&mut self, output: &mut dyn FnMut(u32)) -> Result<()> {
        self.thorough = true;
        loop {
            match self.step(&|_, _| true)? {
                DecodeResult::Output(sample) => output(sample),
                DecodeResult::Nothing => {}
                DecodeResult::End => return Ok(()),
            }
        }
    }

    /// Finishes the last sample, or sends the next one, or flushes the decoder.
    fn step(&mut self, wanted: &Wanted<'_>) -> Result<DecodeResult> {
        if let Some((tag, step)) = self.decoder.finish() {
            return Ok(self.stepped(tag as u32, step.output, step.faulty));
        }
        if self.next_sample < self.movie.samples.len() {
            let sample = self.next_sample;
            self.next_sample += 1;
            let picture = self.load(sample)?;
            let rank = self.rank(sample as u32);
            if !picture.complete || picture.unsupported {
                self.lose(sample as u32);
                return Ok(DecodeResult::Nothing);
            }
            let unwanted = rank.is_none_or(|r| r < self.next_rank || !wanted(r, self.movie.time(r)));
            if picture.disposable && unwanted && !self.thorough {
                return Ok(DecodeResult::Nothing);
            }
            if picture.long_term {
                self.long_term.set(true);
            }
            self.pending.insert(sample as u32);
            let step = self.decoder.send(&self.annex_b, sample as u64);
            return Ok(self.stepped(sample as u32, step.output, step.faulty));
        }
        match self.decoder.flush() {
            Some(tag) => Ok(self.stepped(tag as u32, Some(tag), false)),
            None => {
                for sample in std::mem::take(&mut self.pending) {
                    self.lose(sample);
                }
                Ok(DecodeResult::End)
            }
        }
    }

    fn stepped(&mut self, sent: u32, output: Option<u64>, faulty: bool) -> DecodeResult {
        let output = output.map(|tag| tag as u32).filter(|tag| self.pending.remove(tag));
        if faulty && output != Some(sent) && self.pending.remove(&sent) {
            self.lose(sent);
        }
        output.map_or(DecodeResult::Nothing, DecodeResult::Output)
    }

    fn rank(&self, sample: u32) -> Option<u64> {
        self.movie.rank.get(sample as usize).filter(|rank| **rank != HIDDEN).map(|rank| u64::from(*rank))
    }

    fn lose(&mut self, sample: u32) {
        if let Some(rank) = self.rank(sample) {
            self.insert_lost(rank);
            let (lost, time) = (self.lost.len(), self.movie.time(rank));
            self.warnings = vec![format!("{lost} pictures cannot be decoded, the last of them at {time:.2} s")];
        }
    }

    fn insert_lost(&mut self, rank: u64) {
        if self.lost.insert(rank) && rank < self.next_rank {
            self.lost_passed += 1;
        }
    }

    /// Reads a sample and converts it into `annex_b`.
    fn load(&mut self, sample: usize) -> Result<CodedPicture> {
        let Some(s) = self.movie.samples.get(sample) else { return Ok(CodedPicture::default()) };
        if s.size > MAX_SAMPLE {
            return Ok(CodedPicture::default());
        }
        self.sample.resize(s.size as usize, 0);
        let read = self.file.seek(SeekFrom::Start(s.offset)).and_then(|_| self.file.read_exact(&mut self.sample));
        match read {
            Ok(()) => {
                let sets = &mut self.parameter_sets;
                Ok(to_annex_b(&self.sample, &self.movie.config, sets, &mut self.annex_b))
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(CodedPicture::default()),
            Err(e) => Err(Error::input(&self.input, format!("cannot be read: {e}"))),
        }
    }

    /// Skips to the last picture up to `sample` at which decoding can start.
    fn seek(&mut self, sample: usize) -> Result<()> {
        let from = self.next_sample;
        let key = (from..=sample).rev().find(|&i| self.movie.samples.get(i).is_some_and(|s| s.sync));
        if let Some(key) = key.filter(|key| self.seekable && *key > from) {
            if self.load(key)?.idr {
                self.next_sample = key;
            } else {
                // An open group of pictures: a sync sample of this container is not enough to start at.
                self.seekable = false;
            }
        }
        Ok(())
    }

    /// The first wanted rank from `next_rank` that is not lost.
    fn target(&self, wanted: &Wanted<'_>) -> Option<u64> {
        (self.next_rank..self.movie.len()).find(|r| !self.lost.contains(r) && wanted(*r, self.movie.time(*r)))
    }

    /// Makes the picture of `rank` the current one and returns its index and time.
    fn deliver(&mut self, rank: u64, picture: Option<OwnedPicture>) -> Option<(u64, Seconds)> {
        self.lost_passed += self.lost.range(self.next_rank..rank).count() as u64;
        self.next_rank = rank + 1;
        self.early = self.early.split_off(&self.next_rank);
        self.current = picture;
        Some((rank - self.lost_passed, self.movie.time(rank)))
    }
}

impl Reader for Mp4Reader {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        self.current = None;
        while let Some(target) = self.target(wanted) {
            if let Some(sample) = self.movie.order.get(target as usize) {
                self.seek(*sample as usize)?;
            }
            while !self.lost.contains(&target) {
                if let Some(picture) = self.early.remove(&target) {
                    return Ok(self.deliver(target, Some(picture)));
                }
                match self.step(wanted)? {
                    DecodeResult::Output(sample) => match self.rank(sample) {
                        Some(rank) if rank == target => return Ok(self.deliver(target, None)),
                        Some(rank) if rank > target && wanted(rank, self.movie.time(rank)) => {
                            if let Some(picture) = self.decoder.picture(self.tags) {
                                self.early.insert(rank, OwnedPicture::copy_of(&picture)?);
                            }
                        }
                        _ => {}
                    },
                    DecodeResult::Nothing => {}
                    DecodeResult::End => {
                        self.insert_lost(target);
                    }
                }
                if self.early.len() > MAX_EARLY {
                    self.insert_lost(target);
                }
            }
            // No frame up to the lost one is wanted any more, so none is checked again.
            self.lost_passed += self.lost.range(self.next_rank..=target).count() as u64;
            self.next_rank = target + 1;
        }
        self.next_rank = self.movie.len();
        Ok(None)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        match &self.current {
            Some(picture) => Some(picture.as_picture()),
            None => self.decoder.picture(self.tags),
        }
        .ok_or_else(|| Error::Internal("a picture was requested before one was decoded".into()))
    }

    fn finish(&mut self) -> Result<bool> {
        if self.thorough {
            return Ok(true);
        }
        if let Some(last) = self.movie.samples.len().checked_sub(1) {
            self.seek(last)?;
        }
        self.drain(&mut |_| {})?;
        Ok(self.lost.is_empty() && !self.long_term.get())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn doubt(&self) -> Option<&str> {
        self.long_term.get().then_some(LONG_TERM).or_else(|| self.warnings.last().map(String::as_str))
    }
}
