//! Reads the position, time and size of each coded picture, from the sample table (`stbl`) and from fragments (`moof`).

use super::boxes::{Fields, child, children};
use crate::source::recorded::budget;

/// Maximum number of pictures of a track: 46 hours at 24 per second.
const MAX_SAMPLES: usize = 4_000_000;

/// One coded picture, in decoding order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Position in the file.
    pub(super) offset: u64,
    pub(super) size: u32,
    /// The container specifies that decoding can start here.
    pub(super) sync: bool,
    /// Display time in ticks of the track.
    pub(super) shown: i64,
    /// The number of the range of times that the sample belongs to. Times begin again in each.
    pub(super) range: u32,
    /// Duration in ticks of the track.
    pub(super) ticks: u32,
}

/// Reads the sample table of a track (`stbl`) of a file of `length` bytes. The error is a sentence without the input's
/// name.
pub(super) fn samples(stbl: &[u8], length: u64) -> Result<Vec<Sample>, String> {
    let mut samples = read_sizes(stbl, length)?;
    set_offsets(stbl, &mut samples)?;
    set_times(stbl, &mut samples);
    set_sync(stbl, &mut samples);
    Ok(samples)
}

fn too_many() -> String {
    format!("has more than {MAX_SAMPLES} pictures; cut it into parts first")
}

/// Makes samples with the sizes in `stsz` or `stz2`.
fn read_sizes(stbl: &[u8], length: u64) -> Result<Vec<Sample>, String> {
    let sample = |size: u32| Sample { offset: 0, size, sync: true, shown: 0, range: 0, ticks: 0 };
    let mut samples = Vec::new();
    if let Some(stsz) = child(stbl, b"stsz") {
        let mut f = Fields::new(stsz);
        let (_, all, count) = (f.u32(), f.u32().unwrap_or(0), f.u32().unwrap_or(0));
        if count as usize > MAX_SAMPLES {
            return Err(too_many());
        }
        if all > 0 {
            budget::check_claim("pictures", count.into(), length)?;
            samples.resize(count as usize, sample(all));
        } else {
            samples.extend(f.table(count, 4).filter_map(|e| Fields::new(e).u32().map(sample)));
        }
    } else if let Some(stz2) = child(stbl, b"stz2") {
        let mut f = Fields::new(stz2);
        let (_, width, count) = (f.u32(), f.u32().unwrap_or(0) & 0xff, f.u32().unwrap_or(0));
        if count as usize > MAX_SAMPLES {
            return Err(too_many());
        }
        match width {
            4 => samples.extend(f.rest().iter().flat_map(|b| [sample(u32::from(b >> 4)), sample(u32::from(b & 15))])),
            8 => samples.extend(f.rest().iter().map(|b| sample(u32::from(*b)))),
            16 => samples.extend(f.table(count, 2).filter_map(|e| Fields::new(e).u16().map(|s| sample(s.into())))),
            _ => {}
        }
        samples.truncate(count as usize);
    }
    Ok(samples)
}

/// Sets positions from `stsc` and `stco` or `co64`. Samples without a position are dropped.
fn set_offsets(stbl: &[u8], samples: &mut Vec<Sample>) -> Result<(), String> {
    let entries = |name, width| {
        let mut f = Fields::new(child(stbl, name).unwrap_or_default());
        let count = f.u32().and(f.u32()).unwrap_or(0);
        f.table(count, width).map(Fields::new)
    };
    let chunks: Vec<u64> = match child(stbl, b"co64") {
        Some(_) => entries(b"co64", 8).filter_map(|mut f| f.u64()).collect(),
        None => entries(b"stco", 4).filter_map(|mut f| f.u32().map(u64::from)).collect(),
    };
    // First chunk of a run, and the number of samples in each of its chunks.
    let runs: Vec<(u32, u32)> = entries(b"stsc", 12).filter_map(|mut f| Some((f.u32()?, f.u32()?))).collect();
    let mut placed = 0;
    let mut run = 0;
    'chunks: for (number, &chunk) in (1u32..).zip(&chunks) {
        while runs.get(run + 1).is_some_and(|(first, _)| *first <= number) {
            run += 1;
        }
        let Some(&(_, per_chunk)) = runs.get(run) else { break };
        let mut offset = chunk;
        for _ in 0..per_chunk {
            let Some(sample) = samples.get_mut(placed) else { break 'chunks };
            sample.offset = offset;
            offset =
                offset.checked_add(sample.size.into()).ok_or("has an index that refers to data beyond any file")?;
            placed += 1;
        }
    }
    samples.truncate(placed);
    Ok(())
}

