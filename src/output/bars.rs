//! Bars and sparklines in eighths of a character cell.

const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar of `width` cells, filled to `share` (0..=1).
pub fn bar(share: f32, width: usize) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let eighths = (share * (width * 8) as f32).round() as usize;
    (0..width).map(|cell| EIGHTHS[eighths.saturating_sub(cell * 8).min(8)]).collect()
}

/// One character a weight, the largest at full height.
pub fn sparkline(weights: impl IntoIterator<Item = f32> + Clone) -> String {
    let largest = weights.clone().into_iter().fold(0.0_f32, f32::max);
    let level = |weight: f32| {
        let share = if largest > 0.0 { (weight / largest).clamp(0.0, 1.0) } else { 0.0 };
        LEVELS[(share * (LEVELS.len() - 1) as f32).round() as usize]
    };
    weights.into_iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_from_empty_to_whole() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(f32::NAN, 2), "  ");
        assert_eq!(bar(0.53125, 4), "██▏ ");
    }

    #[test]
    fn the_largest_weight_stands_highest() {
        assert_eq!(sparkline([0.0, 0.25, 0.5]), "▁▅█");
        assert_eq!(sparkline([0.0, 0.0]), "▁▁");
    }
}
