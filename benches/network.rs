//! Measures one network on request, for `compare.py`: reads lines from stdin and answers each with a line.
//!
//! ```text
//! network FILE.onnx [--window T --width D] [--threads N] [--kernel NAME] [--no-pruning] [--full-precision]
//!                   prints `ready LOAD_SECONDS`; with a window, FILE is a temporal header
//! run N             N runs, prints their times in ms
//! output FILE.f32   one run on the floats in FILE, prints the output
//! memory            prints resident and peak resident kB
//! ```

use std::io::{BufRead, Write};
use std::time::Instant;

use bike_edge::encoder::{EncoderOptions, FrameEncoder, Precision, Pruning, TemporalHeader, force_kernel};

/// Runs the network over an input into an output.
type Run = Box<dyn FnMut(&[f32], &mut [f32])>;

fn main() {
    let mut options = EncoderOptions::new(1, "bench", "");
    let (mut window, mut width) = (0, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value after the flag");
        match argument.as_str() {
            "--threads" => options.threads = value().parse().expect("a number of threads"),
            "--window" => window = value().parse().expect("a number of frames"),
            "--width" => width = value().parse().expect("a width"),
            "--full-precision" => options.precision = Precision::Full,
            "--no-pruning" => options.pruning = Pruning::Off,
            "--kernel" => force_kernel(&value()).expect("a kernel of this processor"),
            // Added by cargo.
            "--bench" => {}
            _ => options.file = argument,
        }
    }
    if options.file.is_empty() {
        return;
    }
    // RUST_LOG=debug prints the steps of loading.
    env_logger::init();
    let started = Instant::now();
    let (mut run, inputs, outputs) = load(options, window, width);
    let input: Vec<f32> = noise(inputs);
    let mut output = vec![0.0; outputs];
    run(&input, &mut output);
    println!("ready {}", started.elapsed().as_secs_f64());
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("run", n) => {
                for _ in 0..n.parse().expect("a number of runs") {
                    let started = Instant::now();
                    run(&input, &mut output);
                    print!("{:.4} ", started.elapsed().as_secs_f64() * 1e3);
                }
                println!();
            }
            ("output", path) => {
                let bytes = std::fs::read(path).expect("a readable input");
                let x: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                run(&x, &mut output);
                let y: Vec<String> = output.iter().map(|y| format!("{y}")).collect();
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

/// Loads the network as a bundle does; returns it with the lengths of its input and output.
fn load(options: EncoderOptions, window: usize, width: usize) -> (Run, usize, usize) {
    let bytes = memory_mapped(&options.file);
    if window > 0 {
        let mut header = TemporalHeader::load(&bytes, window, width, options).expect("a header that loads");
        let run: Run = Box::new(move |x, y| header.apply(x, y).expect("a run"));
        return (run, window * width, window * width);
    }
    let mut encoder = FrameEncoder::load(&bytes, options).expect("a frame encoder that loads");
    let (inputs, outputs) = (3 * encoder.size() * encoder.size(), encoder.dim());
    (Box::new(move |x, y| encoder.encode(x, y).expect("a run")), inputs, outputs)
}

/// Maps a file into memory, as the files of a bundle are read.
fn memory_mapped(file: &str) -> memmap2::Mmap {
    let file = std::fs::File::open(file).expect("a readable file");
    // SAFETY: nobody writes to the file while it is measured.
    unsafe { memmap2::Mmap::map(&file).expect("a mappable file") }
}

/// Returns pseudo-random numbers in -1..1.
fn noise(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(n)
    .collect()
}
