//! Tests of the library and of the program as a whole, one file per topic.

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod bad_bundles;
mod bad_embeddings;
mod bad_graphs;
mod bundles;
#[cfg(target_os = "linux")]
mod chaos;
mod check_config;
mod command_line;
mod crop_matches_full_resize;
mod crop_matches_pillow;
mod devices;
mod events;
mod follow;
mod gate;
mod independent_scoring;
mod mp4_faults;
mod network_goldens;
mod preprocess_allocations;
mod preprocess_any_picture;
mod recognition_allocations;
#[cfg(unix)]
mod replay;
mod schemas;
#[cfg(target_os = "linux")]
mod service;
#[cfg(unix)]
mod signals;
#[cfg(target_os = "linux")]
mod soak;
mod source_faults;
mod sources;
mod spotting_matches_bike;
mod spotting_properties;
mod text_minilm;
mod text_tower;
mod tokenizer;
mod vocabulary;
mod watch;
