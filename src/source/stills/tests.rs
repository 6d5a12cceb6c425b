use super::*;
use image::Rgb;

fn still(folder: &Path, name: &str, level: u8) {
    RgbImage::from_pixel(8, 6, Rgb([level; 3])).save(folder.join(name)).expect("saved");
}

/// First byte of every frame.
fn levels(stills: &mut Stills) -> Vec<u8> {
    let mut reader = stills.reader().expect("reads");
    let mut levels = Vec::new();
    while reader.advance(&|_, _| true).expect("advances").is_some() {
        let Pixels::Rgb { data, .. } = reader.picture().expect("a picture").pixels else { panic!("not RGB") };
        levels.push(data[0]);
    }
    levels
}

#[test]
fn names_sort_as_people_count() {
    let mut names = ["f10.png", "f9.png", "f09.png", "a.png", "f1b2.png", "f1b10.png", "f.png"];
    names.sort_by(|a, b| natural_order(a.as_bytes(), b.as_bytes()));
    assert_eq!(names, ["a.png", "f.png", "f1b2.png", "f1b10.png", "f9.png", "f09.png", "f10.png"]);
}

#[test]
fn a_folder_is_a_clip_at_its_nominal_rate() {
    let folder = tempfile::tempdir().expect("a folder");
    for i in 1..=12u8 {
        still(folder.path(), &format!("img_{i:05}.png"), i);
    }
    std::fs::write(folder.path().join("notes.txt"), "not a still").expect("written");
    let mut stills = Stills::open("f", folder.path(), Rate { num: 25, den: 1 }).expect("opens");
    assert_eq!(stills.count().expect("counts"), 12);
    assert_eq!(levels(&mut stills), (1..=12).collect::<Vec<u8>>());
    assert_eq!((stills.info.width, stills.info.height), (8, 6));
    assert_eq!(stills.info.duration_s, Some(12.0 / 25.0));
    let mut reader = stills.reader().expect("reads");
    assert_eq!(reader.advance(&|_, time| time >= 0.1).expect("advances"), Some((3, 0.12)));
}

#[test]
fn an_unreadable_still_is_replaced_by_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    for i in 1..=4u8 {
        still(folder.path(), &format!("img_{i:05}.png"), i * 10);
    }
    std::fs::write(folder.path().join("img_00003.png"), b"\x89PNG\r\n\x1a\ncut").expect("written");
    let mut stills = Stills::open("f", folder.path(), Rate { num: 25, den: 1 }).expect("opens");
    assert_eq!(levels(&mut stills), [10, 20, 10, 40]);
    let mut reader = stills.reader().expect("reads");
    reader.advance(&|i, _| i == 2).expect("advances");
    let warning = reader.warnings()[0].clone();
    assert!(warning.contains("img_00003.png") && warning.contains("img_00001.png stands in"), "{warning}");
}

#[test]
fn a_folder_of_nothing_readable_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = Stills::open("f", folder.path(), Rate { num: 25, den: 1 }).err().expect("refused").to_string();
    assert!(empty.contains("without stills"), "{empty}");
    std::fs::write(folder.path().join("a.png"), b"").expect("written");
    let mut stills = Stills::open("f", folder.path(), Rate { num: 25, den: 1 }).expect("opens");
    let error = stills.reader().expect("reads").advance(&|_, _| true).expect_err("refused").to_string();
    assert!(error.contains("no still of it can be read"), "{error}");
}

#[test]
fn exif_orientation_is_honoured() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("phone.jpg");
    let mut image = RgbImage::from_pixel(32, 16, Rgb([0; 3]));
    (0..16).for_each(|y| (0..16).for_each(|x| image.put_pixel(x, y, Rgb([255; 3]))));
    image.save(&path).expect("saved");
    let plain = std::fs::read(&path).expect("read");
    // An APP1 block with one entry: orientation 6, to be turned a quarter clockwise.
    let mut exif =
        b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    exif.splice(0..0, plain[..2].iter().copied());
    exif.extend_from_slice(&plain[2..]);
    std::fs::write(&path, exif).expect("written");
    let mut stills = Stills::open("phone.jpg", &path, Rate { num: 25, den: 1 }).expect("opens");
    assert_eq!((stills.info.width, stills.info.height, stills.count().expect("counts")), (16, 32, 1));
    // White was on the left, so it is on top now.
    assert!(levels(&mut stills)[0] > 250);
}
