//! Scores frame embeddings of your own, without decoding or encoding: `cargo run --release --example score_embeddings`

use bike_edge::bundle::{Bundle, BundleRef};
use bike_edge::pipeline::{ModelSpec, Workload};
use bike_edge::recognition::{FrameStamp, Recognizer, Vocabulary, top_n};

fn main() -> bike_edge::Result<()> {
    let bundle = Bundle::open(&BundleRef::Embedded)?;
    let mut spec = ModelSpec::default().resolve(&bundle.manifest, Workload::Clips)?.recognition;
    spec.lambda = 1.0; // The video branch only.
    let vocabulary = Vocabulary::from_categories(bundle.categories());
    let mut recognizer = Recognizer::new(spec, vocabulary, None, None, None)?;
    // Embeddings `[D]` from anywhere; here frames that drift from one category's text to another's.
    let texts = &bundle.categories().category;
    let (mut from, mut to) = (vec![0.0; texts.width()], vec![0.0; texts.width()]);
    texts.row_into(3, &mut from);
    texts.row_into(7, &mut to);
    for index in 0..8 {
        let share = index as f32 / 7.0;
        let embedding: Vec<f32> = from.iter().zip(&to).map(|(a, b)| (1.0 - share) * a + share * b).collect();
        recognizer.push(FrameStamp { time: index as f64, index }, &embedding, None)?;
        let scores = recognizer.scores()?;
        let (category, confidence) = top_n(&scores.confidence, 1)[0];
        println!("frame {index}: {:5.1} %  {}", 100.0 * confidence, bundle.categories().names[category]);
    }
    Ok(())
}
