//! Login by Kakao, against a stand-in over HTTP.

use acceptance::{
    Market, Visitor,
    kakao::{CLIENT_ID, Call, Fault, Kakao, REDIRECT_URI},
    process::Process,
    visitor::{Answer, send, start_api},
};
use reqwest::Url;
use serde_json::json;
use std::time::{Duration, Instant};

const MINUTE_MS: i64 = 60_000;

async fn stage(test: &str) -> (Market, Kakao, Process, Visitor) {
    let mut market = Market::new(test).await;
    let kakao = Kakao::start().await;
    for (key, value) in kakao.settings() {
        market.set(key, value);
    }
    let (api, visitor) = start_api(&market).await;
    (market, kakao, api, visitor)
}

async fn come_back(visitor: &Visitor, code: &str) -> Answer {
    visitor.get(&format!("/api/users/oauth/kakao?code={code}")).await
}

fn holder_of(answer: &Answer, visitor: &Visitor) -> Visitor {
    let token = |name: &str| Some(answer.header(name).to_owned());
    Visitor { access: token("access-token"), refresh: token("refresh-token"), ..visitor.clone() }
}

#[tokio::test]
async fn the_first_login_makes_the_account_and_the_next_finds_it() {
    let (market, kakao, _api, visitor) = stage("api_kakao").await;
    kakao.agree("c1", 4_000_000_001, Some("홍길동"));
    let answer = come_back(&visitor, "c1").await;
    let hong = holder_of(&answer, &visitor);
    let first = answer.ok();
    let expected = json!({"userId": first["userId"], "loginId": first["loginId"], "nickname": "홍길동",
                          "role": "사용자", "provider": "KAKAO", "likeProductIds": []});
    assert_eq!(first, expected);
    assert_eq!(hong.points().await, 100_000, "the gift is for everybody who is new");

    // The code is used up; a new one finds the same account, whatever the person is called now.
    come_back(&visitor, "c1").await.refused(401, 1013);
    kakao.agree("c2", 4_000_000_001, Some("길동이"));
    assert_eq!(come_back(&visitor, "c2").await.ok(), first);
    // Nobody logs in by a password that there is none of.
    visitor
        .post("/api/users/login", &json!({"loginId": first["loginId"], "password": "abcdefg1"}))
        .await
        .refused(404, 1002);

    // Somebody else of the same name, and somebody without one.
    kakao.agree("c3", 4_000_000_002, Some("홍길동"));
    let other = come_back(&visitor, "c3").await.ok();
    assert!(other["nickname"].as_str().unwrap().starts_with("홍길동"), "{other}");
    assert_ne!((&other["nickname"], &other["userId"]), (&first["nickname"], &first["userId"]));
    kakao.agree("c4", 4_000_000_003, None);
    assert_eq!(come_back(&visitor, "c4").await.ok()["nickname"], "카카오");

    hong.post("/api/users/logout", &json!({})).await.ok();
    hong.get("/api/users/points").await.refused(401, 1004);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_person_who_comes_many_times_at_once_has_one_account() {
    let (market, kakao, _api, visitor) = stage("api_kakao_race").await;
    let logins: Vec<_> = (0..8)
        .map(|n| {
            // Of different names, so that nothing but Kakao's number keeps them together.
            kakao.agree(&format!("r{n}"), 77, Some(&format!("경주{n}")));
            let visitor = visitor.clone();
            tokio::spawn(async move { come_back(&visitor, &format!("r{n}")).await.ok()["userId"].clone() })
        })
        .collect();
    let mut users = Vec::new();
    for login in logins {
        users.push(login.await.unwrap());
    }
    assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
    assert_eq!(market.number("SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(market.number("SELECT COUNT(*) FROM kakao_accounts").await, 1);
    market.audit_holds().await;
}

#[tokio::test]
async fn kakaos_refusal_is_401_and_its_absence_503_in_bounded_time() {
    let (market, kakao, _api, visitor) = stage("api_kakao_faults").await;
    come_back(&visitor, "never-given").await.refused(401, 1013);
    for call in [Call::Token, Call::Profile] {
        for (fault, status, code) in [
            (Fault::Status(400), 401, 1013),
            (Fault::Status(401), 401, 1013),
            (Fault::Status(403), 401, 1013),
            (Fault::Status(429), 503, 5005),
            (Fault::Status(302), 503, 5005),
            (Fault::Status(500), 503, 5005),
            (Fault::Status(503), 503, 5005),
            (Fault::Garbage("<html>"), 503, 5005),
            (Fault::Garbage("{}"), 503, 5005),
            (Fault::Garbage("{\"id\": \"7\", \"access_token\": 7}"), 503, 5005),
            (Fault::Garbage("{\"id\": -7, \"access_token\": \"\"}"), if call == Call::Token { 401 } else { 503 }, 0),
            (Fault::Endless, 503, 5005),
            (Fault::Delay(Duration::from_secs(30)), 503, 5005),
        ] {
            kakao.agree("c", 5, Some("이름"));
            kakao.break_with(call, fault);
            let began = Instant::now();
            let answer = come_back(&visitor, "c").await;
            assert!(began.elapsed() < Duration::from_secs(8), "{fault:?}: {:?}", began.elapsed());
            assert_eq!(answer.status, status, "{call:?} {fault:?}: {}", answer.body);
            assert!(code == 0 || answer.code() == code, "{call:?} {fault:?}: {}", answer.body);
            assert_eq!(answer.header("retry-after").is_empty(), status != 503, "{call:?} {fault:?}");
            assert_eq!(answer.header("access-token"), "");
            kakao.mend();
        }
        kakao.agree("slow", 5, Some("이름"));
        kakao.break_with(call, Fault::Delay(Duration::from_millis(300)));
        come_back(&visitor, "slow").await.ok();
        kakao.mend();
    }
    assert_eq!(market.number("SELECT COUNT(*) FROM users").await, 1);
    // Kakao is gone altogether.
    drop(kakao);
    come_back(&visitor, "c").await.refused(503, 5005);
}

#[tokio::test]
async fn a_state_is_checked_when_it_is_sent() {
    let (market, kakao, _api, visitor) = stage("api_kakao_state").await;
    let begun = visitor.get("/api/users/oauth/kakao/start").await;
    let cookie = begun.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(begun.header("set-cookie").contains("HttpOnly"), "{begun:?}");
    let data = begun.ok();
    let url: Url = data["url"].as_str().unwrap().parse().unwrap();
    let query: std::collections::BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!((query["client_id"].as_str(), query["redirect_uri"].as_str()), (CLIENT_ID, REDIRECT_URI));
    assert_eq!((query["response_type"].as_str(), query["state"].as_str()), ("code", data["state"].as_str().unwrap()));
    assert!(data["url"].as_str().unwrap().starts_with(&format!("{}/oauth/authorize?", kakao.address)));

    let state = query["state"].clone();
    let come = async |state: &str, cookie: Option<&str>| {
        kakao.agree("c", 9, Some("상태"));
        let request = visitor.request("GET", &format!("/api/users/oauth/kakao?code=c&state={state}"));
        send(if let Some(cookie) = cookie { request.header("Cookie", cookie) } else { request }).await
    };
    let calls = kakao.calls();
    come(&state, None).await.refused(401, 1013);
    come(&state, Some("gream_kakao=0123")).await.refused(401, 1013);
    for made_up in ["", "x", "9999999999999.00", &state.replace('1', "2")] {
        come(made_up, Some(&cookie)).await.refused(401, 1013);
    }
    assert_eq!(kakao.calls(), calls, "Kakao is not asked about a login that was not begun here");
    let done = come(&state, Some(&cookie)).await;
    assert!(done.header("set-cookie").contains("Max-Age=0"), "the browser forgets: {done:?}");
    done.ok();
    market.advance_clock(11 * MINUTE_MS);
    acceptance::eventually("the state ends", || async {
        come(&state, Some(&cookie)).await.is(401, 1013).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_not_configured_is_off_and_a_bad_code_never_reaches_kakao() {
    let market = Market::new("api_kakao_off").await;
    let (_off, visitor) = start_api(&market).await;
    come_back(&visitor, "c").await.refused(404, 1014);
    visitor.get("/api/users/oauth/kakao/start").await.refused(404, 1014);

    let (_market, kakao, _api, visitor) = stage("api_kakao_code").await;
    for query in ["", "?code=", "?code=%EA%B0%80", "?code=a%20b", &format!("?code={}", "c".repeat(513))] {
        let answer = visitor.get(&format!("/api/users/oauth/kakao{query}")).await;
        answer.refused(400, 5001);
        assert_eq!(answer.data()[0]["field"], "code", "{query}");
    }
    assert_eq!(kakao.calls(), 0);
}
