//! Attention, softmax(scale Q K') V for all heads, as one operator that reads queries, keys and values in place.

use std::cell::RefCell;
use std::sync::Arc;

use tract_core::internal::*;

use crate::encoder::cpu::bf16::{self, Bf16};
use crate::encoder::cpu::choice::CpuContext;
use crate::encoder::cpu::gemm::{Product, Store, columns, multiply};
use crate::encoder::cpu::level::{BASE_FUSED, by_level, exp};
use crate::encoder::cpu::threads::SharedSlice;

/// The queries that are computed together: their scores stay in the first-level cache.
const QUERIES: usize = 8;

/// The layout of one of the four matrices `[heads, tokens, dim]` in a tensor. The numbers of one token are contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatrixLayout {
    /// The index of the operator's input.
    pub(crate) input: usize,
    /// The offset of head 0, token 0.
    pub(crate) start: usize,
    pub(crate) head_stride: usize,
    pub(crate) token_stride: usize,
}

impl MatrixLayout {
    /// Returns the offset of one token.
    fn row(&self, head: usize, token: usize) -> usize {
        self.start + head * self.head_stride + token * self.token_stride
    }

    /// Returns the offset behind the last number.
    fn end(&self, heads: usize, tokens: usize, dim: usize) -> usize {
        self.row(heads - 1, tokens - 1) + dim
    }
}

/// Attention. The inputs are f32 tensors of any shape that hold `q`, `k` and `v`; the output has shape `shape`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attention {
    pub(crate) cpu: Arc<CpuContext>,
    /// Whether both products are computed in bfloat16.
    pub(crate) bf16: Option<Bf16>,
    /// Whether each query attends only to the keys up to its own position; there are then as many queries as keys.
    pub(crate) causal: bool,
    pub(crate) heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    /// The width of queries and keys.
    pub(crate) dim: usize,
    /// The width of values and of the output.
    pub(crate) value_dim: usize,
    pub(crate) scale: f32,
    pub(crate) q: MatrixLayout,
    pub(crate) k: MatrixLayout,
    pub(crate) v: MatrixLayout,
    /// `input` is not used.
    pub(crate) out: MatrixLayout,
    pub(crate) shape: TVec<usize>,
}
impl Eq for Attention {}

thread_local! {
    /// Transposed keys, values, scores and outputs of one head.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// Operands in bfloat16; scores and outputs in f32.
    static SCRATCH_BF16: RefCell<(Vec<u32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl Op for Attention {
    fn name(&self) -> StaticName {
        "Attention".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let Self { heads, queries, keys, dim, .. } = self;
        Ok(vec![format!("{heads} heads, {queries} queries, {keys} keys of {dim}")])
    }

    op_as_typed_op!();
}

impl EvalOp for Attention {
    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        // SAFETY: every number is written below: the matcher checked that the layout covers the output.
        let mut out = unsafe { Tensor::uninitialized_aligned_dt(f32::datum_type(), &self.shape, 64)? };
        let slices: TVec<&[f32]> =
            inputs.iter().map(|i| i.try_as_plain_ram()?.as_slice::<f32>()).collect::<TractResult<_>>()?;
        let operand = |layout: &MatrixLayout, tokens: usize, dim: usize| {
            let end = layout.end(self.heads, tokens, dim);
            slices.get(layout.input).filter(|s| s.len() >= end).copied().context("an input of attention is too small")
        };
        let q = operand(&self.q, self.queries, self.dim)?;
        let k = operand(&self.k, self.keys, self.dim)?;
        let v = operand(&self.v, self.keys, self.value_dim)?;
        let mut view = out.try_as_plain_ram_mut()?;
        let shared = SharedSlice::new(view.as_slice_mut::<f32>()?);
        self.cpu.pool.run(self.heads, &|head| match self.bf16 {
            Some(bf16) => SCRATCH_BF16.with_borrow_mut(|s| self.head_bf16(bf16, head, [q, k, v], s, &shared)),
            None => SCRATCH.with_borrow_mut(|scratch| self.head(head, [q, k, v], scratch, &shared)),
        });
        Ok(tvec!(out.into_tvalue()))
    }

    op_out_of_plan!();
}

impl TypedOp for Attention {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.iter().all(|i| i.datum_type == f32::datum_type()), "attention needs f32 inputs");
        Ok(tvec!(f32::fact(&self.shape)))
    }

    as_op!();
}

