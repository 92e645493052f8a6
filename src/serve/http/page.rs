//! The page at `/`, and the one that shows the description of the routes. Neither loads anything from elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::serve::Server;

/// The files, with their paths and types.
const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/docs", "text/html; charset=utf-8", include_str!("page/docs.html")),
    ("/docs.js", "text/javascript; charset=utf-8", include_str!("page/docs.js")),
    ("/favicon.svg", "image/svg+xml", include_str!("page/favicon.svg")),
];

/// Nothing but the server's own files and what scripts fetch from it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether a path is answered without a key.
pub fn is_open(path: &str) -> bool {
    FILES.iter().any(|(known, ..)| *known == path)
}

pub fn routes() -> Router<Arc<Server>> {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        router.route(path, get(move || std::future::ready(file(kind, content))))
    })
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = content.into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
