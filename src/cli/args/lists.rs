//! Lists of labelled clips, as help explains them.

/// For the end of a help text.
pub(super) const MARKED_LISTS: &str = "\
LIST is one of:
  a CSV with the columns path,label: label is a category, several with `;` between
  them (any is right), or nothing or `-` for a clip that shows none of them
  a folder with such a list named clips.csv, or with one folder of clips a category";
