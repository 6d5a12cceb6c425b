//! A loaded network with its reusable state.

use std::sync::Arc;

use tract_core::internal::{Runnable, State};
use tract_onnx::prelude::{Datum, TValue, Tensor, TractResult, tvec};

use super::device::{Device, Gpu};
use crate::encoder::cpu::choice::Precision;
use crate::encoder::onnx::load::{Network, Target, load};
use crate::encoder::onnx::panic_guard::{catch_panics, one_line};
use crate::encoder::onnx::shapes::{InputType, Signature};
use crate::encoder::ops::Pruning;
use crate::error::{Error, Result};

/// How a network is loaded and run, and its name in errors.
#[derive(Clone, Debug)]
pub struct EncoderOptions {
    /// CPU threads, at least 1.
    pub threads: usize,
    /// The bundle's name in errors.
    pub bundle: String,
    /// The graph's file name in errors.
    pub file: String,
    /// How attention and patch embedding of an int8 network are computed.
    pub precision: Precision,
    /// Whether unused rows are skipped.
    pub pruning: Pruning,
    /// The device to run on.
    pub device: Device,
}

impl EncoderOptions {
    /// Returns the fastest options for `file` of `bundle` on that many threads of the CPU.
    pub fn new(threads: usize, bundle: impl Into<String>, file: impl Into<String>) -> Self {
        let (precision, pruning) = (Precision::default(), Pruning::default());
        Self { threads, bundle: bundle.into(), file: file.into(), precision, pruning, device: Device::Cpu }
    }

    /// Returns an [`Error::Bundle`] about this graph.
    fn error(&self, problem: impl std::fmt::Display) -> Error {
        Error::bundle(self.bundle.clone(), format!("{}: {problem}", self.file))
    }
}

/// A network of one input and one f32 output. State and input tensor are reused by every run.
pub(super) struct NetworkRunner {
    state: Box<dyn State>,
    plan: Box<dyn Runnable>,
    /// Not shared between runs.
    input: Arc<Tensor>,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
    options: EncoderOptions,
}

impl NetworkRunner {
    /// Loads a graph of one input and one f32 output with the given shapes.
    ///
    /// # Errors
    /// [`Error::Bundle`] with the problem of the graph and the remedy.
    pub(super) fn load(onnx: &[u8], signature: &Signature<'_>, options: EncoderOptions) -> Result<Self> {
        let named = options.clone();
        let error = |problem| named.error(problem);
        if let Some(gpu) = options.device.gpu().map_err(error)? {
            match catch_panics(|| Self::load_on(onnx, signature, Some(gpu), options.clone())) {
                Err(problem) if options.device == Device::Auto => gpu.warn_fallback(&problem),
                outcome => return outcome.map_err(error),
            }
        }
        catch_panics(|| Self::load_on(onnx, signature, None, options)).map_err(error)
    }

    fn load_on(
        onnx: &[u8],
        signature: &Signature<'_>,
        gpu: Option<Gpu>,
        options: EncoderOptions,
    ) -> Result<Self, String> {
        let target = match gpu {
            Some(gpu) => gpu.target(),
            None => Target::Cpu { threads: options.threads, precision: options.precision, pruning: options.pruning },
        };
        let Network { plan, state, input_shape, output_shape } = load(onnx, signature, target, &options.file)?;
        let input = match signature.input_type {
            InputType::F32 => Tensor::zero::<f32>(&input_shape),
            InputType::I64 => Tensor::zero::<i64>(&input_shape),
        };
        let input = Arc::new(input.map_err(|e| format!("its input cannot be allocated ({e}); use a smaller model"))?);
        Ok(Self { state, plan, input, input_shape, output_shape, options })
    }

    /// Returns an error about this graph.
    pub(super) fn error(&self, problem: impl std::fmt::Display) -> Error {
        self.options.error(problem)
    }

    pub(super) fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    pub(super) fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// Runs the network on `from`, numbers of the input's type, and writes its output to `to`.
    ///
    /// # Errors
    /// [`Error::Bundle`] if the network fails or its output is not finite, [`Error::Internal`] for slices of the wrong
    /// length.
    pub(super) fn run<T: Datum + Copy>(&mut self, from: &[T], to: &mut [f32]) -> Result<()> {
        let lengths = [(from.len(), &self.input_shape), (to.len(), &self.output_shape)];
        for (length, shape) in lengths {
            if length != shape.iter().product::<usize>() {
                return Err(Error::Internal(format!("{length} numbers were given for shape {shape:?}")));
            }
        }
        let outcome = catch_panics(|| self.forward(from, to).map_err(|e| one_line(&format!("{e:#}"))));
        if let Err(problem) = outcome {
            // The state of a failed run is not used again.
            self.state = self.plan.spawn().map_err(|e| self.options.error(e))?;
            return Err(self.options.error(format!("it cannot be run: {problem}; export the graph again")));
        }
        if to.iter().any(|x| !x.is_finite()) {
            return Err(self.options.error(
                "its output is not finite (NaN or infinity), so its weights are damaged or overflow; export it again",
            ));
        }
        Ok(())
    }

    fn forward<T: Datum + Copy>(&mut self, from: &[T], to: &mut [f32]) -> TractResult<()> {
        match Arc::get_mut(&mut self.input) {
            Some(tensor) => tensor.try_as_plain_ram_mut()?.as_slice_mut::<T>()?.copy_from_slice(from),
            None => self.input = Arc::new(Tensor::from_shape(&self.input_shape, from)?),
        }
        let input = TValue::from_const(self.input.clone());
        let output = self.state.run(tvec!(input))?;
        to.copy_from_slice(output[0].try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(())
    }
}
