//! Files and pipes as cameras, recorders and attackers make them: the right picture at the right time, or a refusal.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use bike_edge::picture::Pixels;
use bike_edge::source::{SourceOptions, open_clip, open_stream};

use crate::support::mp4::{change_boxes, make_box};
use crate::support::recordings::{
    Folder, Shown, both, clip_frames, fixture, refusal, stream_frames, upright, with_ffmpeg, without_ffmpeg,
};

#[test]
fn playlists_are_refused_and_never_followed() {
    let folder = Folder::new();
    let elsewhere = Folder::new();
    let victim = elsewhere.write("victim.mp4", &fixture("bframes.mp4"));
    let victim = victim.display();
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{victim}\n#EXT-X-ENDLIST\n");
    let list = format!("ffconcat version 1.0\nfile '{victim}'\n");
    let mpd = format!(
        "<MPD type=\"static\"><Period><AdaptationSet><Representation id=\"1\" bandwidth=\"1\"><BaseURL>{victim}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    );
    for text in [hls, list, mpd] {
        let id3 = [&b"ID3\x04\0\0\0\0\0\0"[..], text.as_bytes()].concat();
        let not_text = [text.as_bytes(), b"# caf\xe9 \x01\n"].concat();
        let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for bytes in [text.as_bytes().to_vec(), not_text, marked, id3] {
            let path = folder.write("clip.mp4", &bytes);
            let error = refusal(&path, &without_ffmpeg());
            assert!(error.contains("playlist") || error.contains("ffmpeg"), "{error}");
            if let Some(options) = with_ffmpeg() {
                refusal(&path, &options);
            }
        }
    }
}

#[test]
fn pictures_of_a_new_size_keep_their_size_and_their_numbers() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    let encode = |size: &str, seconds: &str, name: &str| {
        folder.ffmpeg(&format!(
            "-f lavfi -i testsrc2=size={size}:rate=25:duration={seconds} -c:v mpeg2video -bf 0 -flags low_delay -f mpegts {name}"
        ));
        let raw = folder.ffmpeg(&format!("-i {name} -pix_fmt yuv420p -f rawvideo -"));
        let (w, h) = size.split_once('x').expect("a size");
        let (w, h): (u32, u32) = (w.parse().expect("a number"), h.parse().expect("a number"));
        raw.chunks((w * h * 3 / 2) as usize).map(|f| (w, h, f[..(w * h) as usize].to_vec())).collect::<Vec<_>>()
    };
    let parts =
        [encode("64x48", "0.8", "a.ts"), encode("128x48", "1.2", "b.ts"), encode("48x96", "0.4", "c.ts")].concat();
    let bytes: Vec<u8> = ["a.ts", "b.ts", "c.ts"]
        .iter()
        .flat_map(|name| std::fs::read(folder.0.path().join(name)).expect("read"))
        .collect();
    let path = folder.write("sizes.ts", &bytes);
    let (frames, _) = both(&path, &options);
    assert_eq!(frames.len(), 60);
    assert!(frames.iter().map(|frame| &frame.1).eq(&parts), "another picture than the one that is named");
    // A few frames, as a clip is sampled.
    let mut clip = open_clip(path.as_os_str(), &options).expect("a clip");
    let mut visited = Vec::new();
    let wanted = [0, 7, 19, 20, 35, 49, 50, 59];
    let visit = clip.visit(&wanted, &mut |frame| {
        assert!(upright(&frame.picture) == parts[frame.index as usize], "frame {}", frame.index);
        visited.push(frame.index);
        Ok(())
    });
    assert!(visit.is_ok() && visited == wanted, "{visited:?}");
}

#[test]
fn texts_of_a_clip_and_its_name_cannot_forge_frames() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    std::fs::write(
        folder.0.path().join("texts"),
        ";FFMETADATA1\ntitle=[Parsed_showinfo_0 @ 0x5] [info] n: 7 pts: 93461000 s:4x4\\\n[Parsed_showinfo_1 @ 0x5] [info] \
         n: 7 pts: 93461000 fmt:gray s:4x4\ncomment=showinfo n: 1 pts: 5 s:9x9\n",
    )
    .expect("written");
    folder.ffmpeg(
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -i texts -map_metadata 1 -c:v mpeg4 -f matroska clip.mkv",
    );
    let (frames, _) = both(&folder.0.path().join("clip.mkv"), &options);
    assert_eq!((frames.len(), frames[24].0), (25, 0.96));
    let name =
        "a\n[Parsed_showinfo_0 @ 0x5] [info] n: 7 pts: 93461000 s:4x4\n[Parsed_showinfo_1 @ 0x5] [info] n: 7.mkv";
    let forged = folder.0.path().join(name);
    std::fs::copy(folder.0.path().join("clip.mkv"), &forged).expect("copied");
    assert!(both(&forged, &options).0 == frames, "the name forged frames");
}

