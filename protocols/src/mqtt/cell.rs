//! The cells of the map that topics are named after.
//!
//! A quadkey names a square of the Web Mercator map: one digit (0 to 3) for each halving, so that the key of a cell
//! begins with the key of every cell around it. Rounding is done once, far below the finest zoom in use, and coarser
//! keys are cut from that: prefix and parent agree everywhere.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::place::{Distance, Position};

/// A square of the map at zoom `ZOOM`, 1 to 15. Ordered as its digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quadkey<const ZOOM: u8>(u32);

/// The cell in which things announce themselves: 1,223 m at the equator, 805 m at 49 degrees, 608 m at 60 degrees.
pub type Cell = Quadkey<15>;

/// The first level of a cell in topics: 32 by 32 cells, 39 km at the equator.
pub type Block = Quadkey<10>;

/// How far past the border of its cell something may stand before it changes its topic. Whoever subscribes by a circle
/// adds this to its radius.
pub const HYSTERESIS: Distance = Distance::metres(50);

/// The most cells [`Quadkey::cover`] answers with.
pub const COVER_LIMIT: usize = 64;

/// Where Web Mercator ends, degrees north and south: there the map is as high as it is wide.
pub const LATITUDE_LIMIT: f64 = 85.051_128_779_806_59;

impl<const ZOOM: u8> Quadkey<ZOOM> {
    /// The cell in which `position` lies; `None` beyond 85.0511 degrees north or south, where the map ends.
    /// 180 degrees east is the same meridian as 180 degrees west and lies in the westernmost cells.
    pub fn at(position: &Position) -> Option<Self> {
        if position.latitude().abs() > LATITUDE_LIMIT {
            return None;
        }
        let (x, y) = (column(position.longitude()), row(position.latitude()));
        Some(Self::from_tile(x >> (DEEP - u32::from(ZOOM)), y >> (DEEP - u32::from(ZOOM))))
    }

    /// The cell around this one at the coarser zoom `OUTER`; itself at its own.
    pub fn parent<const OUTER: u8>(self) -> Quadkey<OUTER> {
        const { assert!(OUTER <= ZOOM, "a parent is never finer than its child") };
        Quadkey(self.0 >> (2 * (ZOOM - OUTER)))
    }

    /// The block of 32 by 32 cells around this one.
    pub fn block(self) -> Block {
        self.parent()
    }

    /// Whether `position` lies in this cell.
    pub fn contains(self, position: &Position) -> bool {
        Self::at(position) == Some(self)
    }

    /// Whether `position` lies in this cell or at most [`HYSTERESIS`] outside: what a topic with this cell may hold.
    pub fn admits(self, position: &Position) -> bool {
        self.contains(position) || self.nearest(position).distance(position) <= HYSTERESIS
    }

    /// The cells that touch this one, corners included: eight, fewer in the first and last row of the map. Across the
    /// antimeridian there are neighbours as anywhere.
    pub fn neighbours(self) -> Vec<Self> {
        let (x, y) = self.tile();
        let rows = y.saturating_sub(1)..=(y + 1).min(Self::SIDE - 1);
        rows.flat_map(|row| [x + Self::SIDE - 1, x, x + 1].map(|column| Self::from_tile(column % Self::SIDE, row)))
            .filter(|cell| *cell != self)
            .collect()
    }

