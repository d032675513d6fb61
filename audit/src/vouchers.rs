//! Vouchers: each is on offer or sold once, whatever it was called, and none is offered past its end.

use super::{
    report::Check,
    snapshot::{Snapshot, check},
};

/// Every check of vouchers.
pub(super) async fn checks(snapshot: &mut Snapshot) -> Result<Vec<Check>, sqlx::Error> {
    Ok(vec![vouchers_are_offered_once(snapshot).await?, vouchers_are_offered_until_their_end(snapshot).await?])
}

/// A claim may be of an offer that is over: it passes on with the next one.
async fn vouchers_are_offered_once(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "vouchers_are_offered_once",
        "Every gifticon that is on offer or sold, and whose barcode was read, has the claim to it, so no two have the same; \
         and every claim is of a gifticon with that barcode.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM gifticons WHERE barcode_hash IS NOT NULL"#,
        offenders: r#"
            SELECT CAST(CONCAT('gifticon ', g.gifticon_id, ' (offer ', COALESCE(b.state, 'at once'), '): its barcode is claimed by ',
                               COALESCE(c.gifticon_id, 'none')) AS CHAR) AS "offender!: String"
            FROM gifticons g LEFT JOIN bids b ON b.bid_id = g.bid_id
                 LEFT JOIN barcode_claims c ON c.barcode_hash = g.barcode_hash
            WHERE g.barcode_hash IS NOT NULL AND (g.bid_id IS NULL OR b.state IN ('open', 'traded'))
              AND COALESCE(c.gifticon_id, 0) <> g.gifticon_id
            UNION ALL
            SELECT CAST(CONCAT('claim ', LOWER(HEX(c.barcode_hash)), ' is of gifticon ', c.gifticon_id,
                               ', which has another barcode, or none') AS CHAR)
            FROM barcode_claims c LEFT JOIN gifticons g ON g.gifticon_id = c.gifticon_id AND g.barcode_hash = c.barcode_hash
            WHERE g.gifticon_id IS NULL"#
    ))
}

async fn vouchers_are_offered_until_their_end(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "vouchers_are_offered_until_their_end",
        "No bid's deadline lies behind the end of the gifticon that it offers.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM gifticons WHERE expires_at_ms IS NOT NULL"#,
        offenders: r#"
            SELECT CAST(CONCAT('bid ', b.bid_id, ' ends at ', b.deadline_ms, ', gifticon ', g.gifticon_id, ' at ',
                               g.expires_at_ms) AS CHAR) AS "offender!: String"
            FROM gifticons g JOIN bids b ON b.bid_id = g.bid_id
            WHERE b.deadline_ms > g.expires_at_ms"#
    ))
}
