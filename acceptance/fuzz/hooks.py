"""Hooks for schemathesis: how a generated call comes to name something that exists.

Schemathesis makes calls from the OpenAPI document alone, and random ids exist nowhere. Two of three calls that it means
to be right, and one of three that it means to be wrong, are therefore led to something real, which is made for that one
call where the call uses it up (a bid to be cancelled). The others go out as they were made. One of eight has no tokens.

How each operation was answered is counted into the file GREAM_FUZZ_COUNTS: the test that started this judges it.
"""

import atexit
import itertools
import json
import os
import struct
import zlib
from collections import Counter, defaultdict

import requests
import schemathesis
from schemathesis import GenerationMode

STAGE = json.loads(os.environ["GREAM_FUZZ_STAGE"])
API, SANDBOX = STAGE["api"], STAGE["sandbox"]
CALLER, OTHER = STAGE["caller"], STAGE["other"]
PASSWORD = STAGE["password"]

numbers = itertools.count(1)
turns = defaultdict(itertools.count)
counts = defaultdict(Counter)
http = requests.Session()


def png():
    """A small picture, unlike any other."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    number = next(numbers)
    rows = b"".join(b"\0" + bytes(255 if number >> (8 * (y // 4)) >> (x // 4) & 1 else 0 for x in range(32)) for y in range(32))
    header = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ask(who, method, path, **body):
    """A call of the hooks' own, which must go well."""
    headers = {**who, **body.pop("headers", {})}
    answer = http.request(method, API + path, headers=headers, timeout=30, **body)
    if answer.status_code // 100 != 2:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer


def data(*arguments, **body):
    return ask(*arguments, **body).json()["data"]


def upload(fields):
    return {"data": fields, "files": {"file": ("gifticon.png", png())}}


def product():
    return STAGE["products"][next(numbers) % len(STAGE["products"])]


def buying_price():
    """One that nobody else bids at, and below every price that is asked for: bids stay open until they are called on."""
    return 1_000_000 - next(numbers)


def selling_price():
    return 1_000_000 + next(numbers)


def buy_bid(who):
    at, on = buying_price(), product()
    return on, at, data(who, "POST", f"/api/buy/{on}", json={"price": at})["buyId"]


def sell_bid(who):
    at, on = selling_price(), product()
    return on, at, data(who, "POST", f"/api/sell/{on}", **upload({"price": str(at)}))["sellId"]


def charge():
    wanted = {"amount": 1000, "orderName": "CHARGE_POINT"}
    return data(CALLER, "POST", "/api/payments/toss/request", json=wanted)["paymentOrderId"]


def paid():
    order = charge()
    checkout = http.post(SANDBOX + "/sandbox/checkout", json={"orderId": order, "amount": 1000}, timeout=30).json()
    return {"orderId": order, "paymentKey": checkout["paymentKey"], "amount": 1000}


def session():
    """Tokens of a session of its own."""
    answer = ask({}, "POST", "/api/users/login", json={"loginId": STAGE["callerLoginId"], "password": PASSWORD})
    return {name: answer.headers[name] for name in ("Access-Token", "Refresh-Token")}


def newcomer():
    """Tokens of somebody who has no points, and so may leave."""
    name = f"leaver{next(numbers)}"
    login = {"loginId": name, "nickname": name, "password": PASSWORD}
    for path in ("/api/users/signup", "/api/users/login"):
        answer = http.post(STAGE["giftless"] + path, json=login, timeout=30)
        answer.raise_for_status()
    return {name: answer.headers[name] for name in ("Access-Token", "Refresh-Token")}


def kakao_code():
    """A code of somebody's who agreed at Kakao."""
    code = f"code{next(numbers)}"
    http.post(STAGE["kakao"] + "/agree", data={"code": code, "id": next(numbers)}, timeout=30).raise_for_status()
    return code


def refund(who=OTHER):
    """One that awaits its decision."""
    wanted = {"point": 100, "bank": "bank", "accountNumber": "110-123"}
    data(who, "POST", "/api/users/points/refunds", json=wanted)
    return data(who, "GET", "/api/users/points/refunds", params={"size": 1})[0]["refundId"]


def payout():
    """A leg that awaits its transfer. The other has charged nothing, so all of a refund is its first leg."""
    approved = refund()
    data(CALLER, "DELETE", f"/api/admin/refund/{approved}")
    return approved, 1


