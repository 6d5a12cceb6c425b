//! Tables of embedding rows in three storage types, the shared bytes that they are stored in, and sets of rows chosen
//! from several tables.

use std::ops::{Deref, Range};
use std::sync::Arc;

use half::f16;
use memmap2::Mmap;

use super::kernel::kernels;
use crate::error::{Error, Result};

/// Storage type of a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 8-bit integers with one f32 scale per row.
    I8,
}

/// A matrix `[rows, width]`, stored row by row.
#[derive(Clone, Debug)]
pub struct Table {
    rows: usize,
    width: usize,
    dtype: Dtype,
    bytes: Bytes,
    /// Row scales, f32 `[rows]`; only for [`Dtype::I8`].
    scale: Option<Bytes>,
}

/// The numbers of a table in its storage type.
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
    /// Creates a table over little-endian bytes; `scale` is given only for [`Dtype::I8`].
    ///
    /// # Errors
    /// Returns a sentence without the file's name if a length or the alignment is wrong.
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
            (Dtype::I8, _) => return Err("an int8 table needs one aligned f32 scale per row".into()),
            (_, None) => {}
            (_, Some(_)) => return Err("a float table has no scale".into()),
        }
        Ok(Self { rows, width, dtype, bytes, scale })
    }

    /// Copies `[rows * width]` numbers to a table on the heap.
    ///
    /// # Errors
    /// Returns [`Error::Internal`] if `numbers` is not a multiple of `width` long.
    pub fn from_f32(width: usize, numbers: &[f32]) -> Result<Self> {
        let rows = numbers.len().checked_div(width).unwrap_or(0);
        let bytes = Bytes::copy_of(as_bytes(numbers));
        Self::new(rows, width, Dtype::F32, bytes, None).map_err(Error::Internal)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns how many numbers a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the storage type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Returns all rows in their storage type.
    pub fn data(&self) -> Rows<'_> {
        match self.dtype {
            Dtype::F32 => Rows::F32(cast(&self.bytes)),
            Dtype::F16 => Rows::F16(cast(&self.bytes)),
            Dtype::I8 => Rows::I8(cast(&self.bytes), self.scale.as_ref().map_or(&[], |scale| cast(scale))),
        }
    }

    /// Writes row `i` as f32 to `out`, `[width]`.
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

    /// Computes the dot products of all rows with `x`, `[width]`, into `out`, `[rows]`. Numbers must be finite.
    pub fn dot_all(&self, x: &[f32], out: &mut [f32]) {
        self.dot_range(0..self.rows, x, out, self.rows);
    }

    /// Computes the dot products of some rows with each of the vectors `x`, `[V, width]`, in one pass over the rows:
    /// `out[v * stride + r] = <row[range.start + r], x[v]>`. Numbers must be finite. The results for one vector do
    /// not depend on the other vectors.
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

    /// Computes `out = base + sum over some rows j of factors[j] * row[range.start + j]`, with `base` and `out` as wide
    /// as the table. Numbers must be finite. The factors are overwritten: an int8 table multiplies them by its row
    /// scales.
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
}

/// Rows of equal width, chosen from one or more tables without copying them.
#[derive(Clone, Debug, Default)]
pub struct RowSet {
    tables: Vec<Table>,
    runs: Vec<Run>,
    rows: usize,
}

/// Consecutive rows of one table.
#[derive(Clone, Debug)]
struct Run {
    table: usize,
    first: usize,
    rows: usize,
}

/// A table of a [`RowSet`].
#[derive(Clone, Copy, Debug)]
pub struct TableId(usize);

impl RowSet {
    /// Registers a table whose rows [`Self::add`] can add.
    pub fn add_table(&mut self, table: &Table) -> TableId {
        self.tables.push(table.clone());
        TableId(self.tables.len() - 1)
    }

    /// Adds consecutive rows. Returns the index of the first in the set, or `None` if the table has no such rows.
    pub fn add(&mut self, TableId(table): TableId, first: usize, rows: usize) -> Option<usize> {
        let at = self.rows;
        if first.checked_add(rows)? > self.tables.get(table)?.rows() {
            return None;
        }
        self.rows += rows;
        match self.runs.last_mut() {
            Some(last) if last.table == table && last.first + last.rows == first => last.rows += rows,
            _ => self.runs.push(Run { table, first, rows }),
        }
        Some(at)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Computes the dot products of all rows with each of the vectors `x`, `[V, width]`, into `out[v * stride + row]`.
    pub fn dot(&self, x: &[f32], out: &mut [f32], stride: usize) {
        let mut at = 0;
        for run in &self.runs {
            self.tables[run.table].dot_range(run.first..run.first + run.rows, x, &mut out[at..], stride);
            at += run.rows;
        }
    }
}

/// Number types for which every bit pattern is valid, so that bytes can be viewed as them.
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

/// Bytes that live until their last owner is dropped. Cloning and slicing copy nothing.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    Static(&'static [u8]),
    Mapped(Arc<Mmap>),
    /// `u64` elements, so that any table type is aligned.
    Heap(Arc<[u64]>),
}

impl Bytes {
    /// Wraps bytes of the binary.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Self { owner: Owner::Static(bytes), range: 0..bytes.len() }
    }

    /// Wraps a mapped file.
    pub fn from_map(map: Mmap) -> Self {
        let range = 0..map.len();
        Self { owner: Owner::Mapped(Arc::new(map)), range }
    }

    /// Copies bytes to the heap, aligned to 8 bytes.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let words = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_ne_bytes(word)
            })
            .collect();
        Self { owner: Owner::Heap(words), range: 0..bytes.len() }
    }

    /// Returns a part of these bytes, or `None` if the range exceeds them.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        let start = self.range.start + range.start;
        Some(Self { owner: self.owner.clone(), range: start..start + range.len() })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole: &[u8] = match &self.owner {
            Owner::Static(bytes) => bytes,
            Owner::Mapped(map) => map,
            Owner::Heap(words) => {
                // SAFETY: any initialised u64 is eight initialised bytes, and u8 has no alignment.
                unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) }
            }
        };
        &whole[self.range.clone()]
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.range.len())
    }
}
