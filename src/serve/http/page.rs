//! The page at `/`, and the one that shows the description of the routes. Neither loads anything from elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::export::page_policy_hashes;
use crate::serve::Server;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files, with their paths and types.
const FILES: [(&str, &str, &str); 11] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/page/api.js", SCRIPT, include_str!("page/api.js")),
    ("/page/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/page/job.js", SCRIPT, include_str!("page/job.js")),
    ("/page/upload.js", SCRIPT, include_str!("page/upload.js")),
    ("/docs", "text/html; charset=utf-8", include_str!("page/docs.html")),
    ("/docs.css", "text/css; charset=utf-8", include_str!("page/docs.css")),
    ("/docs.js", SCRIPT, include_str!("page/docs.js")),
    ("/favicon.svg", "image/svg+xml", include_str!("page/favicon.svg")),
];

/// Returns a policy that allows nothing but the server's own files and what scripts fetch from it. The page opens transcripts
/// from memory where a key is needed to read them, and those keep its policy, so it allows the style and the script that
/// every transcript has.
fn policy() -> String {
    let (style, script) = page_policy_hashes();
    format!(
        "default-src 'none'; script-src 'self' '{script}'; style-src 'self' '{style}'; img-src 'self' data:; \
         connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Whether a path is answered without a key.
pub fn is_open(path: &str) -> bool {
    FILES.iter().any(|(known, ..)| *known == path)
}

pub fn routes() -> Router<Arc<Server>> {
    let policy = policy();
    FILES.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        let policy = policy.clone();
        router.route(path, get(move || std::future::ready(file(kind, content, &policy))))
    })
}

fn file(kind: &str, content: &'static str, policy: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // What an earlier version of the server sent must not meet the routes of this one.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers.map(|(name, value)| (name, value.to_owned())), content).into_response()
}
