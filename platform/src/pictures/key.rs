//! How pictures are named. A gifticon's is named after the command that brought it, so that the sweeper can tell from the
//! name alone whether anybody still needs it, and after a number of its own: a retry, or another body under the same
//! `Idempotency-Key`, must not overwrite the first one.

use contracts::CommandId;
use uuid::Uuid;

/// A folder for each first byte: thousands of files in one are slow to list.
pub const GIFTICON_FOLDERS: u32 = 256;

/// The n-th folder of gifticons' pictures.
pub fn gifticon_folder(n: u32) -> String {
    format!("gifticons/{:02x}", n % GIFTICON_FOLDERS)
}

/// A new name for the picture that `command` brings. `random` differs each time.
pub fn gifticon_key(command: CommandId, random: u128, extension: &str) -> String {
    let folder = gifticon_folder(u32::from(random.to_be_bytes()[0]));
    let command = Uuid::from_bytes(command.bytes()).simple().to_string();
    format!("{folder}/{command}-{random:032x}.{extension}")
}

/// The command that brought a gifticon's picture; `None` when another version named it.
pub fn command_of(key: &str) -> Option<CommandId> {
    let name = key.strip_prefix("gifticons/")?.split_once('/')?.1;
    let command = Uuid::try_parse(name.split_once('-')?.0).ok()?;
    CommandId::from_slice(command.as_bytes())
}

/// Of all products' pictures: they are few beside gifticons'.
pub const PRODUCT_FOLDER: &str = "products";

/// Where a product's picture lies.
pub fn product_key(name: &str) -> String {
    format!("{PRODUCT_FOLDER}/{name}")
}

/// The name of a product's picture, as the product's row has it; `None` when it is not one that we give.
pub fn product_name_of(key: &str) -> Option<&str> {
    let name = key.strip_prefix(PRODUCT_FOLDER)?.strip_prefix('/')?;
    let (random, _) = name.split_once('.')?;
    Uuid::try_parse(random).is_ok().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::UserId;

    #[test]
    fn a_name_leads_back_to_its_command_and_is_used_once() {
        let command = CommandId::derived(UserId(1), "sell", "key");
        let key = gifticon_key(command, 0xab << 120, "png");
        assert!(key.starts_with("gifticons/ab/") && key.contains(".png"), "{key}");
        assert_eq!(command_of(&key), Some(command));
        assert_ne!(key, gifticon_key(command, 0xab << 120 | 1, "png"));
        let former = format!("gifticons/ab/{}.png", Uuid::from_u128(7).simple());
        for other in ["", "gifticons/ab", "products/x-1.png", "gifticons/ab/x-1.png", &former] {
            assert_eq!(command_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_product_s_picture_is_known_by_its_name() {
        let name = format!("{}.png", Uuid::from_u128(7).simple());
        assert_eq!(product_name_of(&product_key(&name)), Some(name.as_str()));
        for other in ["", "products", "products/logo.png", "products/x/y.png", &format!("gifticons/ab/{name}")] {
            assert_eq!(product_name_of(other), None, "{other}");
        }
    }
}
