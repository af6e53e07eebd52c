"""Whether the push service can tell a good push from a bad one: a push as the RFCs have it, and then each rule broken by
itself. Encrypts with http-ece and signs with PyJWT; the project's own code has no part in it.

    self_check.py      prints what was refused and why; exit code 1 where something was taken for what it is not
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SERVICE = pathlib.Path(__file__).with_name("push_service.py")
WRONG = []


def text_of(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bytes_of(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key):
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def ask(method, url, body=b"", headers=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(), refused.headers


def push(subscription, key, origin, *, plain=b'{"alert":"hello"}', claims=None, signed_by=None, told=None, headers=None):
    """A push as it should be, but for what is said."""
    keys = subscription["keys"]
    body = http_ece.encrypt(
        plain, private_key=ec.generate_private_key(ec.SECP256R1()), dh=bytes_of(keys["p256dh"]),
        auth_secret=bytes_of(keys["auth"]), version="aes128gcm",
    ) if told is None else told
    payload = {"aud": origin, "exp": int(time.time()) + 3600, "sub": "mailto:push@example.org"} | (claims or {})
    payload = {name: value for name, value in payload.items() if value is not None}
    token = jwt.encode(payload, signed_by or key, algorithm="ES256")
    sent = {
        "TTL": "60", "Urgency": "normal", "Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream",
        "Authorization": f"vapid t={token}, k={text_of(point(key))}",
    } | (headers or {})
    sent = {name: value for name, value in sent.items() if value is not None}
    return ask("POST", subscription["endpoint"], body, sent)[0]


def expect(what, status, wanted):
    print(f"{what}: {status}")
    if status != wanted:
        WRONG.append(f"{what}: {status}, not {wanted}")


def main():
    process = subprocess.Popen([sys.executable, SERVICE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    origin = process.stdout.readline().removeprefix("listening on ").strip()
    key, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    order = {"application_server_key": text_of(point(key))}
    made = json.loads(ask("POST", f"{origin}/control/subscriptions", json.dumps(order).encode())[1])
    one = made["subscription"]
    other = json.loads(ask("POST", f"{origin}/control/subscriptions", b"{}")[1])["subscription"]
    now = int(time.time())

    def told(what, wanted, **broken):
        expect(what, push(one, key, origin, **broken), wanted)

    told("as it should be", 201)
    told("the longest token", 201, claims={"exp": now + 24 * 3600 - 5})
    told("no TTL", 400, headers={"TTL": None})
    told("a TTL in words", 400, headers={"TTL": "soon"})
    told("an unknown urgency", 400, headers={"Urgency": "urgent"})
    told("a topic too long", 400, headers={"Topic": "t" * 33})
    told("another encoding", 400, headers={"Content-Encoding": "aesgcm"})
    told("no credentials", 401, headers={"Authorization": None})
    told("a token without its key", 401, headers={"Authorization": "vapid t=x"})
    told("a token signed by another", 403, signed_by=stranger)
    expect("another's key", push(one, stranger, origin), 403)
    told("an audience without its port", 403, claims={"aud": origin.rsplit(":", 1)[0]})
    told("an audience with a path", 403, claims={"aud": f"{origin}/push"})
    told("a token that has expired", 403, claims={"exp": now - 10})
    told("a token for too long", 403, claims={"exp": now + 25 * 3600})
    told("no subject", 403, claims={"sub": None})
    told("a subject that is no address", 403, claims={"sub": "me"})
    told("too large", 413, told=os.urandom(4097))
    told("nothing that can be decrypted", 400, told=os.urandom(200))
    swapped = {"endpoint": one["endpoint"], "keys": other["keys"]}
    expect("encrypted for another", push(swapped, key, origin), 400)
    told("the largest payload", 201, plain=b"x" * 3993)

    answers = [{"status": 429, "retry_after": 1}, {"status": 410}]
    ask("PUT", f"{origin}/control/subscriptions/{made['id']}/answers", json.dumps(answers).encode())
    for wanted in (429, 410, 410):
        told(f"told to answer {wanted}", wanted)
    told("a fault comes before what it is told", 403, signed_by=stranger)
    arrivals = json.loads(ask("GET", f"{origin}/control/arrivals")[1])
    expect("what the first one says", json.loads(arrivals[0]["text"])["alert"], "hello")
    expect("how many arrived", len(arrivals), 25)
    process.stdin.close()
    process.wait(10)
    for wrong in WRONG:
        print(f"WRONG {wrong}", file=sys.stderr)
    sys.exit(1 if WRONG else 0)


main()