    /// Every cell that the circle of `radius` around `centre` touches, in order; at most 9 for 500 m below 65.9
    /// degrees in [`Cell`]s. What lies beyond the map has no cell and is not in the answer.
    ///
    /// `None` if there would be more than [`COVER_LIMIT`]: ask again with coarser cells, or listen to everything.
    pub fn cover(centre: &Position, radius: Distance) -> Option<Vec<Self>> {
        let bounds = Bounds::around(centre, radius);
        let Some((north, south)) = bounds.rows() else { return Some(Vec::new()) };
        let shift = DEEP - u32::from(ZOOM);
        let rows = (north >> shift)..=(south >> shift);
        let (west, width) = match bounds.columns() {
            Some((west, east)) => {
                let (west, east) = (west >> shift, east >> shift);
                // From the westernmost column to the easternmost may lead over the antimeridian. Both in one column
                // means the circle fits there, since a circle around the whole map has no columns.
                (west, (east + Self::SIDE - west) % Self::SIDE + 1)
            }
            None => (0, Self::SIDE),
        };
        let tall = rows.end() - rows.start() + 1;
        if u64::from(tall) * u64::from(width) > 4 * COVER_LIMIT as u64 {
            return None;
        }
        let reach = slack(centre, radius);
        let mut cells: Vec<Self> = rows
            .flat_map(|row| (0..width).map(move |step| Self::from_tile((west + step) % Self::SIDE, row)))
            .filter(|cell| cell.nearest(centre).distance(centre).as_metres() <= reach)
            .collect();
        cells.sort_unstable();
        (cells.len() <= COVER_LIMIT).then_some(cells)
    }

    /// Every [`Block`] that the circle touches; otherwise as [`Quadkey::cover`].
    pub fn cover10(centre: &Position, radius: Distance) -> Option<Vec<Block>> {
        Block::cover(centre, radius)
    }

    /// Reads the two topic levels of a cell; the second is empty up to zoom 10.
    ///
    /// # Errors
    /// [`CellError`] if they are not as many digits from 0 to 3 as there should be.
    pub fn from_levels(first: &str, second: &str) -> Result<Self, CellError> {
        let error = || CellError { given: first.chars().chain(second.chars()).take(24).collect(), digits: ZOOM };
        let split = ZOOM.min(FIRST_LEVEL);
        if (first.len(), second.len()) != (usize::from(split), usize::from(ZOOM - split)) {
            return Err(error());
        }
        let digits = first.bytes().chain(second.bytes());
        let key = digits
            .map(|digit| digit.wrapping_sub(b'0'))
            .try_fold(0, |key, digit| if digit < 4 { Ok(key << 2 | u32::from(digit)) } else { Err(error()) })?;
        Ok(Self(key))
    }

    /// The point of the cell nearest to `position`, give or take what [`slack`] allows for.
    fn nearest(self, position: &Position) -> Position {
        let (x, y) = self.tile();
        let (west, east) = (longitude(x, Self::SIDE), longitude(x + 1, Self::SIDE));
        let (north, south) = (latitude(y, Self::SIDE), latitude(y + 1, Self::SIDE));
        let from_west = turned(position.longitude() - west);
        let width = east - west;
        let lon = if (0.0..=width).contains(&from_west) {
            position.longitude()
        } else if from_west < 0.0 || from_west - width > turned(from_west - 360.0).abs() {
            west
        } else {
            east
        };
        let lat = position.latitude().clamp(south, north);
        // Both are within the map, and so within the Earth.
        Position::new(lat, lon).unwrap_or(*position)
    }

    /// Columns from the antimeridian eastwards, rows from the north.
    fn from_tile(x: u32, y: u32) -> Self {
        Self(spread(x) | spread(y) << 1)
    }

    fn tile(self) -> (u32, u32) {
        (gathered(self.0), gathered(self.0 >> 1))
    }

    /// Cells along one side of the map.
    const SIDE: u32 = {
        assert!(ZOOM >= 1 && ZOOM <= 15, "a quadkey has 1 to 15 digits");
        1 << ZOOM
    };
}

/// As it stands in topics: the digits, with a slash after the tenth if there are more.
impl<const ZOOM: u8> fmt::Display for Quadkey<ZOOM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..ZOOM).rev() {
            write!(f, "{}", self.0 >> (2 * place) & 3)?;
            if ZOOM > FIRST_LEVEL && ZOOM - place == FIRST_LEVEL {
                f.write_str("/")?;
            }
        }
        Ok(())
    }
}

