//! The page without a mouse: signing in, every view, an act with its dialog, and signing out.

use super::{BOSS, Desk, PASSWORD};
use crate::driver::Page;
use acceptance::{stage::Stage, wait::becomes};

#[tokio::test]
async fn everything_is_reached_by_keys_alone() {
    let stage = Stage::new("page_keys").await;
    let poison = stage.poisoned(3).await;
    stage.mend().await;
    let desk = Desk::open(&stage.market).await;
    let folder = tempfile::tempdir().unwrap();
    let page = Page::open(&format!("{}/operator/", desk.address), folder.path()).await;

    // The focus is where one begins to write.
    page.until("document.activeElement.matches('#login-id')").await;
    page.write(BOSS).await;
    page.press("Tab").await;
    page.write("wrong-one1").await;
    page.press("Enter").await;
    page.until("document.querySelector('#refused').textContent.includes('no such login id')").await;
    page.until("document.activeElement.matches('#password')").await;
    page.evaluate("(document.activeElement.select(), true)").await;
    page.write(PASSWORD).await;
    page.press("Enter").await;
    page.until("document.querySelector('#pipeline table')").await;

    follow(&page, "nav a[href='#letters']").await;
    page.until("document.querySelector('.group[data-reason]')").await;
    page.tab_to("[data-reason] button[aria-label^='Letters']").await;
    page.press("Enter").await;
    page.until("document.querySelector('#below table')").await;
    // A dialog takes the focus, keeps it, and gives it back.
    let replay = "[data-reason] button[aria-label^='Replay']";
    follow(&page, "nav a[href='#letters']").await;
    page.until("document.querySelector('.group[data-reason]')").await;
    page.tab_to(replay).await;
    page.press("Enter").await;
    page.until("document.activeElement.matches('dialog[open] textarea')").await;
    page.press("Escape").await;
    page.until(&format!("!document.querySelector('dialog') && document.activeElement.matches({replay:?})")).await;
    page.press("Enter").await;
    page.until("document.activeElement.matches('dialog[open] textarea')").await;
    page.write("by keys alone").await;
    page.tab_to("#act-begin").await;
    page.press("Enter").await;
    page.until("document.querySelector('#ended')?.textContent.startsWith('3 of 3 letters')").await;
    page.until("document.querySelector('#said').textContent.startsWith('3 of 3 letters')").await;
    becomes("all are carried out", 3, || stage.market.count("done")).await;

    follow(&page, "nav a[href='#trace']").await;
    page.tab_to("#subject").await;
    page.write(&poison[0].id.to_string()).await;
    page.press("Enter").await;
    page.until("document.querySelector('#traced')?.textContent.includes('by keys alone')").await;

    follow(&page, "nav a[href='#market']").await;
    page.tab_to("#products a").await;
    page.press("Enter").await;
    page.until("document.querySelector('svg#book')").await;

    page.tab_to("#sign-out").await;
    page.press("Enter").await;
    page.until("document.activeElement.matches('#login-id')").await;
    page.until("document.querySelector('#content').hidden && document.querySelector('#content').textContent === ''")
        .await;
}

/// To a link, and along it.
async fn follow(page: &Page, link: &str) {
    page.tab_to(link).await;
    page.press("Enter").await;
    page.until(&format!("document.querySelector({link:?}).getAttribute('aria-current') === 'page'")).await;
}
