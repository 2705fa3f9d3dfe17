//! The main job in one command: what is near me, what can it do, how do I reach it, and how far may I trust the answer?
//!
//! `cargo run --release --example demo` starts a broker, 200 vehicles that drive a recorded city, two gateways that
//! announce themselves by mDNS, and an agent among them; asks it four questions and checks the answers against the
//! recording. It then stays up until Ctrl-C; `-- --once` ends it.

mod ask;
mod questions;
mod scene;

use std::error::Error;
use std::process::ExitCode;

use scene::Scene;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let once = std::env::args().any(|argument| argument == "--once");
    match play(once).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("demo: {wrong} of 4 answers are not what the recording says");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the demo and says how many answers were wrong.
#[expect(clippy::print_stdout, reason = "a demo talks")]
async fn play(once: bool) -> Result<usize, Box<dyn Error>> {
    let state = std::env::temp_dir().join(format!("wayside-demo-{}", std::process::id()));
    let mut scene = Scene::start(&state).await?;
    println!(
        "A city: 200 vehicles on a real broker, two gateways on real mDNS (loopback), and an agent at {}.",
        scene.here
    );
    println!("\n    The city as it moves:  http://{}/\n", scene.api);
    let wrong = questions::all(&mut scene).await?;
    if !once && wrong == 0 {
        scene.crossing_returns(&state).await?;
        println!("The city goes on. Look at it, ask it yourself, or end it with Ctrl-C:");
        println!("    http://{}/", scene.api);
        println!("    wayside nearby --within 100m --agent http://{}", scene.api);
        tokio::signal::ctrl_c().await?;
    }
    scene.end().await;
    // What is left behind is in the system's temporary directory, and small.
    drop(std::fs::remove_dir_all(&state));
    Ok(wrong)
}
