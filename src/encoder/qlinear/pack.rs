//! Weights laid out for a kernel, all of a network's in one block of memory.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;
use tract_core::internal::*;

use super::kernel::{Kernel, Tile};
use super::quantise::Quantised;
use crate::encoder::ops::level::{Level, by_level};
use crate::encoder::ops::pool::Pool;

/// One block for the packed weights of a whole network: a single copy, page-aligned, in huge pages where the system
/// gives them, and returned to it as a whole.
pub(crate) struct Arena {
    memory: MmapMut,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Arena({} bytes)", self.memory.len())
    }
}

impl Arena {
    /// Where a matrix may begin: a cache line.
    const ALIGN: usize = 64;

    /// Room for `bytes`.
    fn new(bytes: usize) -> TractResult<Self> {
        let memory = MmapMut::map_anon(bytes.max(1)).context("no memory for packed weights")?;
        #[cfg(target_os = "linux")]
        if bytes >= 4 << 20 {
            // Only speed depends on it: fewer page walks while weights stream through.
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { memory })
    }
}

/// One weight matrix `[k, n]` inside an [`Arena`], as panels `[n / nr][k / kr][nr][kr]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    k: usize,
    n: usize,
    nr: usize,
    kr: usize,
    start: usize,
    full_range: bool,
    column_sums: Vec<i32>,
}

impl Packed {
    /// Bytes that a `[k, n]` matrix takes in an arena.
    fn bytes(kernel: &Kernel, k: usize, n: usize) -> usize {
        let bytes = k.next_multiple_of(kernel.kr) * n.next_multiple_of(kernel.nr);
        bytes.next_multiple_of(Arena::ALIGN)
    }

    /// Lays out `weights`, row-major `[k, n]` in two's complement, in `store`, which begins at `start` and is all zeros;
    /// sums of columns are kept, zero beyond n.
    fn pack(
        level: Level,
        kernel: &Kernel,
        (k, n): (usize, usize),
        weights: &[u8],
        start: usize,
        store: &mut [u8],
    ) -> TractResult<Self> {
        ensure!(k > 0 && n > 0 && weights.len() == k * n, "{} weights are not a {k} by {n} matrix", weights.len());
        let (nr, kr) = (kernel.nr, kernel.kr);
        let (groups, panels) = (k.div_ceil(kr), n.div_ceil(nr));
        let mut column_sums = vec![0i32; panels * nr];
        let store = &mut store[..groups * kr * panels * nr];
        let lowest = lay_out(level, weights, n, (nr, kr), store, &mut column_sums);
        let full_range = lowest == i8::MIN;
        Ok(Self { k, n, nr, kr, start, full_range, column_sums })
    }

    /// Rows of the matrix: the length of what it multiplies.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Columns of the matrix.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Number of panels, the last one filled up with zeros.
    pub(crate) fn panels(&self) -> usize {
        self.n.div_ceil(self.nr)
    }

    /// Sum of each column, `panels * nr` of them.
    pub(crate) fn column_sums(&self) -> &[i32] {
        &self.column_sums
    }

    /// Sums of products `[rows, nr]` of rows `first..first + rows` of `x` with panel `panel`.
    ///
    /// # Panics
    /// When a range lies outside, or `x` or the matrix is not of `kernel`'s layout.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn tile(
        &self,
        kernel: &Kernel,
        arena: &Arena,
        x: &Quantised,
        panel: usize,
        first: usize,
        rows: usize,
        sums: &mut [i32],
    ) {
        let groups = self.k.div_ceil(self.kr);
        let bytes = groups * self.kr * self.nr;
        let weights = &arena.memory[self.start + panel * bytes..][..bytes];
        let (activations, stride) = x.rows(kernel, self.k, first, rows);
        assert!((1..=kernel.mr).contains(&rows) && sums.len() >= rows * kernel.nr);
        assert!((self.nr, self.kr) == (kernel.nr, kernel.kr));
        let start = weights.as_ptr().cast::<i8>();
        // The tiles of a panel fetch the next one between them, the panel of the next layer after the last.
        let lines = groups * 64;
        let part = first.div_ceil(kernel.mr) * lines;
        let next = if part < bytes { start.wrapping_add(bytes + part) } else { start };
        let tile = Tile { rows, activations: activations.as_ptr(), stride, groups, weights: start, next };
        // SAFETY: the slices and assertions above are the contract; `rows` of `x` gives out whole strides but the last
        // row, whose `groups * kr` activations it includes; `full_range` was found when packing.
        unsafe { kernel.run(self.full_range, tile, sums.as_mut_ptr()) }
    }
}

