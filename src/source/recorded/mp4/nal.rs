//! Converts coded pictures from the MP4 form (lengths before NAL units) to the decoder's form (start codes).

use super::boxes::Fields;
use super::slice::ParameterSets;
use super::sps::Sps;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Maximum number of slices of a picture. OpenH264 takes time in proportion to the square of their number: 12 s for
/// 8,160 of them. Encoders make a slice per row of macroblocks at most, or one per packet.
const MAX_SLICES: usize = 1_000;

/// The contents of `avcC`: the size of NAL unit lengths, and the parameter sets.
#[derive(Debug)]
pub(super) struct AvcConfig {
    length_bytes: usize,
    /// Parameter sets with start codes, to be sent before any picture.
    pub(super) parameter_sets: Vec<u8>,
    /// Sequence parameter sets: stored bytes and parsed values.
    pub(super) sps: Vec<(Vec<u8>, Sps)>,
    /// All parameter sets, to read slice headers.
    pub(super) known_sets: ParameterSets,
}

impl AvcConfig {
    /// `None` if the box is truncated or a parameter set is invalid.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut f = Fields::new(bytes);
        f.bytes(4)?;
        let length_bytes = usize::from(f.u8()? & 3) + 1;
        let (parameter_sets, sps, known_sets) = (Vec::new(), Vec::new(), ParameterSets::default());
        let mut config = Self { length_bytes, parameter_sets, sps, known_sets };
        for _ in 0..f.u8()? & 31 {
            let nal = config.parameter_set(&mut f)?;
            config.sps.push((nal.to_vec(), Sps::parse(nal)?));
        }
        for _ in 0..f.u8().unwrap_or(0) {
            let nal = config.parameter_set(&mut f)?;
            // A decoder goes by the type, not by the list in which a parameter set stands.
            if nal.first().is_some_and(|header| header & 31 == 7) {
                config.sps.push((nal.to_vec(), Sps::parse(nal)?));
            }
        }
        Some(config)
    }

    /// Reads one parameter set and appends it with a start code.
    fn parameter_set<'a>(&mut self, f: &mut Fields<'a>) -> Option<&'a [u8]> {
        let size = f.u16()?;
        let nal = f.bytes(size.into()).filter(|nal| !has_start_code(nal))?;
        self.parameter_sets.extend_from_slice(&START_CODE);
        self.parameter_sets.extend_from_slice(nal);
        self.known_sets.store(nal);
        Some(nal)
    }
}

/// Properties of a coded picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CodedPicture {
    /// Decoding can start here.
    pub(super) idr: bool,
    /// No other picture refers to it.
    pub(super) disposable: bool,
    /// Its NAL units fill it exactly, and there are slices among them.
    pub(super) complete: bool,
    /// It contains a sequence parameter set that is not supported, or too many slices.
    pub(super) unsupported: bool,
    /// It is a long-term reference, or refers to one.
    pub(super) long_term: bool,
}

/// Writes the slices and parameter sets of `sample` to `out`, with start codes, and stores parameter sets in `sets`.
pub(super) fn to_annex_b(
    sample: &[u8],
    config: &AvcConfig,
    sets: &mut ParameterSets,
    out: &mut Vec<u8>,
) -> CodedPicture {
    out.clear();
    let mut picture = CodedPicture { disposable: true, ..CodedPicture::default() };
    let mut slices = 0;
    let mut rest = sample;
    while !rest.is_empty() {
        let Some((length, after)) = rest.split_at_checked(config.length_bytes) else { return picture };
        let length = length.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        let Some((nal, after)) = after.split_at_checked(length) else { return picture };
        rest = after;
        // Some recorders put several units into one.
        for nal in units_within(nal) {
            let Some(&header) = nal.first() else { continue };
            let kind = header & 31;
            match kind {
                1 | 5 => {
                    // The headers of all slices of a picture agree in this.
                    picture.long_term |= slices == 0 && sets.has_long_term(nal);
                    slices += 1;
                    picture.idr |= kind == 5;
                    picture.disposable &= header & 0x60 == 0;
                }
                7 => {
                    let listed = config.sps.iter().any(|(stored, _)| stored == nal);
                    picture.unsupported |= !listed && Sps::parse(nal).is_none_or(|sps| sps.unsupported().is_some());
                    sets.store(nal);
                }
                8 => sets.store(nal),
                // Messages, delimiters, and extensions that this decoder does not support.
                _ => continue,
            }
            out.extend_from_slice(&START_CODE);
            out.extend_from_slice(nal);
        }
    }
    picture.complete = slices > 0 && header_is_valid(out);
    picture.unsupported |= slices > MAX_SLICES;
    picture
}

