//! How often one may try to log in and sign up.

use acceptance::{
    Market, Visitor,
    visitor::{Answer, PASSWORD, send, start_api},
};
use serde_json::json;

const LOGIN: &str = "/api/users/login";
const SIGN_UP: &str = "/api/users/signup";
const WRONG: &str = "wrongpw11";

/// A market behind a proxy, with few tries.
async fn market(test: &str, limits: &[(&str, u32)]) -> Market {
    let mut market = Market::new(test).await;
    market.set("GREAM__HTTP__TRUSTED_PROXIES", "127.0.0.1");
    for (key, value) in limits {
        market.set(&format!("GREAM__RATE_LIMITS__{key}"), value);
    }
    market
}

async fn log_in(visitor: &Visitor, from: &str, login_id: &str, password: &str) -> Answer {
    let body = json!({"loginId": login_id, "password": password});
    send(visitor.request("POST", LOGIN).header("X-Forwarded-For", from).json(&body)).await
}

async fn sign_up(visitor: &Visitor, from: &str, login_id: &str) -> Answer {
    let body = json!({"loginId": login_id, "nickname": login_id, "password": PASSWORD});
    send(visitor.request("POST", SIGN_UP).header("X-Forwarded-For", from).json(&body)).await
}

#[track_caller]
fn is_limited(answer: &Answer, window_s: u64) {
    answer.refused(429, 5009);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=window_s + 1).contains(&wait), "{wait} s");
}

#[tokio::test]
async fn an_address_has_so_many_logins_at_all_instances_together() {
    let market = market("limits_address", &[("LOGINS_PER_ADDRESS", 4), ("LOGIN_WINDOW_S", 600)]).await;
    let (_first, one) = start_api(&market).await;
    let (_second, other) = start_api(&market).await;
    for (n, visitor) in [&one, &other, &one, &other].into_iter().enumerate() {
        log_in(visitor, "198.51.100.7", &format!("nobody{n}"), WRONG).await.refused(404, 1002);
    }
    is_limited(&log_in(&one, "198.51.100.7", "nobody8", WRONG).await, 600);
    is_limited(&log_in(&other, "203.0.113.1, 198.51.100.7", "nobody9", WRONG).await, 600);
    log_in(&one, "198.51.100.8", "nobody9", WRONG).await.refused(404, 1002);
    // In IPv6 a household has a network.
    for n in 1..=4 {
        log_in(&one, &format!("2001:db8:1:2::{n}"), "nobody9", WRONG).await.refused(404, 1002);
    }
    is_limited(&log_in(&one, "2001:db8:1:2::5", "nobody9", WRONG).await, 600);
    log_in(&one, "2001:db8:1:3::5", "nobody9", WRONG).await.refused(404, 1002);
}

#[tokio::test]
async fn whoever_is_no_trusted_proxy_is_not_believed() {
    let mut market = market("limits_proxy", &[("LOGINS_PER_ADDRESS", 2), ("LOGIN_WINDOW_S", 600)]).await;
    market.set("GREAM__HTTP__TRUSTED_PROXIES", "192.0.2.0/24");
    let (_api, visitor) = start_api(&market).await;
    for n in 1..=2 {
        log_in(&visitor, &format!("198.51.100.{n}"), "nobody", WRONG).await.refused(404, 1002);
    }
    is_limited(&log_in(&visitor, "198.51.100.3", "nobody", WRONG).await, 600);
}

