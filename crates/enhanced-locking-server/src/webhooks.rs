//! What GitHub and GitLab report: a pull request that was closed or merged gives back its locks and its places in line,
//! in exactly that repository. Owns the senders' signatures and the few members of their bodies that matter; nothing of
//! a body is believed before its signature was checked.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use data_encoding::HEXLOWER_PERMISSIVE;
use enhanced_locking_client::api::{ClearedReply, WebhookReply};
use enhanced_locking_foundation::{Cause, Cleared, ErrorCode, PullRequest, Selector};
use ring::hmac;
use serde::Deserialize;

use crate::AuthToken;
use crate::app::App;
use crate::auth::audit;
use crate::body::{Answer, json_bytes, parse};
use crate::connection::Peer;
use crate::problem::Refusal;

/// What the senders of webhooks must know. Without a secret its sender is refused.
#[derive(Clone, Debug, Default)]
pub struct WebhookConfig {
    /// The secret of GitHub's webhook, with which it signs every body.
    pub github_secret: Option<AuthToken>,
    /// The token of GitLab's webhook, which it sends along.
    pub gitlab_token: Option<AuthToken>,
}

/// `POST /webhooks/github`.
pub(crate) async fn github(
    State(app): State<App>,
    peer: Peer,
    request: Request,
) -> Result<Answer<WebhookReply>, Refusal> {
    let secret = app.config.webhooks.github_secret.clone();
    let secret = secret.ok_or_else(|| not_set_up("GitHub", "webhooks.github-secret"))?;
    let event = header(request.headers(), "x-github-event").to_owned();
    let signature = header(request.headers(), "x-hub-signature-256").to_owned();
    let body = json_bytes(request, &app).await?;
    if !secret.has_signed(&body, &signature) {
        return Err(denied("the signature in `X-Hub-Signature-256` is not that of this body"));
    }
    if event != "pull_request" {
        return Ok(ignored(format!("an event of the kind `{event}`; only `pull_request` matters")));
    }
    let report: GithubReport = parse(&body)?;
    if report.action != "closed" {
        return Ok(ignored(format!("the pull request was `{}`, not closed", report.action)));
    }
    let closed = Closed {
        repo: report.repository.full_name,
        page: report.repository.html_url,
        number: report.number,
        actor: report.sender.map(|sender| format!("github:{}", sender.login)),
        merged: report.pull_request.merged,
    };
    closed.release(&app, peer).await
}

/// `POST /webhooks/gitlab`.
pub(crate) async fn gitlab(
    State(app): State<App>,
    peer: Peer,
    request: Request,
) -> Result<Answer<WebhookReply>, Refusal> {
    let token = app.config.webhooks.gitlab_token.clone();
    let token = token.ok_or_else(|| not_set_up("GitLab", "webhooks.gitlab-token"))?;
    if !token.matches(header(request.headers(), "x-gitlab-token")) {
        return Err(denied("the token in `X-Gitlab-Token` is not the right one"));
    }
    let event = header(request.headers(), "x-gitlab-event").to_owned();
    let body = json_bytes(request, &app).await?;
    if event != "Merge Request Hook" {
        return Ok(ignored(format!("an event of the kind `{event}`; only `Merge Request Hook` matters")));
    }
    let report: GitlabReport = parse(&body)?;
    let action = report.object_attributes.action.unwrap_or_default();
    if !matches!(action.as_str(), "close" | "merge") {
        return Ok(ignored(format!("the merge request has the action `{action}`, not `close` or `merge`")));
    }
    let closed = Closed {
        repo: report.project.path_with_namespace,
        page: report.project.web_url,
        number: report.object_attributes.iid,
        actor: report.user.map(|user| format!("gitlab:{}", user.username)),
        merged: action == "merge",
    };
    closed.release(&app, peer).await
}

/// A pull request that is over.
struct Closed {
    repo: String,
    /// The address of the repository's page, which tells the host.
    page: String,
    number: i64,
    actor: Option<String>,
    merged: bool,
}

