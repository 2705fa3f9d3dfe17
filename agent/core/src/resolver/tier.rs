//! The ladder of DESIGN 3: what each tier is asked for.

use wayside_protocols::place::Distance;
use wayside_protocols::service::{Kind, Latency};
use wayside_protocols::time::Duration;

use crate::geo::Population;
use crate::query::{Query, Tier};

/// Critical services of roadside units and gateways must be this near, certainly.
const CRITICAL_NEAR: Distance = Distance::metres(100);
/// Vehicles are asked within this when nothing critical is near.
const VEHICLES_NEAR: Distance = Distance::metres(500);

/// What one tier is asked for.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) tier: Tier,
    pub(super) offers: Offers,
    pub(super) radius: Option<Distance>,
    pub(super) certain: bool,
    pub(super) asked: Box<str>,
}

/// Which services a scope looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offers {
    /// Marked critical, by a roadside unit or a gateway.
    CriticalFixed,
    /// By a vehicle.
    Vehicles,
    /// All that is not a neighbour's.
    Local,
    /// By another vehicle or gateway.
    Neighbours,
    /// By anything: a registry has chosen already.
    Any,
}

impl Offers {
    /// Where in the index such services stand: roadside units and gateways among what is static, vehicles with all that
    /// ride on them among what is mobile.
    pub(super) const fn population(self) -> Population {
        match self {
            Self::CriticalFixed => Population::Static,
            Self::Vehicles => Population::Mobile,
            Self::Local | Self::Neighbours | Self::Any => Population::All,
        }
    }

    /// Whether a service of `kind` belongs here; `own` if this agent offers it itself.
    pub(super) fn include(self, kind: Kind, own: bool) -> bool {
        match self {
            Self::CriticalFixed => matches!(kind, Kind::Roadside | Kind::Gateway),
            Self::Vehicles => kind == Kind::Vehicle,
            Self::Local => own || !crate::query::neighbourly(kind),
            Self::Neighbours => !own && crate::query::neighbourly(kind),
            Self::Any => true,
        }
    }
}

/// The two tiers this agent answers by itself, in order.
pub(super) fn ladder(query: &Query) -> [Scope; 2] {
    let asked = query.near.map(|near| near.radius);
    if query.critical {
        let near = asked.map_or(CRITICAL_NEAR, |radius| if radius < CRITICAL_NEAR { radius } else { CRITICAL_NEAR });
        let fixed = format!("critical roadside and gateway services definitely within {near}");
        let vehicles = format!("services of vehicles within {VEHICLES_NEAR}");
        return [
            scope(Tier::Local, Offers::CriticalFixed, Some(near), true, fixed),
            scope(Tier::Neighbour, Offers::Vehicles, Some(VEHICLES_NEAR), false, vehicles),
        ];
    }
    let within = asked.map_or_else(String::new, |radius| format!(" within {radius}"));
    [
        scope(Tier::Local, Offers::Local, asked, false, format!("services of the local catalog{within}")),
        scope(Tier::Neighbour, Offers::Neighbours, asked, false, format!("services of vehicles and gateways{within}")),
    ]
}

/// What a registry's own word is held against. Asked about lives, it may know of what is farther than this agent would
/// look, but not of what is farther than vehicles are looked for.
pub(super) fn beyond(query: &Query, tier: Tier, asked: Box<str>) -> Scope {
    let near = query.near.map(|near| near.radius);
    let radius = near.map(|radius| if query.critical && radius < VEHICLES_NEAR { VEHICLES_NEAR } else { radius });
    Scope { tier, offers: Offers::Any, radius, certain: false, asked }
}

/// What a service of this tier usually takes to answer; used where nobody has timed it.
pub(super) fn usual_latency(tier: Tier) -> Latency {
    let milliseconds = match tier {
        Tier::Local => 5,
        Tier::Neighbour => 20,
        Tier::Region => 50,
        Tier::Cloud => 150,
    };
    Latency { round_trip: Duration::from_millis(milliseconds), basis: wayside_protocols::service::Basis::Estimated }
}

fn scope(tier: Tier, offers: Offers, radius: Option<Distance>, certain: bool, asked: String) -> Scope {
    Scope { tier, offers, radius, certain, asked: asked.into() }
}
