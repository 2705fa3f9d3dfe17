//! Sines and cosines of angles in degrees from a table of whole degrees: a placement needs six of them, which from
//! libm would cost more than everything else it does.

use std::sync::LazyLock;

/// The sines of 0 to 450 whole degrees, so that a cosine is a sine a quarter further on.
pub(super) struct Turns([f64; 451]);

impl Turns {
    /// The one table there is.
    pub(super) fn shared() -> &'static Self {
        static SHARED: LazyLock<Turns> = LazyLock::new(Turns::new);
        &SHARED
    }

    /// Sine and cosine of `degrees`, at most a full turn either way; exact to 4e-16.
    #[inline]
    pub(super) fn sin_cos(&self, degrees: f64) -> (f64, f64) {
        let turn = degrees.abs().min(360.0);
        // In [0, 360], so the cast cuts nothing off.
        let whole = (turn + 0.5) as usize;
        let rest = (turn - whole as f64).to_radians();
        let square = rest * rest;
        // |rest| is at most 0.0088: the next terms are below 1e-17.
        let sin_rest = rest * (1.0 - square * (1.0 / 6.0 - square * (1.0 / 120.0)));
        let cos_rest = 1.0 - square * (0.5 - square * (1.0 / 24.0 - square * (1.0 / 720.0)));
        let (sin, cos) = (self.0[whole], self.0[whole + 90]);
        let up = sin * cos_rest + cos * sin_rest;
        (if degrees < 0.0 { -up } else { up }, cos * cos_rest - sin * sin_rest)
    }

    fn new() -> Self {
        let mut sines = [0.0; 451];
        for (degree, sine) in (0_u32..).zip(sines.iter_mut()) {
            *sine = f64::from(degree).to_radians().sin();
        }
        Self(sines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_functions_it_stands_for(degrees in -360.0f64..=360.0) {
            let (sin, cos) = Turns::shared().sin_cos(degrees);
            let (true_sin, true_cos) = degrees.to_radians().sin_cos();
            prop_assert!((sin - true_sin).abs() < 2e-15 && (cos - true_cos).abs() < 2e-15);
        }
    }
}
