//! Finds dynamic int8 linear layers in tract's typed model, before it is decluttered, and replaces them by
//! [`Int8Linear`].
//!
//! ```text
//! x ─ DynamicQuantizeLinear ─┬ integers ─ MatMulInteger(W) ─ Cast ─ Mul ─ [Add bias] ─ [activation] ─ [Add r]
//!                            └ scale ─ Mul(weight scale) ───────────┘
//! ```
//!
//! Layers that share one DynamicQuantizeLinear (queries, keys and values) and have nothing after their bias become one
//! operator. ConvInteger with a 1x1 kernel is such a layer too, with its columns on the second axis: as for other
//! convolutions, the channels of its input are moved last and those of its output are moved back,
//! so that the moves between two such layers cancel.

use std::borrow::Cow;
use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::array::Slice;
use tract_core::ops::cast::Cast;
use tract_core::ops::cnn::conv::Conv;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::math::{Add, Mul};

use super::graph::{
    CHANNELS_TO_LAST, CHANNELS_TO_SECOND, bounds_after, constant, constant_f32, only_reader, other_operand,
    pointwise_after,
};
use super::linear::Int8Linear;
use super::match_product::{ColumnAxis, InFileWeights, Product, Scale, Source, find_product, lies_along, transposed};
use crate::encoder::cpu::choice::CpuContext;
use crate::encoder::cpu::int8_convert::Activation;
use crate::encoder::cpu::int8_weights::pack_all;

/// One layer that can be replaced.
struct Linear<'a> {
    quantiser: usize,
    weights: Source<'a>,
    k: usize,
    columns: ColumnAxis,
    scale: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
    residual: Option<OutletId>,
    output: OutletId,
}

impl Linear<'_> {
    /// Returns the number of columns.
    fn n(&self) -> usize {
        self.scale.len()
    }

    /// Returns whether the layer can be joined with others of the same input.
    fn can_share(&self) -> bool {
        self.activation == Activation::None && self.residual.is_none() && self.columns == ColumnAxis::Last
    }
}

