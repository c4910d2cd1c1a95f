//! An API server for trying things out: `cargo run -p augur-apiserver --example serve -- PORT [DEBUG_TOKEN] [--controllers]`.

use augur_apiserver::controllers::{self, ControllerOptions};
use augur_apiserver::{ApiServer, ApiServerOptions, serve};
use augur_clock::Clock;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, arguments): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let mut arguments = arguments.into_iter();
    let port: u16 = arguments.next().as_deref().unwrap_or("8001").parse()?;
    let options = ApiServerOptions { debug_token: arguments.next(), ..ApiServerOptions::default() };
    let server = ApiServer::new(options).map_err(|error| error.message)?;
    let with_controllers = flags.iter().any(|flag| flag == "--controllers");
    let controllers =
        with_controllers.then(|| controllers::spawn(&server, Clock::real(), ControllerOptions::default()));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let interrupted = async {
        // Without the signal there is only killing left.
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(listener, server.router(), interrupted).await?;
    if let Some(controllers) = controllers {
        controllers.stop().await;
    }
    Ok(())
}
