//! A loaded network with its kept state.

use std::sync::Arc;

use tract_core::internal::{Runnable, State};
use tract_onnx::prelude::{Datum, TValue, Tensor, TractResult, tvec};

use super::EncoderOptions;
use super::caught::{caught, one_line};
use super::shapes::Numbers;
use crate::error::{Error, Result};

/// A network of one input and one f32 output. State and input tensor are kept from run to run.
pub(super) struct Runner {
    state: Box<dyn State>,
    plan: Box<dyn Runnable>,
    /// Ours alone between runs.
    input: Arc<Tensor>,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
    options: EncoderOptions,
}

impl Runner {
    pub fn new(
        plan: Box<dyn Runnable>,
        numbers: Numbers,
        input_shape: Vec<usize>,
        output_shape: Vec<usize>,
        options: EncoderOptions,
    ) -> TractResult<Self> {
        let state = plan.spawn()?;
        let input = Arc::new(match numbers {
            Numbers::F32 => Tensor::zero::<f32>(&input_shape)?,
            Numbers::I64 => Tensor::zero::<i64>(&input_shape)?,
        });
        Ok(Self { state, plan, input, input_shape, output_shape, options })
    }

    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// Runs the network over `from`, numbers of the input's type, into `to`, both as long as their shapes ask.
    pub fn run<T: Datum + Copy>(&mut self, from: &[T], to: &mut [f32]) -> Result<()> {
        let lengths = [(from.len(), &self.input_shape), (to.len(), &self.output_shape)];
        for (length, shape) in lengths {
            if length != shape.iter().product::<usize>() {
                return Err(Error::Internal(format!("{length} numbers were given for shape {shape:?}")));
            }
        }
        let outcome = caught(|| self.forward(from, to).map_err(|e| one_line(&format!("{e:#}"))));
        if let Err(problem) = outcome {
            // What a failed run left behind is not used again.
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
