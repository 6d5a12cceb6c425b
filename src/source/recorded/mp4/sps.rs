//! Parses the sequence parameter set of H.264: the properties of its pictures (ITU-T H.264, 7.3.2.1 and annex E).

use crate::picture::{Matrix, PixelAspect};

/// Maximum size of a picture, and of all reference pictures together, of any level (table A-1, level 6.2), in
/// macroblocks.
const MAX_FRAME_MBS: u64 = 139_264;
const MAX_DPB_MBS: u64 = 696_320;

/// The values of a parameter set that are needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) id: u32,
    pub(super) profile: u8,
    /// 0 gray, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub(super) chroma_format: u32,
    pub(super) separate_planes: bool,
    pub(super) bit_depth: u32,
    /// Length in bits of frame numbers.
    pub(super) frame_number_bits: u32,
    /// How the display order is coded: 0, 1 or 2.
    pub(super) order_type: u32,
    /// Length in bits of the display order of type 0.
    pub(super) order_bits: u32,
    /// The display order of type 1 has no differences.
    pub(super) order_always_zero: bool,
    pub(super) interlaced: bool,
    /// Width and height after cropping.
    pub(super) width: u32,
    pub(super) height: u32,
    /// `None` if it is not specified.
    pub(super) full_range: Option<bool>,
    pub(super) matrix: Option<Matrix>,
    pub(super) aspect: Option<PixelAspect>,
}

impl Sps {
    /// Parses a NAL unit of type 7, including its header byte. `None` if it is invalid or needs more memory than any
    /// level allows.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(1..)?);
        let mut bits = Bits::new(&rbsp);
        let profile = bits.take(8)? as u8;
        bits.take(16)?; // constraints and level
        let id = bits.ue()?;
        let (mut chroma_format, mut bit_depth, mut separate_planes) = (1, 8, false);
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma_format = bits.ue()?;
            if chroma_format == 3 {
                separate_planes = bits.flag()?;
            }
            bit_depth = bits.ue()?.max(bits.ue()?).checked_add(8)?;
            bits.take(1)?; // lossless transform bypass
            if bits.flag()? {
                for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        bits.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        let frame_number_bits = bits.ue()?.checked_add(4)?;
        let order_type = bits.ue()?;
        let (mut order_bits, mut order_always_zero) = (0, false);
        match order_type {
            0 => order_bits = bits.ue()?.checked_add(4)?,
            1 => {
                order_always_zero = bits.flag()?;
                bits.ue()?; // two signed offsets, as long as unsigned ones
                bits.ue()?;
                let cycle = bits.ue()?;
                if cycle > 255 {
                    return None;
                }
                for _ in 0..cycle {
                    bits.ue()?;
                }
            }
            2 => {}
            _ => return None,
        }
        if frame_number_bits > 16 || order_bits > 16 {
            return None;
        }
        let references = bits.ue()?;
        bits.take(1)?; // gaps in frame numbers
        let (mbs_wide, map_units_high) = (u64::from(bits.ue()?) + 1, u64::from(bits.ue()?) + 1);
        let interlaced = !bits.flag()?;
        if interlaced {
            bits.take(1)?;
        }
        let mbs_high = map_units_high * if interlaced { 2 } else { 1 };
        let frame_mbs = mbs_wide.checked_mul(mbs_high)?;
        if frame_mbs > MAX_FRAME_MBS || frame_mbs * u64::from(references) > MAX_DPB_MBS || references > 16 {
            return None;
        }
        bits.take(1)?; // direct 8x8 inference
        let (mut width, mut height) = (mbs_wide * 16, mbs_high * 16);
        if bits.flag()? {
            let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
            let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
            let unit_y = if chroma_format == 1 { 2 } else { 1 } * if interlaced { 2 } else { 1 };
            width = width.checked_sub((u64::from(left) + u64::from(right)) * unit_x)?;
            height = height.checked_sub((u64::from(top) + u64::from(bottom)) * unit_y)?;
        }
        if width == 0 || height == 0 {
            return None;
        }
        // If a parameter set is truncated within these optional fields, they count as not specified.
        let (mut aspect, mut colours) = (None, None);
        if bits.flag() == Some(true) {
            aspect = bits.aspect();
            colours = bits.colours();
        }
        let (full_range, matrix) = colours.unwrap_or_default();
        let (width, height) = (width as u32, height as u32);
        Some(Self {
            id,
            profile,
            chroma_format,
            separate_planes,
            bit_depth,
            frame_number_bits,
            order_type,
            order_bits,
            order_always_zero,
            interlaced,
            width,
            height,
            full_range,
            matrix,
            aspect,
        })
    }

    /// Describes the video if the decoder does not support it.
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        if self.chroma_format == 0 || self.chroma_format > 1 {
            Some(match self.chroma_format {
                0 => "H.264 in gray (4:0:0)",
                2 => "H.264 with 4:2:2 chroma",
                _ => "H.264 with 4:4:4 chroma",
            })
        } else if self.bit_depth > 8 {
            Some("H.264 with more than 8 bits per sample")
        } else if self.interlaced {
            Some("interlaced H.264")
        } else if !matches!(self.profile, 66 | 77 | 88 | 100) {
            Some("H.264 of an uncommon profile")
        } else {
            None
        }
    }
}