impl<const ZOOM: u8> FromStr for Quadkey<ZOOM> {
    type Err = CellError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, CellError> {
        let (first, rest) = if ZOOM > FIRST_LEVEL { text.split_once('/').unwrap_or((text, "")) } else { (text, "") };
        Self::from_levels(first, rest)
    }
}

/// A text that names no cell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cell {given:?} is not {digits} digits from 0 to 3, split after the tenth")]
pub struct CellError {
    given: alloc::string::String,
    digits: u8,
}

/// A box that a circle fits in, degrees.
struct Bounds {
    north: f64,
    south: f64,
    /// West and east; `None` if it goes all the way round.
    sides: Option<(f64, f64)>,
}

impl Bounds {
    fn around(centre: &Position, radius: Distance) -> Self {
        // The Earth is nowhere curved more tightly than this, so the angle is never too small.
        let angle = radius.as_metres() * 1.003 / TIGHTEST_RADIUS;
        let reach = angle.to_degrees() + 1e-7;
        let (north, south) = (centre.latitude() + reach, centre.latitude() - reach);
        let ratio = libm::sin(angle) / libm::cos(centre.latitude().to_radians());
        let sides = if north >= 90.0 || south <= -90.0 || ratio >= 1.0 {
            None
        } else {
            let turn = libm::asin(ratio).to_degrees() + 1e-7;
            (turn < 179.0).then(|| (turned(centre.longitude() - turn), turned(centre.longitude() + turn)))
        };
        Self { north, south, sides }
    }

    /// Deep rows from north to south; `None` if all of it lies beyond the map.
    fn rows(&self) -> Option<(u32, u32)> {
        let on_map = self.south <= LATITUDE_LIMIT && self.north >= -LATITUDE_LIMIT;
        on_map.then(|| (row(self.north.min(LATITUDE_LIMIT)), row(self.south.max(-LATITUDE_LIMIT))))
    }

    /// Deep columns from west to east, the second before the first if the antimeridian lies between.
    fn columns(&self) -> Option<(u32, u32)> {
        self.sides.map(|(west, east)| (column(west), column(east)))
    }
}

/// How far the nearest point of a cell may lie for the circle to touch it. The point taken is the corner, or on the
/// side at the same latitude; the meridian's true nearest point lies nearer to the pole, by the third term.
fn slack(centre: &Position, radius: Distance) -> f64 {
    let metres = radius.as_metres();
    let bend = metres * metres * libm::tan(centre.latitude().abs().min(89.9).to_radians()) / TIGHTEST_RADIUS;
    metres * 1.003 + 0.5 + bend
}

/// The lower sixteen bits, each with a zero above it.
const fn spread(mut bits: u32) -> u32 {
    bits = (bits | bits << 8) & 0x00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333;
    (bits | bits << 1) & 0x5555_5555
}

/// Every second bit, from the lowest on: undoes [`spread`].
const fn gathered(mut bits: u32) -> u32 {
    bits &= 0x5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff;
    (bits | bits >> 8) & 0xffff
}

/// The deep column in which a meridian lies.
fn column(longitude: f64) -> u32 {
    let across = (longitude + 180.0) / 360.0 * f64::from(1 << DEEP);
    // Nothing is west of -180 degrees, so the cast rounds down.
    across as u32 % (1 << DEEP)
}

/// The deep row in which a parallel lies.
fn row(latitude: f64) -> u32 {
    let sine = libm::sin(latitude.to_radians());
    let down = 0.5 - libm::log((1.0 + sine) / (1.0 - sine)) / (4.0 * core::f64::consts::PI);
    // The limit itself may round to just outside; the cast rounds down, and makes what is below zero zero.
    ((down * f64::from(1 << DEEP)) as u32).min((1 << DEEP) - 1)
}

/// The western border of column `x` of `side`.
fn longitude(x: u32, side: u32) -> f64 {
    f64::from(x) / f64::from(side) * 360.0 - 180.0
}