/// Sets times from `stts` and `ctts`.
fn set_times(stbl: &[u8], samples: &mut [Sample]) {
    let runs = |name| {
        let mut f = Fields::new(child(stbl, name).unwrap_or_default());
        let count = f.u32().and(f.u32()).unwrap_or(0);
        f.table(count, 8).filter_map(|e| {
            let mut f = Fields::new(e);
            Some((f.u32()?, f.i32()?))
        })
    };
    let repeated = |(count, value): (u32, i32)| std::iter::repeat_n(value, count as usize);
    // If the table ends early, the last duration is used for the remaining pictures.
    let mut duration = 1u32;
    let mut ticks = runs(b"stts").flat_map(repeated);
    let mut delays = runs(b"ctts").flat_map(repeated);
    let mut decoding_time = 0i64;
    for sample in samples {
        // Durations are unsigned; some writers put negative ones there, which ffmpeg reads as 1 as well.
        duration = ticks.next().map_or(duration, |t| u32::try_from(t).unwrap_or(1));
        sample.ticks = duration;
        sample.shown = decoding_time.saturating_add(delays.next().unwrap_or(0).into());
        decoding_time = decoding_time.saturating_add(duration.into());
    }
}

/// Marks sync samples from `stss`; without it every sample is one.
fn set_sync(stbl: &[u8], samples: &mut [Sample]) {
    let Some(stss) = child(stbl, b"stss") else { return };
    samples.iter_mut().for_each(|s| s.sync = false);
    let mut f = Fields::new(stss);
    let count = f.u32().and(f.u32()).unwrap_or(0);
    for number in f.table(count, 4).filter_map(|e| Fields::new(e).u32()) {
        if let Some(sample) = (number as usize).checked_sub(1).and_then(|i| samples.get_mut(i)) {
            sample.sync = true;
        }
    }
}

/// Defaults of a track's samples in fragments (`trex`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    ticks: u32,
    size: u32,
    flags: u32,
}

impl Defaults {
    /// Finds the defaults of `track` in `mvex`.
    pub(super) fn of(mvex: &[u8], track: u32) -> Self {
        children(mvex)
            .filter(|(name, _)| name == b"trex")
            .find_map(|(_, bytes)| {
                let mut f = Fields::new(bytes);
                f.u32()?;
                (f.u32()? == track).then_some(())?;
                f.u32()?;
                Some(Self { ticks: f.u32()?, size: f.u32()?, flags: f.u32()? })
            })
            .unwrap_or_default()
    }
}

/// Flag of a sample that needs others before it.
const NOT_SYNC: u32 = 0x1_0000;

/// Collects a track's samples from fragments.
pub(super) struct Fragments<'a> {
    pub(super) track: u32,
    pub(super) defaults: Defaults,
    /// Decoding time of the next sample, in ticks.
    pub(super) next_time: i64,
    /// The number of the current range of times.
    pub(super) range: u32,
    pub(super) samples: &'a mut Vec<Sample>,
}

