//! A table of embedding rows in one of three storage types.

use std::ops::Range;

use half::f16;

use super::Bytes;
use super::kernel::kernels;
use crate::error::{Error, Result};

/// Storage type of a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 8-bit integers, one f32 scale a row.
    I8,
}

/// Rows of equal width, `[rows, width]`, stored row by row.
#[derive(Clone, Debug)]
pub struct Table {
    rows: usize,
    width: usize,
    dtype: Dtype,
    bytes: Bytes,
    /// Row scales, F32 `[rows]`, for [`Dtype::I8`].
    scale: Option<Bytes>,
}

/// A table's rows as slices of their type.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// `[rows * width]`.
    F32(&'a [f32]),
    /// `[rows * width]`.
    F16(&'a [f16]),
    /// `[rows * width]` and `[rows]` scales.
    I8(&'a [i8], &'a [f32]),
}

impl Table {
    /// A table over little-endian bytes; `scale` goes with [`Dtype::I8`] alone.
    ///
    /// # Errors
    /// Where lengths or alignment do not fit; the message has no file name, the caller adds it.
    pub fn new(rows: usize, width: usize, dtype: Dtype, bytes: Bytes, scale: Option<Bytes>) -> Result<Self, String> {
        let item = match dtype {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
            Dtype::I8 => 1,
        };
        let expected = rows.checked_mul(width).and_then(|n| n.checked_mul(item));
        if expected != Some(bytes.len()) {
            return Err(format!("{} bytes do not hold {rows} rows of {width} numbers", bytes.len()));
        }
        if !(bytes.as_ptr() as usize).is_multiple_of(item) {
            return Err("its data is not aligned; write it with a header padded to 8 bytes".into());
        }
        match (dtype, &scale) {
            (Dtype::I8, Some(scale)) if scale.len() == rows * 4 && (scale.as_ptr() as usize).is_multiple_of(4) => {}
            (Dtype::I8, _) => return Err("an int8 table needs one aligned f32 scale a row".into()),
            (_, None) => {}
            (_, Some(_)) => return Err("a float table has no scale".into()),
        }
        Ok(Self { rows, width, dtype, bytes, scale })
    }

    /// A table on the heap from `[rows * width]` numbers.
    pub fn from_f32(width: usize, numbers: &[f32]) -> Result<Self> {
        let rows = numbers.len().checked_div(width).unwrap_or(0);
        let bytes = Bytes::copy_of(as_bytes(numbers));
        Self::new(rows, width, Dtype::F32, bytes, None).map_err(Error::Internal)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Storage type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// All rows, in their storage type.
    pub fn data(&self) -> Rows<'_> {
        match self.dtype {
            Dtype::F32 => Rows::F32(cast(&self.bytes)),
            Dtype::F16 => Rows::F16(cast(&self.bytes)),
            Dtype::I8 => Rows::I8(cast(&self.bytes), self.scale.as_ref().map_or(&[], |scale| cast(scale))),
        }
    }

    /// Row `i` as f32 into `out`, `[width]`.
    pub fn row_into(&self, i: usize, out: &mut [f32]) {
        let range = i * self.width..(i + 1) * self.width;
        match self.data() {
            Rows::F32(data) => out.copy_from_slice(&data[range]),
            Rows::F16(data) => out.iter_mut().zip(&data[range]).for_each(|(o, x)| *o = x.to_f32()),
            Rows::I8(data, scale) => {
                out.iter_mut().zip(&data[range]).for_each(|(o, x)| *o = scale[i] * f32::from(*x));
            }
        }
    }

    /// Dot products of all rows with `x`, `[width]`, into `out`, `[rows]`. Numbers must be finite.
    pub fn dot_all(&self, x: &[f32], out: &mut [f32]) {
        self.dot_range(0..self.rows, x, out, self.rows);
    }

    /// Dot products of some rows with each of the vectors `x`, `[V, width]`, in one pass over the rows:
    /// `out[v * stride + r] = <row[range.start + r], x[v]>`. Numbers must be finite. A vector's results do not depend
    /// on the vectors beside it.
    pub fn dot_range(&self, range: Range<usize>, x: &[f32], out: &mut [f32], stride: usize) {
        if range.is_empty() || self.width == 0 || x.is_empty() {
            return;
        }
        let kernels = kernels();
        let items = range.start * self.width..range.end * self.width;
        match self.data() {
            Rows::F32(data) => (kernels.dot_f32)(&data[items], self.width, x, out, stride),
            Rows::F16(data) => (kernels.dot_f16)(&data[items], self.width, x, out, stride),
            Rows::I8(data, scale) => {
                (kernels.dot_i8)(&data[items], self.width, x, out, stride);
                let scale = &scale[range];
                for column in out.chunks_mut(stride).take(x.len() / self.width) {
                    column.iter_mut().zip(scale).for_each(|(x, scale)| *x *= scale);
                }
            }
        }
    }

    /// `out = base + sum over some rows j of factors[j] * row[range.start + j]`, with `base` and `out` as wide as the
    /// table. Numbers must be finite. The factors are scaled in place where rows are, and are of no use afterwards.
    pub fn mix_range(&self, range: Range<usize>, factors: &mut [f32], base: &[f32], out: &mut [f32]) {
        let kernels = kernels();
        let items = range.start * self.width..range.end * self.width;
        match self.data() {
            Rows::F32(data) => (kernels.mix_f32)(&data[items], factors, base, out),
            Rows::F16(data) => (kernels.mix_f16)(&data[items], factors, base, out),
            Rows::I8(data, scale) => {
                factors.iter_mut().zip(&scale[range]).for_each(|(factor, scale)| *factor *= scale);
                (kernels.mix_i8)(&data[items], factors, base, out);
            }
        }
    }

    /// Rows `first..first + count` as a table of their own, sharing storage.
    pub fn slice_rows(&self, first: usize, count: usize) -> Option<Self> {
        let item = self.bytes.len() / (self.rows * self.width).max(1);
        let row = self.width * item;
        let end = first.checked_add(count)?;
        let scale = match &self.scale {
            Some(scale) => Some(scale.slice(first * 4..end * 4)?),
            None => None,
        };
        let bytes = self.bytes.slice(first * row..end * row)?;
        Some(Self { rows: count, width: self.width, dtype: self.dtype, bytes, scale })
    }
}

/// Plain number types that may be viewed in place.
trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for f16 {}
impl Plain for i8 {}

fn cast<T: Plain>(bytes: &[u8]) -> &[T] {
    debug_assert!((bytes.as_ptr() as usize).is_multiple_of(align_of::<T>()));
    debug_assert!(bytes.len().is_multiple_of(size_of::<T>()));
    // SAFETY: `Table::new` checked length and alignment, the memory is immutable while borrowed, and every bit
    // pattern is a valid f32, f16 or i8.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) }
}

fn as_bytes(numbers: &[f32]) -> &[u8] {
    // SAFETY: f32 has no padding and u8 no alignment.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}
