//! Pictures of an MP4 file, forward, decoding no more than needed.
//!
//! Samples go to the decoder in the order of the file, and pictures come back in the order of display, each with
//! the number of its sample. Pictures that no other needs and nobody wants are not sent; where the next wanted
//! picture lies behind a picture that starts afresh (IDR), all before it is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use super::decoder::{Decoder, Look};
use super::held::Held;
use super::movie::{HIDDEN, Movie};
use super::nal::{self, to_annex_b};
use crate::source::recorded::{Reader, Wanted};
use crate::source::{Picture, Seconds};
use crate::{Error, Result};

/// Most bytes of a coded picture: more than the largest of level 5.2 uncompressed.
const MAX_SAMPLE: u32 = 64 << 20;
/// Most pictures that wait for an earlier one: the most an H.264 decoder may hold back.
const MAX_HELD: usize = 16;

/// Reads forward.
pub(super) struct Mp4Reader {
    input: String,
    file: File,
    movie: Rc<Movie>,
    look: Look,
    decoder: Decoder,
    /// Decodes everything: for damaged files, where what is left out could change what comes out.
    thorough: bool,
    /// Whether the container's sync samples have been true so far.
    seekable: bool,
    /// The sample to be sent next.
    feed: usize,
    /// The first rank not yet passed.
    next: u64,
    /// Samples sent that have not come back yet.
    awaited: BTreeSet<u32>,
    /// Ranks of pictures that cannot be decoded.
    lost: BTreeSet<u64>,
    /// Wanted pictures that came before their turn.
    held: BTreeMap<u64, Held>,
    current: Option<Held>,
    sample: Vec<u8>,
    annex_b: Vec<u8>,
    warnings: Vec<String>,
}

/// One step of decoding.
enum Event {
    /// The picture of this sample can be seen.
    Shown(u32),
    Nothing,
    End,
}

