//! Telling somebody what changes, and only that.

use std::collections::BTreeSet;
use std::sync::Arc;

use wayside_protocols::place::{Distance, Position};
use wayside_protocols::service::{Service, ServiceId, ServiceName};

use crate::catalog::Change;

/// What a watcher wants to hear of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Which service; `None` for any.
    pub name: Option<ServiceName>,
    /// Only inside this circle.
    pub circle: Option<(Position, Distance)>,
}

/// What a watcher hears.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// Forget everything: what follows is the whole picture.
    Reset,
    /// Something is there that was not, or came into the circle.
    Appeared(Arc<Service>),
    /// Something is different.
    Updated(Arc<Service>),
    /// Something is gone, or left the circle.
    Departed(ServiceId),
}

/// One open watch.
#[derive(Clone, Debug)]
pub struct Watch {
    filter: Filter,
    inside: BTreeSet<ServiceId>,
}

impl Watch {
    /// A watch that has told nothing yet.
    pub fn new(filter: Filter) -> Self {
        Self { filter, inside: BTreeSet::new() }
    }

    /// What this watcher must hear of `change`; `standing` is where the service stands at this moment.
    pub fn step(&mut self, change: &Change, standing: Option<Position>) -> Option<WatchEvent> {
        match change {
            Change::Departed(service) => self.leave(&service.id),
            Change::Appeared(service) | Change::Updated(service) => {
                if !self.wants(service, standing) {
                    return self.leave(&service.id);
                }
                if self.inside.insert(service.id.clone()) {
                    Some(WatchEvent::Appeared(Arc::clone(service)))
                } else {
                    Some(WatchEvent::Updated(Arc::clone(service)))
                }
            }
        }
    }

    fn leave(&mut self, id: &ServiceId) -> Option<WatchEvent> {
        self.inside.remove(id).then(|| WatchEvent::Departed(id.clone()))
    }

    fn wants(&self, service: &Service, standing: Option<Position>) -> bool {
        let named = self.filter.name.as_ref().is_none_or(|name| *name == service.name);
        let placed = self.filter.circle.is_none_or(|(centre, radius)| {
            let Some(position) = standing else { return false };
            // Once inside, 10 m of grace keep a jittering fix from flapping in and out.
            let grace = if self.inside.contains(&service.id) { 10.0 } else { 0.0 };
            centre.distance(&position).as_metres() <= radius.as_metres() + grace
        });
        named && placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::service::Kind;

    fn service() -> Arc<Service> {
        Arc::new(Service::new("a".parse().unwrap(), "charging".parse().unwrap(), Kind::Device))
    }

    #[test]
    fn walking_out_of_the_circle_is_a_departure() {
        let centre = Position::new(48.0, 2.0).unwrap();
        let mut watch = Watch::new(Filter { name: None, circle: Some((centre, Distance::metres(100))) });
        let appeared = watch.step(&Change::Appeared(service()), Some(centre));
        assert_eq!(appeared, Some(WatchEvent::Appeared(service())));
        let rim = watch.step(&Change::Updated(service()), Some(centre.moved(0.0, 105.0)));
        assert_eq!(rim, Some(WatchEvent::Updated(service())));
        let gone = watch.step(&Change::Updated(service()), Some(centre.moved(0.0, 150.0)));
        assert_eq!(gone, Some(WatchEvent::Departed(service().id.clone())));
    }

    #[test]
    fn what_was_never_told_does_not_depart() {
        let mut watch = Watch::new(Filter { name: "http".parse().ok(), circle: None });
        assert_eq!(watch.step(&Change::Appeared(service()), None), None);
        assert_eq!(watch.step(&Change::Departed(service()), None), None);
    }
}
