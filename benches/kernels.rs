//! Integer kernels on the linear layers of ViT-B/32 (50 tokens) and B/16 (197), with weights in the cache.
//!
//! `cargo bench --bench kernels`. The throughput is in multiply-adds (shown as items).

use bike_edge::encoder::IntegerProduct;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// The cases: kernel, rows, K, N.
fn cases() -> Vec<(&'static str, usize, usize, usize)> {
    let layers = [(50, 768, 3072), (50, 3072, 768), (197, 768, 768)];
    IntegerProduct::kernels().into_iter().flat_map(|kernel| layers.map(|(m, k, n)| (kernel, m, k, n))).collect()
}

#[divan::bench(args = cases(), sample_count = 30)]
fn product(bencher: Bencher<'_, '_>, &(kernel, m, k, n): &(&'static str, usize, usize, usize)) {
    let product = IntegerProduct::new(kernel, m, k, n).expect("a kernel of this processor");
    bencher.counter(ItemsCount::new(m * k * n)).bench_local(|| black_box(product.run()));
}