impl Mp4Reader {
    pub(super) fn new(input: &str, file: File, movie: Rc<Movie>, look: Look, thorough: bool) -> Result<Self> {
        let mut decoder = Decoder::new()?;
        if !movie.config.parameter_sets.is_empty() {
            decoder.send(&movie.config.parameter_sets, 0);
            decoder.finish();
        }
        Ok(Self {
            input: input.into(),
            file,
            movie,
            look,
            decoder,
            thorough,
            seekable: !thorough,
            feed: 0,
            next: 0,
            awaited: BTreeSet::new(),
            lost: BTreeSet::new(),
            held: BTreeMap::new(),
            current: None,
            sample: Vec::new(),
            annex_b: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Decodes everything that is left; calls `shown` with every sample that gave a picture.
    pub(super) fn drain(&mut self, shown: &mut dyn FnMut(u32)) -> Result<()> {
        self.thorough = true;
        loop {
            match self.step(&|_, _| true)? {
                Event::Shown(sample) => shown(sample),
                Event::Nothing => {}
                Event::End => return Ok(()),
            }
        }
    }

    /// Sends the next sample, or finishes the last, or flushes.
    fn step(&mut self, wanted: &Wanted<'_>) -> Result<Event> {
        if let Some((tag, step)) = self.decoder.finish() {
            return Ok(self.stepped(tag as u32, step.shown, step.faulty));
        }
        if self.feed < self.movie.samples.len() {
            let sample = self.feed;
            self.feed += 1;
            let picture = self.load(sample)?;
            let rank = self.rank(sample as u32);
            if !picture.whole || picture.foreign {
                self.lose(sample as u32);
                return Ok(Event::Nothing);
            }
            let unwanted = rank.is_none_or(|r| r < self.next || !wanted(r, self.movie.time(r)));
            if picture.disposable && unwanted && !self.thorough {
                return Ok(Event::Nothing);
            }
            self.awaited.insert(sample as u32);
            let step = self.decoder.send(&self.annex_b, sample as u64);
            return Ok(self.stepped(sample as u32, step.shown, step.faulty));
        }
        match self.decoder.flush() {
            Some(tag) => Ok(self.stepped(tag as u32, Some(tag), false)),
            None => {
                for sample in std::mem::take(&mut self.awaited) {
                    self.lose(sample);
                }
                Ok(Event::End)
            }
        }
    }

    fn stepped(&mut self, sent: u32, shown: Option<u64>, faulty: bool) -> Event {
        let shown = shown.map(|tag| tag as u32).filter(|tag| self.awaited.remove(tag));
        if faulty && shown != Some(sent) && self.awaited.remove(&sent) {
            self.lose(sent);
        }
        shown.map_or(Event::Nothing, Event::Shown)
    }

    fn rank(&self, sample: u32) -> Option<u64> {
        self.movie.rank.get(sample as usize).filter(|rank| **rank != HIDDEN).map(|rank| u64::from(*rank))
    }

    fn lose(&mut self, sample: u32) {
        if let Some(rank) = self.rank(sample) {
            self.lost.insert(rank);
            let (lost, time) = (self.lost.len(), self.movie.time(rank));
            self.warnings = vec![format!("{lost} pictures cannot be decoded, the last of them at {time:.2} s")];
        }
    }

    /// Reads a sample and takes it apart, into `annex_b`.
    fn load(&mut self, sample: usize) -> Result<nal::Picture> {
        let Some(s) = self.movie.samples.get(sample) else { return Ok(nal::Picture::default()) };
        if s.size > MAX_SAMPLE {
            return Ok(nal::Picture::default());
        }
        self.sample.resize(s.size as usize, 0);
        let read = self.file.seek(SeekFrom::Start(s.offset)).and_then(|_| self.file.read_exact(&mut self.sample));
        match read {
            Ok(()) => Ok(to_annex_b(&self.sample, &self.movie.config, &mut self.annex_b)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(nal::Picture::default()),
            Err(e) => Err(Error::input(&self.input, format!("cannot be read on: {e}"))),
        }
    }

    /// Passes over what lies before the last picture, up to `sample`, with which decoding can start afresh.
    fn seek(&mut self, sample: usize) -> Result<()> {
        let from = self.feed;
        let key = (from..=sample).rev().find(|&i| self.movie.samples.get(i).is_some_and(|s| s.sync));
        if let Some(key) = key.filter(|key| self.seekable && *key > from) {
            if self.load(key)?.idr {
                self.feed = key;
            } else {
                // An open group of pictures: the container's word is not enough to start at.
                self.seekable = false;
            }
        }
        Ok(())
    }

    /// The first wanted rank from `next` on that is not lost.
    fn target(&self, wanted: &Wanted<'_>) -> Option<u64> {
        (self.next..self.movie.len()).find(|r| !self.lost.contains(r) && wanted(*r, self.movie.time(*r)))
    }

    fn deliver(&mut self, rank: u64, picture: Option<Held>) -> Option<(u64, Seconds)> {
        self.next = rank + 1;
        self.held = self.held.split_off(&self.next);
        self.current = picture;
        Some((rank - self.lost.range(..rank).count() as u64, self.movie.time(rank)))
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
                if let Some(held) = self.held.remove(&target) {
                    return Ok(self.deliver(target, Some(held)));
                }
                match self.step(wanted)? {
                    Event::Shown(sample) => match self.rank(sample) {
                        Some(rank) if rank == target => return Ok(self.deliver(target, None)),
                        Some(rank) if rank > target && wanted(rank, self.movie.time(rank)) => {
                            let held = self.decoder.picture(self.look).as_ref().map(Held::copy);
                            self.held.extend(held.map(|held| (rank, held)));
                        }
                        _ => {}
                    },
                    Event::Nothing => {}
                    Event::End => {
                        self.lost.insert(target);
                    }
                }
                if self.held.len() > MAX_HELD {
                    self.lost.insert(target);
                }
            }
        }
        self.next = self.movie.len();
        Ok(None)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        match &self.current {
            Some(held) => Some(held.picture(self.look)),
            None => self.decoder.picture(self.look),
        }
        .ok_or_else(|| Error::Internal("a picture was asked for before one was decoded".into()))
    }

    fn finish(&mut self) -> Result<bool> {
        if self.thorough {
            return Ok(true);
        }
        if let Some(last) = self.movie.samples.len().checked_sub(1) {
            self.seek(last)?;
        }
        self.drain(&mut |_| {})?;
        Ok(self.lost.is_empty())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
