//! A file's video track: its codec, its rotation, and every picture in display order.

use std::fs::File;
use std::io;

use super::boxes::{Fields, Name, child, children, path, payload, top_boxes};
use super::nal::AvcConfig;
use super::samples::{Defaults, Fragments, Sample, samples};
use super::sps::matrix_of;
use crate::picture::{Matrix, PixelAspect, Rotation};
use crate::source::recorded::budget;
use crate::source::timeline::Timeline;
use crate::units::{Seconds, ticks_to_seconds};

/// Maximum size in bytes of the index (`moov`), and of the index of one fragment (`moof`).
const MAX_MOOV: u64 = 256 << 20;
const MAX_MOOF: u64 = 16 << 20;

/// The first video track of a file.
#[derive(Debug)]
pub(super) struct Movie {
    pub(super) config: AvcConfig,
    pub(super) rotation: Rotation,
    /// Range and matrix from the container (`colr`), for streams that do not specify them.
    pub(super) full_range: Option<bool>,
    pub(super) matrix: Option<Matrix>,
    /// Shape of a pixel from the container (`pasp`).
    pub(super) aspect: Option<PixelAspect>,
    /// Ticks per second.
    pub(super) timescale: u32,
    /// In decoding order.
    pub(super) samples: Vec<Sample>,
    /// Numbers of the displayed samples, in display order.
    pub(super) order: Vec<u32>,
    /// The position of each sample in `order`; `HIDDEN` for samples that are never displayed.
    pub(super) rank: Vec<u32>,
    pub(super) warnings: Vec<String>,
    /// How many pictures are lost, and why.
    pub(super) losses: Option<String>,
    /// Why another reader should be used if there is one.
    pub(super) doubt: Option<String>,
}

/// Maximum number of sample descriptions that are read.
const MAX_ENTRIES: u32 = 64;
/// The rank of a sample that is decoded only for others.
pub(super) const HIDDEN: u32 = u32::MAX;

/// The result of parsing a file.
pub(super) enum Parsed {
    Movie(Box<Movie>),
    /// Video that is not decoded here; describes it.
    Unsupported(String),
    /// What is wrong with the file: a sentence without the input's name.
    Broken(String),
    /// Why no reader may read the file: a sentence without the input's name.
    Refused(String),
}

impl Movie {
    /// Parses the index of a file of `length` bytes.
    pub(super) fn parse(file: &mut File, length: u64) -> io::Result<Parsed> {
        let boxes = top_boxes(file, length)?;
        let Some(moov) = boxes.iter().find(|b| &b.name == b"moov") else {
            if boxes.iter().any(|b| &b.name == b"moof") {
                return Ok(Parsed::Broken(
                    "is a media segment without its initialisation (moov); join both: cat init.mp4 segment.m4s > clip.mp4"
                        .into(),
                ));
            }
            return Ok(Parsed::Broken(
                "has no index (moov): the recording was interrupted before it was finished; copy it again, or repair it with \
                 untrunc"
                    .into(),
            ));
        };
        let Some(moov) = payload(file, moov, MAX_MOOV)? else {
            return Ok(Parsed::Broken(
                "has an index (moov) that is truncated or too large; copy the file again".into(),
            ));
        };
        let mut movie = match Self::of_moov(&moov, length) {
            Parsed::Movie(movie) => movie,
            other => return Ok(other),
        };
        let (track, timescale) = (track_of(&moov).unwrap_or_default(), movie.timescale);
        let mvex = child(&moov, b"mvex");
        if let Some(mvex) = mvex {
            // Samples in `moov` next to fragments are rare; where they end is needed only if the first fragment has no
            // time of its own (`tfdt`).
            let end = movie.samples.last().map_or(0, |s| s.shown.saturating_add(s.ticks.into()));
            let mut fragments = Fragments {
                track: track.id,
                defaults: Defaults::of(mvex, track.id),
                next_time: end,
                range: 0,
                samples: &mut movie.samples,
            };
            for moof in boxes.iter().filter(|b| &b.name == b"moof") {
                let Some(bytes) = payload(file, moof, MAX_MOOF)? else { continue };
                if let Err(problem) = fragments.add(&bytes, moof.start) {
                    return Ok(Parsed::Broken(problem));
                }
            }
        }
        // The edit list of a fragmented file was written before its fragments, so it does not say which are displayed.
        let edits = match mvex {
            Some(_) => Edits::default_all(),
            None => Edits::of(track.edits, movie_timescale(&moov), timescale),
        };
        if let Err(problem) = movie.drop_unreadable(length) {
            return Ok(Parsed::Refused(problem));
        }
        movie.order_samples(&edits);
        if movie.order.is_empty() {
            let lost = movie.warnings.first().map(|w| format!(": {w}")).unwrap_or_default();
            return Ok(Parsed::Broken(format!("has no pictures{lost}; copy or record it again")));
        }
        Ok(Parsed::Movie(movie))
    }

