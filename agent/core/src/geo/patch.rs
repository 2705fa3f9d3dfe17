//! Flat pieces of the Earth.
//!
//! The six sides of a cube around the Earth are cut into 1,024 by 1,024 cells of equal angle, 5 to 10 km wide; no
//! cell is special, neither at a pole nor at the antimeridian. Each has a plane that touches the ellipsoid near its
//! middle. Going down onto the plane is a projection: it never makes a distance longer, and within [`REACH`] makes it
//! shorter by less than 1 part in 50,000, which is all that the filter has to pay for being flat.

use wayside_protocols::place::Ecef;

/// No point of a cell is farther from the origin of its plane than this, metres.
pub(super) const REACH: f64 = 8_000.0;

/// The number of a cell, unique on Earth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PatchId(u32);

impl PatchId {
    /// The cell that `point`, which is on the ground, belongs to.
    pub(super) fn of(point: &Ecef) -> Self {
        let p = [point.x, point.y, point.z];
        let axis = (0..3).fold(0, |most, axis| if p[axis].abs() > p[most].abs() { axis } else { most });
        let (u, v) = (p[(axis + 1) % 3] / p[axis], p[(axis + 2) % 3] / p[axis]);
        let side = 2 * axis as u32 + u32::from(p[axis] < 0.0);
        Self((side * CELLS + cell(u)) * CELLS + cell(v))
    }

    /// The plane that touches the ground near the middle of the cell.
    pub(super) fn plane(self) -> Plane {
        let (v, rest) = (self.0 % CELLS, self.0 / CELLS);
        let (u, side) = (rest % CELLS, rest / CELLS);
        let axis = (side / 2) as usize;
        let sign = if side % 2 == 1 { -1.0 } else { 1.0 };
        let on_side = |u: f64, v: f64| {
            let mut direction = [0.0; 3];
            direction[axis] = sign;
            direction[(axis + 1) % 3] = sign * ratio(u);
            direction[(axis + 2) % 3] = sign * ratio(v);
            on_the_ground(direction)
        };
        let (u, v) = (f64::from(u), f64::from(v));
        let mut plane = Plane::touching(on_side(u, v), &on_side(u + 0.5, v));
        for (u, v) in [(u - 0.5, v - 0.5), (u - 0.5, v + 0.5), (u + 0.5, v - 0.5), (u + 0.5, v + 0.5)] {
            let [x, y, _] = plane.seen_from(&on_side(u, v));
            plane.take_in([x, y]);
        }
        plane
    }
}

/// A flat piece of ground with an origin and two directions.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    /// Where it touches the ground.
    pub(super) origin: Ecef,
    right: [f64; 3],
    up: [f64; 3],
    out: [f64; 3],
    /// The corners of what the feet of the cell lie in, metres.
    pub(super) low: [f64; 2],
    pub(super) high: [f64; 2],
}

impl Plane {
    /// Metres right, up and out of the plane from its origin to `point`.
    #[inline]
    pub(super) fn seen_from(&self, point: &Ecef) -> [f64; 3] {
        self.along(&[point.x - self.origin.x, point.y - self.origin.y, point.z - self.origin.z])
    }

    /// A direction in Earth-centred coordinates as one in those of the plane.
    #[inline]
    pub(super) fn along(&self, way: &[f64; 3]) -> [f64; 3] {
        [dot(&self.right, way), dot(&self.up, way), dot(&self.out, way)]
    }

    /// The point that lies at `at` as seen from the plane.
    pub(super) fn point(&self, at: [f64; 3]) -> Ecef {
        let [x, y, z] = [0, 1, 2].map(|axis| self.right[axis] * at[0] + self.up[axis] * at[1] + self.out[axis] * at[2]);
        Ecef { x: self.origin.x + x, y: self.origin.y + y, z: self.origin.z + z }
    }

    /// The plane that touches the ground at `origin`, with its first direction towards `aside`: along the cell, so that
    /// the corners of the cell are near those of a box.
    fn touching(origin: Ecef, aside: &Ecef) -> Self {
        // The gradient of the ellipsoid is its normal.
        let out = unit([origin.x / (A * A), origin.y / (A * A), origin.z / (B * B)]);
        let aside = [aside.x - origin.x, aside.y - origin.y, aside.z - origin.z];
        let up = unit(cross(&out, &aside));
        let right = cross(&up, &out);
        Self { origin, right, up, out, low: [-SLACK; 2], high: [SLACK; 2] }
    }

