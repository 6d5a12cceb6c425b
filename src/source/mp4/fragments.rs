//! Samples of fragmented files: `moof` boxes, each with runs of pictures.

use super::boxes::{Fields, child, children};
use super::table::{MAX_SAMPLES, Sample, too_many};

/// What holds for a track's samples where a fragment does not say otherwise (`trex`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    ticks: u32,
    size: u32,
    flags: u32,
}

impl Defaults {
    /// Finds those of `track` in `mvex`.
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

/// A sample whose flags have this bit set needs others before it.
const NOT_SYNC: u32 = 0x1_0000;

/// Collects a track's samples from fragments.
pub(super) struct Fragments<'a> {
    pub(super) track: u32,
    pub(super) defaults: Defaults,
    /// Decoding time of the next sample, in ticks.
    pub(super) decoded: i64,
    pub(super) samples: &'a mut Vec<Sample>,
}

impl Fragments<'_> {
    /// Adds the samples of one `moof` that begins at `start` in the file.
    pub(super) fn add(&mut self, moof: &[u8], start: u64) -> Result<(), String> {
        // Where a track fragment names no base, data follow those of the one before.
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
        let ours = track == self.track;
        if let Some(tfdt) = child(traf, b"tfdt").filter(|_| ours) {
            let mut f = Fields::new(tfdt);
            let decoded = f.version().and_then(|(version, _)| f.long(version));
            self.decoded = decoded.and_then(|d| i64::try_from(d).ok()).unwrap_or(self.decoded);
        }
        let mut next = *base;
        for (name, trun) in children(traf) {
            if name == b"trun".as_slice() {
                self.add_run(trun, *base, &mut next, defaults, ours)?;
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
        ours: bool,
    ) -> Result<(), String> {
        let mut f = Fields::new(trun);
        let (Some((_, flags)), Some(count)) = (f.version(), f.u32()) else { return Ok(()) };
        let has = |bit: u32| flags & bit != 0;
        if has(0x1) {
            let offset = f.i32().unwrap_or(0);
            *next = base.checked_add_signed(offset.into()).ok_or("a fragment lies before the beginning of the file")?;
        }
        let first_flags = if has(0x4) { f.u32() } else { None };
        let fields = [0x100, 0x200, 0x400, 0x800].map(has);
        let width = fields.iter().filter(|there| **there).count() * 4;
        let count = f.rest().len().checked_div(width).map_or(count as usize, |there| there.min(count as usize));
        if ours && self.samples.len().saturating_add(count) > MAX_SAMPLES {
            return Err(too_many());
        }
        for i in 0..if ours || width > 0 { count } else { 0 } {
            let mut field = |there: bool| if there { f.u32() } else { None };
            let ticks = field(fields[0]).unwrap_or(defaults.ticks);
            let size = field(fields[1]).unwrap_or(defaults.size);
            let own = field(fields[2]);
            let delay = field(fields[3]).unwrap_or(0) as i32;
            let flags = own.or(first_flags.filter(|_| i == 0)).unwrap_or(defaults.flags);
            if ours {
                let shown = self.decoded.saturating_add(delay.into());
                self.samples.push(Sample { offset: *next, size, sync: flags & NOT_SYNC == 0, shown, ticks });
                self.decoded = self.decoded.saturating_add(ticks.into());
            }
            *next = next.checked_add(size.into()).ok_or("a fragment reaches beyond any file")?;
        }
        if !ours && width == 0 {
            *next = next.saturating_add(u64::from(defaults.size).saturating_mul(count as u64));
        }
        Ok(())
    }
}
