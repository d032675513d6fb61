//! `gream admin create`: the first administrator, made by whoever can reach the database.

use acceptance::{
    Market,
    process::binary,
    visitor::{PASSWORD, start_api},
};
use serde_json::json;
use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

fn create(market: &Market, login_id: &str, password: &str) -> Output {
    let mut child = Command::new(binary())
        .args(["admin", "create", "--login-id", login_id])
        .env_clear()
        .envs(&market.environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[tokio::test]
async fn an_administrator_is_made_from_standard_input_and_only_once() {
    let market = Market::new("admin_create").await;
    let (_api, visitor) = start_api(&market).await;
    visitor.join("alice").await;
    for weak in ["", "short1", "nodigitsatall", "UPPERCASE1", "with space 1", &"a1".repeat(16)] {
        let refused = create(&market, "boss", weak);
        assert!(!refused.status.success(), "{weak:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("password"), "{refused:?}");
    }
    assert!(!create(&market, "no", PASSWORD).status.success(), "a login id that nobody may have");
    assert!(!create(&market, "alice", PASSWORD).status.success(), "a user's login id");
    assert_eq!(market.number("SELECT COUNT(*) FROM users").await, 1);

    let made = create(&market, "boss", &format!("{PASSWORD}\n"));
    assert!(made.status.success(), "{made:?}");
    // Again: nothing changes, the password neither.
    assert!(create(&market, "boss", "another1password").status.success());
    let login = |password: &str| json!({"loginId": "boss", "password": password});
    visitor.post("/api/users/login", &login("another1password")).await.refused(404, 1002);
    let boss = visitor.post("/api/users/login", &login(PASSWORD)).await.ok();
    assert_eq!((boss["role"].as_str(), boss["provider"].as_str()), (Some("관리자"), Some("LOCAL")));
    visitor.log_in("boss").await.get("/api/admin/refunds").await.ok();
    assert_eq!(market.number("SELECT COUNT(*) FROM users").await, 2);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_password_is_no_argument() {
    let market = Market::new("admin_argument").await;
    let output = Command::new(binary())
        .args(["admin", "create", "--login-id", "boss", "--password", PASSWORD])
        .env_clear()
        .envs(&market.environment)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_eq!(market.number("SELECT COUNT(*) FROM users").await, 0);
}