/// Packs matrices of the given shapes `(k, n)`, several at a time on the pool's threads, into one block of memory.
/// `weights(i)` hands out the i-th matrix, row-major `[k, n]` in two's complement, and is called once.
pub(crate) fn pack_all<'a>(
    level: Level,
    kernel: &Kernel,
    pool: &Pool,
    shapes: &[(usize, usize)],
    weights: &(dyn Fn(usize) -> TractResult<Cow<'a, [u8]>> + Sync),
) -> TractResult<(Arena, Vec<Packed>)> {
    let sizes: Vec<usize> = shapes.iter().map(|&(k, n)| Packed::bytes(kernel, k, n)).collect();
    let mut arena = Arena::new(sizes.iter().sum())?;
    let (mut rest, mut start) = (&mut arena.memory[..], 0);
    let mut tasks = Vec::with_capacity(sizes.len());
    for size in sizes {
        let (store, after) = rest.split_at_mut(size);
        tasks.push(Mutex::new((start, store, None)));
        (rest, start) = (after, start + size);
    }
    pool.run(tasks.len(), &|i| {
        // Each task is taken once, so the lock is free and was never poisoned.
        if let Ok(mut task) = tasks[i].lock() {
            let (start, store, packed) = &mut *task;
            *packed = Some(weights(i).and_then(|w| Packed::pack(level, kernel, shapes[i], &w, *start, store)));
        }
    });
    let packed = tasks.into_iter().map(|task| {
        let (_, _, packed) = task.into_inner().unwrap_or_else(PoisonError::into_inner);
        packed.context("a matrix was not packed")?
    });
    let packed = packed.collect::<TractResult<Vec<_>>>()?;
    Ok((arena, packed))
}

/// Rows that are laid out together: they stay in the second-level cache while the panels take their columns from them,
/// and each panel gets some hundred bytes in one piece.
const ROWS: usize = 32;

by_level! {
    /// Writes `weights`, `[k, n]`, into `store` as panels `[n / nr][k / kr][nr][kr]`, and their sums over k to `sums`,
    /// `[n]` at least. Returns the lowest weight.
    fn lay_out(weights: &[u8], n: usize, layout: (usize, usize), store: &mut [u8], sums: &mut [i32]) -> i8;
    avx512 = lay_out_rows, avx2 = lay_out_rows, base = lay_out_rows
}

#[inline(always)]
fn lay_out_rows(weights: &[u8], n: usize, (nr, kr): (usize, usize), store: &mut [u8], sums: &mut [i32]) -> i8 {
    let panel_bytes = store.len() / n.div_ceil(nr);
    let mut lowest = 0;
    for (i, rows) in weights.chunks(ROWS * n).enumerate() {
        for row in rows.chunks_exact(n) {
            lowest = lowest.min(add_row(row, sums));
        }
        for (panel, store) in store.chunks_exact_mut(panel_bytes).enumerate() {
            let columns = panel * nr..n.min((panel + 1) * nr);
            let cells = store[i * ROWS * nr..].chunks_exact_mut(kr * nr);
            for (rows, cells) in rows.chunks(kr * n).zip(cells) {
                match (kr, nr) {
                    (2, 16) => interleave::<2, 16>(rows, n, columns.clone(), cells),
                    (4, 16) => interleave::<4, 16>(rows, n, columns.clone(), cells),
                    (4, 64) => interleave::<4, 64>(rows, n, columns.clone(), cells),
                    (8, 8) => interleave::<8, 8>(rows, n, columns.clone(), cells),
                    (16, 4) => interleave::<16, 4>(rows, n, columns.clone(), cells),
                    _ => scatter(rows, n, kr, columns.clone(), cells),
                }
            }
        }
    }
    lowest
}

