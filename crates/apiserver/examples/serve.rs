//! A bare API server for trying things out: `cargo run -p augur-apiserver --example serve -- PORT [DEBUG_TOKEN]`.

use augur_apiserver::{ApiServer, ApiServerOptions, serve};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().as_deref().unwrap_or("8001").parse()?;
    let options = ApiServerOptions { debug_token: arguments.next(), ..ApiServerOptions::default() };
    let server = ApiServer::new(options).map_err(|error| error.message)?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let interrupted = async {
        // Without the signal there is only killing left.
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(listener, server.router(), interrupted).await?;
    Ok(())
}
