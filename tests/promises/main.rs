//! What this project promises, one file a promise.

mod allocations;
mod pictures;

mod a_crop_is_as_if_the_whole_picture_were_resized;
mod a_crop_is_what_pillow_makes;
mod any_picture_is_prepared_or_refused_in_words;
mod preparing_a_frame_allocates_no_picture;
