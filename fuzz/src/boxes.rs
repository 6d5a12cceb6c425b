//! Mutations of MP4 that keep the sizes of boxes consistent.

/// Boxes that contain boxes.
const CONTAINERS: [&[u8; 4]; 10] =
    [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf", b"dinf"];
/// Numbers at which parsers break.
const NUMBERS: [u32; 10] = [0, 1, 2, 8, 0x7f, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fffe, 4_000_000];
/// Maximum depth of boxes.
const MAX_DEPTH: usize = 12;

/// A box: its name, and either boxes or bytes.
struct Node {
    name: [u8; 4],
    children: Vec<Node>,
    payload: Vec<u8>,
}

fn parse(mut bytes: &[u8], depth: usize) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while !bytes.is_empty() {
        let size = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let name: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        let payload = bytes.get(8..size)?;
        let children = (CONTAINERS.contains(&&name) && depth < MAX_DEPTH).then(|| parse(payload, depth + 1)).flatten();
        let own = if children.is_some() { Vec::new() } else { payload.to_vec() };
        nodes.push(Node { name, children: children.unwrap_or_default(), payload: own });
        bytes = &bytes[size..];
    }
    Some(nodes)
}

fn write(nodes: &[Node], out: &mut Vec<u8>) {
    for node in nodes {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&node.name);
        out.extend_from_slice(&node.payload);
        write(&node.children, out);
        let size = (out.len() - start) as u32;
        out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }
}

/// Changes one box, chosen by `seed`; `None` if `bytes` are not boxes.
pub fn mutate_boxes(bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut state = u64::from(seed) | 1 << 32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let mut nodes = parse(bytes, 0)?;
    let mut level = &mut nodes;
    loop {
        if level.is_empty() {
            return None;
        }
        let at = random(level.len());
        if !level[at].children.is_empty() && random(4) != 0 {
            level = &mut level[at].children;
            continue;
        }
        match random(8) {
            0 => drop(level.remove(at)),
            1 => {
                let copy = Node { name: level[at].name, children: Vec::new(), payload: level[at].payload.clone() };
                level.insert(at, copy);
            }
            2 => level[at].payload.truncate(random(64)),
            3 => level[at].name = *CONTAINERS[random(CONTAINERS.len())],
            _ if level[at].payload.len() >= 4 => {
                let payload = &mut level[at].payload;
                let limit = payload.len().min(if random(2) == 0 { 32 } else { usize::MAX });
                let position = random(limit - 3);
                let number = NUMBERS[random(NUMBERS.len())];
                payload[position..position + 4].copy_from_slice(&number.to_be_bytes());
            }
            _ => level[at].payload.push(random(256) as u8),
        }
        break;
    }
    let mut out = Vec::new();
    write(&nodes, &mut out);
    Some(out)
}
