//! Showing a gifticon's picture. Whoever has seen it can spend the voucher.
//!
//! Promises: an address is for one person and ends soon; it shows the picture only while the voucher is theirs: its
//! seller's until it is traded, from then on its buyer's. Nothing is shown before a row says to whom.
//! Doesn't: know who really follows an address. It is as good as the picture, so it is given to its person alone.

use crate::{
    context::{Api, Shared},
    envelope::Failure,
    request::{Fields, PathId, Query},
    signature::Signer,
};
use axum::{extract::State, http::HeaderValue, response::Response};
use contracts::{ResultCode, UnixMs, UserId};

const PURPOSE: &str = "gream gifticon picture v2";
/// How long an address works.
const ADDRESS_VALID_MS: i64 = 15 * 60 * 1_000;
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");

impl Api {
    /// Where `person` can see the gifticon's picture until soon.
    pub(crate) fn gifticon_address(&self, gifticon: i64, person: UserId) -> String {
        let until = self.clock.now().plus_ms(ADDRESS_VALID_MS).0.to_string();
        let person = person.to_string();
        let signature = self.signer.sign(PURPOSE, &[&gifticon.to_string(), &person, &until]);
        let base = self.config.http.public_url.trim_end_matches('/');
        format!("{base}/api/gifticons/{gifticon}/picture?for={person}&until={until}&s={signature}")
    }

    /// Where the picture lies, if the voucher is `person`'s.
    async fn gifticon_of(&self, gifticon: u64, person: UserId) -> Result<String, Failure> {
        let read = sqlx::query!(
            r#"SELECT g.picture_key, g.owner_id, o.buyer_id AS "buyer_id?: i64"
               FROM gifticons g LEFT JOIN orders o ON o.gifticon_id = g.gifticon_id WHERE g.gifticon_id = ?"#,
            gifticon
        );
        let row = self.within(read.fetch_optional(&self.database)).await?.ok_or(ResultCode::GifticonNotFound)?;
        let holder = row.buyer_id.unwrap_or(row.owner_id);
        if u64::try_from(holder) == Ok(person.0) { Ok(row.picture_key) } else { Err(ResultCode::Forbidden.into()) }
    }

    async fn note_reveal(&self, gifticon: u64, person: UserId) -> Result<(), Failure> {
        let insert = sqlx::query!(
            "INSERT INTO gifticon_reveals (gifticon_id, user_id, revealed_at_ms) VALUES (?, ?, ?)",
            gifticon,
            person.0,
            self.clock.now().0
        );
        self.within(insert.execute(&self.database)).await.map(drop)
    }
}

/// A gifticon's picture, by its signed address, which names its person and ends soon.
#[utoipa::path(
    get,
    path = "/api/gifticons/{id}/picture",
    operation_id = "gifticon_picture",
    tag = "pictures",
    params(
        ("id" = u64, Path),
        ("for" = Option<String>, Query, max_length = 64),
        ("until" = Option<String>, Query, max_length = 64),
        ("s" = Option<String>, Query, max_length = 64),
    ),
    responses((status = 200, description = "The picture", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp")))),
)]
pub(crate) async fn gifticon(
    State(api): State<Shared>,
    id: PathId,
    Query(mut query): Query,
) -> Result<Response, Failure> {
    let id = id.known().ok_or(ResultCode::GifticonNotFound)?;
    let person = named_in(&api.signer, id, &mut query, api.clock.now()).ok_or(ResultCode::Forbidden)?;
    let key = api.gifticon_of(id, person).await?;
    let answer = api.show(&key, ResultCode::GifticonNotFound, PRIVATE).await?;
    api.note_reveal(id, person).await?;
    Ok(answer)
}

/// Whom the address was given to, if it is ours and has not ended.
fn named_in(signer: &Signer, id: u64, query: &mut Fields, now: UnixMs) -> Option<UserId> {
    const MAX_CHARS: usize = 64;
    let [person, until, signature] = ["for", "until", "s"].map(|name| query.optional_text(name, MAX_CHARS));
    let (person, until) = (person?, until?);
    let genuine = signer.verify(PURPOSE, &[&id.to_string(), &person, &until], &signature?);
    let in_time = until.parse().is_ok_and(|until| now.0 < until);
    if genuine && in_time { person.parse().ok().map(UserId) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_person_and_ends() {
        let signer = Signer::new(&platform::Secret::new("fedcba9876543210fedcba9876543210")).unwrap();
        let signature = signer.sign(PURPOSE, &["5", "7", "1000"]);
        let named = |id, person: &str, until: &str, now| {
            let pairs = [("for", person), ("until", until), ("s", &signature)];
            let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
            named_in(&signer, id, &mut Fields::text_form(pairs.into()), UnixMs(now))
        };
        assert_eq!(named(5, "7", "1000", 999), Some(UserId(7)));
        assert_eq!(named(5, "7", "1000", 1_000), None);
        assert_eq!(named(6, "7", "1000", 0), None);
        assert_eq!(named(5, "8", "1000", 0), None);
        assert_eq!(named(5, "7", "2000", 0), None);
    }
}