    fn of_moov(moov: &[u8], length: u64) -> Parsed {
        let Some(track) = track_of(moov) else {
            return Parsed::Broken("has no video track; is it a sound recording?".into());
        };
        let Some(stbl) = path(track.mdia, &[b"minf", b"stbl"]) else {
            return Parsed::Broken("has a video track without a sample table; copy the file again".into());
        };
        let mut stsd = Fields::new(child(stbl, b"stsd").unwrap_or_default());
        let count = stsd.u32().and(stsd.u32()).unwrap_or(0).min(MAX_ENTRIES);
        // The box may end with padding.
        let entries: Vec<_> = children(stsd.rest()).take(count as usize).collect();
        if entries.iter().any(|(codec, _)| codec == b"encv") {
            return Parsed::Refused("is encrypted (its track has the type encv); decrypt it first".into());
        }
        let (codec, entry) = match entries.first() {
            Some(first) => *first,
            None => return Parsed::Broken("has a video track without a codec; copy the file again".into()),
        };
        if !matches!(&codec, b"avc1" | b"avc3") {
            return Parsed::Unsupported(codec_name(&codec));
        }
        // A visual sample entry has 78 bytes before its boxes.
        let inner = entry.get(78..).unwrap_or_default();
        let Some(config) = child(inner, b"avcC").and_then(AvcConfig::parse) else {
            return Parsed::Broken("has H.264 video without a usable configuration (avcC); copy the file again".into());
        };
        let Some(rotation) = track.rotation else {
            return Parsed::Unsupported("mirrored or tilted video".into());
        };
        if let Some(what) = config.sps.iter().find_map(|(_, sps)| sps.unsupported()) {
            return Parsed::Unsupported(what.into());
        }
        let (full_range, matrix) = container_colours(inner);
        let timescale = child(track.mdia, b"mdhd").and_then(media_timescale).filter(|t| *t > 0).unwrap_or(1);
        match samples(stbl, length) {
            Ok(samples) => Parsed::Movie(Box::new(Self {
                config,
                rotation,
                full_range,
                matrix,
                aspect: container_aspect(inner),
                timescale,
                samples,
                order: Vec::new(),
                rank: Vec::new(),
                warnings: Vec::new(),
                losses: None,
                doubt: (entries.len() > 1).then(|| "its track has several sample descriptions".to_owned()),
            })),
            Err(problem) => Parsed::Broken(problem),
        }
    }

    /// Drops samples that are empty or beyond the end of the file. The error is a sentence without the input's name.
    fn drop_unreadable(&mut self, length: u64) -> Result<(), String> {
        let before = self.samples.len();
        self.samples.retain(|s| s.size > 0);
        let not_empty = self.samples.len();
        self.samples.retain(|s| s.offset.checked_add(s.size.into()).is_some_and(|end| end <= length));
        let (empty, lost) = (before - not_empty, not_empty - self.samples.len());
        if empty > 0 {
            self.warnings.push(format!("{empty} of {before} samples are empty; they were skipped"));
        }
        if lost > 0 {
            let losses = format!("{lost} of {before} pictures are beyond the end of the file, which is truncated");
            self.warnings.push(losses.clone());
            self.losses = Some(losses);
        }
        let claimed = self.samples.iter().fold(0u64, |sum, s| sum.saturating_add(s.size.into()));
        budget::check_claim("bytes of pictures", claimed, length)
    }

    /// Puts the displayed samples in display order.
    fn order_samples(&mut self, edits: &Edits) {
        let shown = |s: &Sample| edits.shows(s.shown);
        let all = !self.samples.iter().any(shown);
        self.order = (0..).zip(&self.samples).filter(|(_, s)| all || shown(s)).map(|(i, _)| i).collect();
        if edits.several {
            self.warnings.push("its edit list has several parts; all pictures are read once, in order".into());
            self.doubt = self.doubt.take().or(Some("its edit list has several parts".into()));
        }
        self.rank_by_order();
        self.correct_times();
    }

