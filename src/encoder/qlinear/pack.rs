//! Weights laid out for a kernel, all of a network's in one block of memory.

use memmap2::MmapMut;
use tract_core::internal::*;

use super::kernel::{Kernel, Tile};
use super::quantise::Quantised;

/// One block for the packed weights of a whole network: a single copy, page-aligned, in huge pages where the system
/// gives them, and returned to it as a whole.
pub(crate) struct Arena {
    memory: MmapMut,
    used: usize,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Arena({} bytes)", self.used)
    }
}

impl Arena {
    /// Where a matrix may begin: a cache line.
    const ALIGN: usize = 64;

    /// Room for `bytes`, given out by [`Packed::pack`].
    pub(crate) fn new(bytes: usize) -> TractResult<Self> {
        let memory = MmapMut::map_anon(bytes.max(1)).context("no memory for packed weights")?;
        #[cfg(target_os = "linux")]
        if bytes >= 4 << 20 {
            // Only speed depends on it: fewer page walks while weights stream through.
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { memory, used: 0 })
    }

    fn take(&mut self, bytes: usize) -> TractResult<usize> {
        let start = self.used;
        let end = start + bytes.next_multiple_of(Self::ALIGN);
        ensure!(end <= self.memory.len(), "packed weights outgrew their memory");
        self.used = end;
        Ok(start)
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
    pub(crate) fn bytes(kernel: &Kernel, k: usize, n: usize) -> usize {
        let bytes = k.next_multiple_of(kernel.kr) * n.next_multiple_of(kernel.nr);
        bytes.next_multiple_of(Arena::ALIGN)
    }

    /// Lays out `weights`, row-major `[k, n]`; sums of columns are kept, zero beyond n.
    pub(crate) fn pack(kernel: &Kernel, arena: &mut Arena, k: usize, n: usize, weights: &[i8]) -> TractResult<Self> {
        ensure!(k > 0 && n > 0 && weights.len() == k * n, "{} weights are not a {k} by {n} matrix", weights.len());
        let (nr, kr) = (kernel.nr, kernel.kr);
        let (groups, panels) = (k.div_ceil(kr), n.div_ceil(nr));
        let start = arena.take(Self::bytes(kernel, k, n))?;
        let store = &mut arena.memory[start..start + groups * kr * panels * nr];
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
                *sum += i32::from(*w);
                lowest = lowest.min(*w);
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

/// Writes columns of at most `KR` rows of `n` so that each column's numbers are neighbours; missing rows stay zero.
fn interleave<const KR: usize>(rows: &[i8], n: usize, columns: std::ops::Range<usize>, store: &mut [u8]) {
    let (cells, _) = store.as_chunks_mut::<KR>();
    if rows.len() == KR * n {
        // The common case, with a constant number of rows, which becomes vector instructions.
        let rows: [&[i8]; KR] = std::array::from_fn(|i| &rows[i * n..][columns.clone()]);
        for (c, cell) in cells.iter_mut().take(columns.len()).enumerate() {
            *cell = std::array::from_fn(|i| rows[i][c].cast_unsigned());
        }
    } else {
        for (i, row) in rows.chunks_exact(n).enumerate() {
            for (cell, w) in cells.iter_mut().zip(&row[columns.clone()]) {
                cell[i] = w.cast_unsigned();
            }
        }
    }
}
