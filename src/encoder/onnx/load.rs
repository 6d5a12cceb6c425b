//! Turns an ONNX file into a network that is ready to run.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tract_core::internal::{Runnable, Runtime, State};
use tract_linalg::multithread::Executor;
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::{Datum, Framework, InferenceModel, InferenceModelExt, RunOptions, TypedModel};

use super::limits::VALUE_BYTES;
use super::panic_guard::{one_line, unsupported};
use super::shapes::{self, Signature};
use super::{constant_budget, constants, guard, large_tensors, refused_graphs};
use crate::encoder::cpu::choice::{CpuContext, Precision};
use crate::encoder::cpu::threads::{MAX_THREADS, WORKER_NAME};
use crate::encoder::ops::{self, InFileWeights, Pruning};

/// What a network runs on.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// The CPU, with our operators.
    Cpu { threads: usize, precision: Precision, pruning: Pruning },
    /// A GPU, with the operators of the network runtime.
    Gpu { name: &'static str, runtime: &'static dyn Runtime },
}

/// A network that is ready to run.
pub(crate) struct Network {
    pub(crate) plan: Box<dyn Runnable>,
    /// The state of the first run.
    pub(crate) state: Box<dyn State>,
    pub(crate) input_shape: Vec<usize>,
    pub(crate) output_shape: Vec<usize>,
}

/// Loads a graph of one input and one f32 output with the given shapes. `file` is its name in the log.
///
/// # Errors
/// A sentence, without the file's name, with the problem of the graph and the remedy.
pub(crate) fn load(onnx: &[u8], signature: &Signature<'_>, target: Target, file: &str) -> Result<Network, String> {
    let mut timer = StepTimer::start(file);
    let mut decoded = guard::decode(onnx)?;
    let graph = guard::check(&decoded)?;
    if matches!(target, Target::Gpu { .. }) {
        refuse_int8(graph)?;
    }
    timer.log("read and checked");
    let weights = large_tensors::take_weights(&mut decoded.model, decoded.file, decoded.extracted);
    let input_shape = prepare(&mut decoded.model, signature)?;
    timer.log("constants converted to f32");
    let parser = match target {
        Target::Cpu { .. } => ops::parser(),
        Target::Gpu { .. } => tract_onnx::onnx(),
    };
    let mut model = inference_model(&parser, &decoded.model)?;
    drop(decoded.model);
    constant_budget::analyse(&mut model)?;
    let model = typed_model(model)?;
    let output_shape = check_facts(&model, signature)?;
    constant_budget::check_typed(&model)?;
    timer.log("typed");
    let plan = match target {
        Target::Gpu { name, runtime } => on_gpu(model.into_decluttered().map_err(unsupported)?, name, runtime)?,
        Target::Cpu { threads, precision, pruning } => {
            let cpu = CpuContext::shared(threads, precision).map_err(|e| e.to_string())?;
            on_cpu(model, weights, &cpu, pruning, threads, &mut timer)?
        }
    };
    let state = plan.spawn().map_err(unsupported)?;
    release_memory();
    timer.log("ready");
    Ok(Network { plan, state, input_shape, output_shape })
}

/// Fixes the shapes, converts constants, and refuses what would be computed wrongly. Returns the shape of the input.
fn prepare(proto: &mut ModelProto, signature: &Signature<'_>) -> Result<Vec<usize>, String> {
    let graph = proto.graph.as_mut().ok_or("it contains no graph; export or download it again")?;
    let at = guard::inputs(graph).next().ok_or("it has no input; export it with one")?;
    let input_shape = shapes::resolve_input(&graph.input[at], signature)?;
    shapes::set_input(&mut graph.input[at], &input_shape);
    // Shape hints may contradict the shape that was just set.
    graph.value_info.clear();
    constants::inline_constants(graph);
    refused_graphs::check(graph)?;
    constants::fold_constants(graph)?;
    constants::remove_unused_nodes(graph);
    Ok(input_shape)
}

/// Refuses int8 linear layers on a GPU: only our CPU kernels compute them.
fn refuse_int8(graph: &GraphProto) -> Result<(), String> {
    match graph.node.iter().any(|node| node.op_type == "MatMulInteger") {
        true => {
            Err("its linear layers are int8, which only the CPU computes; export the bundle with --precision fp16 or \
                     fp32 for a GPU, or use device cpu"
                .into())
        }
        false => Ok(()),
    }
}

/// Inserts our operators and optimises the model for this processor.
fn on_cpu(
    mut model: TypedModel,
    weights: InFileWeights<'_>,
    cpu: &std::sync::Arc<CpuContext>,
    pruning: Pruning,
    threads: usize,
    timer: &mut StepTimer<'_>,
) -> Result<Box<dyn Runnable>, String> {
    let report = ops::rewrite(&mut model, cpu, pruning, weights).map_err(unsupported)?;
    log::debug!("{}: kernel {}, {report:?}", timer.file, cpu.kernel.name());
    timer.log("operators replaced");
    let model = optimised(model)?;
    timer.log("optimised");
    let options = RunOptions { executor: Some(executor(threads)), ..Default::default() };
    Ok(Box::new(model.into_runnable_with_options(&options).map_err(unsupported)?))
}

/// Prepares a model to run on a GPU.
fn on_gpu(model: TypedModel, name: &str, runtime: &dyn Runtime) -> Result<Box<dyn Runnable>, String> {
    let failed = |e| format!("{name} cannot run it ({})", one_line(&format!("{e:#}")));
    let runnable = runtime.prepare_with_options(model, &RunOptions::default()).map_err(failed)?;
    log::info!("running on {name}");
    Ok(runnable)
}

fn inference_model(parser: &tract_onnx::Onnx, proto: &ModelProto) -> Result<InferenceModel, String> {
    parser.model_for_proto_model(proto).map_err(unsupported)
}

fn typed_model(model: InferenceModel) -> Result<TypedModel, String> {
    model.into_typed().map_err(unsupported)
}

fn optimised(model: TypedModel) -> Result<TypedModel, String> {
    model.into_decluttered().and_then(|model| model.into_optimized()).map_err(unsupported)
}

/// Checks the sizes of all values and the shape of the output. Returns the shape of the output.
fn check_facts(model: &TypedModel, signature: &Signature<'_>) -> Result<Vec<usize>, String> {
    for node in model.nodes() {
        for output in &node.outputs {
            let dims = output.fact.shape.as_concrete();
            let dims = dims.ok_or_else(|| {
                format!("the shape of `{}` is not fixed; export the graph with fixed shapes", one_line(&node.name))
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
    shapes::check_output(&found, signature.output)?;
    Ok(found)
}

/// Returns the threads of tract's own operators: one pool per number of threads, shared by all networks.
fn executor(threads: usize) -> Executor {
    static POOLS: Mutex<BTreeMap<usize, Executor>> = Mutex::new(BTreeMap::new());
    if threads <= 1 {
        return Executor::SingleThread;
    }
    let threads = threads.min(MAX_THREADS);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.entry(threads).or_insert_with(|| Executor::multithread_with_name(threads, WORKER_NAME)).clone()
}

/// Returns freed memory to the system, because loading needs several times as much as running.
fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time; it only returns free pages.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Logs the time of each step.
struct StepTimer<'a> {
    file: &'a str,
    last: Instant,
}

impl<'a> StepTimer<'a> {
    fn start(file: &'a str) -> Self {
        Self { file, last: Instant::now() }
    }

    fn log(&mut self, step: &str) {
        log::debug!("{}: {step} in {:.1} ms", self.file, self.last.elapsed().as_secs_f64() * 1e3);
        self.last = Instant::now();
    }
}