    /// Replaces the display times by those of a timeline, in display order.
    fn correct_times(&mut self) {
        let duration = self.samples.first().map(|s| s.ticks.into()).filter(|ticks| *ticks > 0);
        let mut timeline = Timeline::new((1, self.timescale), duration);
        let shown: Vec<i64> = self.order.iter().map(|&i| self.samples[i as usize].shown).collect();
        for (rank, &sample) in self.order.iter().enumerate() {
            let following = shown.get(rank + 1).copied().unwrap_or(shown[rank]);
            self.samples[sample as usize].shown = timeline.next_ticks(Some(shown[rank]), Some(following));
        }
        self.warnings.extend(timeline.warning());
    }

    /// Removes samples from the order for which `good` is false.
    pub(super) fn retain(&mut self, good: &[bool]) {
        self.order.retain(|&i| good.get(i as usize) == Some(&true));
        self.rank_by_order();
    }

    fn rank_by_order(&mut self) {
        let samples = &self.samples;
        self.order.sort_by_key(|&i| (samples[i as usize].range, samples[i as usize].shown, i));
        self.rank = vec![HIDDEN; self.samples.len()];
        for (rank, &sample) in (0..).zip(&self.order) {
            self.rank[sample as usize] = rank;
        }
    }

    /// Number of displayed frames.
    pub(super) fn len(&self) -> u64 {
        self.order.len() as u64
    }

    /// The time of frame `index`; the first one is at 0.
    pub(super) fn time(&self, index: u64) -> Seconds {
        let shown =
            |index: usize| self.order.get(index).and_then(|&i| self.samples.get(i as usize)).map_or(0, |s| s.shown);
        ticks_to_seconds(i128::from(shown(index as usize)) - i128::from(shown(0)), self.timescale)
    }

    /// From the time of the first frame to the end of the last one.
    pub(super) fn duration(&self) -> Seconds {
        let last = self.order.last().and_then(|&i| self.samples.get(i as usize)).map_or(0, |s| s.ticks);
        self.time(self.len().saturating_sub(1)) + ticks_to_seconds(last.into(), self.timescale)
    }
}

/// What is needed of a track before its samples.
#[derive(Clone, Copy, Default)]
struct Track<'a> {
    id: u32,
    /// `None` for a matrix that mirrors or tilts.
    rotation: Option<Rotation>,
    mdia: &'a [u8],
    edits: Option<&'a [u8]>,
}

/// The first video track.
fn track_of(moov: &[u8]) -> Option<Track<'_>> {
    children(moov).filter(|(name, _)| name == b"trak").find_map(|(_, trak)| {
        let mdia = child(trak, b"mdia")?;
        let handler = child(mdia, b"hdlr")?.get(8..12)?;
        (handler == b"vide").then_some(())?;
        let mut f = Fields::new(child(trak, b"tkhd")?);
        let (version, _) = f.version()?;
        f.bytes(if version == 1 { 16 } else { 8 })?;
        let id = f.u32()?;
        f.bytes(if version == 1 { 12 } else { 8 } + 16)?;
        let rotation = rotation(&mut f, movie_matrix(moov));
        Some(Track { id, rotation, mdia, edits: path(trak, &[b"edts", b"elst"]) })
    })
}

/// The four numbers of a display matrix that rotate and mirror: a, b, c, d.
type Turn = [f64; 4];

/// Reads the matrix at this position: nine numbers, of which the third of each row is not used.
fn read_turn(f: &mut Fields<'_>) -> Option<Turn> {
    let (a, b) = (f.i32()?, f.i32()?);
    f.i32()?;
    let (c, d) = (f.i32()?, f.i32()?);
    Some([a, b, c, d].map(|n| f64::from(n) / 65536.0))
}

/// The matrix of the whole movie, which is applied after that of a track.
fn movie_matrix(moov: &[u8]) -> Option<Turn> {
    let mut f = Fields::new(child(moov, b"mvhd")?);
    let (version, _) = f.version()?;
    // Times, timescale, duration; rate, volume and reserved bytes.
    f.bytes(if version == 1 { 28 } else { 16 } + 16)?;
    read_turn(&mut f)
}

