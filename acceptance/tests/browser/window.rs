//! A payer in the Toss sandbox's window: from `gream charge`, as after `make run`, to the points, or to the reason why not.

use crate::driver::Page;
use acceptance::{
    Market,
    process::Process,
    visitor::start_api,
    wait::{becomes, eventually},
};
use std::path::Path;

/// A market in which Toss is the sandbox, which sends its webhooks.
struct Shop {
    market: Market,
    api: String,
    sandbox: String,
    _processes: Vec<Process>,
}

impl Shop {
    async fn open(test: &str) -> Self {
        let mut market = Market::new(test).await;
        let (api_process, visitor) = start_api(&market).await;
        let journal = market.folder().join("sandbox.jsonl").to_str().unwrap().to_owned();
        let webhooks = format!("{}/api/payments/toss/webhook", visitor.base);
        let sandbox = ["sandbox", "--listen", "127.0.0.1:0", "--journal", &journal, "--webhooks", &webhooks];
        let mut sandbox_process = market.spawn(&sandbox);
        let sandbox = format!("http://{}", sandbox_process.address("http").await);
        market.set("GREAM__TOSS__BASE_URL", &sandbox);
        let worker = market.worker(&["payment", "relay"]).await;
        Self { market, api: visitor.base, sandbox, _processes: vec![api_process, sandbox_process, worker] }
    }

    /// Charges 5,000 as a person does, by this button; what the person reads at last, on the page and from the command.
    async fn pay(&self, button: &str, folder: &Path) -> String {
        let command = self.market.spawn_with(
            &["charge", "5000"],
            &[("GREAM_API", self.api.as_str()), ("GREAM_SANDBOX", self.sandbox.as_str())],
        );
        let window = eventually("the window's address", || async {
            let said = command.logged();
            let address = said.lines().find_map(|line| line.strip_prefix("Pay here: "))?;
            Some(address.to_owned())
        })
        .await;
        let page = Page::open(&window, folder).await;
        assert_eq!((page.text("h1").await.as_str(), page.text("#amount").await.as_str()), ("CHARGE_POINT", "5000 KRW"));
        page.click(button).await;
        let said = page.text("#said").await;
        becomes("the command says so too", true, || async { command.logged().trim_end().ends_with(&said) }).await;
        said
    }

    /// The only charge: its state, and why it failed.
    async fn charge(&self) -> (String, String) {
        sqlx::query_as("SELECT state, COALESCE(failure_code, '') FROM payments")
            .fetch_one(&self.market.database)
            .await
            .unwrap()
    }

    async fn has_become(&self, state: &str, code: &str, points: i64) {
        assert_eq!(self.charge().await, (state.to_owned(), code.to_owned()));
        assert_eq!(self.market.number("SELECT available FROM balances").await, points);
        self.market.audit_holds().await;
    }
}

#[tokio::test]
async fn who_pays_by_card_has_the_points() {
    let (shop, folder) = (Shop::open("window_card").await, tempfile::tempdir().unwrap());
    let said = shop.pay("#card", folder.path()).await;
    assert_eq!(said, "Charged 5000: \"DONE\". Points: 105000");
    shop.has_become("done", "", 105_000).await;
}

#[tokio::test]
async fn who_pays_into_an_account_has_the_points_once_the_webhook_came() {
    let (shop, folder) = (Shop::open("window_account").await, tempfile::tempdir().unwrap());
    let said = shop.pay("#virtual-account", folder.path()).await;
    assert_eq!(shop.charge().await.0, "awaiting_deposit", "{said}");
    let deposit = said.split("curl -X POST ").nth(1).unwrap().lines().next().unwrap();
    let paid = reqwest::Client::new().post(deposit).send().await.unwrap();
    assert_eq!(paid.status(), 200);
    becomes("credited", "done".to_owned(), || async { shop.charge().await.0 }).await;
    shop.has_become("done", "", 105_000).await;
}

#[tokio::test]
async fn who_fails_to_pay_or_closes_the_window_is_told_and_has_nothing() {
    for (button, code) in [("#fail", "PAY_PROCESS_ABORTED"), ("#close", "PAY_PROCESS_CANCELED")] {
        let (shop, folder) = (Shop::open("window_fail").await, tempfile::tempdir().unwrap());
        let said = shop.pay(button, folder.path()).await;
        assert_eq!(said, format!("Not charged: \"{code}\". Points: 100000"));
        shop.has_become("failed", code, 100_000).await;
    }
}
