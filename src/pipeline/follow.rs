//! Finds the regions of a picture in which something moves, so that frames are cut there.
//!
//! A picture is divided into about 64 by 36 cells. A cell is active if its brightness changed from one sampled frame to
//! the next by more than noise and shake explain, and moving if it is active in a good share of the last seconds. So what
//! crosses the picture once is not followed, and what stays in one place is. Moving cells that lie close together are a
//! region.

use serde::{Deserialize, Serialize};

use super::changes::Changes;
use crate::Result;
use crate::picture::{Picture, Rect};
use crate::preprocess::{ChangeGrid, RegionSpec};
use crate::units::{Seconds, check_range};

/// Whether and how moving regions are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Follow {
    /// The whole picture is analysed.
    #[default]
    Off,
    /// Moving regions are analysed, and the whole picture as long as there is none.
    Region,
    /// Moving regions and the whole picture are analysed, each with its own window and events.
    Both,
}

/// How moving regions are followed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowSpec {
    /// Whether and how.
    pub follow: Follow,
    /// The largest number of regions, 1..=4. Each costs as much as a picture.
    pub follow_regions: usize,
    /// The smallest side of a region, as a share of the shorter side of the picture, 0.1..=1.
    pub follow_min_share: f32,
}

impl Default for FollowSpec {
    fn default() -> Self {
        Self { follow: Follow::Off, follow_regions: 1, follow_min_share: 0.3 }
    }
}

/// The largest number of regions.
pub const MAX_REGIONS: usize = 4;

impl FollowSpec {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the key.
    pub fn check(&self) -> Result<()> {
        check_range("follow_regions", self.follow_regions, 1..=MAX_REGIONS, "a number")?;
        check_range("follow_min_share", self.follow_min_share, 0.1..=1.0, "a share")
    }
}

/// Time constant of the share of time in which a cell is active.
const MEMORY_S: Seconds = 2.0;
/// Share of time from which a cell is moving, and below which it no longer is.
const MOVING: (f32, f32) = (0.45, 0.15);
/// Change that counts in any case, in levels of 0..=255.
const MIN_CHANGE: f32 = 1.5;
/// Change that counts, in standard deviations of the noise.
const NOISE_FACTOR: f32 = 4.0;
/// Shake of the camera that is left after its estimate and tolerated, as a share of the width of a cell.
const SHAKE: f32 = 0.05;
/// Cells up to this far from each other belong to one region.
const REACH: usize = 2;
/// Smallest number of moving cells of a region.
const MIN_CELLS: usize = 3;
/// Side of a region around its moving cells. The encoder sees the middle of a region, as it sees that of a picture;
/// docs/measurements/follow.md has the other values that were tried.
const MARGIN: f64 = 1.0;
/// Side of a region whose moving cells are not a square: its longer side has this exponent, its shorter side the rest.
const ELONGATION: f64 = 0.5;
/// A region moves if it overlaps its new place by less than this (intersection over union).
const SAME_PLACE: f64 = 0.7;
/// Share by which it then approaches the new place in each step.
const APPROACH: f64 = 0.6;
/// A region in which nothing moves is kept for this time.
const KEEP_S: Seconds = 60.0;

/// Finds and tracks the moving regions of one stream.
#[derive(Debug)]
pub struct RegionFinder {
    spec: FollowSpec,
    /// The part in which regions are looked for.
    part: RegionSpec,
    grid: ChangeGrid,
    last: Option<(ChangeGrid, Seconds)>,
    cells: Vec<Cell>,
    changes: Changes,
    regions: heapless::Vec<Region, MAX_REGIONS>,
    /// Cells of a group whose neighbours were not visited yet.
    waiting: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Share of the last seconds in which the cell was active.
    activity: f32,
    moving: bool,
    /// Whether it was added to a group of the newest frame.
    grouped: bool,
}

/// A region that is followed.
#[derive(Clone, Copy, Debug)]
struct Region {
    place: Place,
    /// When something last moved in it.
    moved: Seconds,
}

/// A square or rectangle, in cells.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

