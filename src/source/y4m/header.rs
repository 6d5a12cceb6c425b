//! The lines of text of a y4m stream.

use crate::source::limits::{MAX_VIDEO_PIXELS, check_size};
use crate::source::{Rate, Subsampling};

/// What every y4m stream begins with.
pub(in crate::source) const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// What the first line says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// `None` where the line leaves it open (`F0:0`).
    pub(super) rate: Option<Rate>,
    pub(super) subsampling: Subsampling,
    pub(super) full_range: bool,
}

impl Header {
    /// Reads the first line, its end cut off. The error is a sentence without the name of the input.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|_| "its y4m header is not text".to_string())?;
        let mut fields = line.split(' ');
        if fields.next() != Some("YUV4MPEG2") {
            return Err("it does not begin with a y4m header (YUV4MPEG2)".into());
        }
        let (mut width, mut height, mut rate, mut chroma, mut full_range) = (None, None, None, "420", false);
        for field in fields.filter(|f| !f.is_empty()) {
            let (tag, value) = field.split_at(field.chars().next().map_or(0, char::len_utf8));
            match tag {
                "W" => width = Some(number(tag, value)?),
                "H" => height = Some(number(tag, value)?),
                "F" => rate = parse_rate(value)?,
                "C" => chroma = value,
                "X" if value == "COLORRANGE=FULL" => full_range = true,
                // Interlacing, pixel aspect and comments do not change what is seen here.
                _ => {}
            }
        }
        let (Some(width), Some(height)) = (width, height) else {
            return Err("its y4m header lacks a width or height (W, H)".into());
        };
        check_size(width, height, MAX_VIDEO_PIXELS)?;
        Ok(Self { width, height, rate, subsampling: parse_chroma(chroma)?, full_range })
    }

    /// Width and height of each plane; empty planes are 0 x 0.
    pub(super) fn planes(&self) -> [(usize, usize); 3] {
        let (w, h) = (self.width as usize, self.height as usize);
        let chroma = match self.subsampling {
            Subsampling::S420 => (w.div_ceil(2), h.div_ceil(2)),
            Subsampling::S422 => (w.div_ceil(2), h),
            Subsampling::S444 => (w, h),
            Subsampling::Gray => (0, 0),
        };
        [(w, h), chroma, chroma]
    }

    /// Bytes of a frame, its line of text not counted.
    pub(super) fn frame_bytes(&self) -> usize {
        self.planes().iter().map(|(w, h)| w * h).sum()
    }
}

fn number(tag: &str, value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("its y4m header has {tag}{value}, where {tag} and a number is expected"))
}

fn parse_rate(value: &str) -> Result<Option<Rate>, String> {
    let (num, den) = value.split_once(':').unwrap_or((value, "1"));
    match (number("F", num)?, number("F", den)?) {
        (0, _) => Ok(None),
        (_, 0) => Err(format!("its y4m header has the frame rate F{value}, a division by zero")),
        (num, den) => Ok(Some(Rate { num, den })),
    }
}

fn parse_chroma(value: &str) -> Result<Subsampling, String> {
    match value {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Subsampling::S420),
        "422" => Ok(Subsampling::S422),
        "444" => Ok(Subsampling::S444),
        "mono" => Ok(Subsampling::Gray),
        _ => Err(format!(
            "its pixels are of the kind C{value}; 8-bit 4:2:0, 4:2:2, 4:4:4 and grey are read \
             (ffmpeg makes them with -pix_fmt yuv420p)"
        )),
    }
}