    /// Makes the box wide enough for `foot`.
    fn take_in(&mut self, foot: [f64; 2]) {
        for (axis, part) in foot.into_iter().enumerate() {
            self.low[axis] = self.low[axis].min(part - SLACK);
            self.high[axis] = self.high[axis].max(part + SLACK);
        }
    }
}

/// Where the ray from the centre of the Earth in `direction` comes out.
fn on_the_ground([x, y, z]: [f64; 3]) -> Ecef {
    let stretch = 1.0 / ((x * x + y * y) / (A * A) + z * z / (B * B)).sqrt();
    Ecef { x: x * stretch, y: y * stretch, z: z * stretch }
}

fn cell(ratio: f64) -> u32 {
    let turn = ratio.atan() / core::f64::consts::FRAC_PI_2 + 0.5;
    // In [0, 1] but for rounding; the cast saturates.
    ((turn * f64::from(CELLS)) as u32).min(CELLS - 1)
}

fn ratio(cell: f64) -> f64 {
    (((cell + 0.5) / f64::from(CELLS) - 0.5) * core::f64::consts::FRAC_PI_2).tan()
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: &[f64; 3], b: &[f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: [f64; 3]) -> [f64; 3] {
    let length = dot(&a, &a).sqrt();
    a.map(|part| part / length)
}

const CELLS: u32 = 1_024;
/// How much wider than the corners of its cell a box is, metres: the sides of a cell are not quite straight.
const SLACK: f64 = 20.0;
/// WGS84 semi-axes, metres.
const A: f64 = 6_378_137.0;
const B: f64 = 6_356_752.314_245;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wayside_protocols::place::Position;

    fn anywhere() -> impl Strategy<Value = Position> {
        (-90.0f64..=90.0, -180.0f64..=180.0).prop_map(|(lat, lon)| Position::new(lat, lon).unwrap())
    }

    proptest! {
        #[test]
        fn a_cell_lies_within_reach_of_its_planes_origin(here in anywhere()) {
            let here = here.ecef();
            let plane = PatchId::of(&here).plane();
            prop_assert!(here.distance_2(&plane.origin) < REACH * REACH);
        }

        #[test]
        fn going_down_onto_the_plane_shortens_by_less_than_a_fifty_thousandth(
            here in anywhere(), bearing in 0.0f64..360.0, metres in 1.0f64..1_000.0,
        ) {
            let there = here.moved(bearing, metres).ecef();
            let here = here.ecef();
            let plane = PatchId::of(&here).plane();
            let ([ax, ay, _], [bx, by, _]) = (plane.seen_from(&here), plane.seen_from(&there));
            let (flat, straight) = ((ax - bx).hypot(ay - by), here.distance_2(&there).sqrt());
            prop_assert!(flat <= straight + 1e-6);
            prop_assert!(flat >= straight * (1.0 - 2e-6), "{flat} {straight}");
        }
    }

    proptest! {
        #[test]
        fn what_is_seen_from_a_plane_is_found_again(here in anywhere()) {
            let here = here.ecef();
            let plane = PatchId::of(&here).plane();
            prop_assert!(plane.point(plane.seen_from(&here)).distance_2(&here) < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn the_feet_of_a_cell_lie_in_its_box(here in anywhere()) {
            let here = here.ecef();
            let plane = PatchId::of(&here).plane();
            let [x, y, _] = plane.seen_from(&here);
            for (foot, axis) in [(x, 0), (y, 1)] {
                prop_assert!(plane.low[axis] <= foot && foot <= plane.high[axis], "{foot} {plane:?}");
            }
            prop_assert!(plane.high[0] - plane.low[0] < 14_000.0 && plane.high[1] - plane.low[1] < 14_000.0);
        }
    }

    #[test]
    fn the_poles_and_the_antimeridian_have_planes_like_any_other() {
        for (lat, lon) in [(90.0, 0.0), (-90.0, 77.0), (0.0, 180.0), (0.0, -180.0), (45.0, 45.0)] {
            let here = Position::new(lat, lon).unwrap().ecef();
            assert!(here.distance_2(&PatchId::of(&here).plane().origin) < REACH * REACH);
        }
    }
}