/// A group of moving cells.
#[derive(Clone, Copy)]
struct Group {
    weight: f32,
    /// Sums of the positions, weighted.
    x: f32,
    y: f32,
    cells: usize,
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl RegionFinder {
    /// Creates a finder without regions, which looks for them in `part` of the pictures.
    pub fn new(spec: FollowSpec, part: RegionSpec) -> Self {
        Self {
            spec,
            part,
            grid: ChangeGrid::default(),
            last: None,
            cells: Vec::new(),
            changes: Changes::default(),
            regions: heapless::Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Forgets what moved, because the stream was interrupted.
    pub fn reset(&mut self) {
        self.last = None;
        self.cells.clear();
        self.regions.clear();
    }

    /// Takes a sampled frame at `time` and returns the regions to analyse, in pixels of the upright picture. Regions stay
    /// where they are while nothing moves.
    ///
    /// # Errors
    /// A region of interest outside the picture.
    pub fn update(&mut self, picture: &Picture<'_>, time: Seconds) -> Result<heapless::Vec<Rect, MAX_REGIONS>> {
        let mut grid = std::mem::take(&mut self.grid);
        let part = grid.measure(picture, self.part);
        if part.is_ok() {
            self.take(&grid, time);
        }
        let cells = (grid.columns() as f64, grid.rows() as f64);
        self.grid = grid;
        let part = part?;
        let cell = (f64::from(part.w) / cells.0, f64::from(part.h) / cells.1);
        let stored = (picture.width, picture.height);
        let upright = |region: &Region| {
            let Rect { x, y, w, h } = region.place.pixels(cell, (part.w, part.h));
            Rect { x: part.x + x, y: part.y + y, w, h }.to_upright(picture.rotation, stored)
        };
        Ok(self.regions.iter().map(upright).collect())
    }

    /// Takes the brightness of a sampled frame.
    fn take(&mut self, grid: &ChangeGrid, time: Seconds) {
        let fits =
            self.last.as_ref().is_some_and(|(last, _)| last.columns() == grid.columns() && last.rows() == grid.rows());
        if !fits {
            self.reset();
            self.cells.resize(grid.values().len(), Cell::default());
            self.last = Some((grid.clone(), time));
        }
        if let Some((mut last, before)) = self.last.take() {
            if time > before {
                self.observe(&last, grid, time - before);
                self.follow(grid, time);
                last.clone_from(grid);
                self.last = Some((last, time));
            } else {
                self.last = Some((last, before));
            }
        }
    }

    /// Updates the activity of every cell.
    fn observe(&mut self, last: &ChangeGrid, grid: &ChangeGrid, passed: Seconds) {
        let noise = self.changes.measure(last, grid);
        let least = MIN_CHANGE.max(NOISE_FACTOR * noise);
        let weight = (1.0 - (-passed / MEMORY_S).exp()) as f32;
        let (columns, rows) = (grid.columns(), grid.rows());
        for y in 0..rows {
            for x in 0..columns {
                let at = y * columns + x;
                // What is left of the shake of the camera moves edges over the borders of cells.
                let contrast = contrast(grid, x, y).max(contrast(last, x, y));
                let active = self.changes.values()[at].abs() > least + SHAKE * contrast;
                let cell = &mut self.cells[at];
                cell.activity += weight * (f32::from(u8::from(active)) - cell.activity);
                cell.moving = cell.activity >= if cell.moving { MOVING.1 } else { MOVING.0 };
            }
        }
    }

    /// Moves the regions to the groups of moving cells, and adds or removes regions.
    fn follow(&mut self, grid: &ChangeGrid, time: Seconds) {
        let groups = self.groups(grid.columns(), grid.rows());
        let mut free: heapless::Vec<Place, MAX_REGIONS> =
            groups.iter().map(|group| self.place_of(group, grid)).collect();
        for region in &mut self.regions {
            let overlaps = free.iter().enumerate().map(|(at, place)| (at, region.place.overlap(place)));
            let near = overlaps.filter(|(_, overlap)| *overlap > 0.0).max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((at, _)) = near else { continue };
            region.approach(free.swap_remove(at));
            region.moved = time;
        }
        self.regions.retain(|region| time - region.moved <= KEEP_S);
        let limit = self.spec.follow_regions.min(MAX_REGIONS);
        for place in free {
            // What moves now replaces the region in which nothing has moved for the longest time.
            if self.regions.len() >= limit {
                let oldest = self.regions.iter().enumerate().min_by(|a, b| a.1.moved.total_cmp(&b.1.moved));
                match oldest {
                    // In its place, so that the order of the others stays.
                    Some((at, region)) if region.moved < time => self.regions[at] = Region { place, moved: time },
                    _ => break,
                }
                continue;
            }
            // There is room, because `limit` is at most the capacity.
            let _ = self.regions.push(Region { place, moved: time });
        }
    }

    /// Returns the groups of moving cells, those with the most activity first.
    fn groups(&mut self, columns: usize, rows: usize) -> heapless::Vec<Group, MAX_REGIONS> {
        let mut found: heapless::Vec<Group, MAX_REGIONS> = heapless::Vec::new();
        self.cells.iter_mut().for_each(|cell| cell.grouped = false);
        let mut waiting = std::mem::take(&mut self.waiting);
        for start in 0..self.cells.len() {
            if !self.cells[start].moving || self.cells[start].grouped {
                continue;
            }
            let (x, y) = (start % columns, start / columns);
            let mut group = Group { weight: 0.0, x: 0.0, y: 0.0, cells: 0, left: x, top: y, right: x, bottom: y };
            self.cells[start].grouped = true;
            waiting.push((x, y));
            while let Some((x, y)) = waiting.pop() {
                group.add(x, y, self.cells[y * columns + x].activity);
                for near_y in y.saturating_sub(REACH)..=(y + REACH).min(rows - 1) {
                    for near_x in x.saturating_sub(REACH)..=(x + REACH).min(columns - 1) {
                        let near = &mut self.cells[near_y * columns + near_x];
                        if near.moving && !near.grouped {
                            near.grouped = true;
                            waiting.push((near_x, near_y));
                        }
                    }
                }
            }
            if group.cells < MIN_CELLS {
                continue;
            }
            let position = found.iter().position(|other| group.weight > other.weight).unwrap_or(found.len());
            if found.is_full() && position < found.len() {
                found.pop();
            }
            // It does not fit if it is the smallest of too many.
            let _ = found.insert(position, group);
        }
        self.waiting = waiting;
        found.truncate(self.spec.follow_regions);
        found
    }

    /// Returns the place around a group: a square as far as the picture allows.
    fn place_of(&self, group: &Group, grid: &ChangeGrid) -> Place {
        let (columns, rows) = (grid.columns() as f64, grid.rows() as f64);
        let (w, h) = ((group.right - group.left + 1) as f64, (group.bottom - group.top + 1) as f64);
        let least = f64::from(self.spec.follow_min_share) * columns.min(rows);
        let side = (MARGIN * w.max(h).powf(ELONGATION) * w.min(h).powf(1.0 - ELONGATION)).max(least);
        let (w, h) = (side.min(columns), side.min(rows));
        let (x, y) = group.centre();
        Place { x: (x - w / 2.0).clamp(0.0, columns - w), y: (y - h / 2.0).clamp(0.0, rows - h), w, h }
    }
}

impl Group {
    fn add(&mut self, x: usize, y: usize, weight: f32) {
        self.weight += weight;
        (self.x, self.y) = (self.x + weight * (x as f32 + 0.5), self.y + weight * (y as f32 + 0.5));
        self.cells += 1;
        (self.left, self.right) = (self.left.min(x), self.right.max(x));
        (self.top, self.bottom) = (self.top.min(y), self.bottom.max(y));
    }
}

impl Group {
    /// Returns the centre of gravity.
    fn centre(&self) -> (f64, f64) {
        (f64::from(self.x / self.weight), f64::from(self.y / self.weight))
    }
}

impl Region {
    /// Moves towards a new place, unless it is about the same.
    fn approach(&mut self, place: Place) {
        if self.place.overlap(&place) >= SAME_PLACE {
            return;
        }
        let near = |from: f64, to: f64| from + APPROACH * (to - from);
        let Place { x, y, w, h } = self.place;
        self.place = Place { x: near(x, place.x), y: near(y, place.y), w: near(w, place.w), h: near(h, place.h) };
    }
}

impl Place {
    /// Returns the intersection over the union.
    fn overlap(&self, other: &Self) -> f64 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        let both = w.max(0.0) * h.max(0.0);
        both / (self.w * self.h + other.w * other.h - both)
    }

    /// Returns the pixels for cells of this size, inside a picture of `size`.
    fn pixels(&self, cell: (f64, f64), size: (u32, u32)) -> Rect {
        let start = |start: f64, cell: f64, side: u32| ((start * cell).round() as u32).min(side.saturating_sub(1));
        let (x, y) = (start(self.x, cell.0, size.0), start(self.y, cell.1, size.1));
        let length = |length: f64, cell: f64, start: u32, side: u32| {
            ((length * cell).round() as u32).clamp(1, side.saturating_sub(start).max(1))
        };
        Rect { x, y, w: length(self.w, cell.0, x, size.0), h: length(self.h, cell.1, y, size.1) }
    }
}

/// Returns the largest difference of a cell from its neighbours.
fn contrast(grid: &ChangeGrid, x: usize, y: usize) -> f32 {
    let (columns, rows, values) = (grid.columns(), grid.rows(), grid.values());
    let own = values[y * columns + x];
    let mut most = 0.0_f32;
    for (near_x, near_y) in [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)] {
        if near_x < columns && near_y < rows {
            most = most.max((own - values[near_y * columns + near_x]).abs());
        }
    }
    most
}