/// Returns whether a decoder would find another NAL unit within this one. Encoders prevent that (ITU-T H.264, 7.4.1).
fn has_start_code(nal: &[u8]) -> bool {
    nal.windows(3).any(|bytes| bytes == [0, 0, 1])
}

/// Splits a NAL unit as a decoder does: at start codes within it, which are not counted as data, nor are zeros before them.
fn units_within(nal: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(nal);
    std::iter::from_fn(move || {
        let bytes = rest.take()?;
        let Some(at) = bytes.windows(3).position(|bytes| bytes == [0, 0, 1]) else { return Some(bytes) };
        rest = Some(&bytes[at + 3..]);
        let end = bytes[..at].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&bytes[..end])
    })
}

/// Returns whether the first bit of the first NAL unit is 0, as it must be.
fn header_is_valid(annex_b: &[u8]) -> bool {
    annex_b.get(START_CODE.len()).is_some_and(|header| header & 0x80 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> AvcConfig {
        AvcConfig { length_bytes: 2, parameter_sets: Vec::new(), sps: Vec::new(), known_sets: ParameterSets::default() }
    }

    #[test]
    fn lengths_become_start_codes_and_messages_are_removed() {
        let mut out = Vec::new();
        let sample = [0, 2, 0x06, 9, 0, 2, 0x65, 1, 0, 1, 0x41];
        let picture = to_annex_b(&sample, &config(), &mut ParameterSets::default(), &mut out);
        assert_eq!(out, [0, 0, 0, 1, 0x65, 1, 0, 0, 0, 1, 0x41]);
        assert_eq!(picture, CodedPicture { idr: true, complete: true, ..CodedPicture::default() });
    }

    #[test]
    fn a_picture_without_references_to_it_is_disposable() {
        let mut out = Vec::new();
        assert!(to_annex_b(&[0, 2, 0x01, 1], &config(), &mut ParameterSets::default(), &mut out).disposable);
        assert!(!to_annex_b(&[0, 2, 0x21, 1], &config(), &mut ParameterSets::default(), &mut out).disposable);
    }

    #[test]
    fn a_picture_of_very_many_slices_is_not_decoded_here() {
        let mut out = Vec::new();
        for (slices, unsupported) in [(MAX_SLICES, false), (MAX_SLICES + 1, true)] {
            let sample = [0, 2, 0x01, 1].repeat(slices);
            let picture = to_annex_b(&sample, &config(), &mut ParameterSets::default(), &mut out);
            assert!(picture.complete && picture.unsupported == unsupported);
        }
    }

    #[test]
    fn parameter_sets_cannot_avoid_their_check() {
        let mut out = Vec::new();
        // A slice with a start code and a sequence parameter set within.
        let sample = [0, 8, 0x65, 1, 0, 0, 1, 0x67, 1, 2];
        assert!(to_annex_b(&sample, &config(), &mut ParameterSets::default(), &mut out).unsupported);
        // A slice with a message behind it, which is left out.
        let sample = [0, 10, 0x65, 1, 0, 0, 0, 1, 0x06, 5, 4, 3];
        let picture = to_annex_b(&sample, &config(), &mut ParameterSets::default(), &mut out);
        assert!(!picture.unsupported && picture.complete && out == [0, 0, 0, 1, 0x65, 1], "{out:?}");
        let avcc = |sps: &[&[u8]], pps: &[&[u8]]| {
            let list = |sets: &[&[u8]]| sets.iter().flat_map(|set| [&[0, set.len() as u8], *set].concat()).collect();
            let lists: [Vec<u8>; 2] = [list(sps), list(pps)];
            let bytes = [&[1, 66, 0, 10, 0xff, 0xe0 | sps.len() as u8][..], &lists[0], &[pps.len() as u8], &lists[1]];
            AvcConfig::parse(&bytes.concat())
        };
        // Baseline profile, level 1: id 0, frame numbers of 4 bits, order type 2, one reference, 1 x 1 macroblocks.
        let sps = [0x67, 66, 0, 10, 0b1101_1010, 0b0111_0001];
        let pps = [0x68, 0xce, 0x38, 0x80];
        let two = avcc(&[&sps], &[&pps, &sps]).expect("a configuration");
        assert_eq!(two.sps.len(), 2, "a sequence parameter set in the other list is checked as well");
        assert!(avcc(&[&sps], &[&[0x68, 0, 0, 1, 0x67]]).is_none());
    }

    #[test]
    fn a_truncated_sample_is_not_complete() {
        let mut out = Vec::new();
        for cut in [&[0, 9, 0x65][..], &[0], &[0, 1, 0x65, 0], &[], &[0, 1, 0x09]] {
            assert!(!to_annex_b(cut, &config(), &mut ParameterSets::default(), &mut out).complete, "{cut:?}");
        }
    }
}
