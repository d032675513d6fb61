//! Whose account a person from Kakao has here: found by Kakao's number, or made at the first login.

use super::{client::Profile, names};
use crate::{
    auth::sessions::Role,
    context::Api,
    envelope::Failure,
    users::{
        login::Found,
        sign_up::{NewUser, insert},
    },
};
use contracts::{ResultCode, UserId, Won};
use platform::database::is_duplicate;

/// How often names are thought up. The first is the person's own; all others are hardly ever taken.
const MAX_TRIES: usize = 5;

/// The account, made if there is none.
pub(super) async fn find_or_make(api: &Api, profile: &Profile) -> Result<Found, Failure> {
    for no in 0..MAX_TRIES {
        if let Some(found) = find(api, profile.id).await? {
            return Ok(found);
        }
        let random = (no > 0).then(rand::random::<u128>);
        let user = NewUser {
            login_id: names::login_id(rand::random()),
            nickname: names::nickname(profile.nickname.as_deref(), random),
            password_hash: None,
            gift: Won(api.config.market.sign_up_gift),
            at: api.clock.now(),
        };
        match api.within(make(api, profile.id, &user)).await {
            // Made, by us or by another request of the same person: it is found now.
            Ok(_) => (),
            Err(failure) if [ResultCode::NicknameTaken, ResultCode::LoginIdTaken].contains(&failure.code()) => (),
            Err(failure) => return Err(failure),
        }
    }
    find(api, profile.id).await?.ok_or_else(|| {
        tracing::error!("no free name was found for a person from Kakao");
        ResultCode::Unexpected.into()
    })
}

async fn find(api: &Api, kakao_id: i64) -> Result<Option<Found>, Failure> {
    let read = sqlx::query!(
        "SELECT u.user_id, u.login_id, u.nickname, u.role, u.provider
         FROM kakao_accounts k JOIN users u ON u.user_id = k.user_id WHERE k.kakao_id = ?",
        kakao_id
    );
    let row = api.within(read.fetch_optional(&api.database)).await?;
    Ok(row.map(|row| Found {
        user: UserId(row.user_id.unsigned_abs()),
        login_id: row.login_id,
        nickname: row.nickname,
        password_hash: None,
        role: Role::stored(&row.role),
        provider: row.provider,
    }))
}

/// `None`: another request was faster.
async fn make(api: &Api, kakao_id: i64, user: &NewUser) -> Result<Option<UserId>, Failure> {
    let mut transaction = api.database.begin().await?;
    let id = insert(&mut transaction, user).await?;
    let account = sqlx::query!(
        "INSERT INTO kakao_accounts (kakao_id, user_id, created_at_ms) VALUES (?, ?, ?)",
        kakao_id,
        id.0,
        user.at.0
    );
    match account.execute(&mut *transaction).await {
        Ok(_) => {
            transaction.commit().await?;
            Ok(Some(id))
        }
        Err(error) if is_duplicate(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
