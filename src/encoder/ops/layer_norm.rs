//! Layer normalisation over the last axis as one operator.

use std::sync::{Arc, OnceLock};

use tract_core::internal::*;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use crate::encoder::cpu::choice::CpuContext;
use crate::encoder::cpu::level::{BASE_FUSED, SimdLevel, by_level, fma};

/// tract's builder of an operator.
type Builder = fn(&ParsingContext, &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Registers our operator with the ONNX parser for the cases that it supports: last axis, one output, f32.
pub(crate) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("LayerNormalization", |context, node| {
        static GENERAL: OnceLock<Option<Builder>> = OnceLock::new();
        let general = GENERAL.get_or_init(|| tract_onnx::onnx().op_register.0.get("LayerNormalization").copied());
        let (general, context) = general.context("the parser has no LayerNormalization")?(context, node)?;
        let axis: i64 = node.get_attr_opt("axis")?.unwrap_or(-1);
        let epsilon = node.get_attr_opt("epsilon")?.unwrap_or(1e-5);
        let outputs = node.output.iter().filter(|name| !name.is_empty()).count();
        let expansion = general.as_op().downcast_ref::<Box<dyn Expansion>>().cloned();
        Ok(match expansion {
            Some(general) if (axis, outputs) == (-1, 1) => (expand(Parsed { general, epsilon }), context),
            _ => (general, context),
        })
    });
}

/// The operator before shapes and types are inferred, which tract's own operator does.
#[derive(Clone, Debug)]
struct Parsed {
    general: Box<dyn Expansion>,
    epsilon: f32,
}

impl Expansion for Parsed {
    fn name(&self) -> StaticName {
        "LayerNorm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.general.rules(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(inputs[0])?.datum_type == f32::datum_type() {
            return model.wire_node(prefix, LayerNorm { epsilon: self.epsilon, cpu: None }, inputs);
        }
        self.general.wire(prefix, model, inputs)
    }
}

/// Computes (x - mean) / sqrt(variance + epsilon) * gain + offset over the last axis.
///
/// Inputs: x `[.., D]`, gain `[D]` and optionally offset `[D]`, f32. Output `[.., D]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerNorm {
    epsilon: f32,
    cpu: Option<Arc<CpuContext>>,
}
impl Eq for LayerNorm {}

/// Sets the context of every LayerNorm of the model; returns their number.
pub(crate) fn rewrite(model: &mut TypedModel, cpu: &Arc<CpuContext>) -> usize {
    let norms = model.nodes.iter_mut().filter_map(|node| node.op_as_mut::<LayerNorm>());
    norms.map(|op| op.cpu = Some(Arc::clone(cpu))).count()
}

impl Op for LayerNorm {
    fn name(&self) -> StaticName {
        "LayerNorm".into()
    }

    op_as_typed_op!();
}

impl EvalOp for LayerNorm {
    fn eval(&self, _ctx: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = inputs.remove(0);
        let width = x.shape().last().copied().unwrap_or(0);
        ensure!(
            width > 0 && inputs.iter().all(|i| i.len() == width),
            "LayerNorm of {width} numbers with parameters of another length"
        );
        let parameters: TVec<&[f32]> =
            inputs.iter().map(|i| i.try_as_plain_ram()?.as_slice::<f32>()).collect::<TractResult<_>>()?;
        let gain = parameters.first().context("LayerNorm without gain")?;
        let offset = parameters.get(1).copied().unwrap_or(&[]);
        // SAFETY: every number is written below.
        let mut out = unsafe { Tensor::uninitialized_aligned_dt(f32::datum_type(), x.shape(), 64)? };
        let (level, epsilon) = (self.cpu.as_ref().map_or(SimdLevel::BASE, |e| e.level), self.epsilon);
        let mut view = out.try_as_plain_ram_mut()?;
        let rows = x.try_as_plain_ram()?.as_slice::<f32>()?.chunks_exact(width);
        for (x, out) in rows.zip(view.as_slice_mut::<f32>()?.chunks_exact_mut(width)) {
            normalise(level, x, gain, offset, epsilon, out);
        }
        Ok(tvec!(out.into_tvalue()))
    }

    op_out_of_plan!();
}

impl TypedOp for LayerNorm {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.iter().all(|i| i.datum_type == f32::datum_type()), "LayerNorm needs f32 inputs");
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

by_level! {
    /// Normalises one row; an empty `offset` counts as zeros.
    fn normalise(x: &[f32], gain: &[f32], offset: &[f32], epsilon: f32, out: &mut [f32]);
    avx512 = normalise_body::<true>, avx2 = normalise_body::<true>, base = normalise_body::<{ BASE_FUSED }>
}

const LANES: usize = 32;

/// Returns the sum of f over x, accumulated in `LANES` parts so that it vectorises.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut parts = [0f32; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (part, x) in parts.iter_mut().zip(chunk) {
            *part += f(*x);
        }
    }
    for (part, x) in parts.iter_mut().zip(chunks.remainder()) {
        *part += f(*x);
    }
    parts.iter().sum()
}

#[inline(always)]
fn normalise_body<const FUSED: bool>(x: &[f32], gain: &[f32], offset: &[f32], epsilon: f32, out: &mut [f32]) {
    let n = out.len();
    let (x, gain) = (&x[..n], &gain[..n]);
    let mean = sum(x, |x| x) / n as f32;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / n as f32;
    let scale = 1.0 / (variance + epsilon).sqrt();
    if offset.is_empty() {
        for i in 0..n {
            out[i] = (x[i] - mean) * scale * gain[i];
        }
    } else {
        let offset = &offset[..n];
        for i in 0..n {
            out[i] = fma::<FUSED>((x[i] - mean) * scale, gain[i], offset[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_normalised() {
        let x: Vec<f32> = (0..77).map(|i| ((i * 37) % 19) as f32 - 3.0).collect();
        let gain: Vec<f32> = (0..77).map(|i| 1.0 + i as f32 * 0.01).collect();
        let offset: Vec<f32> = (0..77).map(|i| i as f32 * 0.1).collect();
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / 77.0;
        let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / 77.0;
        for level in [SimdLevel::BASE, SimdLevel::detect().at_most_avx2(), SimdLevel::detect()] {
            for offset in [&offset[..], &[]] {
                let mut out = [0.0; 77];
                normalise(level, &x, &gain, offset, 1e-5, &mut out);
                for i in 0..77 {
                    let expected = (f64::from(x[i]) - mean) / (variance + 1e-5).sqrt() * f64::from(gain[i])
                        + f64::from(*offset.get(i).unwrap_or(&0.0));
                    assert!((f64::from(out[i]) - expected).abs() < 1e-5, "{level:?}");
                }
            }
        }
    }
}