impl Closed {
    /// Releases all it has. Doing it again does no harm: senders repeat what was not answered.
    async fn release(self, app: &App, peer: Peer) -> Result<Answer<WebhookReply>, Refusal> {
        let invalid = |error| Refusal::field("repository", format!("{error}"));
        let mut pulls = vec![PullRequest::new(&self.repo, self.number).map_err(invalid)?];
        // Callers may have told hosts apart by putting them in front.
        if let Some(host) = host_of(&self.page) {
            let qualified = PullRequest::new(&format!("{host}/{}", self.repo), self.number);
            pulls.push(qualified.map_err(invalid)?);
        }
        let reason = if self.merged { "the pull request was merged" } else { "the pull request was closed" };
        let mut actor = self.actor.unwrap_or_default();
        actor.retain(|c| !c.is_control());
        actor.truncate(actor.floor_char_boundary(Cause::MAX_ACTOR_BYTES));
        let cause = Cause { actor, reason: reason.to_owned() };
        let mut all = Cleared::default();
        for pull in &pulls {
            let cleared = app.backend.clear(&Selector::Pull(pull.clone()), cause.clone()).await?;
            all.released.extend(cleared.released);
            all.cancelled.extend(cleared.cancelled);
        }
        let affected = all.released.len() + all.cancelled.len();
        audit("pull-request-closed", &format_args!("{}#{}", self.repo, self.number), &cause, peer, affected);
        Ok(Answer(WebhookReply { ignored: None, cleared: ClearedReply::from(&all) }))
    }
}

impl AuthToken {
    /// Whether `sha256=…` is the HMAC of a body under this secret. Compared in constant time.
    fn has_signed(&self, body: &[u8], signature: &str) -> bool {
        let signature = signature.strip_prefix("sha256=").unwrap_or_default();
        let Ok(signature) = HEXLOWER_PERMISSIVE.decode(signature.as_bytes()) else { return false };
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, self.bytes()), body, &signature).is_ok()
    }
}

#[derive(Deserialize)]
struct GithubReport {
    action: String,
    number: i64,
    pull_request: GithubPull,
    repository: GithubRepository,
    sender: Option<GithubUser>,
}

#[derive(Deserialize)]
struct GithubPull {
    #[serde(default)]
    merged: bool,
}

#[derive(Deserialize)]
struct GithubRepository {
    full_name: String,
    #[serde(default)]
    html_url: String,
}

#[derive(Deserialize)]
struct GithubUser {
    login: String,
}

#[derive(Deserialize)]
struct GitlabReport {
    object_attributes: GitlabRequest,
    project: GitlabProject,
    user: Option<GitlabUser>,
}

#[derive(Deserialize)]
struct GitlabRequest {
    iid: i64,
    action: Option<String>,
}

#[derive(Deserialize)]
struct GitlabProject {
    path_with_namespace: String,
    #[serde(default)]
    web_url: String,
}

#[derive(Deserialize)]
struct GitlabUser {
    username: String,
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn ignored(why: String) -> Answer<WebhookReply> {
    Answer(WebhookReply { ignored: Some(why), cleared: ClearedReply::default() })
}

fn not_set_up(sender: &str, key: &str) -> Refusal {
    let detail = format!("webhooks of {sender} are not set up here: set `{key}`, and the same at {sender}");
    Refusal::new(ErrorCode::Denied, StatusCode::FORBIDDEN, detail)
}

fn denied(detail: &str) -> Refusal {
    Refusal::new(ErrorCode::Denied, StatusCode::UNAUTHORIZED, detail)
}

/// The host in the address of a page.
fn host_of(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("://")?;
    let host = rest.split(['/', ':']).next()?;
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_body_and_secret_only() {
        // The example in GitHub's documentation.
        let secret = AuthToken::new("It's a Secret to Everybody");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(secret.has_signed(b"Hello, World!", signature));
        assert!(!secret.has_signed(b"Hello, World?", signature));
        assert!(!AuthToken::new("another").has_signed(b"Hello, World!", signature));
        for wrong in ["", "sha256=", "sha1=00", "sha256=zz", "sha256=7", &signature[..signature.len() - 2]] {
            assert!(!secret.has_signed(b"Hello, World!", wrong), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_found_in_addresses() {
        for (page, host) in [
            ("https://github.com/acme/infra", Some("github.com")),
            ("https://git.example.com:8443/a/b/c", Some("git.example.com")),
            ("https://", None),
            ("acme/infra", None),
            ("", None),
        ] {
            assert_eq!(host_of(page), host, "{page}");
        }
    }
}