/// Replaces every dynamic int8 linear layer of `model`; returns the number of operators that replace them.
///
/// Weights may be in the model or in `external`.
pub(crate) fn rewrite(
    model: &mut TypedModel,
    cpu: &Arc<CpuContext>,
    external: &InFileWeights<'_>,
) -> TractResult<usize> {
    let is_product = |node: &&TypedNode| node.op_is::<EinSum>() || node.op_is::<Conv>();
    let candidates: Vec<usize> = model.nodes.iter().filter(is_product).map(|n| n.id).collect();
    let mut groups: Vec<(usize, Vec<usize>, Vec<Linear<'_>>)> = vec![];
    for &id in &candidates {
        let Some(linear) = find(model, external, model.node(id)) else { continue };
        // `usize::MAX` is no node: this layer shares with no other.
        let quantiser = if linear.can_share() { linear.quantiser } else { usize::MAX };
        match groups.iter_mut().find(|(shared, ..)| *shared == quantiser && linear.can_share()) {
            Some((_, members, layers)) => {
                members.push(id);
                layers.push(linear);
            }
            None => groups.push((quantiser, vec![id], vec![linear])),
        }
    }
    let (groups, layers): (Vec<Vec<usize>>, Vec<Vec<Linear<'_>>>) =
        groups.into_iter().map(|(_, members, layers)| (members, layers)).unzip();
    let shape = |layers: &Vec<Linear<'_>>| (layers.first().map_or(0, |l| l.k), layers.iter().map(Linear::n).sum());
    let shapes: Vec<(usize, usize)> = layers.iter().map(shape).collect();
    let (arena, packed) = pack_all(cpu.level, cpu.kernel, &cpu.pool, &shapes, &|i| joined(&layers[i]))?;
    drop(layers);
    let arena = Arc::new(arena);
    for (members, weights) in groups.iter().zip(packed) {
        // Found again, because the replacements so far have moved inputs and residuals.
        let linears: Vec<Linear<'_>> = members.iter().filter_map(|&id| find(model, external, model.node(id))).collect();
        ensure!(linears.len() == members.len(), "a linear layer was lost while others were replaced");
        let padded = weights.panels() * cpu.kernel.nr;
        let side_by_side = |of: for<'l> fn(&'l Linear<'_>) -> &'l [f32]| {
            let mut numbers: Vec<f32> = linears.iter().flat_map(of).copied().collect();
            numbers.resize(padded, 0.0);
            numbers
        };
        let (scale, bias) = (side_by_side(|l| &l.scale), side_by_side(|l| &l.bias));
        let (cpu, arena) = (Arc::clone(cpu), Arc::clone(&arena));
        let residual = linears[0].residual;
        let op = Int8Linear {
            cpu,
            arena,
            weights,
            scale: scale.into(),
            bias: bias.into(),
            activation: linears[0].activation,
            residual: residual.is_some(),
        };
        replace(model, op, &linears, residual)?;
    }
    Ok(groups.len())
}

/// Replaces layers that share an input by `op`.
fn replace(
    model: &mut TypedModel,
    op: Int8Linear,
    linears: &[Linear<'_>],
    residual: Option<OutletId>,
) -> TractResult<()> {
    let name = &model.node(linears[0].output.node).name;
    let input = model.node(linears[0].quantiser).inputs[0];
    let mut patch = TypedModelPatch::new("dynamic int8 linear layer");
    let second = linears[0].columns == ColumnAxis::Second;
    let mut inputs = tvec!();
    for (i, outlet) in [Some(input), residual].into_iter().flatten().enumerate() {
        let mut tap = patch.tap_model(model, outlet)?;
        if second {
            tap = patch.wire_node(format!("{name}.channels_last.{i}"), CHANNELS_TO_LAST, &[tap])?[0];
        }
        inputs.push(tap);
    }
    let mut output = patch.wire_node(format!("{name}.int8_linear"), op, &inputs)?[0];
    if second {
        output = patch.wire_node(format!("{name}.channels_second"), CHANNELS_TO_SECOND, &[output])?[0];
    }
    if let [linear] = linears {
        patch.shunt_outside(model, linear.output, output)?;
    } else {
        let axis = patch.outlet_fact(output)?.rank() - 1;
        let mut start = 0;
        for (i, linear) in linears.iter().enumerate() {
            let slice = Slice::new(axis, start, start + linear.n());
            let part = patch.wire_node(format!("{name}.int8_linear.{i}"), slice, &[output])?[0];
            patch.shunt_outside(model, linear.output, part)?;
            start += linear.n();
        }
    }
    patch.apply(model)
}

/// Returns the weights of layers that share an input side by side, as row-major bytes.
fn joined<'a>(linears: &'a [Linear<'_>]) -> TractResult<Cow<'a, [u8]>> {
    let bytes = |linear: &'a Linear<'_>| match &linear.weights {
        Source::Constant(tensor) => Ok(Cow::Borrowed(tensor.try_as_plain_ram()?.as_bytes())),
        Source::Transposed(tensor) => Ok(Cow::Owned(transposed(tensor, linear.k)?)),
        Source::File(bytes) => TractResult::Ok(Cow::Borrowed(*bytes)),
    };
    if let [linear] = linears {
        return bytes(linear);
    }
    let n: usize = linears.iter().map(Linear::n).sum();
    let mut joined = vec![0; linears.first().map_or(0, |l| l.k) * n];
    let mut start = 0;
    for linear in linears {
        for (row, part) in joined.chunks_exact_mut(n).zip(bytes(linear)?.chunks_exact(linear.n())) {
            row[start..start + part.len()].copy_from_slice(part);
        }
        start += linear.n();
    }
    Ok(Cow::Owned(joined))
}

/// Returns the layer whose matrix product is `node`, if it can be replaced.
fn find<'a>(model: &TypedModel, external: &InFileWeights<'a>, node: &TypedNode) -> Option<Linear<'a>> {
    let product = find_product(model, external, node)?;
    let Product { quantiser, weights, k, n, columns } = product;
    let axis = if columns == ColumnAxis::Second { 1 } else { node.outputs[0].fact.rank() - 1 };
    let cast = only_reader(model, node.id.into())?;
    (cast.op_as::<Cast>()?.to == f32::datum_type()).then_some(())?;
    let mut output = OutletId::new(cast.id, 0);
    let mut scale = Scale::default();
    while let Some(reader) = only_reader(model, output) {
        let Some(factor) = other_operand::<Mul>(reader, output) else { break };
        if !lies_along(model, factor, axis, n) || !scale.times(model, factor, quantiser, n) {
            break;
        }
        output = reader.id.into();
    }
    let mut linear = Linear {
        quantiser,
        weights,
        k,
        columns,
        scale: scale.finish(n)?,
        bias: vec![0.0; n],
        activation: Activation::None,
        residual: None,
        output,
    };
    linear.take_bias(model, axis);
    linear.take_activation(model);
    linear.take_residual(model);
    Some(linear)
}

impl Linear<'_> {
    /// Takes in an addition of constants that follows.
    fn take_bias(&mut self, model: &TypedModel, axis: usize) {
        let Some(reader) = only_reader(model, self.output) else { return };
        let Some(other) = other_operand::<Add>(reader, self.output) else { return };
        let bias = constant_f32(model, other).filter(|b| b.len() == self.n());
        if let Some(bias) = bias.filter(|_| lies_along(model, other, axis, self.n())) {
            self.bias = bias;
            self.output = reader.id.into();
        }
    }

    /// Takes in an activation that follows.
    fn take_activation(&mut self, model: &TypedModel) {
        let points: Vec<f32> = (-64..=64).map(|i| i as f32 / 8.0).collect();
        for chain in pointwise_after(model, self.output, &points) {
            let is = |activation: Activation| {
                points.iter().zip(&chain.values).all(|(x, y)| (activation.at(*x) - y).abs() < 2e-5)
            };
            if let Some(activation) = [Activation::QuickGelu, Activation::Gelu].into_iter().find(|a| is(*a)) {
                self.activation = activation;
                self.output = chain.output;
                return;
            }
        }
        let (output, [low, high]) = bounds_after(model, self.output);
        if output != self.output {
            self.activation = Activation::Bounded(low, high);
            self.output = output;
        }
    }

    /// Takes in an addition of another tensor that follows.
    fn take_residual(&mut self, model: &TypedModel) {
        let Some(reader) = only_reader(model, self.output) else { return };
        let Some(other) = other_operand::<Add>(reader, self.output) else { return };
        let fact = |outlet| model.outlet_fact(outlet).ok();
        let same_shape = fact(other).is_some_and(|o| fact(self.output).is_some_and(|s| s.shape == o.shape));
        if same_shape && constant(model, other).is_none() {
            self.residual = Some(other);
            self.output = reader.id.into();
        }
    }
}
