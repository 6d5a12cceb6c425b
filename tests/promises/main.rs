//! What bike-edge promises, one file each.

mod attributes;
mod bad_numbers;
mod spotting_equals_bike;
mod spotting_properties;
mod tables;
mod vocabularies;
