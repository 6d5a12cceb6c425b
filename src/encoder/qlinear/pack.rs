//! Weights laid out for a kernel, all of a network's in one block of memory.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;
use tract_core::internal::*;

use super::kernel::{Kernel, Tile};
use super::quantise::Quantised;
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
        kernel: &Kernel,
        (k, n): (usize, usize),
        weights: &[u8],
        start: usize,
        store: &mut [u8],
    ) -> TractResult<Self> {
        ensure!(k > 0 && n > 0 && weights.len() == k * n, "{} weights are not a {k} by {n} matrix", weights.len());
        let (nr, kr) = (kernel.nr, kernel.kr);
        let (groups, panels) = (k.div_ceil(kr), n.div_ceil(nr));
        let store = &mut store[..groups * kr * panels * nr];
        for (panel, store) in store.chunks_exact_mut(groups * kr * nr).enumerate() {
            let columns = panel * nr..n.min((panel + 1) * nr);
            for (group, store) in store.chunks_exact_mut(kr * nr).enumerate() {
                let rows = &weights[group * kr * n..k.min((group + 1) * kr) * n];
                match kr {
                    1 => interleave::<1>(rows, n, columns.clone(), store),
                    2 => interleave::<2>(rows, n, columns.clone(), store),
                    4 => interleave::<4>(rows, n, columns.clone(), store),
                    8 => interleave::<8>(rows, n, columns.clone(), store),
                    _ => interleave::<16>(rows, n, columns.clone(), store),
                }
            }
        }
        let mut column_sums = vec![0i32; panels * nr];
        let mut lowest = 0i8;
        for row in weights.chunks_exact(n) {
            for (sum, w) in column_sums.iter_mut().zip(row) {
                let w = w.cast_signed();
                *sum += i32::from(w);
                lowest = lowest.min(w);
            }
        }
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
            *packed = Some(weights(i).and_then(|w| Packed::pack(kernel, shapes[i], &w, *start, store)));
        }
    });
    let packed = tasks.into_iter().map(|task| {
        let (_, _, packed) = task.into_inner().unwrap_or_else(PoisonError::into_inner);
        packed.context("a matrix was not packed")?
    });
    let packed = packed.collect::<TractResult<Vec<_>>>()?;
    Ok((arena, packed))
}

/// Writes columns of at most `KR` rows of `n` so that each column's numbers are neighbours; missing rows stay zero.
fn interleave<const KR: usize>(rows: &[u8], n: usize, columns: std::ops::Range<usize>, store: &mut [u8]) {
    let (cells, _) = store.as_chunks_mut::<KR>();
    if rows.len() == KR * n {
        // The common case, with a constant number of rows, which becomes vector instructions.
        let rows: [&[u8]; KR] = std::array::from_fn(|i| &rows[i * n..][columns.clone()]);
        for (c, cell) in cells.iter_mut().take(columns.len()).enumerate() {
            *cell = std::array::from_fn(|i| rows[i][c]);
        }
    } else {
        for (i, row) in rows.chunks_exact(n).enumerate() {
            for (cell, w) in cells.iter_mut().zip(&row[columns.clone()]) {
                cell[i] = *w;
            }
        }
    }
}
