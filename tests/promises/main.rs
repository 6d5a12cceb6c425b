//! What bike-edge promises, one file each.

mod allocations;
mod clips;
mod pictures;
mod support;
mod tables;

mod a_crop_is_as_if_the_whole_picture_were_resized;
mod a_crop_is_what_pillow_makes;
mod any_picture_is_prepared_or_refused_in_words;
mod any_text;
mod attributes;
mod bad_bundles;
mod bad_graphs;
mod bad_numbers;
mod bundles;
mod command_line;
mod devices;
mod events;
mod gate;
mod network_goldens;
mod preparing_a_frame_allocates_no_picture;
#[cfg(unix)]
mod replay;
#[cfg(target_os = "linux")]
mod service;
#[cfg(target_os = "linux")]
mod soak;
mod sources;
mod spotting_equals_bike;
mod spotting_properties;
#[cfg(unix)]
mod stopping;
mod tokens;
mod vocabularies;
mod watching;