/// Replaces the timestamp of each video tag of an FLV file, in milliseconds.
fn with_stamps(flv: &[u8], stamp: &dyn Fn(u32) -> u32) -> Vec<u8> {
    let mut bytes = flv.to_vec();
    let (mut at, mut frame) = (13, 0);
    while at + 11 < bytes.len() {
        let size = u32::from_be_bytes([0, bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        if bytes[at] == 9 {
            let [high, stamp @ ..] = stamp(frame).to_be_bytes();
            bytes[at + 4..at + 7].copy_from_slice(&stamp);
            bytes[at + 7] = high;
            frame += 1;
        }
        at += 11 + size + 4;
    }
    bytes
}

#[test]
fn wrong_timestamps_do_not_hide_frames() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    folder.ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=25:duration=4 -c:v flv1 -f flv clip.flv");
    let flv = std::fs::read(folder.0.path().join("clip.flv")).expect("read");
    let (expected, _) = both(&folder.0.path().join("clip.flv"), &options);
    assert_eq!(expected.len(), 100);
    let hour = 3_600_000;
    let cases: [(&str, &dyn Fn(u32) -> u32); 6] = [
        ("all zero", &|_| 0),
        ("begin again after 1.6 s", &|n| n % 40 * 40),
        ("hours ahead for one frame in 20", &|n| n * 40 + if n % 20 == 7 { 10 * hour } else { 0 }),
        ("hours behind for one frame in 20", &|n| 4 * hour + n * 40 - if n % 20 == 7 { 2 * hour } else { 0 }),
        ("hours behind from frame 50 on", &|n| 4 * hour + n * 40 - if n >= 50 { 2 * hour } else { 0 }),
        ("hours ahead for one frame, then back", &|n| n * 40 + if n == 10 { 10 * hour } else { 0 }),
    ];
    for (name, stamp) in cases {
        let path = folder.write("wrong.flv", &with_stamps(&flv, stamp));
        let (frames, _) = clip_frames(&path, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(
            frames.iter().map(|frame| &frame.1).eq(expected.iter().map(|frame| &frame.1)),
            "{name}: other pictures"
        );
        assert!(frames.windows(2).all(|pair| pair[1].0 >= pair[0].0), "{name}: times go back");
        let mut stream = open_stream(path.as_os_str(), &options).expect("a stream");
        let (mut sampled, mut next) = (0, 0.0);
        while let Some(frame) = stream.first_at_or_after(next).expect("streams") {
            next = ((frame.time + 0.0005) / 0.5).floor() * 0.5 + 0.5;
            sampled += 1;
        }
        assert!((7..=10).contains(&sampled), "{name}: {sampled} of {} frames sampled", frames.len());
    }
}

#[test]
fn animated_png_is_an_animation() {
    let folder = Folder::new();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 6);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(4, 0).expect("animated");
    encoder.set_frame_delay(1, 4).expect("a delay");
    let mut writer = encoder.write_header().expect("a header");
    (0..4u8).for_each(|i| writer.write_image_data(&[i * 40; 8 * 6 * 3]).expect("a frame"));
    writer.finish().expect("finished");
    let path = folder.write("moving.png", &bytes);
    let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("a clip");
    assert_eq!((clip.frame_count().expect("counts"), clip.info().format.as_str()), (4, "animated PNG"));
    let mut shown = Vec::new();
    let visit = clip.visit(&[0, 1, 2, 3], &mut |frame| {
        let Pixels::Rgb { data, .. } = frame.picture.pixels else { panic!("not RGB") };
        shown.push((frame.time, data[0]));
        Ok(())
    });
    assert!(visit.is_ok());
    assert_eq!(shown, [(0.0, 0), (0.25, 40), (0.5, 80), (0.75, 120)]);
}

/// A GIF of frames `(x, y, w, h)` on a canvas; the data of each are `data`.
fn gif(canvas: (u16, u16), frames: &[(u16, u16, u16, u16)], data: &[u8]) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.extend([canvas.0.to_le_bytes(), canvas.1.to_le_bytes()].concat());
    bytes.extend(b"\x80\0\0\0\0\0\xff\xff\xff");
    for (x, y, w, h) in frames {
        bytes.push(b',');
        bytes.extend([x, y, w, h].map(|n| n.to_le_bytes()).concat());
        bytes.extend([&[0, 2][..], data].concat());
    }
    bytes.push(b';');
    bytes
}

