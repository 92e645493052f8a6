//! Everything about HTTP: routes, and the server that answers them.

mod access;
mod api_error;
mod connections;
mod drain;
mod job_routes;
mod job_view;
mod openai;
mod operation;
mod page;
mod results;
mod sse;
mod submission;
mod upload;
mod waiting;
mod whisper_cpp;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware;
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::TokioTimer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::connections::LimitedAcceptor;
use super::{Server, TlsFiles};
use crate::error::{Error, Result};

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request that is not an upload.
const MAX_JSON: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(modifiers(&KeyScheme), security((), ("key" = [])), info(
    title = "transcribe",
    description = "Transcribes recordings with OpenAI's Whisper models. Errors have the form of OpenAI's. With API keys, \
        send one as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
))]
struct ApiDoc;

/// Describes the API key.
struct KeyScheme;

impl utoipa::Modify for KeyScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Returns all routes, and their description.
fn routes() -> (Router<Arc<Server>>, utoipa::openapi::OpenApi) {
    let uploads = OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(openai::transcriptions))
        .routes(routes!(openai::translations))
        .routes(routes!(whisper_cpp::inference))
        .routes(routes!(submission::create, job_routes::list))
        // Uploads are counted while they are received.
        .layer(DefaultBodyLimit::disable());
    OpenApiRouter::new()
        .routes(routes!(openai::models))
        .routes(routes!(openai::model))
        .routes(routes!(job_routes::show, job_routes::delete))
        .routes(routes!(job_routes::events))
        .routes(routes!(results::transcript))
        .routes(routes!(results::recording))
        .routes(routes!(operation::health))
        .routes(routes!(operation::ready))
        .routes(routes!(operation::detailed))
        .routes(routes!(operation::metrics))
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .merge(uploads)
        .split_for_parts()
}

fn router(server: &Arc<Server>) -> Router {
    let (routes, document) = routes();
    // Written once; it does not change.
    let document = serde_json::to_string(&document).unwrap_or_default();
    let description = move || {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        std::future::ready((kind, document.clone()))
    };
    routes
        .route("/openapi.json", get(description))
        .merge(page::routes())
        .fallback(api_error::not_found)
        .method_not_allowed_fallback(api_error::method_not_allowed)
        .with_state(Arc::clone(server))
        .layer(middleware::from_fn_with_state(Arc::clone(server), access::authorise))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(api_error::panicked))
        .layer(middleware::from_fn(drain::refused))
        .layer(middleware::from_fn_with_state(Arc::clone(server), access::record))
}

/// Answers requests until the handle ends it.
pub async fn answer(
    server: Arc<Server>,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    handle: Handle<SocketAddr>,
) -> std::io::Result<()> {
    let service = router(&server).into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        Some(config) => {
            let config = RustlsConfig::from_config(config);
            let mut bound =
                axum_server::from_tcp_rustls(listener, config)?.map(LimitedAcceptor::new).handle(handle);
            bound.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            bound.serve(service).await
        }
        None => {
            let mut bound = axum_server::from_tcp(listener)?.map(LimitedAcceptor::new).handle(handle);
            bound.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            bound.serve(service).await
        }
    }
}

/// Reads the files for TLS.
pub fn tls_config(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let fault = |option: &str, path: &std::path::Path, why: String| {
        Error::usage(format!("`{option} {}`", path.display()), why)
    };
    let of_certificate = |why: String| fault("--tls-certificate", &files.certificate, why);
    let of_key = |why: String| fault("--tls-key", &files.key, why);
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| of_certificate(format!("cannot be read: {error}")))?;
    if chain.is_empty() {
        return Err(of_certificate("holds no certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| of_key(format!("holds no private key: {error}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::compute("setting up TLS", error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| of_key(format!("does not belong to the certificate: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
