//! What this project promises, one file a promise.

mod a_crop_is_what_pillow_makes;
