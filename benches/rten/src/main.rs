//! Times one network under rten on request, as benches/network.rs does for bike-edge; threads by `RTEN_NUM_THREADS`.
//!
//! ```text
//! rten-runner FILE.onnx DIM...     prints `ready LOAD_SECONDS`, then answers `run N`, `output FILE.f32` and `memory`
//! ```

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use rten::{Model, ModelOptions};
use rten_tensor::prelude::*;
use rten_tensor::NdTensor;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("a graph and its input's dimensions")?;
    let shape = arguments.map(|dim| dim.parse()).collect::<Result<Vec<usize>, _>>()?;
    let began = Instant::now();
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let model = options.load_file(&file)?;
    let input = noise(shape.iter().product());
    run(&model, &shape, &input)?;
    println!("ready {}", began.elapsed().as_secs_f64());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("run", n) => {
                for _ in 0..n.parse()? {
                    let began = Instant::now();
                    run(&model, &shape, &input)?;
                    print!("{:.4} ", began.elapsed().as_secs_f64() * 1e3);
                }
                println!();
            }
            ("output", path) => {
                let x: Vec<f32> =
                    std::fs::read(path)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                let y: Vec<String> = run(&model, &shape, &x)?.iter().map(|y| format!("{y}")).collect();
                println!("{}", y.join(" "));
            }
            _ => {
                let status = std::fs::read_to_string("/proc/self/status")?;
                let find = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).map_or("", str::trim);
                println!("{} {}", find("VmRSS:").trim_end_matches(" kB"), find("VmHWM:").trim_end_matches(" kB"));
            }
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn run(model: &Model, shape: &[usize], x: &[f32]) -> Result<Vec<f32>, Box<dyn Error>> {
    let y = match *shape {
        [a, b, c, d] => model.run_one(NdTensor::from_data([a, b, c, d], x.to_vec()).into(), None)?,
        [a, b, c] => model.run_one(NdTensor::from_data([a, b, c], x.to_vec()).into(), None)?,
        _ => return Err("3 or 4 dimensions".into()),
    };
    let y: rten_tensor::Tensor<f32> = y.try_into()?;
    Ok(y.to_vec())
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
