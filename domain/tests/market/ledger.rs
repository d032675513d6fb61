//! The ledger: what a transfer may be, and what it does to balances, against plain sums.

use contracts::{CommandId, UnixMs, UserId, Won};
use domain::ledger::{
    Account, Balance, Entry, Heading, MAX_REFERENCE_BYTES, Reason, TradeTerms, Transfer, TransferError, apply,
};
use proptest::{prelude::*, test_runner::Config};
use std::collections::BTreeMap;

const ANNA: UserId = UserId(1);
const BORA: UserId = UserId(2);
const AT: UnixMs = UnixMs(5);

fn heading() -> Heading {
    Heading { command: command(), no: 3, reference: "bid:7".into(), at: AT }
}

fn command() -> CommandId {
    CommandId::derived(ANNA, "ledger", "k")
}

fn entry(account: Account, user: UserId, amount: i64) -> Entry {
    Entry { account, user, amount: Won(amount) }
}

fn plain(transfer: &Transfer) -> Vec<(&'static str, u64, i64)> {
    let mut entries: Vec<_> =
        transfer.entries.iter().map(|entry| (entry.account.as_str(), entry.user.0, entry.amount.0)).collect();
    entries.sort_unstable();
    entries
}

/// Account, owner (1 for the user, 0 for the system), amount of 70.
type Meaning = [(&'static str, u64, i64); 2];
type Posting = fn(Heading, UserId, Won) -> Result<Transfer, TransferError>;

/// The table of the plan: reason, entries in the order of their accounts' names.
const POSTINGS: [(Posting, &str, Meaning); 8] = [
    (Transfer::gift, "gift", [("available", 1, 70), ("gift", 0, -70)]),
    (Transfer::hold, "hold", [("available", 1, -70), ("held", 1, 70)]),
    (Transfer::release, "release", [("available", 1, 70), ("held", 1, -70)]),
    (Transfer::charge, "charge", [("available", 1, 70), ("toss_clearing", 0, -70)]),
    (Transfer::refund_hold, "refund_hold", [("available", 1, -70), ("held", 1, 70)]),
    (Transfer::refund_paid_by_cancel, "refund_paid", [("held", 1, -70), ("toss_clearing", 0, 70)]),
    (Transfer::refund_paid_by_payout, "refund_paid", [("held", 1, -70), ("payout_clearing", 0, 70)]),
    (Transfer::refund_returned, "refund_returned", [("available", 1, 70), ("held", 1, -70)]),
];

#[test]
fn each_posting_books_what_the_plan_says() {
    for (make, reason, entries) in POSTINGS {
        let transfer = make(heading(), ANNA, Won(70)).unwrap();
        assert_eq!((transfer.reason.as_str(), plain(&transfer)), (reason, entries.to_vec()));
        assert_eq!((transfer.command, transfer.no, transfer.at), (command(), 3, AT));
        assert_eq!((transfer.reference.as_str(), transfer.users()), ("bid:7", vec![ANNA]));
        for amount in [0, -1, i64::MIN] {
            let refused = make(heading(), ANNA, Won(amount)).unwrap_err();
            assert!(matches!(refused, TransferError::NotPositive { amount: Won(a), .. } if a == amount));
        }
    }
}

#[test]
fn a_trade_books_everybodys_part() {
    let terms = TradeTerms {
        buyer: ANNA,
        seller: BORA,
        price: Won(1_000),
        final_price: Won(900),
        fee: Won(50),
        hold: Won(990),
    };
    let entries =
        [("available", 1, 90), ("available", 2, 950), ("coupon_cost", 0, -100), ("fee", 0, 50), ("held", 1, -990)];
    let trade = Transfer::trade(heading(), &terms).unwrap();
    assert_eq!((plain(&trade), trade.users()), (entries.to_vec(), vec![ANNA, BORA]));
    let at_once = Transfer::trade(heading(), &TradeTerms { hold: Won(0), fee: Won(0), ..terms }).unwrap();
    assert_eq!(plain(&at_once), [("available", 1, -900), ("available", 2, 1_000), ("coupon_cost", 0, -100)]);
}

#[test]
fn a_reversal_takes_what_is_left_and_the_rest_is_owed_until_it_is_repaid() {
    let reversal = |available| Transfer::reversal(heading(), ANNA, Won(1_000), Won(available)).unwrap();
    let partly = reversal(300);
    assert_eq!(plain(&partly), [("available", 1, -300), ("receivable", 1, -700), ("toss_clearing", 0, 1_000)]);
    assert_eq!((partly.owed(ANNA), partly.owed(BORA), partly.users()), (Won(700), Won(0), vec![ANNA]));
    assert_eq!(plain(&reversal(5_000)), [("available", 1, -1_000), ("toss_clearing", 0, 1_000)]);
    assert_eq!(plain(&reversal(0)), [("receivable", 1, -1_000), ("toss_clearing", 0, 1_000)]);
    assert!(Transfer::reversal(heading(), ANNA, Won(0), Won(5)).is_err());
    let repayment = Transfer::repayment(heading(), ANNA, Won(700)).unwrap();
    assert_eq!(plain(&repayment), [("available", 1, -700), ("receivable", 1, 700)]);
    assert_eq!(repayment.owed(ANNA), Won(-700));
}

#[test]
fn terms_that_contradict_each_other_are_refused() {
    let terms = TradeTerms {
        buyer: ANNA,
        seller: BORA,
        price: Won(1_000),
        final_price: Won(900),
        fee: Won(50),
        hold: Won(990),
    };
    for wrong in [
        TradeTerms { final_price: Won(1_001), ..terms },
        TradeTerms { final_price: Won(-1), ..terms },
        TradeTerms { fee: Won(1_001), ..terms },
        TradeTerms { fee: Won(-1), ..terms },
        TradeTerms { hold: Won(899), ..terms },
        TradeTerms { hold: Won(i64::MIN), ..terms },
        TradeTerms { price: Won(-1), ..terms },
    ] {
        let refused = Transfer::trade(heading(), &wrong);
        assert_eq!(refused, Err(TransferError::BadTerms { reference: "bid:7".into(), terms: wrong }));
    }
}

#[test]
fn a_transfer_must_move_something_and_have_a_reference_that_can_be_stored() {
    let nothing = [entry(Account::Held, ANNA, 5), entry(Account::Held, ANNA, -5)];
    for entries in [&nothing[..], &[]] {
        let refused = Transfer::new(heading(), Reason::Trade, entries).unwrap_err();
        assert!(matches!(refused, TransferError::Empty { reason: Reason::Trade, .. }));
    }
    let with = |reference: String| Transfer::gift(Heading { reference, ..heading() }, ANNA, Won(1));
    assert!(with("r".repeat(MAX_REFERENCE_BYTES)).is_ok());
    for reference in ["r".repeat(MAX_REFERENCE_BYTES + 1), "환급".to_owned()] {
        assert_eq!(with(reference.clone()), Err(TransferError::BadReference(reference)));
    }
}

#[test]
fn what_was_written_can_be_read_again() {
    for account in Account::ALL {
        assert_eq!(account.to_string().parse(), Ok(*account));
    }
    for reason in Reason::ALL {
        assert_eq!(reason.to_string().parse(), Ok(*reason));
    }
    let unknown = "escrow".parse::<Account>().unwrap_err();
    assert_eq!((unknown.what, unknown.word.as_str()), ("ledger account", "escrow"));
}

#[test]
fn an_overdraft_changes_nothing_and_says_whose() {
    let before = Balance { available: Won(70), held: Won(5) };
    let mut balance = before;
    apply(&mut balance, ANNA, &Transfer::hold(heading(), ANNA, Won(70)).unwrap()).unwrap();
    assert_eq!(balance, Balance { available: Won(0), held: Won(75) });
    let mut balance = before;
    let refused = apply(&mut balance, ANNA, &Transfer::hold(heading(), ANNA, Won(71)).unwrap()).unwrap_err();
    assert_eq!((refused.user, refused.left), (ANNA, Balance { available: Won(-1), held: Won(76) }));
    assert_eq!(balance, before);
    assert!(apply(&mut balance, ANNA, &Transfer::release(heading(), ANNA, Won(6)).unwrap()).is_err());
    let mut rich = Balance { available: Won(i64::MAX), held: Won(0) };
    assert!(apply(&mut rich, ANNA, &Transfer::gift(heading(), ANNA, Won(1)).unwrap()).is_err());
    apply(&mut rich, BORA, &Transfer::hold(heading(), ANNA, Won(70)).unwrap()).unwrap();
    assert_eq!(rich.available, Won(i64::MAX), "somebody else's transfer");
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -5_i64..=5, 1 => Just(i64::MAX), 1 => Just(i64::MIN), 1 => any::<i64>()]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let one = (prop::sample::select(Account::ALL), 0_u64..3, amount());
    let some =
        prop::collection::vec(one.prop_map(|(account, user, amount)| entry(account, UserId(user), amount)), 0..6);
    // Half of them are balanced by a last entry.
    (some, any::<bool>()).prop_map(|(mut entries, balanced)| {
        let rest = entries.iter().try_fold(0_i64, |sum, entry| sum.checked_sub(entry.amount.0));
        if let (true, Some(rest)) = (balanced, rest) {
            entries.push(entry(Account::Fee, UserId::SYSTEM, rest));
        }
        entries
    })
}

fn sums(entries: &[Entry]) -> BTreeMap<(Account, UserId), i128> {
    let mut sums = BTreeMap::new();
    for entry in entries {
        *sums.entry((entry.account, entry.user)).or_default() += i128::from(entry.amount.0);
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_transfer_is_balanced_merged_and_means_what_was_asked(asked in entries()) {
        let total: i128 = asked.iter().map(|entry| i128::from(entry.amount.0)).sum();
        match Transfer::new(heading(), Reason::Trade, &asked) {
            Ok(transfer) => {
                prop_assert_eq!(total, 0);
                prop_assert_eq!(sums(&transfer.entries), sums(&asked));
                prop_assert_eq!(transfer.entries.len(), sums(&asked).len());
            }
            Err(TransferError::Empty { .. }) => prop_assert!(sums(&asked).is_empty()),
            // Refusing a balanced one is right only where a sum on the way leaves the range of an amount.
            Err(TransferError::Unbalanced { .. }) => {
                prop_assert!(total != 0 || asked.iter().any(|entry| entry.amount.0.unsigned_abs() > 1 << 60));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn balances_are_the_sums_of_what_was_let_through(
        asked in prop::collection::vec((0..POSTINGS.len(), 1_u64..=2, 1_i64..60), 1..40),
    ) {
        let mut balances = BTreeMap::from([(ANNA, Balance::default()), (BORA, Balance::default())]);
        let mut plain: BTreeMap<(&str, u64), i64> = BTreeMap::new();
        for (kind, user, amount) in asked {
            let (make, _, meaning) = POSTINGS[kind];
            let transfer = make(heading(), UserId(user), Won(amount)).unwrap();
            let mut after = plain.clone();
            for (account, owner, sign) in meaning {
                *after.entry((account, owner * user)).or_default() += sign / 70 * amount;
            }
            let possible = after.iter().all(|((_, owner), sum)| *owner == 0 || *sum >= 0);
            let balance = balances.get_mut(&UserId(user)).unwrap();
            prop_assert_eq!(apply(balance, UserId(user), &transfer).is_ok(), possible);
            if possible {
                plain = after;
            }
            let sum = |account| plain.get(&(account, user)).copied().unwrap_or(0);
            prop_assert_eq!((balance.available.0, balance.held.0), (sum("available"), sum("held")));
            prop_assert_eq!(plain.values().sum::<i64>(), 0);
        }
    }
}