#[tokio::test]
async fn a_storm_at_an_account_stops_neither_its_owner_nor_tells_whether_it_exists() {
    let market = market("limits_account", &[("LOGINS_PER_ACCOUNT", 3), ("LOGIN_WINDOW_S", 600)]).await;
    let (_api, visitor) = start_api(&market).await;
    for who in ["alice", "bobby"] {
        sign_up(&visitor, "192.0.2.1", who).await.ok();
    }
    log_in(&visitor, "192.0.2.1", "alice", PASSWORD).await.ok();
    // One try of alice's own, and two for bobby's and nobody's.
    for (login_id, tries) in [("alice", 2), ("bobby", 3), ("nobody", 3)] {
        for n in 1..=tries {
            log_in(&visitor, &format!("198.51.100.{n}"), login_id, WRONG).await.refused(404, 1002);
        }
        for n in 5..=8 {
            is_limited(&log_in(&visitor, &format!("198.51.100.{n}"), login_id, WRONG).await, 600);
        }
    }
    // Where she has logged in before, she still does; and there, too, guessing has an end.
    log_in(&visitor, "192.0.2.1", "alice", PASSWORD).await.ok();
    for _ in 2..=3 {
        log_in(&visitor, "192.0.2.1", "alice", WRONG).await.refused(404, 1002);
    }
    is_limited(&log_in(&visitor, "192.0.2.1", "alice", WRONG).await, 600);
    // Bobby never did: he waits like anybody.
    is_limited(&log_in(&visitor, "192.0.2.1", "bobby", PASSWORD).await, 600);
}

#[tokio::test]
async fn a_window_ends_by_itself() {
    const WINDOW_S: u32 = 4;
    let market = market("limits_window", &[("LOGINS_PER_ACCOUNT", 1), ("LOGIN_WINDOW_S", WINDOW_S)]).await;
    let (_api, visitor) = start_api(&market).await;
    sign_up(&visitor, "192.0.2.1", "alice").await.ok();
    log_in(&visitor, "198.51.100.1", "alice", WRONG).await.refused(404, 1002);
    is_limited(&log_in(&visitor, "192.0.2.1", "alice", PASSWORD).await, WINDOW_S.into());
    acceptance::eventually("the owner may try again, though others go on", || async {
        log_in(&visitor, "192.0.2.1", "alice", PASSWORD).await.is(200, 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sign_ups_are_counted_by_address_and_by_login_id() {
    let limits = [("SIGN_UPS_PER_ADDRESS", 3), ("SIGN_UPS_PER_LOGIN_ID", 2)];
    let market = market("limits_sign_up", &limits).await;
    let (_api, visitor) = start_api(&market).await;
    for n in 1..=3 {
        sign_up(&visitor, "198.51.100.1", &format!("user{n}")).await.ok();
    }
    is_limited(&sign_up(&visitor, "198.51.100.1", "user4").await, 3_600);
    // Who is there cannot be asked for ever.
    sign_up(&visitor, "198.51.100.2", "user1").await.refused(409, 1000);
    is_limited(&sign_up(&visitor, "198.51.100.3", "user1").await, 3_600);
    // What is no sign-up is not counted.
    for _ in 0..5 {
        sign_up(&visitor, "198.51.100.4", "no").await.refused(400, 5001);
    }
    sign_up(&visitor, "198.51.100.4", "user5").await.ok();
    assert_eq!(market.number("SELECT COUNT(*) FROM users").await, 4);
}

#[tokio::test]
async fn without_redis_each_instance_counts_for_itself() {
    let mut market = market("limits_redis", &[("LOGINS_PER_ACCOUNT", 2), ("LOGIN_WINDOW_S", 600)]).await;
    let redis = market.wire("GREAM__REDIS__URL").await;
    let (_api, visitor) = start_api(&market).await;
    sign_up(&visitor, "192.0.2.1", "alice").await.ok();
    for cut_off in [acceptance::wire::Wire::hold, acceptance::wire::Wire::unplug] {
        cut_off(&redis);
        let account = format!("nobody{:x}", rand::random::<u16>());
        for _ in 1..=2 {
            let began = std::time::Instant::now();
            log_in(&visitor, "198.51.100.1", &account, WRONG).await.refused(404, 1002);
            assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
        }
        is_limited(&log_in(&visitor, "198.51.100.1", &account, WRONG).await, 600);
        log_in(&visitor, "192.0.2.1", "alice", PASSWORD).await.ok();
        redis.mend();
    }
}
