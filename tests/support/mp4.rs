//! Changes the boxes of MP4 files.

/// Boxes that contain boxes.
const CONTAINERS: [&[u8; 4]; 10] =
    [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf", b"dinf"];

/// Splits bytes into boxes: name and payload.
pub fn boxes(bytes: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut boxes = Vec::new();
    let mut rest = bytes;
    while rest.len() >= 8 {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        boxes.push((rest[4..8].try_into().unwrap(), rest[8..size].to_vec()));
        rest = &rest[size..];
    }
    boxes
}

/// A box.
pub fn make_box(name: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32 + 8).to_be_bytes()[..], name, payload].concat()
}

/// Calls `change` with the payload of every box of this name, in `bytes` and in the containers in it, and returns the
/// changed bytes.
pub fn change_boxes(bytes: &[u8], name: &[u8; 4], change: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let changed = boxes(bytes).into_iter().map(|(found, mut payload)| {
        if CONTAINERS.contains(&&found) {
            payload = change_boxes(&payload, name, change);
        }
        if found == *name {
            change(&mut payload);
        }
        make_box(&found, &payload)
    });
    changed.collect::<Vec<_>>().concat()
}

/// Replaces the display matrix of the box `name` (`tkhd` or `mvhd`, version 0) by `[a, b, c, d]`.
pub fn with_matrix(bytes: &[u8], name: &[u8; 4], matrix: [f64; 4]) -> Vec<u8> {
    let start = if name == b"tkhd" { 40 } else { 36 };
    change_boxes(bytes, name, &mut |payload| {
        for (value, position) in matrix.iter().zip([0, 1, 3, 4]) {
            let fixed = (value * 65536.0).round() as i32;
            payload[start + position * 4..][..4].copy_from_slice(&fixed.to_be_bytes());
        }
    })
}
