//! The contract's table of users, and its conventions: fields, names, messages.

use acceptance::{
    Market, Visitor,
    visitor::{PASSWORD, send, start_api},
};
use contracts::ResultCode;
use serde_json::{Value, json};

/// The contract's codes with HTTP status and message, as far as it words them.
const MESSAGES: [(u32, u16, &str); 34] = [
    (0, 200, "정상 처리 되었습니다"),
    (1000, 409, "중복된 로그인ID를 입력하셨습니다."),
    (1001, 409, "중복된 닉네임을 입력하셨습니다."),
    (1002, 404, "유저를 찾을 수 없습니다."),
    (1003, 401, "유효하지 않은 토큰입니다."),
    (1004, 401, "로그인이 필요합니다."),
    (1005, 401, "만료된 Access Token"),
    (1006, 401, "만료된 Refresh Token"),
    (1007, 403, "유저의 포인트가 부족합니다"),
    (1008, 404, "환급 정보가 없습니다."),
    (2000, 404, "검색 결과가 없습니다."),
    (2001, 404, "해당 상품은 존재하지 않습니다."),
    (3000, 409, "구매 요청 대상 상품이 이미 판매되었습니다."),
    (3001, 404, "해당 구매 입찰 건은 존재하지 않습니다."),
    (3002, 409, "요청 상품의 등록 기한이 마감되었습니다."),
    (4000, 409, "판매 요청 대상 상품이 이미 구매되었습니다."),
    (4001, 404, "해당 판매 입찰 건은 존재하지 않습니다."),
    (5000, 403, "해당 요청에 대한 권한이 없습니다."),
    (5001, 400, "유효하지 않은 입력값"),
    (5002, 500, "알 수 없는 에러가 발생했습니다."),
    (6000, 404, "해당 쿠폰은 존재하지 않습니다."),
    (6001, 409, "쿠폰의 상태 변경에 실패했습니다."),
    (7000, 500, "이미지 업로드에 실패했습니다."),
    (8000, 400, "지원되지 않는 주문입니다."),
    (8001, 400, "0원 이상의 금액만 충전가능합니다."),
    (8002, 400, "이전 결제요청 금액과 일치하지 않습니다."),
    (8003, 404, "관련된 토스결제데이터가 존재하지 않습니다."),
    (8004, 500, "토스 최종요청에 대한 토스 서버 응답장애가 발생하였습니다."),
    (8005, 400, "100원 이상의 금액만 충전가능합니다."),
    // Those that it does not word.
    (2002, 400, ""),
    (4002, 404, ""),
    (5003, 400, ""),
    (6002, 404, ""),
    (6005, 409, ""),
];

#[test]
fn every_code_of_the_contract_has_its_status_and_message() {
    for (code, http, message) in MESSAGES {
        let known = ResultCode::from_code(code).unwrap_or_else(|| panic!("{code} is missing"));
        assert_eq!(known.http_status(), http, "{code}");
        assert!(message.is_empty() || known.message() == message, "{code}: {}", known.message());
    }
}

/// The fields that are blamed, in order.
fn blamed(data: &Value) -> Vec<&str> {
    data.as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sign_up_takes_what_the_contract_takes_and_blames_all_that_is_wrong() {
    let market = Market::new("users_sign_up").await;
    let (_api, visitor) = start_api(&market).await;
    let sign_up = async |login_id: &str, nickname: &str, password: &str| {
        let body = json!({"loginId": login_id, "nickname": nickname, "password": password});
        visitor.post("/api/users/signup", &body).await
    };
    for (login_id, nickname, password) in [
        ("abcd", "가나", "abcdefg1"),
        ("A1b2C3d4E5f6G7h8I9j0", "가나다라마바사아자차카타파하거너더러머버", "aA1@#$%^&+=!aA1@#$%^&+=!aA1@#$"),
        ("0123", "ab", "1234567a"),
    ] {
        assert_eq!(sign_up(login_id, nickname, password).await.ok(), json!({}));
    }
    let all_wrong = sign_up("abc", "가", "abcdefgh").await;
    all_wrong.refused(400, 5001);
    assert_eq!(blamed(all_wrong.data()), ["loginId", "nickname", "password"]);
    assert!(all_wrong.data().as_array().unwrap().iter().all(|error| !error["message"].as_str().unwrap().is_empty()));
    for (login_id, nickname, password, field) in [
        ("abcdefghijklmnopqrstu", "nick", "abcdefg1", "loginId"),
        ("ab_cd", "nick", "abcdefg1", "loginId"),
        ("login", "가나다라마바사아자차카타파하거너더러머버서", "abcdefg1", "nickname"),
        ("login", "nick!", "abcdefg1", "nickname"),
        ("login", "nick", "abcdef1", "password"),
        ("login", "nick", "ABCDEFG1", "password"),
        ("login", "nick", "abcdefg1*", "password"),
        ("login", "nick", "abcdefghijklmnopqrstuvwxyz12345", "password"),
    ] {
        let refused = sign_up(login_id, nickname, password).await;
        refused.refused(400, 5001);
        assert_eq!(blamed(refused.data()), [field], "{login_id} {nickname} {password}");
    }
    let missing = visitor.post("/api/users/signup", &json!({})).await;
    assert_eq!(blamed(missing.data()), ["loginId", "nickname", "password"]);
}

#[tokio::test]
async fn a_login_answers_with_the_user_and_both_tokens_in_headers() {
    let market = Market::new("users_login").await;
    let (_api, visitor) = start_api(&market).await;
    visitor.join("alice").await;
    visitor.join_as_administrator(&market, "boss").await;
    for (login_id, role) in [("alice", "사용자"), ("boss", "관리자")] {
        let answer = visitor.post("/api/users/login", &json!({"loginId": login_id, "password": PASSWORD})).await;
        for header in ["access-token", "refresh-token"] {
            let token = answer.header(header).strip_prefix("Bearer ").expect("a bearer token");
            assert_eq!(token.split('.').count(), 3, "a JWT");
        }
        assert_eq!((answer.body["status"].as_str(), answer.code()), (Some("OK"), 0));
        let user = answer.ok();
        let mut keys: Vec<&String> = user.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["likeProductIds", "loginId", "nickname", "provider", "role", "userId"]);
        assert_eq!((user["role"].as_str(), user["provider"].as_str()), (Some(role), Some("LOCAL")));
    }
    // A stranger's password is as wrong as a stranger.
    let wrong = visitor.post("/api/users/login", &json!({"loginId": "alice", "password": "abcdefg2"})).await;
    wrong.refused(404, 1002);
    assert_eq!((wrong.body["status"].as_str(), wrong.data()), (Some("NOT_FOUND"), &json!({})));
    let nobody = visitor.post("/api/users/login", &json!({"loginId": "nobody", "password": PASSWORD})).await;
    assert_eq!(nobody.body, wrong.body);
}