def accepted():
    """A command's id and what signs its address: no worker has met it yet."""
    body = {"json": {"price": buying_price()}, "headers": {"Prefer": "respond-async"}}
    return signed(ask(CALLER, "POST", f"/api/buy/{product()}", **body).headers["Location"])


def owned_gifticon():
    on, at, _ = sell_bid(OTHER)
    data(CALLER, "POST", f"/api/buy/{on}/now", json={"price": at})
    return signed(data(CALLER, "GET", "/api/buy/history/end")[0]["gifticonUrl"])


def signed(address):
    """The id in an address, and its query."""
    path, query = address.split("?")
    return path.split("/api/")[1].split("/")[1], dict(pair.split("=", 1) for pair in query.split("&"))


def lead(case):
    """Leads the call to something real."""
    path, query = case.path_parameters, case.query
    match case.operation.definition.raw["operationId"]:
        case "sign_up":
            name = f"fuzz{next(numbers)}"
            case.body = {"loginId": name, "nickname": name, "password": PASSWORD}
        case "log_in":
            case.body = {"loginId": STAGE["callerLoginId"], "password": PASSWORD}
        case "log_in_by_kakao":
            query.clear()
            query["code"] = kakao_code()
        case "request_refund":
            case.body = {"point": 100, "bank": "bank", "accountNumber": "110-123"}
        case "product" | "product_trades" | "sell_levels" | "buy_levels" | "daily_prices" | "like" | "dislike":
            path["id"] = product()
        case "place_buy_bid":
            path["id"] = product()
            case.body = {"price": buying_price()}
        case "cancel_buy_bid":
            path["id"] = buy_bid(CALLER)[2]
        case "cancel_sell_bid":
            path["id"] = sell_bid(CALLER)[2]
        case "buy_now":
            path["id"], at, _ = sell_bid(OTHER)
            case.body = {"price": at}
        case "sell_now":
            path["id"], at, _ = buy_bid(OTHER)
            case.body = {"price": at, "file": png()}
        case "place_sell_bid":
            path["id"] = product()
            case.body = {"price": selling_price(), "file": png()}
        case "confirm_charge":
            query.clear()
            query.update(paid())
        case "fail_charge":
            query["orderId"] = charge()
        case "toss_webhook":
            case.body = {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": charge(), "status": "DONE"}}
        case "approve_refund":
            path["id"] = refund()
        case "reject_refund":
            path["id"] = refund()
            case.body = {"reason": "no"}
        case "own_refund":
            path["id"] = refund(CALLER)
        case "reveal_payout_account" | "confirm_payout":
            path["refund"], path["leg"] = payout()
        case "fail_payout":
            path["refund"], path["leg"] = payout()
            case.body = {"reason": "no"}
        case "add_product":
            name = f"product {next(numbers)}"
            case.body = {"brand": "b", "name": name, "description": "d", "price": 10, "file": png()}
        case "list_products" | "liked" | "bought" | "buying" | "sold" | "selling" | "coupons" | "used_coupons" | "own_refunds" | "payouts":
            if query:
                query.clear()
        case "grant_coupon":
            kind = {"discountType": "RATE", "discount": 10}
            case.body = {"name": "coupon", **kind, "userLoginId": STAGE["callerLoginId"]}
        case "command_status":
            path["id"], address = accepted()
            query.clear()
            query.update(address)
        case "product_picture":
            address = data({}, "GET", f"/api/products/{STAGE['pictured']}")["imageUrl"]
            path["name"] = address.rsplit("/", 1)[1]
        case "gifticon_picture":
            path["id"], address = owned_gifticon()
            query.clear()
            query.update(address)


@schemathesis.hook
def before_call(context, case, kwargs):
    name = case.operation.definition.raw["operationId"]
    turn = next(turns[name])
    if turn % 8 != 7:
        # Whoever logs out or leaves, however the call was made, must not be the caller of all the others.
        whose = {"log_out": session, "withdraw": newcomer}.get(name, lambda: CALLER)
        case.headers.update(whose())
    meant_well = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if turn % 3 == 2 or (not meant_well and turn % 3 == 1):
        return
    # A key that was used already would make it another call's retry.
    case.headers.pop("Idempotency-Key", None)
    lead(case)


@schemathesis.hook
def after_call(context, case, response):
    counts[case.operation.definition.raw["operationId"]][str(response.status_code)] += 1


@atexit.register
def tell():
    with open(os.environ["GREAM_FUZZ_COUNTS"], "w", encoding="utf-8") as file:
        json.dump(counts, file)