impl Attention {
    /// Returns the operator for query `token` only, if `axis` is the output axis of the queries; its length becomes 1.
    pub(crate) fn one_query(&self, axis: usize, token: usize) -> Option<Self> {
        let inner: usize = self.shape.get(axis + 1..)?.iter().product();
        let one = self.shape[..axis].iter().all(|d| *d == 1) && self.shape[axis] == self.queries;
        if !one || self.causal || self.out.token_stride != inner || token >= self.queries {
            return None;
        }
        let mut shape = self.shape.clone();
        shape[axis] = 1;
        let q = MatrixLayout { start: self.q.row(0, token), ..self.q };
        Some(Self { queries: 1, q, shape, ..self.clone() })
    }

    /// Turns the scores of all keys for query `token` into weights, and returns their sum.
    fn weights(&self, token: usize, scores: &mut [f32]) -> f32 {
        let (visible, hidden) = scores.split_at_mut(if self.causal { token + 1 } else { self.keys });
        hidden.fill(0.0);
        exponentials(self.cpu.level, visible, self.scale)
    }

    /// Computes one head in f32.
    fn head(&self, head: usize, [q, k, v]: [&[f32]; 3], scratch: &mut Vec<f32>, out: &SharedSlice<'_>) {
        let level = self.cpu.level;
        let width = columns(level) / 2;
        let (n, d) = (self.keys.next_multiple_of(width), self.value_dim.next_multiple_of(width));
        let sizes = [self.dim * n, self.keys * d, QUERIES * n, QUERIES * d];
        if scratch.len() < sizes.iter().sum() {
            scratch.resize(sizes.iter().sum(), 0.0);
        }
        let (keys, rest) = scratch.split_at_mut(sizes[0]);
        let (values, rest) = rest.split_at_mut(sizes[1]);
        let (scores, rest) = rest.split_at_mut(sizes[2]);
        let outputs = &mut rest[..sizes[3]];
        for token in 0..n {
            if token < self.keys {
                let key = &k[self.k.row(head, token)..][..self.dim];
                key.iter().enumerate().for_each(|(i, x)| keys[i * n + token] = *x);
            } else {
                (0..self.dim).for_each(|i| keys[i * n + token] = 0.0);
            }
        }
        for (token, row) in values.chunks_exact_mut(d).enumerate() {
            let (row, padding) = row.split_at_mut(self.value_dim);
            row.copy_from_slice(&v[self.v.row(head, token)..][..self.value_dim]);
            padding.fill(0.0);
        }
        for first in (0..self.queries).step_by(QUERIES) {
            let rows = QUERIES.min(self.queries - first);
            let a = &q[self.q.row(head, first)..];
            let product = Product { rows, a, a_stride: self.q.token_stride, k: self.dim, b: keys, b_stride: n, n };
            multiply(level, product, Store::Overwrite, scores, n);
            let mut sums = [0f32; QUERIES];
            for (i, (row, sum)) in scores.chunks_exact_mut(n).zip(&mut sums).take(rows).enumerate() {
                *sum = self.weights(first + i, &mut row[..self.keys]);
            }
            let product = Product { rows, a: scores, a_stride: n, k: self.keys, b: values, b_stride: d, n: d };
            multiply(level, product, Store::Overwrite, outputs, d);
            for (i, (output, sum)) in outputs.chunks_exact(d).zip(sums).take(rows).enumerate() {
                // SAFETY: rows of different heads and tokens do not overlap; the matcher checked it.
                let out = unsafe { out.part(self.out.row(head, first + i), self.value_dim) };
                out.iter_mut().zip(output).for_each(|(out, x)| *out = *x / sum);
            }
        }
    }
}