#[tokio::test]
async fn logging_out_needs_a_login_and_no_body() {
    let market = Market::new("users_logout").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    visitor.post("/api/users/logout", &json!({})).await.refused(401, 1004);
    let twice = visitor.log_in("alice").await;
    assert_eq!(send(alice.request("POST", "/api/users/logout")).await.ok(), json!({}));
    send(alice.request("POST", "/api/users/logout")).await.refused(401, 1004);
    // The other login is another session.
    twice.get("/api/users/points").await.ok();
}

#[tokio::test]
async fn a_refund_holds_the_points_and_a_key_holds_for_one_body() {
    let market = Market::new("users_refund").await;
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["refund"]).await;
    let alice = visitor.join("alice").await;
    let body = |point: i64| json!({"point": point, "bank": "국민", "accountNumber": "110-123-456789"});
    let ask = async |who: &Visitor, key: Option<&str>, point: i64| {
        let request = who.request("POST", "/api/users/points/refunds").json(&body(point));
        send(if let Some(key) = key { request.header("Idempotency-Key", key) } else { request }).await
    };
    assert_eq!(ask(&alice, Some("k1"), 40_000).await.ok(), json!({"refundPoint": 40_000, "userPoint": 60_000}));
    assert_eq!(ask(&alice, Some("k1"), 40_000).await.ok(), json!({"refundPoint": 40_000, "userPoint": 60_000}));
    let other = ask(&alice, Some("k1"), 40_001).await;
    other.refused(422, 5004);
    assert_eq!(other.body["status"], "UNPROCESSABLE_ENTITY");
    let too_much = ask(&alice, None, 60_001).await;
    too_much.refused(403, 1007);
    assert_eq!((too_much.body["status"].as_str(), too_much.data()), (Some("FORBIDDEN"), &json!({})));
    assert_eq!(alice.get("/api/users/points").await.ok(), json!({"point": 60_000}));
    ask(&visitor, None, 1).await.refused(401, 1004);
    // Without an end in time: where to ask, and what for.
    let request = alice.request("POST", "/api/users/points/refunds").header("Prefer", "respond-async");
    let accepted = send(request.json(&body(1))).await;
    accepted.refused(202, 0);
    assert_eq!(accepted.body["status"], "ACCEPTED");
    assert!(accepted.header("location").starts_with("/api/commands/"), "{accepted:?}");
    assert_eq!(accepted.data()["commandId"], accepted.header("gream-command-id"));
    market.audit_holds().await;
}

#[tokio::test]
async fn sessions_outlive_redis_and_ended_ones_are_cleaned_away() {
    const DAY_MS: i64 = 86_400_000;
    let mut market = Market::new("users_sessions").await;
    market.set("GREAM__REDIS__URL", "redis://127.0.0.1:9/0");
    market.set("GREAM__SCHEDULER__CLEAN_UP_INTERVAL_MS", 200);
    let (_api, visitor) = start_api(&market).await;
    let (_other, elsewhere) = start_api(&market).await;
    let (alice, bob) = (visitor.join("alice").await, visitor.join("bobby").await);
    let at_other = |who: &Visitor| Visitor { base: elsewhere.base.clone(), ..who.clone() };
    at_other(&alice).get("/api/users/points").await.ok();
    alice.post("/api/users/logout", &json!({})).await.ok();
    // At once: nobody remembers it, and nobody has to be told.
    for _ in 0..3 {
        at_other(&alice).get("/api/users/points").await.refused(401, 1004);
        alice.get("/api/users/points").await.refused(401, 1004);
    }
    at_other(&bob).get("/api/users/points").await.ok();

    let _scheduler = market.worker(&["scheduler"]).await;
    market.advance_clock(13 * DAY_MS);
    let carol = visitor.join("carol").await;
    market.advance_clock(2 * DAY_MS);
    let sessions = || market.number("SELECT COUNT(*) FROM sessions");
    acceptance::wait::becomes("the two that are over are gone", 1, sessions).await;
    carol.get("/api/users/points").await.ok();
    alice.get("/api/users/points").await.refused(401, 1006);
}
