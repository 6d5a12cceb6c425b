//! What a test program tells of the processor that it runs on: which kernel was chosen there, and that it is right.
//!
//! `make test-arm` runs it on emulated processors, and reads what is printed.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::tests::{answer, cosine, floats};
use super::{Engine, Precision, Pruning, Report};
use crate::encoder::qlinear::kernel::Kernel;

/// The kernel that must be chosen; without it any may.
const EXPECTED: &str = "BIKE_EDGE_EXPECTED_KERNEL";

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_chosen_kernel_answers_as_the_portable_one_to_the_bit() {
    let chosen = Arc::new(Engine::new(1, None, Precision::Full).unwrap());
    let name = chosen.kernel.name();
    if let Ok(expected) = std::env::var(EXPECTED) {
        assert_eq!(name, expected, "{EXPECTED} is not the kernel that was chosen");
    }
    let (report, found) = answer("tiny", &chosen, Pruning::Off);
    let linears = Report { linears: 9, ..report };
    assert_eq!(report, linears, "not every linear layer was computed by the kernel");
    let nearness = cosine(&found, &floats("tiny.int8.f32"));
    assert!(nearness >= 0.9998, "kernel {name}: cosine {nearness} with onnxruntime");
    // The same f32 instructions around another integer kernel: nothing may differ.
    let portable = Kernel::named("portable").unwrap();
    let portable = Engine { kernel: portable, ..Engine::new(1, None, Precision::Full).unwrap() };
    assert_eq!(answer("tiny", &Arc::new(portable), Pruning::Off).1, found, "kernel {name}");

    let bytes: Vec<u8> = found.iter().flat_map(|x| x.to_le_bytes()).collect();
    println!("kernel={name} linears={} cosine={nearness:.7} answer-sha256={} ok", report.linears, hex(&bytes));
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    println!("binary-sha256={}", hex(&program));
    println!("nonce={}", std::env::var("NONCE").unwrap_or_default());
}