impl Fragments<'_> {
    /// Adds the samples of one `moof` that starts at `start` in the file.
    pub(super) fn add(&mut self, moof: &[u8], start: u64) -> Result<(), String> {
        // If a track fragment has no base offset, its data follow those of the previous one.
        let mut base = start;
        for (name, traf) in children(moof) {
            if name == b"traf".as_slice() {
                self.add_track(traf, start, &mut base)?;
            }
        }
        Ok(())
    }

    fn add_track(&mut self, traf: &[u8], moof: u64, base: &mut u64) -> Result<(), String> {
        let Some(tfhd) = child(traf, b"tfhd") else { return Ok(()) };
        let mut f = Fields::new(tfhd);
        let (Some((_, flags)), Some(track)) = (f.version(), f.u32()) else { return Ok(()) };
        let mut defaults = self.defaults;
        let has = |bit: u32| flags & bit != 0;
        if has(0x1) {
            *base = f.u64().unwrap_or(moof);
        } else if has(0x2_0000) {
            *base = moof;
        }
        if has(0x2) {
            f.u32();
        }
        for (bit, field) in [(0x8, &mut defaults.ticks), (0x10, &mut defaults.size), (0x20, &mut defaults.flags)] {
            if has(bit) {
                *field = f.u32().unwrap_or(*field);
            }
        }
        let selected = track == self.track;
        if let Some(tfdt) = child(traf, b"tfdt").filter(|_| selected) {
            let mut f = Fields::new(tfdt);
            let time = f.version().and_then(|(version, _)| f.long(version));
            let time = time.and_then(|t| i64::try_from(t).ok()).unwrap_or(self.next_time);
            // A fragment from before the last sample belongs to another recording in the same file.
            let last_ticks = self.samples.last().map_or(0, |s| i64::from(s.ticks));
            if time < self.next_time.saturating_sub(last_ticks) {
                self.range = self.range.saturating_add(1);
            }
            self.next_time = time;
        }
        let mut next = *base;
        for (name, trun) in children(traf) {
            if name == b"trun".as_slice() {
                self.add_run(trun, *base, &mut next, defaults, selected)?;
            }
        }
        *base = next;
        Ok(())
    }

    fn add_run(
        &mut self,
        trun: &[u8],
        base: u64,
        next: &mut u64,
        defaults: Defaults,
        selected: bool,
    ) -> Result<(), String> {
        let mut f = Fields::new(trun);
        let (Some((_, flags)), Some(count)) = (f.version(), f.u32()) else { return Ok(()) };
        let has = |bit: u32| flags & bit != 0;
        if has(0x1) {
            let offset = f.i32().unwrap_or(0);
            *next = base
                .checked_add_signed(offset.into())
                .ok_or("has a fragment that refers to data before the start of the file")?;
        }
        let first_flags = if has(0x4) { f.u32() } else { None };
        let fields = [0x100, 0x200, 0x400, 0x800].map(has);
        let width = fields.iter().filter(|there| **there).count() * 4;
        let count = f.rest().len().checked_div(width).map_or(count as usize, |there| there.min(count as usize));
        if selected && self.samples.len().saturating_add(count) > MAX_SAMPLES {
            return Err(too_many());
        }
        for i in 0..if selected || width > 0 { count } else { 0 } {
            let mut field = |there: bool| if there { f.u32() } else { None };
            let ticks = field(fields[0]).unwrap_or(defaults.ticks);
            let size = field(fields[1]).unwrap_or(defaults.size);
            let own = field(fields[2]);
            let delay = field(fields[3]).unwrap_or(0) as i32;
            let flags = own.or(first_flags.filter(|_| i == 0)).unwrap_or(defaults.flags);
            if selected {
                let shown = self.next_time.saturating_add(delay.into());
                self.samples.push(Sample {
                    offset: *next,
                    size,
                    sync: flags & NOT_SYNC == 0,
                    shown,
                    range: self.range,
                    ticks,
                });
                self.next_time = self.next_time.saturating_add(ticks.into());
            }
            *next = next.checked_add(size.into()).ok_or("has a fragment that refers to data beyond any file")?;
        }
        if !selected && width == 0 {
            *next = next.saturating_add(u64::from(defaults.size).saturating_mul(count as u64));
        }
        Ok(())
    }
}
