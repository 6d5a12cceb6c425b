//! Times one network on request, for `compare.py`: reads lines from standard input, answers one line each.
//!
//! ```text
//! network FILE.onnx [--threads N] [--kernel NAME] [--no-pruning] [--full-precision]   prints `ready LOAD_SECONDS`
//! run N             N runs, prints their times in ms
//! output FILE.f32   one run on the floats in FILE, prints the answer
//! memory            prints resident and peak resident kB
//! ```

use std::io::{BufRead, Write};
use std::time::Instant;

use bike_edge::encoder::network::{Network, NetworkOptions};
use bike_edge::encoder::{Precision, Pruning};

fn main() {
    let mut options = NetworkOptions { threads: 1, ..NetworkOptions::default() };
    let mut file = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value after the flag");
        match argument.as_str() {
            "--threads" => options.threads = value().parse().expect("a number of threads"),
            "--full-precision" => options.precision = Precision::Full,
            "--no-pruning" => options.pruning = Pruning::Off,
            "--kernel" => options.kernel = Some(value()),
            // Added by cargo.
            "--bench" => {}
            _ => file = Some(argument),
        }
    }
    let Some(file) = file else { return };
    let began = Instant::now();
    let bytes = std::fs::read(&file).expect("a readable file");
    let mut network = Network::load(&bytes, &options).expect("a network that loads");
    drop(bytes);
    let input: Vec<f32> = noise(network.input_len());
    network.run(&input).expect("a first run");
    println!("ready {} {}", began.elapsed().as_secs_f64(), network.report());
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("run", n) => {
                for _ in 0..n.parse().expect("a number of runs") {
                    let began = Instant::now();
                    network.run(&input).expect("a run");
                    print!("{:.4} ", began.elapsed().as_secs_f64() * 1e3);
                }
                println!();
            }
            ("output", path) => {
                let bytes = std::fs::read(path).expect("a readable input");
                let x: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                let y: Vec<String> = network.run(&x).expect("a run").iter().map(|y| format!("{y}")).collect();
                println!("{}", y.join(" "));
            }
            _ => {
                let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
                let find = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).map_or("", str::trim);
                println!("{} {}", find("VmRSS:").trim_end_matches(" kB"), find("VmHWM:").trim_end_matches(" kB"));
            }
        }
        std::io::stdout().flush().expect("standard output");
    }
}

/// Numbers that look random, -1..1.
fn noise(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(n)
    .collect()
}