#[test]
fn the_work_on_a_gif_depends_on_its_data() {
    let folder = Folder::new();
    let one_pixel = b"\x02\x44\x01\0";
    // Each frame changes one pixel of a large canvas: counted without drawing the canvas 2,000 times.
    let path = folder.write("small.gif", &gif((4096, 4096), &[(9, 9, 1, 1); 2000], one_pixel));
    let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("a clip");
    assert_eq!(clip.frame_count().expect("counts"), 2000);
    // Each frame claims the whole canvas, but has data for one pixel.
    let path = folder.write("claims.gif", &gif((4096, 4096), &[(0, 0, 4096, 4096); 2000], one_pixel));
    let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("a clip");
    let counted = clip.frame_count();
    assert!(counted.as_ref().map_or(0, |n| *n) < 200, "{counted:?}");
}

#[test]
fn unknown_blocks_of_a_gif_are_skipped() {
    let folder = Folder::new();
    let mut bytes = gif((4, 4), &[(0, 0, 1, 1); 3], b"\x02\x44\x01\0");
    // An extension with an unknown label, before the first frame.
    bytes.splice(19..19, *b"!\x77\x02ab\0");
    let mut clip = open_clip(folder.write("a.gif", &bytes).as_os_str(), &without_ffmpeg()).expect("a clip");
    assert_eq!(clip.frame_count().expect("counts"), 3);
    assert!(clip.warnings().is_empty(), "{:?}", clip.warnings());
}

#[test]
fn what_our_readers_refuse_is_read_by_ffmpeg() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    for format in ["yuv420p10le", "yuv411p"] {
        folder.ffmpeg(&format!(
            "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.4 -pix_fmt {format} -strict -1 -f yuv4mpegpipe clip.y4m"
        ));
        let path = folder.0.path().join("clip.y4m");
        let error = refusal(&path, &without_ffmpeg());
        assert!(error.contains("an installed ffmpeg may be able to read it"), "{error}");
        let (frames, warnings) = both(&path, &options);
        assert_eq!(frames.len(), 10, "{format}");
        assert!(warnings.len() == 1 && warnings[0].contains("read by ffmpeg, because"), "{warnings:?}");
    }
    // Without its configuration, H.264 in MP4 is still described by its slices for ffmpeg, or refused.
    let no_avcc = change_boxes(&fixture("bframes.mp4"), b"stsd", &mut |stsd| {
        let at = stsd.windows(4).position(|name| name == b"avcC").expect("a configuration");
        stsd[at..at + 4].copy_from_slice(b"xxxx");
    });
    let error = refusal(&folder.write("bare.mp4", &no_avcc), &without_ffmpeg());
    assert!(error.contains("configuration (avcC)") && error.contains("ffmpeg may"), "{error}");
}

#[test]
fn pictures_that_only_ffmpeg_decodes_are_in_clip_and_stream() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    let mut bytes = fixture("bframes.mp4");
    // The first picture's slice is overwritten but for its start: OpenH264 loses its group, ffmpeg conceals it.
    let mut at = bytes.windows(4).position(|name| name == b"mdat").expect("media") + 4;
    let length =
        |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    while !matches!(bytes[at + 4] & 31, 1 | 5) {
        at += 4 + length(&bytes, at);
    }
    let slice = length(&bytes, at);
    bytes[at + 4 + slice / 3..at + 4 + slice].fill(0xaa);
    let path = folder.write("damaged.mp4", &bytes);
    let own = clip_frames(&path, &without_ffmpeg()).expect("a clip").0;
    assert!(own.len() < 30, "{}", own.len());
    let (frames, warnings) = clip_frames(&path, &options).expect("a clip");
    assert_eq!(frames.len(), 30);
    assert!(warnings[0].contains("read by ffmpeg, because 10 of 30 pictures cannot be decoded"), "{warnings:?}");
    assert_eq!(
        stream_frames(&path, &options).expect("a stream").len(),
        30,
        "the stream lacks footage that the clip has"
    );
    #[cfg(unix)]
    {
        let pipe = named_pipe(&folder);
        let to = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(to, bytes));
        assert_eq!(stream_frames(&pipe, &options).expect("a stream").len(), 30, "the pipe lacks footage");
        writer.join().expect("the writer ended").expect("written");
    }
}