impl Attention {
    /// Computes one head with both products in bfloat16; softmax stays f32.
    fn head_bf16(
        &self,
        bf16: Bf16,
        head: usize,
        [q, k, v]: [&[f32]; 3],
        (pairs, floats): &mut (Vec<u32>, Vec<f32>),
        out: &SharedSlice<'_>,
    ) {
        let level = self.cpu.level;
        let half = bf16::COLUMNS / 2;
        let (n, d) = (self.keys.next_multiple_of(half), self.value_dim.next_multiple_of(half));
        let (dim, tokens) = (self.dim.div_ceil(2), self.keys.div_ceil(2));
        let sizes = [dim * n, tokens * d, dim, QUERIES * dim.max(tokens)];
        if pairs.len() < sizes.iter().sum() {
            pairs.resize(sizes.iter().sum(), 0);
        }
        if floats.len() < QUERIES * (n + d) {
            floats.resize(QUERIES * (n + d), 0.0);
        }
        let (keys, rest) = pairs.split_at_mut(sizes[0]);
        let (values, rest) = rest.split_at_mut(sizes[1]);
        let (key, operand) = rest.split_at_mut(sizes[2]);
        let (scores, outputs) = floats.split_at_mut(QUERIES * n);
        for token in 0..n {
            if token < self.keys {
                bf16::pairs(level, &k[self.k.row(head, token)..][..self.dim], key);
            } else {
                key.fill(0);
            }
            for (i, pair) in key.iter().enumerate() {
                keys[i * n + token] = *pair;
            }
        }
        for (i, row) in values.chunks_exact_mut(d).take(tokens).enumerate() {
            let value = |token: usize| match token < self.keys {
                true => &v[self.v.row(head, token)..][..self.value_dim],
                false => &[],
            };
            bf16::zip(level, value(2 * i), value(2 * i + 1), row);
            row[self.value_dim..].fill(0);
        }
        for first in (0..self.queries).step_by(QUERIES) {
            let rows = QUERIES.min(self.queries - first);
            for (i, row) in operand.chunks_exact_mut(dim).take(rows).enumerate() {
                bf16::pairs(level, &q[self.q.row(head, first + i)..][..self.dim], row);
            }
            let product = bf16::Product { rows, a: operand, a_stride: dim, pairs: dim, b: keys, n };
            bf16.multiply(product, Store::Overwrite, scores, n);
            let mut sums = [0f32; QUERIES];
            for (i, sum) in sums.iter_mut().enumerate().take(rows) {
                let row = &mut scores[i * n..][..self.keys];
                *sum = self.weights(first + i, row);
                bf16::pairs(level, row, &mut operand[i * tokens..][..tokens]);
            }
            let product = bf16::Product { rows, a: operand, a_stride: tokens, pairs: tokens, b: values, n: d };
            bf16.multiply(product, Store::Overwrite, outputs, d);
            for (i, (output, sum)) in outputs.chunks_exact(d).zip(sums).take(rows).enumerate() {
                // SAFETY: rows of different heads and tokens do not overlap; the matcher checked it.
                let out = unsafe { out.part(self.out.row(head, first + i), self.value_dim) };
                out.iter_mut().zip(output).for_each(|(out, x)| *out = *x / sum);
            }
        }
    }
}

by_level! {
    /// Replaces each x by e^(scale (x - max x)) and returns the sum.
    fn exponentials(x: &mut [f32], scale: f32) -> f32;
    avx512 = exponentials_body::<true>, avx2 = exponentials_body::<true>, base = exponentials_body::<{ BASE_FUSED }>
}

#[inline(always)]
fn exponentials_body<const FUSED: bool>(x: &mut [f32], scale: f32) -> f32 {
    const LANES: usize = 16;
    let mut max = [f32::NEG_INFINITY; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (max, x) in max.iter_mut().zip(chunk) {
            *max = if *x > *max { *x } else { *max };
        }
    }
    let max = max.iter().chain(chunks.remainder()).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let mut sums = [0f32; LANES];
    let mut chunks = x.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = exp::<FUSED>((*x - max) * scale);
            *sum += *x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(chunks.into_remainder()) {
        *x = exp::<FUSED>((*x - max) * scale);
        *sum += *x;
    }
    sums.iter().sum()
}