/// The rotation by a track's matrix, at the position of `track`, and the movie's. As in ffmpeg, an angle is rounded to
/// whole degrees, and a matrix without an angle does not rotate. `None` if the picture is mirrored or tilted.
fn rotation(track: &mut Fields<'_>, movie: Option<Turn>) -> Option<Rotation> {
    let Some([a, b, c, d]) = read_turn(track) else { return Some(Rotation::None) };
    let [e, f, g, h] = movie.unwrap_or([1.0, 0.0, 0.0, 1.0]);
    let [a, b, c, d] = [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h];
    if a.hypot(c) == 0.0 || b.hypot(d) == 0.0 {
        return Some(Rotation::None);
    }
    let angle = (b / b.hypot(d)).atan2(a / a.hypot(c)).to_degrees().round();
    match angle {
        _ if a * d - b * c < 0.0 => None,
        -1.0..=1.0 => Some(Rotation::None),
        90.0 => Some(Rotation::Quarter),
        180.0 | -180.0 => Some(Rotation::Half),
        -90.0 => Some(Rotation::ThreeQuarters),
        _ => None,
    }
}

fn media_timescale(mdhd: &[u8]) -> Option<u32> {
    let mut f = Fields::new(mdhd);
    let (version, _) = f.version()?;
    f.bytes(if version == 1 { 16 } else { 8 })?;
    f.u32()
}

fn movie_timescale(moov: &[u8]) -> u32 {
    child(moov, b"mvhd").and_then(media_timescale).unwrap_or(0)
}

fn codec_name(codec: &Name) -> String {
    match codec {
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "HEVC (H.265) video".into(),
        b"av01" => "AV1 video".into(),
        b"vp08" | b"vp09" => "VP8 or VP9 video".into(),
        b"mp4v" => "MPEG-4 part 2 video".into(),
        other => format!("video of the codec {:?}", String::from_utf8_lossy(other)),
    }
}

/// Range and matrix from the `colr` box.
fn container_colours(entry: &[u8]) -> (Option<bool>, Option<Matrix>) {
    let Some(colr) = child(entry, b"colr") else { return (None, None) };
    let mut f = Fields::new(colr);
    let kind = f.name();
    f.u32();
    let matrix = f.u16().and_then(|m| matrix_of(m.into()));
    match kind.as_ref() {
        Some(b"nclx") => (f.u8().map(|flags| flags & 0x80 != 0), matrix),
        Some(b"nclc") => (None, matrix),
        _ => (None, None),
    }
}

/// The shape of a pixel from the `pasp` box.
fn container_aspect(entry: &[u8]) -> Option<PixelAspect> {
    let mut f = Fields::new(child(entry, b"pasp")?);
    Some(PixelAspect::new(f.u32()?, f.u32()?))
}

/// The part of a track that is displayed.
#[derive(Debug, Default)]
struct Edits {
    /// In ticks of the track.
    from: i64,
    to: Option<i64>,
    several: bool,
}

impl Edits {
    /// Parses `elst`. Empty edits only shift all times, and the first frame is at 0 here in any case. If there are
    /// several parts, all samples are displayed.
    fn of(elst: Option<&[u8]>, movie_timescale: u32, timescale: u32) -> Self {
        let mut f = Fields::new(elst.unwrap_or_default());
        let Some((version, _)) = f.version() else { return Self::default_all() };
        let count = f.u32().unwrap_or(0);
        let mut parts = Vec::new();
        for _ in 0..count.min(1000) {
            let Some(duration) = f.long(version) else { break };
            let start = if version == 1 { f.u64().map(|s| s as i64) } else { f.i32().map(i64::from) };
            let (Some(start), Some(_rate)) = (start, f.u32()) else { break };
            if start >= 0 {
                parts.push((start, duration));
            }
        }
        match parts.as_slice() {
            [(start, duration)] => {
                // Rounded to the nearest tick, as in ffmpeg: movies often count time in coarser units than tracks.
                let half = u128::from(movie_timescale) / 2;
                let ticks = (u128::from(*duration) * u128::from(timescale) + half).checked_div(movie_timescale.into());
                let to = ticks.filter(|t| *t > 0).and_then(|t| start.checked_add(i64::try_from(t).ok()?));
                Self { from: *start, to, several: false }
            }
            [] => Self::default_all(),
            _ => Self { several: true, ..Self::default_all() },
        }
    }

    fn default_all() -> Self {
        Self { from: i64::MIN, to: None, several: false }
    }

    fn shows(&self, shown: i64) -> bool {
        shown >= self.from && self.to.is_none_or(|to| shown < to)
    }
}
