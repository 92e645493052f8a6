//! Who may send a request, and the access log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api_error::{ApiError, ApiResult};
use crate::serve::keys::{Caller, Scope};
use crate::serve::outgoing::is_loopback;
use crate::serve::record::JobId;
use crate::serve::{AccessRecord, Server};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a request's id that are kept, if the client brings one.
const MAX_ID: usize = 64;

/// Paths that answer without a key: probes, and the page, which asks for one.
const OPEN: [&str; 3] = ["/health", "/ready", "/openapi.json"];

/// Writes a line to the access log, and gives every answer an id.
pub async fn record(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    // Unknown paths are one route, so that nobody can fill the memory with them.
    let route = route.unwrap_or_else(|| "other".into());
    server.jobs.counters.answered(format!("{method} {route}"), status);
    let caller = response.extensions_mut().remove::<Caller>().and_then(|caller| caller.name);
    let seconds = started.elapsed().as_secs_f64();
    (server.options.log)(&AccessRecord { id, method, path, status, seconds, caller, peer });
    response
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_plain = |id: &&str| {
        (1..=MAX_ID).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    given.filter(is_plain).map_or_else(|| JobId::new().as_str().to_owned(), str::to_owned)
}

/// Lets requests through that have a valid key, if keys are asked for, and that no other web site has sent.
pub async fn authorise(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let caller = match check_origin(&server, &request).and_then(|()| caller(&server, &request)) {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(caller);
    response
}

fn caller(server: &Server, request: &Request) -> ApiResult<Caller> {
    let keys = &server.options.keys;
    if keys.is_empty() {
        return Ok(Caller::anonymous());
    }
    let headers = request.headers();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let key = bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()));
    match key.map(|key| keys.caller(key.trim())) {
        Some(Some(caller)) => Ok(caller),
        None if OPEN.contains(&request.uri().path()) || super::page::is_open(request.uri().path()) => {
            Ok(Caller::nobody())
        }
        Some(None) => Err(unauthorised("the API key is not valid")),
        None => Err(unauthorised("an API key is needed: send `Authorization: Bearer KEY`")),
    }
}

fn unauthorised(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
}

/// Fails if the caller lacks a scope.
pub fn require(caller: &Caller, scope: Scope) -> ApiResult<()> {
    match caller.has(scope) {
        true => Ok(()),
        false => {
            let message = format!("the API key lacks the scope `{}`", scope.name());
            Err(ApiError::new(StatusCode::FORBIDDEN, "missing_scope", message))
        }
    }
}

/// Fails for requests that a page of another web site has sent through a visitor's browser.
fn check_origin(server: &Server, request: &Request) -> ApiResult<()> {
    let is_local = is_loopback(&server.options.listen) && server.options.keys.is_empty();
    match foreign(request, is_local) {
        None => Ok(()),
        Some(why) => Err(ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", why)),
    }
}

/// Returns why a request is not answered, if it comes from a page of another site. Where no key is asked for, the name that
/// the server is called by must be one of this machine's, as another site's name could be made to mean it.
fn foreign(request: &Request, is_local: bool) -> Option<&'static str> {
    let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    // HTTP/2 has it in the address.
    let host = text(header::HOST).or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    if let Some(origin) = text(header::ORIGIN)
        && origin.split_once("://").map(|(_, authority)| authority) != host
    {
        return Some("requests from pages of other sites are not answered");
    }
    let name = host.filter(|_| is_local).map(|host| match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    });
    let is_own = |name: &str| {
        name.eq_ignore_ascii_case("localhost")
            || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    };
    name.filter(|name| !is_own(name)).map(|_| "without API keys, this server answers to `localhost` only")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn pages_of_other_sites_are_told_from_the_servers_own() {
        let is_foreign = |uri: &str, host: Option<&str>, origin: Option<&str>, is_local: bool| {
            let mut request = Request::builder().uri(uri);
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                request = value.into_iter().fold(request, |request, value| request.header(&name, value));
            }
            foreign(&request.body(Body::empty()).unwrap(), is_local).is_some()
        };
        let own = Some("localhost:8080");
        assert!(!is_foreign("/", own, None, true));
        assert!(!is_foreign("/", own, Some("http://localhost:8080"), true));
        assert!(is_foreign("/", own, Some("http://localhost:9999"), true));
        assert!(is_foreign("/", own, Some("null"), true));
        assert!(is_foreign("/", Some("evil.example"), Some("http://evil.example"), true));
        assert!(!is_foreign("/", Some("[::1]:8080"), None, true));
        assert!(!is_foreign("/", Some("scribe.example"), Some("https://scribe.example"), false));
        // As HTTP/2 has it.
        let address = "https://scribe.example/v1/jobs";
        assert!(!is_foreign(address, None, Some("https://scribe.example"), false));
        assert!(is_foreign(address, None, Some("https://evil.example"), false));
        assert!(is_foreign(address, None, None, true));
    }
}
