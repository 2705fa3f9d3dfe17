//! Four questions, and what the recording says must be answered.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time;
use wayside_examples::fleet::Fleet;

use crate::ask::{ask, list, number, show, text};
use crate::scene::{Scene, VEHICLE_SERVICE};

/// How long the agent may take to have heard of everything.
const PATIENCE: Duration = Duration::from_secs(20);
/// How far a vehicle may have come between the answer and the step of the recording it is held against, metres.
const SLACK: f64 = 12.0;

/// Asks all four; says how many answers were wrong.
#[expect(clippy::print_stdout, reason = "a demo talks")]
pub(crate) async fn all(scene: &mut Scene) -> io::Result<usize> {
    let mut wrong = 0;
    for (number, title) in [
        "Something critical within 100 m?",
        "Which vehicle within 500 m can show me what is around the corner?",
        "A charger within 500 m?",
        "And the critical one again, after the gateway at the crossing has gone?",
    ]
    .into_iter()
    .enumerate()
    {
        println!("{}. {title}", number + 1);
        let verdict = match number {
            0 => critical(scene).await?,
            1 => vehicles(scene).await?,
            2 => charger(scene).await?,
            _ => after_a_death(scene).await?,
        };
        match verdict {
            Ok(()) => println!("    as recorded\n"),
            Err(complaint) => {
                wrong += 1;
                println!("    WRONG: {complaint}\n");
            }
        }
    }
    Ok(wrong)
}

type Verdict = Result<(), String>;

async fn critical(scene: &Scene) -> io::Result<Verdict> {
    let question = around(scene, "*", 100.0, true);
    let answer = eventually(scene, &question, |answer| text(answer, "tier") == "local").await?;
    show(&answer);
    let Some(first) = list(&answer, "instances").first() else { return Ok(Err("nothing was found".into())) };
    let right = text(first, "id").ends_with("@gw-crossing") && (number(first, "distance_m") - 70.0).abs() < 0.5;
    Ok(right.then_some(()).ok_or_else(|| "expected signal-phase of gw-crossing at 70 m".into()))
}

async fn vehicles(scene: &mut Scene) -> io::Result<Verdict> {
    let question = around(scene, VEHICLE_SERVICE, 500.0, false);
    // The first answers may come before every vehicle has been heard.
    let expected = |scene: &Scene| near(scene, 500.0 - SLACK).len();
    let answer = eventually(scene, &question, |answer| list(answer, "instances").len() >= expected(scene)).await?;
    show(&answer);
    Ok(against_the_recording(scene, &answer))
}

async fn charger(scene: &Scene) -> io::Result<Verdict> {
    let question = around(scene, "charging", 500.0, false);
    let told = |answer: &Value| list(answer, "explain").iter().any(|tier| tier["nearest_m"].is_number());
    let answer = eventually(scene, &question, told).await?;
    show(&answer);
    if !list(&answer, "instances").is_empty() {
        return Ok(Err("expected none: the nearest stands 1.9 km away".into()));
    }
    let nearest =
        list(&answer, "explain").iter().map(|tier| number(tier, "nearest_m")).find(|metres| metres.is_finite());
    let right = nearest.is_some_and(|metres| (metres - 1_900.0).abs() < 1.0);
    Ok(right.then_some(()).ok_or_else(|| format!("expected to hear of the one 1,900 m away, not {nearest:?}")))
}

async fn after_a_death(scene: &mut Scene) -> io::Result<Verdict> {
    scene.crossing_leaves().await;
    let question = around(scene, "*", 100.0, true);
    let answer = eventually(scene, &question, |answer| text(answer, "tier") == "neighbour").await?;
    show(&answer);
    if text(&answer, "tier") != "neighbour" {
        return Ok(Err("expected vehicles within 500 m to answer".into()));
    }
    // What was not heard of for a moment may be in the circle by now: it is in the answer as possible.
    let least = |found: &Value| number(found, "distance_m") - 2.0 * number(found, "sigma_m");
    let far = list(&answer, "instances").iter().find(|found| least(found) > 500.0 + SLACK);
    Ok(far.map_or(Ok(()), |found| Err(format!("{} is farther than 500 m", text(found, "id")))))
}

/// The vehicles in the answer are those of the recording: none that is certainly outside, none of those certainly
/// inside left out, each where it was recorded.
fn against_the_recording(scene: &Scene, answer: &Value) -> Verdict {
    let found: Vec<(&str, f64)> =
        list(answer, "instances").iter().map(|found| (text(found, "agent"), number(found, "distance_m"))).collect();
    let step = scene.fleet.step();
    for vehicle in near(scene, 500.0 - SLACK) {
        let id = Fleet::agent(vehicle);
        let Some((_, metres)) = found.iter().find(|(agent, _)| *agent == id.as_str()) else {
            return Err(format!("{id} is within 500 m and was not found"));
        };
        let recorded = scene.here.distance(&scene.trace.sample(vehicle, step).position).as_metres();
        if (recorded - metres).abs() > SLACK {
            return Err(format!("{id} is {recorded:.1} m away, not {metres:.1} m"));
        }
    }
    let inside: Vec<String> =
        near(scene, 500.0 + SLACK).into_iter().map(|vehicle| Fleet::agent(vehicle).to_string()).collect();
    let stranger = found.iter().find(|(agent, _)| !inside.iter().any(|id| id == agent));
    stranger
        .map_or(Ok(()), |(agent, metres)| Err(format!("{agent} is not within 500 m, but said to be at {metres:.1} m")))
}

/// The vehicles that offer something and are within `metres` at the step that was last sent.
fn near(scene: &Scene, metres: f64) -> Vec<usize> {
    let step = scene.fleet.step();
    let distance = |vehicle: &usize| scene.here.distance(&scene.trace.sample(*vehicle, step).position).as_metres();
    (0..scene.trace.vehicles())
        .filter(|vehicle| Fleet::offers(*vehicle))
        .filter(|vehicle| distance(vehicle) <= metres)
        .collect()
}

fn around(scene: &Scene, name: &str, metres: f64, critical: bool) -> Value {
    json!({
        "service_name": name,
        "constraints": {"location": {
            "lat": scene.here.latitude(), "lon": scene.here.longitude(), "radius_m": metres,
        }},
        "safety_critical": critical,
        "limit": 100,
    })
}

/// Asks again with each step of the recording until the answer is what is waited for, or patience ends.
async fn eventually(scene: &Scene, question: &Value, enough: impl Fn(&Value) -> bool) -> io::Result<Value> {
    let mut fleet = scene.fleet.clone();
    let asking = async {
        loop {
            let answer = ask(scene.api, question).await?;
            if enough(&answer) {
                return Ok(answer);
            }
            fleet.later_than(fleet.step()).await;
        }
    };
    match time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => ask(scene.api, question).await,
    }
}
