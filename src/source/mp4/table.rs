//! The sample table: where each coded picture lies, when it is shown and whether decoding can begin there.

use super::boxes::{Fields, child};

/// Most pictures of a track: 46 hours at 24 a second.
pub(super) const MAX_SAMPLES: usize = 4_000_000;

/// One coded picture, in the order of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Where it lies in the file.
    pub(super) offset: u64,
    pub(super) size: u32,
    /// The container says that decoding can begin here.
    pub(super) sync: bool,
    /// When it is shown, in ticks of the track.
    pub(super) shown: i64,
    /// For how long, in ticks of the track.
    pub(super) ticks: u32,
}

/// Reads the sample table of a track (`stbl`). The error is a sentence without the name of the input.
pub(super) fn samples(stbl: &[u8]) -> Result<Vec<Sample>, String> {
    let mut samples = sized(stbl)?;
    place(stbl, &mut samples)?;
    time(stbl, &mut samples);
    mark_sync(stbl, &mut samples);
    Ok(samples)
}

pub(super) fn too_many() -> String {
    format!("has more than {MAX_SAMPLES} pictures; cut it into parts first")
}

/// Sizes, from `stsz` or `stz2`.
fn sized(stbl: &[u8]) -> Result<Vec<Sample>, String> {
    let sample = |size: u32| Sample { offset: 0, size, sync: true, shown: 0, ticks: 0 };
    let mut samples = Vec::new();
    if let Some(stsz) = child(stbl, b"stsz") {
        let mut f = Fields::new(stsz);
        let (_, all, count) = (f.u32(), f.u32().unwrap_or(0), f.u32().unwrap_or(0));
        if count as usize > MAX_SAMPLES {
            return Err(too_many());
        }
        if all > 0 {
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

/// Places, from `stsc` and `stco` or `co64`. Samples without a place are dropped.
fn place(stbl: &[u8], samples: &mut Vec<Sample>) -> Result<(), String> {
    let entries = |name, width| {
        let mut f = Fields::new(child(stbl, name).unwrap_or_default());
        let count = f.u32().and(f.u32()).unwrap_or(0);
        f.table(count, width).map(Fields::new)
    };
    let chunks: Vec<u64> = match child(stbl, b"co64") {
        Some(_) => entries(b"co64", 8).filter_map(|mut f| f.u64()).collect(),
        None => entries(b"stco", 4).filter_map(|mut f| f.u32().map(u64::from)).collect(),
    };
    // First chunk of a run, and samples in each of its chunks.
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
            offset = offset.checked_add(sample.size.into()).ok_or("its index places pictures beyond any file")?;
            placed += 1;
        }
    }
    samples.truncate(placed);
    Ok(())
}

/// Times, from `stts` and `ctts`.
fn time(stbl: &[u8], samples: &mut [Sample]) {
    let runs = |name| {
        let mut f = Fields::new(child(stbl, name).unwrap_or_default());
        let count = f.u32().and(f.u32()).unwrap_or(0);
        f.table(count, 8).filter_map(|e| {
            let mut f = Fields::new(e);
            Some((f.u32()?, f.i32()?))
        })
    };
    let spread = |(count, value): (u32, i32)| std::iter::repeat_n(value, count as usize);
    // Where the table ends early, pictures go on at the last pace.
    let mut pace = 1u32;
    let mut ticks = runs(b"stts").flat_map(spread);
    let mut delays = runs(b"ctts").flat_map(spread);
    let mut decoded = 0i64;
    for sample in samples {
        // Durations are unsigned; a few writers put negative ones there, which ffmpeg takes for 1 as well.
        pace = ticks.next().map_or(pace, |t| u32::try_from(t).unwrap_or(1));
        sample.ticks = pace;
        sample.shown = decoded.saturating_add(delays.next().unwrap_or(0).into());
        decoded = decoded.saturating_add(pace.into());
    }
}

/// Sync samples, from `stss`; without it every sample is one.
fn mark_sync(stbl: &[u8], samples: &mut [Sample]) {
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