/// Shapes of pixels by number, from 1 (ITU-T H.264, table E-1).
const ASPECTS: [(u32, u32); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Matrix coefficients as numbered by ITU-T H.273.
pub(super) fn matrix_of(coefficients: u32) -> Option<Matrix> {
    match coefficients {
        1 => Some(Matrix::Bt709),
        4..=6 => Some(Matrix::Bt601),
        9 | 10 => Some(Matrix::Bt2020),
        _ => None,
    }
}

/// Removes emulation prevention bytes (00 00 03 is 00 00).
pub(super) fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut rbsp = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    rbsp
}

/// Reads bits forward; `None` past the end.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32.
    pub(super) fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0u64;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u64::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        u32::try_from(value).ok()
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// An unsigned Exp-Golomb number; signed numbers have as many bits.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        i32::try_from(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) }).ok()
    }

    fn skip_scaling_list(&mut self, size: usize) -> Option<()> {
        let (mut last, mut next) = (8i32, 8i32);
        for _ in 0..size {
            if next != 0 {
                next = last.wrapping_add(self.se()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }

    /// The shape of a pixel from the usability information (VUI) that starts here.
    fn aspect(&mut self) -> Option<PixelAspect> {
        if !self.flag()? {
            return None;
        }
        let (width, height) = match self.take(8)? {
            255 => (self.take(16)?, self.take(16)?),
            listed => *ASPECTS.get((listed as usize).checked_sub(1)?)?,
        };
        Some(PixelAspect::new(width, height))
    }

    /// Range and matrix from the usability information, after the shape of a pixel.
    fn colours(&mut self) -> Option<(Option<bool>, Option<Matrix>)> {
        if self.flag()? {
            self.take(1)?; // overscan
        }
        if !self.flag()? {
            return Some((None, None));
        }
        self.take(3)?; // video format
        let full_range = self.flag()?;
        let matrix = if self.flag()? {
            self.take(16)?; // primaries, transfer
            matrix_of(self.take(8)?)
        } else {
            None
        };
        Some((Some(full_range), matrix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes bits, to make parameter sets.
    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn put(&mut self, value: u32, count: usize) -> &mut Self {
            (0..count).rev().for_each(|i| self.0.push(value >> i & 1 == 1));
            self
        }
        fn ue(&mut self, value: u32) -> &mut Self {
            let bits = 32 - (value + 1).leading_zeros() as usize;
            self.put(0, bits - 1).put(value + 1, bits)
        }
        fn nal(&self) -> Vec<u8> {
            let mut bytes = vec![0x67];
            bytes.extend(
                self.0
                    .chunks(8)
                    .map(|c| c.iter().enumerate().fold(0u8, |byte, (i, bit)| byte | u8::from(*bit) << (7 - i))),
            );
            bytes.push(0x80);
            bytes
        }
    }

    fn main_profile(mbs_wide: u32, mbs_high: u32, references: u32, cropped_bottom: u32) -> Writer {
        let mut w = Writer::default();
        w.put(77, 8).put(0, 8).put(30, 8).ue(0).ue(0).ue(2).ue(references).put(0, 1);
        w.ue(mbs_wide - 1).ue(mbs_high - 1).put(1, 1).put(1, 1);
        w.put(1, 1).ue(0).ue(0).ue(0).ue(cropped_bottom);
        w
    }

    #[test]
    fn size_and_colours_are_read() {
        let mut w = main_profile(120, 68, 4, 4);
        w.put(1, 1); // usability information
        w.put(1, 1).put(1, 8).put(0, 1).put(1, 1).put(5, 3).put(1, 1).put(1, 1).put(1, 8).put(1, 8).put(1, 8);
        let sps = Sps::parse(&w.nal()).expect("parses");
        assert_eq!((sps.width, sps.height, sps.full_range, sps.matrix), (1920, 1080, Some(true), Some(Matrix::Bt709)));
        assert_eq!(sps.unsupported(), None);
    }

    #[test]
    fn untagged_video_has_no_range_and_matrix() {
        let mut w = main_profile(4, 3, 1, 0);
        w.put(0, 1);
        let sps = Sps::parse(&w.nal()).expect("parses");
        assert_eq!((sps.width, sps.height, sps.full_range, sps.matrix), (64, 48, None, None));
    }

    #[test]
    fn a_picture_larger_than_any_level_allows_is_refused() {
        assert_eq!(Sps::parse(&main_profile(1024, 1024, 1, 0).nal()), None);
        assert_eq!(Sps::parse(&main_profile(300, 300, 16, 0).nal()), None);
        assert_eq!(Sps::parse(&main_profile(4, 3, 1, 400).nal()), None);
    }

    #[test]
    fn truncated_and_flipped_bits_do_not_panic() {
        let mut w = main_profile(120, 68, 4, 4);
        w.put(1, 1).put(0, 1).put(0, 1).put(1, 1).put(5, 3).put(0, 1).put(0, 1);
        let nal = w.nal();
        for cut in 0..nal.len() {
            let _ = Sps::parse(&nal[..cut]);
        }
        for bit in 0..nal.len() * 8 {
            let mut nal = nal.clone();
            nal[bit / 8] ^= 1 << (bit % 8);
            let _ = Sps::parse(&nal);
        }
    }

    #[test]
    fn emulation_prevention_is_removed() {
        assert_eq!(unescape(&[1, 0, 0, 3, 0, 0, 3, 1]), [1, 0, 0, 0, 0, 1]);
        assert_eq!(unescape(&[0, 0, 3, 3]), [0, 0, 3]);
    }
}
