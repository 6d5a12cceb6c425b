//! Puts any secret into an address; no four characters of it in a row are in what is shown of text that has the address.
#![no_main]

use bike_edge::io::{redact, remember_address, shown_address};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u8)| {
    let (secret, place) = input;
    // What the texts below contain anyway.
    let texts = "cannot open 'rtsp://cam.local:554/...' 'rtsp://cam.local/...' 'rtsp://...'";
    let common = |part: &str| part.contains('*') || texts.contains(part);
    if secret.contains(char::is_control) || secret.contains("://") || secret.len() > 200 {
        return;
    }
    let address = match place % 4 {
        0 => format!("rtsp://{secret}@cam.local:554/x"),
        1 => format!("rtsp://u:{secret}@cam.local/x"),
        2 => format!("rtsp://cam.local/x?token={secret}"),
        _ => format!("rtsp://cam.local/{secret}/x"),
    };
    remember_address(&address);
    for text in [shown_address(&address), redact(&format!("cannot open '{address}'"))] {
        let characters: Vec<char> = secret.chars().collect();
        for part in characters.windows(4).map(|part| part.iter().collect::<String>()) {
            assert!(common(&part) || !text.contains(&part), "`{part}` of {address} is in {text}");
        }
    }
});
