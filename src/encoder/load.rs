//! From an ONNX file to a network ready to run, in named steps.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tract_core::internal::Runnable;
use tract_linalg::multithread::Executor;
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::{Datum, Framework, InferenceModel, InferenceModelExt, RunOptions, TypedModel};

use super::caught::{THREADS, caught, one_line};
use super::device::{Device, Gpu};
use super::limits::VALUE_BYTES;
use super::runner::Runner;
use super::shapes::{self, Shape};
use super::weights::Weights;
use super::{EncoderOptions, constants, guard, limits, ops, traps};
use crate::error::Result;

/// Loads a graph of one input and one f32 output whose shapes are as given.
///
/// # Errors
/// [`crate::Error::Bundle`] with what is wrong with the graph and the remedy.
pub(super) fn load(onnx: &[u8], shape: &Shape<'_>, options: EncoderOptions) -> Result<Runner> {
    let named = options.clone();
    let wrong = |problem| named.error(problem);
    if let Some(gpu) = options.device.gpu().map_err(wrong)? {
        match caught(|| steps(onnx, shape, Some(gpu), options.clone())) {
            Err(problem) if options.device == Device::Auto => gpu.given_up(&problem),
            outcome => return outcome.map_err(wrong),
        }
    }
    caught(|| steps(onnx, shape, None, options)).map_err(wrong)
}

fn steps(onnx: &[u8], shape: &Shape<'_>, gpu: Option<Gpu>, options: EncoderOptions) -> Result<Runner, String> {
    let mut clock = Clock::start(&options.file);
    let mut decoded = guard::decode(onnx)?;
    let graph = guard::check(&decoded)?;
    if gpu.is_some() {
        refuse_int8(graph)?;
    }
    clock.step("read and checked");
    let weights = Weights::leave(&mut decoded);
    let input_shape = prepare(&mut decoded.model, shape)?;
    clock.step("constants made f32");
    let model = inference_model(&decoded.model, gpu)?;
    drop(decoded);
    let model = typed_model(model)?;
    let output_shape = check_facts(&model, shape)?;
    clock.step("typed");
    let plan = match gpu {
        Some(gpu) => gpu.prepare(model.into_decluttered().map_err(unsupported)?)?,
        None => on_cpu(model, weights, &options, &mut clock)?,
    };
    let runner = Runner::new(plan, shape.numbers, input_shape, output_shape, options).map_err(unsupported)?;
    release_memory();
    clock.step("ready");
    Ok(runner)
}

/// Makes shapes concrete and constants plain, and refuses what would be computed wrongly. Returns the input's shape.
fn prepare(proto: &mut ModelProto, shape: &Shape<'_>) -> Result<Vec<usize>, String> {
    let graph = proto.graph.as_mut().ok_or("it holds no graph; export or download it again")?;
    let at = guard::inputs(graph).next().ok_or("it has no input; export it with one")?;
    let input_shape = shapes::resolve_input(&graph.input[at], shape)?;
    shapes::set_input(&mut graph.input[at], &input_shape);
    // Hints that may name other shapes than the one that was just fixed.
    graph.value_info.clear();
    constants::inline(graph);
    traps::check(graph)?;
    constants::fold(graph)?;
    Ok(input_shape)
}

/// The int8 form is made for the CPU's kernels; no GPU of the runtime's has them.
fn refuse_int8(graph: &GraphProto) -> Result<(), String> {
    match graph.node.iter().any(|node| node.op_type == "MatMulInteger") {
        true => {
            Err("its linear layers are int8, which is the CPU's form; export the bundle with --precision fp16 or fp32 \
                     for a GPU, or use --device cpu"
                .into())
        }
        false => Ok(()),
    }
}

/// A model with our own operators, optimised for this processor.
fn on_cpu(
    mut model: TypedModel,
    weights: Weights<'_>,
    options: &EncoderOptions,
    clock: &mut Clock,
) -> Result<Box<dyn Runnable>, String> {
    let engine = ops::engine(options.threads, options.precision).map_err(|e| e.to_string())?;
    let report = ops::rewrite(&mut model, &engine, options.pruning, weights).map_err(unsupported)?;
    log::debug!("{}: kernel {}, {report:?}", options.file, engine.kernel.name());
    clock.step("operators replaced");
    let model = optimised(model)?;
    clock.step("optimised");
    let threads = RunOptions { executor: Some(executor(options.threads)), ..Default::default() };
    Ok(Box::new(model.into_runnable_with_options(&threads).map_err(unsupported)?))
}

/// On a GPU every operator is the runtime's.
fn inference_model(proto: &ModelProto, gpu: Option<Gpu>) -> Result<InferenceModel, String> {
    let parser = if gpu.is_some() { tract_onnx::onnx() } else { ops::parser() };
    parser.model_for_proto_model(proto).map_err(unsupported)
}

fn typed_model(model: InferenceModel) -> Result<TypedModel, String> {
    model.into_typed().map_err(unsupported)
}

fn optimised(model: TypedModel) -> Result<TypedModel, String> {
    model.into_decluttered().and_then(|model| model.into_optimized()).map_err(unsupported)
}

/// Checks the sizes of all values, and the output's shape, which it returns.
fn check_facts(model: &TypedModel, shape: &Shape<'_>) -> Result<Vec<usize>, String> {
    for node in model.nodes() {
        for output in &node.outputs {
            let dims = output.fact.shape.as_concrete();
            let dims = dims.ok_or_else(|| {
                format!(
                    "the shape of `{}` depends on what is seen; export the graph with fixed shapes",
                    one_line(&node.name)
                )
            })?;
            let item = output.fact.datum_type.size_of();
            let bytes = dims.iter().try_fold(item, |bytes, dim| bytes.checked_mul(*dim));
            if bytes.is_none_or(|bytes| bytes > VALUE_BYTES) {
                let name = one_line(&node.name);
                return Err(format!("value `{name}` takes more than {VALUE_BYTES} bytes; use a smaller model"));
            }
        }
    }
    let fact = model.output_fact(0).map_err(unsupported)?;
    if fact.datum_type != f32::datum_type() {
        return Err("its output is not f32; export the graph with an f32 output".into());
    }
    let found = fact.shape.as_concrete().unwrap_or(&[]).to_vec();
    shapes::check_output(&found, shape.output)?;
    Ok(found)
}

/// The network runtime's reasons as one sentence.
fn unsupported(error: impl std::fmt::Display) -> String {
    format!(
        "the network runtime cannot load it ({}); export it with standard operators",
        one_line(&format!("{error:#}"))
    )
}

/// What computes: one pool for each number of threads asked for, shared by all networks.
fn executor(threads: usize) -> Executor {
    static POOLS: Mutex<BTreeMap<usize, Executor>> = Mutex::new(BTreeMap::new());
    if threads <= 1 {
        return Executor::SingleThread;
    }
    let threads = threads.min(limits::THREADS);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.entry(threads).or_insert_with(|| Executor::multithread_with_name(threads, THREADS)).clone()
}

/// Hands freed memory back to the system: loading needs several times what running does.
fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time; it only returns free pages.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Logs how long each step took.
struct Clock {
    file: String,
    last: Instant,
}

impl Clock {
    fn start(file: &str) -> Self {
        Self { file: file.to_owned(), last: Instant::now() }
    }

    fn step(&mut self, name: &str) {
        log::debug!("{}: {name} in {:.1} ms", self.file, self.last.elapsed().as_secs_f64() * 1e3);
        self.last = Instant::now();
    }
}
