//! A keep-alive HTTP/1.1 connection with one request at a time: what a measurement needs and no more.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nothing answers at the address.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the connection; how it ended shows in the requests.
        tokio::spawn(connection);
        Ok(Connection { sender, host: address.to_string() })
    }

    /// Sends a request and returns the head of the answer with its body still to be read.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, method: &str, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Incoming)> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, &self.host)
            .header(http::header::USER_AGENT, "augur-bench")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok((head.status, body))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn call(&mut self, method: &str, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let (status, body) = self.send(method, path, body).await?;
        Ok((status, body.collect().await?.to_bytes()))
    }
}
