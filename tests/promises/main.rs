//! What bike-edge promises, one file each.

mod a_crop_is_what_pillow_makes;
mod attributes;
mod bad_bundles;
mod bad_graphs;
mod bad_numbers;
mod bundles;
mod command_line;
mod network_goldens;
mod sources;
mod spotting_equals_bike;
mod spotting_properties;
mod support;
mod tables;
mod vocabularies;
