//! Names, titles and messages that would like to be scripts are shown as what they are: text.

use super::{Desk, go};
use crate::driver::Page;
use acceptance::stage::Stage;
use contracts::{
    dead_letter::{HEADER_COMMAND_ID, HEADER_ERROR, HEADER_NEXT, HEADER_REASON},
    topology::DEAD_EXCHANGE,
};
use serde_json::json;

const ID: &str = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";
/// Each of them would leave its mark, were it markup.
const EVIL: &str = r#""'><script>pwned=1</script><img src=x onerror=pwned=1><a href="javascript:pwned=1">x</a>"#;

#[tokio::test]
async fn hostile_names_and_messages_are_only_text() {
    let stage = Stage::new("page_hostile").await;
    let market = &stage.market;
    let set = sqlx::query("UPDATE products SET brand = LEFT(?, 50), name = LEFT(?, 100) WHERE product_id = 1");
    set.bind(EVIL).bind(EVIL).execute(&market.database).await.unwrap();
    let user = market.user(7, 1_000).await;
    let set = sqlx::query("UPDATE users SET nickname = ? WHERE user_id = ?").bind("<img src=x>").bind(user.0);
    set.execute(&market.database).await.unwrap();
    let suspended = "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, \
                     accepted_at_ms, updated_at_ms) VALUES (?, 'sell_now', 7, REPEAT('0', 32), 'suspended', 0, '{}', 1, 0, 0)";
    let id: contracts::CommandId = ID.parse().unwrap();
    sqlx::query(suspended).bind(id.bytes().to_vec()).execute(&market.database).await.unwrap();
    let body = json!({"id": ID, "kind": EVIL, "user": 7, "version": 1, "body": {EVIL: EVIL}}).to_string();
    let headers = [(HEADER_REASON, EVIL), (HEADER_ERROR, EVIL), (HEADER_NEXT, EVIL), (HEADER_COMMAND_ID, ID)];
    market.broker.publish_bytes(DEAD_EXCHANGE, "bid", body.as_bytes(), &headers).await;
    market.broker.publish_bytes(DEAD_EXCHANGE, "payment", EVIL.as_bytes(), &[]).await;
    stage.ok(&["limits", "set", "bid", "--batch", "100", "--why", EVIL]).await;

    let desk = Desk::open(market).await;
    let shown = desk.get(&format!("letters/{ID}")).await;
    assert_eq!(shown[0]["reason"], EVIL, "{shown}");
    let folder = tempfile::tempdir().unwrap();
    let page = desk.browser(folder.path()).await;
    shows(&page, "#pipeline table").await;

    go(&page, "letters").await;
    shows(&page, ".group[data-reason^='\"'] h3").await;
    shows(&page, "#recorded").await;
    page.click(".group[data-reason^='\"'] button[aria-label^='Letters']").await;
    shows(&page, "#below").await;
    page.click("#below tbody button").await;
    shows(&page, "#below pre").await;
    page.click("#below .buttons button.main").await;
    page.until("document.querySelector('dialog[open]')").await;
    page.press("Escape").await;
    page.click(".group[data-reason^='\"'] button[aria-label^='Replay']").await;
    shows(&page, "dialog[open] h2").await;
    page.press("Escape").await;
    page.until("!document.querySelector('dialog')").await;
    page.click(".group[data-reason^='\"'] button[aria-label^='Dry run']").await;
    page.until("document.querySelector('#foreseen')").await;

    go(&page, &format!("trace/{ID}")).await;
    shows(&page, "#traced").await;
    go(&page, "trace/user:7").await;
    page.until("document.querySelector('#traced').textContent.includes('<img src=x>')").await;
    go(&page, &format!("trace/{}", "%22%3E%3Cscript%3Epwned=1%3C/script%3E")).await;
    page.until("document.querySelector('#subject').value.includes('<script>pwned=1</script>')").await;
    for strange in ["trace/%", "constructor", "__proto__/x", "market/%3Cimg%3E"] {
        go(&page, strange).await;
        page.until("!document.querySelector('#content').hidden && document.querySelector('#content h1')").await;
    }
    go(&page, "market").await;
    shows(&page, "#products").await;
    go(&page, "market/1").await;
    shows(&page, "#shown h2").await;
    nothing_ran(&page).await;
}

/// An element has the text, all of it or where it was cut, and nothing of it became markup.
async fn shows(page: &Page, selector: &str) {
    let text = "[...document.querySelectorAll(SELECTOR)].some(one => one.textContent.includes('<script>pwned=1'))";
    page.until(&text.replace("SELECTOR", &format!("{selector:?}"))).await;
    nothing_ran(page).await;
}

async fn nothing_ran(page: &Page) {
    let found = "[typeof window.pwned, document.querySelectorAll('main script, main img, dialog img, dialog script, \
                 [href^=\"javascript\"], [onerror]').length].join()";
    assert_eq!(page.evaluate(found).await, "undefined,0");
}
