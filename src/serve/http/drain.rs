//! Reads what is left of a request that was refused before it was read: a client that still sends would otherwise see a
//! broken connection instead of the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How much is read, and for how long. Clients that send more see a broken connection.
const MAX_DRAINED: usize = 64 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that is handed back when it is dropped.
struct ReturnedBody {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

impl http_body::Body for ReturnedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ReturnedBody {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            // Nobody waits for it once the answer is there.
            let _ = back.send(std::mem::take(&mut self.body));
        }
    }
}

/// Answers, and goes on reading requests that were refused.
pub async fn refused(request: Request, next: Next) -> Response {
    let (back, mut returned) = oneshot::channel();
    let request = request.map(|body| Body::new(ReturnedBody { body, back: Some(back) }));
    let response = next.run(request).await;
    if let Ok(body) = returned.try_recv()
        && (response.status().is_client_error() || response.status().is_server_error())
        && !body.is_end_stream()
    {
        tokio::spawn(timeout(DRAIN_TIMEOUT, drain(body)));
    }
    response
}

async fn drain(mut body: Body) {
    let mut read = 0;
    while read < MAX_DRAINED {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        match frame {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}