/// The northern border of row `y` of `side`.
fn latitude(y: u32, side: u32) -> f64 {
    let down = core::f64::consts::PI * (1.0 - 2.0 * f64::from(y) / f64::from(side));
    libm::atan(libm::sinh(down)).to_degrees()
}

/// The same direction in [-180, 180).
fn turned(degrees: f64) -> f64 {
    let rest = libm::fmod(degrees + 180.0, 360.0);
    if rest < 0.0 { rest + 180.0 } else { rest - 180.0 }
}

/// The zoom at which positions are rounded, once: cells of 0.6 m.
const DEEP: u32 = 26;
/// Digits in the first topic level of a cell.
const FIRST_LEVEL: u8 = 10;
/// The smallest radius of curvature of WGS84 (the meridian's, at the equator), metres, rounded down.
const TIGHTEST_RADIUS: f64 = 6_335_439.0;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use geo::{Destination, Geodesic, Point};
    use proptest::prelude::*;

    fn at(latitude: f64, longitude: f64) -> Position {
        Position::new(latitude, longitude).unwrap()
    }

    fn beside(centre: &Position, bearing: f64, metres: f64) -> Position {
        let there = Geodesic.destination(Point::new(centre.longitude(), centre.latitude()), bearing, metres);
        at(there.y(), turned(there.x()))
    }

    proptest! {
        #[test]
        fn a_parents_key_is_a_prefix_and_its_own_cell(lat in -85.05f64..85.05, lon in -180.0f64..180.0) {
            let position = at(lat, lon);
            let cell = Cell::at(&position).unwrap();
            prop_assert_eq!(Some(cell.parent::<14>()), Quadkey::<14>::at(&position));
            prop_assert_eq!(Some(cell.block()), Block::at(&position));
            prop_assert_eq!(Some(cell.parent::<1>()), Quadkey::<1>::at(&position));
            prop_assert!(cell.to_string().starts_with(&cell.block().to_string()));
        }

        #[test]
        fn a_cell_reads_as_it_is_written(lat in -85.05f64..85.05, lon in -180.0f64..180.0) {
            let cell = Cell::at(&at(lat, lon)).unwrap();
            prop_assert_eq!(cell.to_string().parse::<Cell>(), Ok(cell));
        }

        #[test]
        fn every_point_of_a_circle_lies_in_its_cover(
            lat in -85.2f64..85.2, lon in -180.0f64..180.0, radius in 0.0f64..3_000.0,
            bearing in 0.0f64..360.0, part in 0.0f64..1.0,
        ) {
            let centre = at(lat, lon);
            let point = beside(&centre, bearing, radius * part);
            if let Some(cells) = Cell::cover(&centre, Distance::new(radius).unwrap()) {
                prop_assert!(Cell::at(&point).is_none_or(|cell| cells.contains(&cell)));
            }
        }

        #[test]
        fn every_point_of_a_wide_circle_lies_in_its_blocks(
            lat in -89.0f64..89.0, lon in -180.0f64..180.0, radius in 0.0f64..200_000.0,
            bearing in 0.0f64..360.0, part in 0.0f64..1.0,
        ) {
            let centre = at(lat, lon);
            let point = beside(&centre, bearing, radius * part);
            if let Some(blocks) = Cell::cover10(&centre, Distance::new(radius).unwrap()) {
                prop_assert!(Block::at(&point).is_none_or(|block| blocks.contains(&block)));
            }
        }

        #[test]
        fn nine_cells_are_enough_for_500_m_below_65_9_degrees(lat in -65.9f64..65.9, lon in -180.0f64..180.0) {
            let cells = Cell::cover(&at(lat, lon), Distance::metres(500)).unwrap();
            prop_assert!((1..=9).contains(&cells.len()), "{}", cells.len());
        }

        #[test]
        fn whoever_is_my_neighbour_has_me_for_one(lat in -85.05f64..85.05, lon in -180.0f64..180.0) {
            let cell = Cell::at(&at(lat, lon)).unwrap();
            for next in cell.neighbours() {
                prop_assert!(next != cell && next.neighbours().contains(&cell));
            }
        }

        #[test]
        fn a_cell_admits_what_stands_up_to_50_m_outside(
            lat in -84.0f64..84.0, lon in -180.0f64..180.0, bearing in 0.0f64..360.0, metres in 0.0f64..3_000.0,
        ) {
            let centre = at(lat, lon);
            let cell = Cell::at(&centre).unwrap();
            let there = beside(&centre, bearing, metres);
            prop_assert!(metres > 50.0 || cell.admits(&there));
            let (x, y) = cell.tile();
            let corners = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)]
                .map(|(x, y)| at(latitude(y, Cell::SIDE), longitude(x, Cell::SIDE)));
            let nearest = corners.iter().map(|corner| corner.distance(&there).as_metres()).fold(f64::MAX, f64::min);
            // Within 50 m of a point of the border, a corner is at most half a side farther.
            prop_assert!(nearest < 50.0 + 1_230.0 / 2.0 || cell.contains(&there) || !cell.admits(&there));
        }
    }

    #[test]
    fn paris_has_the_key_that_others_compute() {
        let cell = Cell::at(&at(48.8566, 2.3522)).unwrap();
        assert_eq!(cell.to_string(), "1202200110/12112");
        assert_eq!(cell.block().to_string(), "1202200110");
    }

    #[test]
    fn the_antimeridian_has_two_sides_and_one_meridian() {
        let (east, west) = (Cell::at(&at(10.0, 179.9999)).unwrap(), Cell::at(&at(10.0, -179.9999)).unwrap());
        assert!(east != west && east.neighbours().contains(&west) && west.neighbours().contains(&east));
        assert_eq!(Cell::at(&at(10.0, 180.0)), Cell::at(&at(10.0, -180.0)));
        let cells = Cell::cover(&at(10.0, 180.0), Distance::metres(100)).unwrap();
        assert!(cells.contains(&east) && cells.contains(&west));
        assert!(east.admits(&at(10.0, -179.9999)) && !east.admits(&at(10.0, -179.99)));
    }

    #[test]
    fn the_map_ends_at_85_degrees() {
        assert!(Cell::at(&at(LATITUDE_LIMIT, 0.0)).is_some());
        assert!(Cell::at(&at(-LATITUDE_LIMIT, 0.0)).is_some());
        assert_eq!(Cell::at(&at(85.06, 0.0)), None);
        assert_eq!(Cell::cover(&at(89.0, 0.0), Distance::metres(500)), Some(Vec::new()));
        let northernmost = Cell::at(&at(85.0511, 20.0)).unwrap();
        assert_eq!(northernmost.neighbours().len(), 5);
        assert!(Cell::cover(&at(85.052, 20.0), Distance::metres(500)).unwrap().len() > 5);
    }

    #[test]
    fn a_cover_of_too_many_cells_is_none_at_once() {
        let paris = at(48.8566, 2.3522);
        assert_eq!(Cell::cover(&paris, Distance::metres(50_000)), None);
        assert!(Cell::cover10(&paris, Distance::metres(50_000)).is_some_and(|blocks| blocks.len() < 40));
        assert_eq!(Cell::cover10(&paris, Distance::FARTHEST), None);
    }

    #[test]
    fn what_is_no_cell_is_refused() {
        for bad in
            ["", "-/-", "1202200110", "1202200110/1231", "1202200110/12314", "120220011/012310", "é202200110/1231"]
        {
            assert!(bad.parse::<Cell>().is_err(), "{bad}");
        }
        let error = "1202200110/12314".parse::<Cell>().unwrap_err().to_string();
        assert_eq!(error, "cell \"120220011012314\" is not 15 digits from 0 to 3, split after the tenth");
    }
}
