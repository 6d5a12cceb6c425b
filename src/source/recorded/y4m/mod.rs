//! Reads YUV4MPEG2 (y4m): uncompressed video with a line of text at the start and before each frame.
//!
//! `ffmpeg -f yuv4mpegpipe`, `rpicam-vid` and mjpegtools write this format to pipes. Of a file only the wanted frames
//! are read; a pipe is read completely, with one frame in memory at a time.

mod reader;

use crate::Result;
use crate::picture::{MAX_VIDEO_PIXELS, PixelAspect, Subsampling, check_size};
use crate::units::Rate;
pub(in crate::source) use reader::{Pipe, Y4mFile, Y4mReader};

/// The first bytes of every y4m stream.
pub(in crate::source) const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// The first line of a y4m stream.
#[derive(Clone, Debug, PartialEq)]
struct Header {
    width: u32,
    height: u32,
    /// `None` if the line does not specify it (`F0:0`).
    rate: Option<Rate>,
    subsampling: Subsampling,
    full_range: bool,
    aspect: PixelAspect,
}

impl Header {
    /// Parses the first line, without its line feed. The error is a sentence without the input's name.
    fn parse(line: &[u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|_| "its y4m header is not text".to_string())?;
        let mut fields = line.split(' ');
        if fields.next() != Some("YUV4MPEG2") {
            return Err("it does not begin with a y4m header (YUV4MPEG2)".into());
        }
        let (mut width, mut height, mut rate, mut chroma, mut full_range) = (None, None, None, "420", false);
        let mut aspect = PixelAspect::SQUARE;
        for field in fields.filter(|f| !f.is_empty()) {
            let (tag, value) = field.split_at(field.chars().next().map_or(0, char::len_utf8));
            match tag {
                "W" => width = Some(number(tag, value)?),
                "H" => height = Some(number(tag, value)?),
                "F" => rate = parse_rate(value)?,
                "C" => chroma = value,
                "A" => aspect = parse_aspect(value),
                "X" if value == "COLORRANGE=FULL" => full_range = true,
                // Interlacing and comments have no effect here.
                _ => {}
            }
        }
        let (Some(width), Some(height)) = (width, height) else {
            return Err("its y4m header lacks a width or height (W, H)".into());
        };
        check_size(width, height, MAX_VIDEO_PIXELS)?;
        Ok(Self { width, height, rate, subsampling: parse_chroma(chroma)?, full_range, aspect })
    }

    /// Width and height of each plane; empty planes are 0 x 0.
    fn planes(&self) -> [(usize, usize); 3] {
        let (width, height) = (self.width as usize, self.height as usize);
        let chroma = self.subsampling.chroma_size(width, height);
        [(width, height), chroma, chroma]
    }

    /// Bytes of a frame, without its line of text.
    fn frame_bytes(&self) -> usize {
        self.planes().iter().map(|(w, h)| w * h).sum()
    }
}

fn number(tag: &str, value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("its y4m header has {tag}{value}, where {tag} and a number are expected"))
}

fn parse_rate(value: &str) -> Result<Option<Rate>, String> {
    let (num, den) = value.split_once(':').unwrap_or((value, "1"));
    match (number("F", num)?, number("F", den)?) {
        (0, _) => Ok(None),
        (_, 0) => Err(format!("its y4m header has the frame rate F{value}, a division by zero")),
        (num, den) => Ok(Some(Rate { num, den })),
    }
}

/// The shape of a pixel; square if it is unknown (`A0:0`) or no ratio.
fn parse_aspect(value: &str) -> PixelAspect {
    let ratio = value.split_once(':').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    ratio.map_or(PixelAspect::SQUARE, |(w, h)| PixelAspect::new(w, h))
}

