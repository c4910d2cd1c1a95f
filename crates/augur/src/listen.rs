//! Sockets to listen at, with errors that name the port and the flag that changes it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::bail;
use tokio::net::TcpListener;

/// Listens at the address; port 0 takes a free one.
///
/// # Errors
/// When the port is taken or may not be used, naming it, what it is for, and the flag that chooses another.
pub async fn listen(host: IpAddr, port: u16, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(host, port);
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "port {port} ({what}) is in use on {host}; stop what listens there, or choose another port with {flag} PORT"
        ),
        Err(error) => bail!("cannot listen at {address} for {what}: {error}; choose another port with {flag} PORT"),
    }
}

/// The address under which this machine reaches a listener: an unspecified one is reached through loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback =
        if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { "::1".parse().unwrap_or(address.ip()) };
    SocketAddr::new(loopback, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_flag() {
        let host = IpAddr::from([127, 0, 0, 1]);
        let taken = listen(host, 0, "the test", "--port").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = listen(host, port, "the scheduler", "--port").await.unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--port"), "{error}");
    }
}
