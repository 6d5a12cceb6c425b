//! Finds long-term reference pictures in slice headers (ITU-T H.264, 7.3.2.2 and 7.3.3).
//!
//! OpenH264 decodes pictures that refer to them wrongly (14 % of the samples of a test stream), without an error.

use std::collections::BTreeMap;

use super::sps::{Bits, Sps, unescape};

/// Why the built-in decoder is not trusted with a stream.
pub(super) const LONG_TERM: &str = "it has long-term reference pictures, which the built-in decoder may decode wrongly";

/// Largest number of entries of a list in a slice header: 16 reference frames, 32 fields.
const MAX_ENTRIES: u32 = 66;

/// The values of a picture parameter set that are needed to read slice headers.
#[derive(Clone, Copy, Debug)]
struct Pps {
    sps: u32,
    bottom_field_order: bool,
    /// Default numbers of reference pictures, for P and for both lists of B.
    references: [u32; 2],
    weighted_p: bool,
    weighted_b: bool,
    redundant_pictures: bool,
}

/// The parameter sets of a stream so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ParameterSets {
    sps: BTreeMap<u32, Sps>,
    pps: BTreeMap<u32, Pps>,
}

impl ParameterSets {
    /// Stores a NAL unit of type 7 or 8. Others and invalid ones are ignored.
    pub(super) fn store(&mut self, nal: &[u8]) {
        match nal.first().map(|header| header & 31) {
            Some(7) => {
                if let Some(sps) = Sps::parse(nal) {
                    self.sps.insert(sps.id, sps);
                }
            }
            Some(8) => {
                if let Some((id, pps)) = parse_pps(nal) {
                    self.pps.insert(id, pps);
                }
            }
            _ => {}
        }
    }

    /// Returns whether a slice (a NAL unit of type 1 or 5) makes a picture a long-term reference or refers to one.
    /// False for a header that cannot be read, whose picture the decoder refuses.
    pub(super) fn has_long_term(&self, nal: &[u8]) -> bool {
        // A slice header is short; the limit also covers its escape bytes.
        let head = unescape(&nal[1.min(nal.len())..nal.len().min(512)]);
        let bits = Bits::new(&head);
        nal.first().and_then(|&header| self.slice_has_long_term(header, bits)).unwrap_or(false)
    }

    fn slice_has_long_term(&self, header: u8, mut bits: Bits<'_>) -> Option<bool> {
        let (idr, reference) = (header & 31 == 5, header & 0x60 != 0);
        bits.ue()?; // first macroblock
        let kind = bits.ue()? % 5;
        let (p, b) = (kind == 0 || kind == 3, kind == 1);
        let pps = self.pps.get(&bits.ue()?)?;
        let sps = self.sps.get(&pps.sps)?;
        if sps.separate_planes {
            bits.take(2)?;
        }
        bits.take(sps.frame_number_bits as usize)?;
        if sps.interlaced && bits.flag()? {
            bits.take(1)?; // bottom field
        }
        if idr {
            bits.ue()?; // id of the IDR picture
        }
        match sps.order_type {
            0 => {
                bits.take(sps.order_bits as usize)?;
                if pps.bottom_field_order {
                    bits.ue()?; // signed, as long as an unsigned one
                }
            }
            1 if !sps.order_always_zero => {
                bits.ue()?;
                if pps.bottom_field_order {
                    bits.ue()?;
                }
            }
            _ => {}
        }
        if pps.redundant_pictures {
            bits.ue()?;
        }
        if b {
            bits.take(1)?; // direct prediction
        }
        let mut references = pps.references;
        if (p || b) && bits.flag()? {
            references[0] = bits.ue()?.checked_add(1)?;
            if b {
                references[1] = bits.ue()?.checked_add(1)?;
            }
        }
        let lists = if b { 2 } else { usize::from(p) };
        for _ in 0..lists {
            if bits.flag()? && list_names_long_term(&mut bits)? {
                return Some(true);
            }
        }
        if (pps.weighted_p && p) || (pps.weighted_b && b) {
            skip_weights(&mut bits, &references[..lists], sps.chroma_format != 0 && !sps.separate_planes)?;
        }
        if !reference {
            return Some(false);
        }
        if idr {
            bits.take(1)?; // whether earlier pictures are output
            return bits.flag();
        }
        if !bits.flag()? {
            return Some(false);
        }
        for _ in 0..MAX_ENTRIES {
            match bits.ue()? {
                0 => return Some(false),
                1 => drop(bits.ue()?),
                // Removes, makes or limits long-term pictures.
                2 | 3 | 4 | 6 => return Some(true),
                _ => {}
            }
        }
        None
    }
}

