//! Prints the best three categories of a clip: `cargo run --release --example classify_clip -- clip.mp4`

use bike_edge::pipeline::{ClipClassifier, ClipSpec, Engine, ModelSpec};
use bike_edge::recognition::top_n;

fn main() -> bike_edge::Result<()> {
    let clip = std::env::args_os().nth(1).unwrap_or_else(|| "tests/data/clip.mp4".into());
    // The bundle inside the crate; name your own with `bundle: "folder".into()`.
    let engine = Engine::load(&ModelSpec::default())?;
    let mut classifier = ClipClassifier::new(engine, ClipSpec::default())?;
    let scores = classifier.classify(&clip, &mut |_, _| {})?;
    for (category, confidence) in top_n(&scores.average.confidence(), 3) {
        println!("{:5.1} %  {}", 100.0 * confidence, classifier.engine().categories()[category]);
    }
    let explanation = classifier.explain(&scores)?;
    let peak = explanation.saliency.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((frame, _)) = peak {
        println!("most salient frame: {} at {:.1} s", frame.index, frame.time);
    }
    Ok(())
}
