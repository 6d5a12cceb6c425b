//! Compares the settings of events with the loaded model: what does not fit is reported, and what cannot have an effect is
//! removed.

use bike_edge::events::EventSpec;
use bike_edge::pipeline::Engine;
use bike_edge::recognition::{Scoring, find_name};

use super::layers::Layers;

/// Returns warnings about settings with which events are likely to be wrong, one sentence each with the remedy. Removes the
/// settings of categories that are not scored if they come from a thresholds file, which may be made for more categories.
pub fn advise(layers: &Layers, events: &mut EventSpec, engine: &Engine) -> Vec<String> {
    let mut advice = Vec::new();
    remove_unused_categories(layers, events, engine, &mut advice);
    compare_origin(layers, engine, &mut advice);
    check_background(events, engine, &mut advice);
    advice
}

fn remove_unused_categories(layers: &Layers, events: &mut EventSpec, engine: &Engine, advice: &mut Vec<String>) {
    let unused = events.category.keys().filter(|name| find_name(name, engine.categories()).is_none());
    let unused: Vec<String> = unused.cloned().collect();
    for name in unused {
        if let Some(line) = layers.line_of_thresholds(&format!("events.category.\"{name}\"")) {
            let shown: String = name.chars().take(200).collect::<String>().escape_debug().to_string();
            advice.push(format!("{line}: `{shown}` is not among the categories; its threshold is not used"));
            events.category.remove(&name);
        }
    }
}

/// Warns if thresholds were made for another bundle, scoring or background.
fn compare_origin(layers: &Layers, engine: &Engine, advice: &mut Vec<String>) {
    let Some((file, made_for)) = layers.made_for() else { return };
    let names = engine.categories();
    let background: Vec<&String> = engine.background().iter().map(|at| &names[*at]).collect();
    let bundle = &engine.bundle.manifest.name;
    let scoring = engine.model.recognition.scoring;
    let difference = if made_for.bundle != *bundle {
        format!("bundle `{}`, and this is `{bundle}`", made_for.bundle.escape_debug())
    } else if made_for.scoring != scoring {
        format!("{} confidences, and these are {}", name_of(made_for.scoring), name_of(scoring))
    } else if made_for.background.iter().collect::<Vec<_>>() != background {
        "another background".to_owned()
    } else {
        return;
    };
    advice
        .push(format!("{file}: its thresholds were made for {difference}; make them again with `bike-edge calibrate`"));
}

/// Warns if there is nothing to compare with, or a threshold that chance reaches.
fn check_background(events: &EventSpec, engine: &Engine, advice: &mut Vec<String>) {
    let scoring = engine.model.recognition.scoring;
    if engine.background().is_empty() {
        advice.push(
            "there are no background categories, so that the most similar category is reported whatever happens; name \
             what is there when nothing happens: `background`, such as \"an empty room,a street\""
                .into(),
        );
    }
    let compared = match scoring {
        Scoring::Share => engine.categories().len(),
        Scoring::Independent => engine.background().len() + 1,
    };
    let on = events.on.unwrap_or_else(|| EventSpec::default_on(scoring, engine.categories().len()));
    let chance = 1.0 / compared.max(1) as f32;
    if on <= chance {
        advice.push(format!(
            "`on` is {on}, and a category has {chance:.2} by chance, one of {compared}; raise `on`, or name more \
             categories or `background`"
        ));
    }
}

fn name_of(scoring: Scoring) -> &'static str {
    match scoring {
        Scoring::Share => "share",
        Scoring::Independent => "independent",
    }
}