/// Reads the changes to a list of references; whether they name a long-term picture.
fn list_names_long_term(bits: &mut Bits<'_>) -> Option<bool> {
    for _ in 0..MAX_ENTRIES {
        match bits.ue()? {
            0 | 1 => drop(bits.ue()?),
            2 => return Some(true),
            3 => return Some(false),
            _ => return None,
        }
    }
    None
}

fn skip_weights(bits: &mut Bits<'_>, references: &[u32], chroma: bool) -> Option<()> {
    bits.ue()?; // denominator for luma
    if chroma {
        bits.ue()?;
    }
    for &count in references {
        for _ in 0..count.min(MAX_ENTRIES) {
            if bits.flag()? {
                bits.ue()?; // signed weight and offset
                bits.ue()?;
            }
            if chroma && bits.flag()? {
                for _ in 0..4 {
                    bits.ue()?;
                }
            }
        }
    }
    Some(())
}

fn parse_pps(nal: &[u8]) -> Option<(u32, Pps)> {
    let rbsp = unescape(nal.get(1..)?);
    let mut bits = Bits::new(&rbsp);
    let (id, sps) = (bits.ue()?, bits.ue()?);
    bits.take(1)?; // entropy coding
    let bottom_field_order = bits.flag()?;
    if bits.ue()? != 0 {
        return None; // slice groups, which OpenH264 refuses
    }
    let references = [bits.ue()?.checked_add(1)?, bits.ue()?.checked_add(1)?];
    let (weighted_p, weighted_b) = (bits.flag()?, bits.take(2)? == 1);
    for _ in 0..3 {
        bits.ue()?; // two start values of the quantiser, and the offset of chroma; signed
    }
    bits.take(2)?; // deblocking, constrained intra prediction
    let redundant_pictures = bits.flag()?;
    Some((id, Pps { sps, bottom_field_order, references, weighted_p, weighted_b, redundant_pictures }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits of a string of 0 and 1, with a stop bit, after a header byte.
    fn nal(header: u8, bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').chain(*b"1").map(|b| b - b'0').collect();
        let bytes = bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |n, (i, bit)| n | bit << (7 - i)));
        std::iter::once(header).chain(bytes).collect()
    }

    fn sets() -> ParameterSets {
        let mut sets = ParameterSets::default();
        // Baseline, level 1; id 0; frame numbers of 4 bits; order type 2; 1 reference; 1 x 1 macroblocks, progressive.
        sets.store(&nal(0x67, "01000010 00000000 00001010 1 1 011 010 0 1 1 1 1 0 0"));
        // id 0 of set 0, no field order, one slice group, one reference each, no weights.
        sets.store(&nal(0x68, "1 1 0 0 1 1 1 0 00 1 1 1 0 0 0"));
        assert_eq!((sets.sps.len(), sets.pps.len()), (1, 1));
        sets
    }

    #[test]
    fn long_term_references_are_found() {
        let sets = sets();
        // First macroblock 0, slice type, parameter set 0, frame number, ...
        let idr = |long: &str| nal(0x65, &format!("1 011 1 0000 1 0 {long}"));
        assert!(!sets.has_long_term(&idr("0")));
        assert!(sets.has_long_term(&idr("1")), "an IDR picture as a long-term reference");
        let p = |list: &str, marking: &str| nal(0x61, &format!("1 1 1 0001 0 {list} {marking}"));
        assert!(!sets.has_long_term(&p("0", "0")));
        assert!(!sets.has_long_term(&p("1 1 1 00100", "1 010 1 1")), "short-term pictures are named and removed");
        assert!(sets.has_long_term(&p("1 011 1 00100", "0")), "a list names a long-term picture");
        assert!(sets.has_long_term(&p("0", "1 00111 1 1")), "the picture becomes one");
    }

    #[test]
    fn unreadable_headers_are_no_long_term_references() {
        let sets = sets();
        for bad in [&[][..], &[0x61], &[0x61, 0], &[0x65, 0xff]] {
            assert!(!sets.has_long_term(bad), "{bad:?}");
        }
        assert!(!ParameterSets::default().has_long_term(&nal(0x65, "1 011 1 0000 1 0 1")));
    }
}