/// Adds a row to the sums and returns its lowest weight.
#[inline(always)]
fn add_row(row: &[u8], sums: &mut [i32]) -> i8 {
    let mut lowest = 0i8;
    for (sum, w) in sums.iter_mut().zip(row) {
        let w = w.cast_signed();
        *sum += i32::from(w);
        lowest = lowest.min(w);
    }
    lowest
}

/// Writes `NR` columns of `KR` rows of `n` so that each column's numbers are neighbours; fewer by [`scatter`].
#[inline(always)]
fn interleave<const KR: usize, const NR: usize>(
    rows: &[u8],
    n: usize,
    columns: std::ops::Range<usize>,
    store: &mut [u8],
) {
    let (cells, _) = store.as_chunks_mut::<KR>();
    if rows.len() != KR * n || columns.len() != NR || cells.len() != NR {
        return scatter(rows, n, KR, columns, store);
    }
    // Constant numbers of rows and columns, which become vector instructions.
    let rows: [&[u8]; KR] = std::array::from_fn(|i| &rows[i * n..][columns.clone()]);
    let rows: [[u8; NR]; KR] = rows.map(|row| std::array::from_fn(|c| row[c]));
    for (c, cell) in cells.iter_mut().enumerate() {
        *cell = std::array::from_fn(|i| rows[i][c]);
    }
}

/// Writes columns of at most `kr` rows of `n` so that each column's numbers are neighbours; missing rows stay zero.
fn scatter(rows: &[u8], n: usize, kr: usize, columns: std::ops::Range<usize>, store: &mut [u8]) {
    for (i, row) in rows.chunks_exact(n).enumerate() {
        for (cell, w) in store.chunks_exact_mut(kr).zip(&row[columns.clone()]) {
            cell[i] = *w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_lies_where_its_kernel_looks() {
        let levels = [Level::BASE, Level::detect().at_most_avx2(), Level::detect()];
        let shapes = [(1, 1), (7, 5), (32, 16), (33, 64), (64, 130), (100, 67), (129, 192)];
        for (kernel, (k, n)) in Kernel::all_supported().flat_map(|kernel| shapes.map(|shape| (kernel, shape))) {
            let weights: Vec<u8> = (0..k * n).map(|i| (i * 37 % 251) as u8).collect();
            let at = |row: usize, column: usize| {
                if row < k && column < n { weights[row * n + column].cast_signed() } else { 0 }
            };
            for level in levels {
                let mut store = vec![0; Packed::bytes(kernel, k, n)];
                let packed = Packed::pack(level, kernel, (k, n), &weights, 0, &mut store).unwrap();
                let groups = k.div_ceil(kernel.kr);
                for (i, &byte) in store[..packed.panels() * groups * kernel.nr * kernel.kr].iter().enumerate() {
                    let (cell, row) = (i / kernel.kr, i % kernel.kr);
                    let (group, column) = (cell / kernel.nr % groups, cell % kernel.nr);
                    let panel = cell / kernel.nr / groups;
                    let expected = at(group * kernel.kr + row, panel * kernel.nr + column);
                    assert_eq!(byte.cast_signed(), expected, "{} {level:?} {k}x{n} at {i}", kernel.name());
                }
                for (column, &sum) in packed.column_sums().iter().enumerate() {
                    let expected: i32 = (0..k).map(|row| i32::from(at(row, column))).sum();
                    assert_eq!(sum, expected, "{} {level:?} {k}x{n} column {column}", kernel.name());
                }
                let full = (0..k * n).any(|i| weights[i] == 128);
                assert_eq!(packed.full_range, full);
            }
        }
    }
}
