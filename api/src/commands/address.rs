//! The address where one may ask where a command stands. It is signed with the owner and the time of acceptance, so
//! that 'accepted' can be told before any row exists, and to whoever was given the address; and with the fingerprint of
//! what was asked, so that whoever sent another body under a used key is not told the first one's outcome as theirs.

use crate::{request::Fields, signature::Signer};
use contracts::{CommandId, Envelope, Fingerprint, UnixMs, UserId};

const PURPOSE: &str = "gream command address v2";

/// What a genuine address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) owner: UserId,
    pub(crate) accepted_at: UnixMs,
    pub(crate) fingerprint: Fingerprint,
}

/// Where to ask about `envelope`'s command.
pub(super) fn location(signer: &Signer, envelope: &Envelope) -> String {
    let (id, owner, at) = (envelope.id.to_string(), envelope.user.to_string(), envelope.accepted_at.0.to_string());
    let asked = envelope.fingerprint.to_string();
    let signature = signer.sign(PURPOSE, &[&id, &owner, &at, &asked]);
    format!("/api/commands/{id}?o={owner}&t={at}&f={asked}&s={signature}")
}

/// What the query says about the command, if it was signed by us.
pub(super) fn read(signer: &Signer, id: CommandId, query: &mut Fields) -> Option<Address> {
    const MAX_CHARS: usize = 64;
    let [owner, at, asked, signature] = ["o", "t", "f", "s"].map(|name| query.optional_text(name, MAX_CHARS));
    let (owner, at, asked) = (owner?, at?, asked?);
    let genuine = signer.verify(PURPOSE, &[&id.to_string(), &owner, &at, &asked], &signature?);
    let address = Address {
        owner: UserId(owner.parse().ok()?),
        accepted_at: UnixMs(at.parse().ok()?),
        fingerprint: asked.parse().ok()?,
    };
    genuine.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::{BidId, Command, Side};
    use platform::Secret;
    use std::collections::HashMap;

    fn query(location: &str) -> Fields {
        let pairs = location.split_once('?').unwrap().1.split('&').filter_map(|pair| pair.split_once('='));
        Fields::text_form(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<HashMap<_, _>>())
    }

    #[test]
    fn an_address_is_believed_only_as_it_was_given_out() {
        let signer = Signer::new(&Secret::new("fedcba9876543210fedcba9876543210")).unwrap();
        let command = Command::CancelBid { bid: BidId(300), side: Side::Buy };
        let id = CommandId::derived(UserId(7), "x", "y");
        let envelope = Envelope::new(id, UserId(7), UnixMs(1_234), None, command);
        let location = location(&signer, &envelope);

        let fingerprint = envelope.fingerprint;
        let expected = Some(Address { owner: UserId(7), accepted_at: UnixMs(1_234), fingerprint });
        assert_eq!(read(&signer, id, &mut query(&location)), expected);
        let another = CommandId::derived(UserId(7), "x", "z");
        assert_eq!(read(&signer, another, &mut query(&location)), None);
        for (from, to) in [("o=7", "o=8"), ("t=1234", "t=1235"), ("f=", "f=0"), ("&s=", "&s=0"), ("&s=", "&x=")] {
            assert_eq!(read(&signer, id, &mut query(&location.replace(from, to))), None, "{to}");
        }
    }
}
