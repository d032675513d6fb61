//! A real browser (Chromium, headless) on a page of ours that does what a front end does, from another origin: what
//! CORS allows and exposes is decided by the browser, not by us. The steps are in `acceptance/browser/page.html`. And in
//! the Toss sandbox's payment window, as a payer (`window.rs`); and on the operators' page, as an administrator
//! (`operator_page`).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod driver;
mod operator_page;
mod window;

use acceptance::{Market, visitor::start_api};
use axum::{
    Router,
    response::Html,
    routing::{get, post},
};
use load::picture::png;
use std::{path::Path, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::mpsc,
};

const PAGE: &str = include_str!("../../browser/page.html");
/// The browser's start, on a busy machine, and all steps.
const PATIENCE: Duration = Duration::from_secs(90);
const HOUR_AND_MORE_MS: i64 = 61 * 60_000;

/// Name and verdict of each step.
type Steps = Vec<(String, String)>;

/// Where a page comes from, and where it reports to.
struct Origin {
    address: String,
    reports: mpsc::Receiver<Steps>,
}

impl Origin {
    fn serve(listener: TcpListener, market: &Arc<Market>) -> Self {
        let address = origin(&listener);
        let (tell, reports) = mpsc::channel(1);
        let report = async move |body: String| tell.send(serde_json::from_str(&body).unwrap()).await.unwrap();
        let market = market.clone();
        let an_hour_passes = async move || {
            market.advance_clock(HOUR_AND_MORE_MS);
            // Processes read the clock's file at most this often.
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let pages = Router::new()
            .route("/", get(async || Html(PAGE)))
            .route("/stranger", get(async || Html(PAGE)))
            .route("/an-hour-passes", post(an_hour_passes))
            .route("/report", post(report));
        tokio::spawn(async move { axum::serve(listener, pages).await });
        Self { address, reports }
    }

    /// Opens a page in the browser; what it reports.
    async fn visit(&mut self, path: &str, api: &str, folder: &Path) -> Steps {
        let mut browser = browser(&format!("{}{path}?api={api}", self.address), folder);
        let steps = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        browser.kill().await.unwrap();
        let log = std::fs::read_to_string(folder.join("chromium.log")).unwrap_or_default();
        steps.unwrap_or_else(|_| panic!("the page reported nothing within {PATIENCE:?}: {log}")).unwrap()
    }
}

fn origin(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().unwrap())
}

fn browser(address: &str, folder: &Path) -> Child {
    chromium(folder).arg(address).spawn().expect("chromium starts: apt-get install chromium (make test does)")
}

fn program() -> String {
    std::env::var("GREAM_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned())
}

fn chromium(folder: &Path) -> Command {
    let mut command = Command::new(program());
    set_up(&mut command, folder);
    command
}

fn set_up(command: &mut Command, folder: &Path) {
    let log = std::fs::File::create(folder.join("chromium.log")).unwrap();
    // Its own sandbox needs rights that neither root nor a container has; it sees nothing but pages of ours.
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    command.args(["--disable-extensions", "--disable-background-networking", "--disable-component-update"]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.env("HOME", folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
}

/// What a page looks like once its scripts have run, with no network but this machine's.
async fn rendered(address: &str, folder: &Path) -> String {
    let mut command = chromium(folder);
    command.args(["--dump-dom", "--virtual-time-budget=20000"]);
    command.args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", address]);
    let output =
        tokio::time::timeout(PATIENCE, command.stdout(Stdio::piped()).output()).await.expect("it ends").unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn all_went_well(steps: &Steps, expected: usize) {
    assert_eq!(steps.len(), expected, "{steps:#?}");
    assert!(steps.iter().all(|(_, verdict)| verdict == "ok"), "{steps:#?}");
}

#[tokio::test]
async fn a_browser_does_everything_that_a_front_end_does_from_another_origin() {
    let mut market = Market::new("browser").await;
    // The API knows the one, and not the other.
    let known = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unknown = TcpListener::bind("127.0.0.1:0").await.unwrap();
    market.set("GREAM__HTTP__CORS_ORIGINS", origin(&known));
    let _worker = market.worker(&["bid"]).await;
    let (api, visitor) = start_api(&market).await;
    let admin = visitor.join_as_administrator(&market, "admin").await;
    let fields = [("brand", "스타벅스"), ("name", "아메리카노"), ("description", ""), ("price", "4500")];
    admin.upload("/api/admin/products", &fields, &png(7)).await.ok();
    let folder = tempfile::tempdir().unwrap();
    let market = Arc::new(market);

    let mut front_end = Origin::serve(known, &market);
    all_went_well(&front_end.visit("/", &visitor.base, folder.path()).await, 11);
    let mut stranger = Origin::serve(unknown, &market);
    all_went_well(&stranger.visit("/stranger", &visitor.base, folder.path()).await, 1);
    assert!(!api.logged().contains("a handler panicked"));
}

#[tokio::test]
async fn the_documentation_shows_every_call_without_the_internet() {
    let market = Market::new("browser_docs").await;
    let (_api, visitor) = start_api(&market).await;
    let page = visitor.client.get(format!("{}/api/docs/", visitor.base)).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("script-src 'self';") && policy.contains("connect-src 'self';"), "{policy}");
    let folder = tempfile::tempdir().unwrap();
    let shown = rendered(&format!("{}/api/docs/", visitor.base), folder.path()).await;
    for part in ["log_in", "place_sell_bid", "command_status", "Authorize"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
