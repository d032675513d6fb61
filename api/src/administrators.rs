//! Administrators are made on the command line, by somebody who can reach the database, and never over HTTP.

use crate::{
    auth::passwords,
    users::sign_up::{is_login_id, is_password},
};
use contracts::UnixMs;
use platform::{Secret, database::is_duplicate};
use sqlx::MySqlPool;

/// What became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// There is a new administrator.
    New,
    /// There is one of this login id already; nothing was changed, its password neither.
    AlreadyThere,
}

/// Why there is no new administrator.
#[derive(Debug, thiserror::Error)]
pub enum AdministratorError {
    /// A login id or password that nobody could log in with.
    #[error("{0}")]
    Invalid(&'static str),
    /// The login id or nickname belongs to a user.
    #[error("{0:?} is the login id or nickname of a user: choose another")]
    Taken(String),
    /// The database cannot be asked.
    #[error("the database cannot be asked: {0}")]
    Database(#[from] sqlx::Error),
    /// The password cannot be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// Makes an administrator, whose nickname is the login id.
pub async fn create_administrator(
    database: &MySqlPool,
    login_id: &str,
    password: &Secret,
    now: UnixMs,
) -> Result<Created, AdministratorError> {
    if !is_login_id(login_id) {
        return Err(AdministratorError::Invalid("the login id must be 4 to 20 letters and digits"));
    }
    if !is_password(password.expose()) {
        return Err(AdministratorError::Invalid(
            "the password must be 8 to 30 of letters, digits and @#$%^&+=!, with a lower-case letter and a digit",
        ));
    }
    let hash =
        passwords::hash(password.expose().as_bytes()).map_err(|error| AdministratorError::Hash(error.to_string()))?;
    let mut transaction = database.begin().await?;
    let inserted = sqlx::query!(
        "INSERT INTO users (login_id, nickname, password_hash, role, provider, created_at_ms)
         VALUES (?, ?, ?, 'administrator', 'local', ?)",
        login_id,
        login_id,
        hash,
        now.0
    )
    .execute(&mut *transaction)
    .await;
    let id = match inserted {
        Ok(inserted) => inserted.last_insert_id(),
        Err(error) if is_duplicate(&error) => {
            transaction.rollback().await?;
            return already_there(database, login_id).await;
        }
        Err(error) => return Err(error.into()),
    };
    sqlx::query!("INSERT INTO balances (user_id, available, held) VALUES (?, 0, 0)", id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Created::New)
}

async fn already_there(database: &MySqlPool, login_id: &str) -> Result<Created, AdministratorError> {
    let role =
        sqlx::query_scalar!("SELECT role FROM users WHERE login_id = ?", login_id).fetch_optional(database).await?;
    if role.as_deref() == Some("administrator") {
        Ok(Created::AlreadyThere)
    } else {
        Err(AdministratorError::Taken(login_id.to_owned()))
    }
}