fn parse_chroma(value: &str) -> Result<Subsampling, String> {
    match value {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Subsampling::S420),
        "422" => Ok(Subsampling::S422),
        "444" => Ok(Subsampling::S444),
        "mono" => Ok(Subsampling::Gray),
        _ => Err(format!(
            "its pixel format C{value} is not supported; convert it to 8-bit 4:2:0, 4:2:2, 4:4:4 or gray (ffmpeg: -pix_fmt \
             yuv420p)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::picture::Pixels;
    use crate::source::recorded::{Reader, Recording};

    /// A 4 x 2 clip; each frame is filled with its number.
    fn clip(header: &str, frames: u8) -> Vec<u8> {
        let mut bytes = format!("YUV4MPEG2 W4 H2 {header}\n").into_bytes();
        for frame in 0..frames {
            bytes.extend_from_slice(b"FRAME\n");
            bytes.extend_from_slice(&[frame; 12]);
        }
        bytes
    }

    fn piped(bytes: &[u8]) -> Result<Y4mReader<Pipe<Cursor<Vec<u8>>>>> {
        Y4mReader::new("-", Pipe(Cursor::new(bytes.to_vec())), None, None)
    }

    fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, Result<Y4mFile>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        let opened = Y4mFile::open("clip.y4m", file.path(), None);
        (file, opened)
    }

    /// Reads the frames with even indices: index and the number they are filled with.
    fn even_frames(reader: &mut dyn Reader) -> Vec<(u64, u8)> {
        let mut frames = Vec::new();
        while let Some((index, _)) = reader.advance(&|i, _| i % 2 == 0).expect("advances") {
            let Pixels::Yuv { planes, .. } = reader.picture().expect("a picture").pixels else { panic!("not YUV") };
            frames.push((index, planes[2][1]));
        }
        frames
    }

    #[test]
    fn a_file_and_a_pipe_give_the_same_frames() {
        let bytes = clip("F30000:1001 Ip A1:1 C420jpeg XCOLORRANGE=FULL", 5);
        let (_file, opened) = file(&bytes);
        let mut opened = opened.expect("opens");
        assert_eq!(opened.count().expect("counts"), 5);
        assert_eq!(opened.info().duration_s, Some(5.0 * 1001.0 / 30000.0));
        let from_file = even_frames(&mut *opened.reader().expect("reads"));
        assert_eq!(from_file, [(0, 0), (2, 2), (4, 4)]);
        let mut pipe = piped(&bytes).expect("opens");
        assert_eq!(even_frames(&mut pipe), from_file);
        let picture = pipe.picture().expect("a picture");
        let Pixels::Yuv { full_range, subsampling, strides, .. } = picture.pixels else { panic!("not YUV") };
        assert!(full_range && subsampling == Subsampling::S420 && strides == [4, 2, 2]);
    }

    #[test]
    fn times_follow_the_rate() {
        let mut pipe = piped(&clip("F30000:1001", 4)).expect("opens");
        assert_eq!(pipe.advance(&|_, time| time >= 0.05).expect("advances"), Some((2, 2002.0 / 30000.0)));
        let mut open_rate = piped(&clip("F0:0", 2)).expect("opens");
        assert_eq!(open_rate.advance(&|i, _| i == 1).expect("advances"), Some((1, 0.04)));
        assert!(open_rate.warnings()[0].contains("25 per second"));
    }

    #[test]
    fn the_size_of_a_frame_depends_on_chroma() {
        for (tag, odd_frame_bytes) in [("420", 15 + 2 * 6), ("422", 15 + 2 * 9), ("444", 45), ("mono", 15)] {
            let header = Header::parse(format!("YUV4MPEG2 W5 H3 F25:1 C{tag}").as_bytes()).expect("parses");
            assert_eq!(header.frame_bytes(), odd_frame_bytes, "{tag}");
        }
        for refused in ["420p10", "444alpha", "411", "mono16"] {
            let error = Header::parse(format!("YUV4MPEG2 W5 H3 F25:1 C{refused}").as_bytes()).expect_err("refused");
            assert!(error.contains(refused) && error.contains("yuv420p"), "{error}");
        }
    }

    #[test]
    fn a_truncated_last_frame_is_dropped_with_a_warning() {
        let mut bytes = clip("F25:1", 4);
        bytes.truncate(bytes.len() - 5);
        let (_file, opened) = file(&bytes);
        let mut opened = opened.expect("opens");
        assert_eq!(opened.count().expect("counts"), 3);
        assert!(opened.warnings()[0].contains("within frame 3"), "{:?}", opened.warnings());
        let mut pipe = piped(&bytes).expect("opens");
        assert_eq!(even_frames(&mut pipe).len(), 2);
        assert!(pipe.warnings()[0].contains("within frame 3"));
        assert_eq!(pipe.advance(&|_, _| true).expect("ended"), None);
    }

    #[test]
    fn wrong_headers_are_refused_or_cost_no_memory() {
        for (header, problem) in [
            ("YUV4MPEG2 W16384 H16384 F25:1", "16384 x 16384"),
            ("YUV4MPEG2 W4294967295 H4294967295 F25:1", "million pixels"),
            ("YUV4MPEG2 W0 H5 F25:1", "0 x 5"),
            ("YUV4MPEG2 W-4 H5 F25:1", "W-4"),
            ("YUV4MPEG2 H5 F25:1", "lacks a width"),
            ("YUV4MPEG2 W4 H5 F25:0", "division by zero"),
            ("YUV4MPEG2 W4 H5 \u{fffd}x", ""),
        ] {
            match piped(format!("{header}\n").as_bytes()) {
                Err(e) => assert!(e.to_string().contains(problem), "{header}: {e}"),
                Ok(_) => assert_eq!(problem, "", "{header}"),
            }
        }
        // Claims 34 million pixels and has twelve bytes: only these are stored.
        let mut pipe = piped(b"YUV4MPEG2 W8000 H4300 F25:1\nFRAME\n0123456789ab").expect("opens");
        assert_eq!(pipe.advance(&|_, _| true).expect("advances"), None);
        assert!(pipe.warnings()[0].contains("ends within frame 0"));
        let endless = [b"YUV4MPEG2 ".to_vec(), vec![b'X'; 100_000]].concat();
        assert!(piped(&endless).err().expect("refused").to_string().contains("is too long"));
        let wrong_size = [b"YUV4MPEG2 W4 H2 F25:1\n".to_vec(), vec![7; 600]].concat();
        let error = piped(&wrong_size).expect("opens").advance(&|_, _| true).expect_err("refused").to_string();
        assert!(error.contains("does not match its data"), "{error}");
    }

    #[test]
    fn data_that_are_not_frames_end_the_clip() {
        let mut bytes = clip("F25:1", 3);
        bytes.extend_from_slice(b"GARBAGE\n");
        let mut pipe = piped(&bytes).expect("opens");
        assert_eq!(even_frames(&mut pipe).len(), 2);
        assert!(pipe.warnings()[0].contains("after frame 3"));
    }
}
