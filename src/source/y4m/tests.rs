use std::io::Cursor;

use super::*;
use crate::source::{Pixels, Subsampling};

/// A 4 x 2 clip whose frames are filled with their number.
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

/// Numbers of the frames at even indices, or an error.
fn even_frames(reader: &mut dyn Reader) -> Vec<(u64, u8)> {
    let mut seen = Vec::new();
    while let Some((index, _)) = reader.advance(&|i, _| i % 2 == 0).expect("advances") {
        let Pixels::Yuv { planes, .. } = reader.picture().expect("a picture").pixels else { panic!("not YUV") };
        seen.push((index, planes[2][1]));
    }
    seen
}

#[test]
fn a_file_and_a_pipe_give_the_same_frames() {
    let bytes = clip("F30000:1001 Ip A1:1 C420jpeg XCOLORRANGE=FULL", 5);
    let (_kept, opened) = file(&bytes);
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
    assert!(open_rate.warnings()[0].contains("25 a second"));
}

#[test]
fn every_kind_of_chroma_has_its_size() {
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
fn a_last_frame_that_is_cut_off_is_dropped_with_a_warning() {
    let mut bytes = clip("F25:1", 4);
    bytes.truncate(bytes.len() - 5);
    let (_kept, opened) = file(&bytes);
    let mut opened = opened.expect("opens");
    assert_eq!(opened.count().expect("counts"), 3);
    assert!(opened.warnings()[0].contains("within frame 3"), "{:?}", opened.warnings());
    let mut pipe = piped(&bytes).expect("opens");
    assert_eq!(even_frames(&mut pipe).len(), 2);
    assert!(pipe.warnings()[0].contains("within frame 3"));
    assert_eq!(pipe.advance(&|_, _| true).expect("ended"), None);
}

#[test]
fn lying_headers_are_refused_or_cost_no_memory() {
    for (header, says) in [
        ("YUV4MPEG2 W16384 H16384 F25:1", "16384 x 16384"),
        ("YUV4MPEG2 W4294967295 H4294967295 F25:1", "million pixels"),
        ("YUV4MPEG2 W0 H5 F25:1", "0 x 5"),
        ("YUV4MPEG2 W-4 H5 F25:1", "W-4"),
        ("YUV4MPEG2 H5 F25:1", "lacks a width"),
        ("YUV4MPEG2 W4 H5 F25:0", "division by zero"),
        ("YUV4MPEG2 W4 H5 \u{fffd}x", ""),
    ] {
        match piped(format!("{header}\n").as_bytes()) {
            Err(e) => assert!(e.to_string().contains(says), "{header}: {e}"),
            Ok(_) => assert_eq!(says, "", "{header}"),
        }
    }
    // Claims 34 million pixels and brings twelve bytes: only those are kept.
    let mut pipe = piped(b"YUV4MPEG2 W8000 H4300 F25:1\nFRAME\n0123456789ab").expect("opens");
    assert_eq!(pipe.advance(&|_, _| true).expect("advances"), None);
    assert!(pipe.warnings()[0].contains("ends within frame 0"));
    let endless = [b"YUV4MPEG2 ".to_vec(), vec![b'X'; 100_000]].concat();
    assert!(piped(&endless).err().expect("refused").to_string().contains("does not end"));
    let wrong_size = [b"YUV4MPEG2 W4 H2 F25:1\n".to_vec(), vec![7; 600]].concat();
    let error = piped(&wrong_size).expect("opens").advance(&|_, _| true).expect_err("refused").to_string();
    assert!(error.contains("does not fit its data"), "{error}");
}

#[test]
fn data_that_stop_being_frames_end_the_clip() {
    let mut bytes = clip("F25:1", 3);
    bytes.extend_from_slice(b"GARBAGE\n");
    let mut pipe = piped(&bytes).expect("opens");
    assert_eq!(even_frames(&mut pipe).len(), 2);
    assert!(pipe.warnings()[0].contains("after frame 3"));
}