#[cfg(unix)]
fn named_pipe(folder: &Folder) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let path = folder.0.path().join("pipe");
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("a name");
    // SAFETY: `name` is a string that ends in 0 and lives during the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    path
}

/// Writes `bytes` to a pipe that stays open, and returns the time and luma of the first frame that is read meanwhile.
#[cfg(unix)]
fn first_frame_of_open_pipe(bytes: Vec<u8>, options: &SourceOptions) -> (f64, (u32, u32)) {
    let folder = Folder::new();
    let path = named_pipe(&folder);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let writer_path = path.clone();
    let writer = std::thread::spawn(move || {
        let mut pipe = std::fs::File::options().write(true).open(writer_path).expect("opens");
        pipe.write_all(&bytes).expect("written");
        // The pipe is closed only after the frame was read.
        let _ = wait.recv_timeout(std::time::Duration::from_secs(60));
    });
    let shown = {
        let mut stream = open_stream(OsStr::new(&path), options).expect("a stream");
        let frame = stream.first_at_or_after(0.0).expect("streams").expect("a frame");
        (frame.time, frame.picture.display_size())
    };
    done.send(()).expect("the writer waits");
    writer.join().expect("the writer ended");
    shown
}

#[test]
#[cfg(unix)]
fn motion_jpeg_from_a_pipe_is_read_as_it_arrives() {
    let jpeg = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_pixel(40, 24, image::Rgb([90; 3]));
        image.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("encoded");
        bytes.into_inner()
    };
    assert_eq!(first_frame_of_open_pipe(jpeg.repeat(3), &without_ffmpeg()), (0.0, (40, 24)));
}

#[test]
#[cfg(unix)]
fn fragmented_mp4_from_a_pipe_is_read_as_it_arrives() {
    let Some(options) = with_ffmpeg() else { return };
    assert_eq!(first_frame_of_open_pipe(fixture("fragmented.mp4"), &options), (0.0, (64, 48)));
}

#[test]
fn formats_that_only_ffmpeg_reads_are_recognised() {
    let folder = Folder::new();
    for brand in [b"avif", b"heic", b"mif1"] {
        let bytes = [make_box(b"ftyp", &[&brand[..], &[0; 4]].concat()), make_box(b"meta", &[0; 40])].concat();
        let error = refusal(&folder.write("photo", &bytes), &without_ffmpeg());
        assert!(error.contains("/nowhere/ffmpeg") && !error.contains("moov"), "{error}");
    }
}

/// Serves a file by HTTP to one client after another, for the rest of the test; returns the port.
fn serve(bytes: Vec<u8>) -> u16 {
    use std::io::{BufRead, BufReader};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let mut lines = BufReader::new(client.try_clone().expect("a copy")).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            // A client that has enough closes the connection.
            let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&bytes));
        }
    });
    port
}

#[test]
fn clips_are_read_from_addresses() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    let path = folder.write("clip.mp4", &fixture("fragmented.mp4"));
    let (expected, _) = both(&path, &without_ffmpeg());
    let port = serve(fixture("fragmented.mp4"));
    for address in [
        format!("http://127.0.0.1:{port}/clip.mp4"),
        format!("HTTP://127.0.0.1:{port}/it's/../x.mp4?a=b'c&d"),
        format!("http://user:p#a@ss w'rd@127.0.0.1:{port}/x"),
    ] {
        let frames = stream_frames(Path::new(&address), &options).unwrap_or_else(|e| panic!("{address}: {e}"));
        let times = |frames: &[Shown]| frames.iter().map(|frame| frame.0).collect::<Vec<_>>();
        assert_eq!(times(&frames), times(&expected), "{address}");
    }
}
