"""A push service as a browser's vendor runs one (RFC 8030), with the browsers' side of it: it makes subscriptions with
key pairs of their own, takes pushes, decrypts them (http-ece) and checks who sent them (PyJWT). It shares no code with
the project.

    push_service.py [--fixed-port PORT]

First line on stdout: `listening on http://127.0.0.1:PORT`; then a JSON line for each push as it came. It ends with its
standard input.

Control, JSON in and out:
  POST /control/subscriptions             {"application_server_key": base64url?, "answers": [ANSWER]?}
                                          -> {"id", "subscription": as `JSON.stringify(subscription)` in a browser}
  PUT  /control/subscriptions/ID/answers  [ANSWER]: in this order, the last one again and again
  GET  /control/arrivals                  every push so far, oldest first

ANSWER is {"status": 201, "retry_after": seconds or date?}. A push with a fault is answered with the fault's own status,
whatever was told: a real push service would not take it either.
"""

import argparse
import base64
import json
import os
import re
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MOST = 4096  # bytes of a body, RFC 8030, section 7.2
LONGEST_TOKEN = 24 * 60 * 60  # seconds, RFC 8292, section 2


def text_of(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bytes_of(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Fault(Exception):
    """Why a push cannot be taken, and the status that says so."""

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


class Subscription:
    """What a browser keeps to itself, and how its pushes are answered."""

    def __init__(self, order):
        self.id = uuid.uuid4().hex
        self.private_key = ec.generate_private_key(ec.SECP256R1())
        self.auth = os.urandom(16)
        self.application_server_key = order.get("application_server_key")
        self.answers = order.get("answers") or [{"status": 201}]

    def shown(self, origin):
        point = self.private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": text_of(point), "auth": text_of(self.auth)}
        return {"endpoint": f"{origin}/push/{self.id}", "expirationTime": None, "keys": keys}

    def answer(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class State:
    def __init__(self):
        self.lock = threading.Lock()
        self.subscriptions = {}
        self.arrivals = []


STATE = State()


def checked_token(authorization, origin, expected):
    """RFC 8292, sections 2 to 4."""
    found = re.fullmatch(r"vapid\s+(.+)", authorization or "", re.IGNORECASE)
    if not found:
        raise Fault(401, "no vapid credentials")
    parts = dict(part.strip().split("=", 1) for part in found[1].split(",") if "=" in part)
    if set(parts) != {"t", "k"}:
        raise Fault(401, f"vapid parameters are {sorted(parts)}")
    if expected is not None and parts["k"] != expected:
        raise Fault(403, "not the application server that the subscription is for")
    raw = bytes_of(parts["k"])
    if len(raw) != 65 or raw[0] != 4:
        raise Fault(401, "k is no uncompressed point")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    try:
        claims = jwt.decode(
            parts["t"], key, algorithms=["ES256"], audience=origin, options={"require": ["aud", "exp", "sub"]},
        )
    except jwt.InvalidTokenError as why:
        raise Fault(403, f"the token: {why}") from why
    if claims["aud"] != origin:
        raise Fault(403, f"aud is {claims['aud']!r}")
    if claims["exp"] > time.time() + LONGEST_TOKEN:
        raise Fault(403, "exp lies more than 24 h ahead")
    if not re.match(r"(mailto:|https:)\S+$", claims["sub"]):
        raise Fault(403, f"sub is {claims['sub']!r}")
    return parts, claims


def checked_headers(headers):
    ttl, urgency, topic = headers.get("TTL"), headers.get("Urgency"), headers.get("Topic")
    if ttl is None or not re.fullmatch(r"\d+", ttl):
        raise Fault(400, f"TTL is {ttl!r}")
    if urgency is not None and urgency not in ("very-low", "low", "normal", "high"):
        raise Fault(400, f"Urgency is {urgency!r}")
    if topic is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", topic):
        raise Fault(400, f"Topic is {topic!r}")
    if headers.get("Content-Encoding") != "aes128gcm":
        raise Fault(400, f"Content-Encoding is {headers.get('Content-Encoding')!r}")
    return {"ttl": int(ttl), "urgency": urgency, "topic": topic}


def receive(subscription, origin, headers, body):
    """What arrived, as its browser reads it; or the fault."""
    arrival = {"subscription": subscription.id, "at": time.time(), "bytes": len(body), "fault": None}
    try:
        arrival |= checked_headers(headers)
        if len(body) > MOST:
            raise Fault(413, f"{len(body)} bytes")
        parts, claims = checked_token(headers.get("Authorization"), origin, subscription.application_server_key)
        arrival |= {"token": parts["t"], "application_server_key": parts["k"], "claims": claims}
        try:
            plain = http_ece.decrypt(
                body, private_key=subscription.private_key, auth_secret=subscription.auth, version="aes128gcm",
            )
        except (http_ece.ECEException, ValueError) as why:
            raise Fault(400, f"cannot be decrypted: {why}") from why
        # One record, so that browsers that read no more than one read it all (RFC 8291, section 4).
        if int.from_bytes(body[16:20], "big") < len(body) - 86:
            raise Fault(400, "more than one record")
        arrival["text"] = plain.decode()
    except Fault as fault:
        arrival |= {"fault": str(fault), "status": fault.status}
        return arrival, {"status": fault.status}
    answer = subscription.answer()
    return arrival | {"status": answer["status"]}, answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def origin(self):
        return "http://{}:{}".format(*self.server.server_address)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status, content=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def reply_json(self, value, status=200):
        self.reply(status, json.dumps(value).encode(), [("Content-Type", "application/json")])

    def do_GET(self):
        if self.path == "/control/arrivals":
            with STATE.lock:
                return self.reply_json(STATE.arrivals)
        return self.reply(404)

    def do_PUT(self):
        found = re.fullmatch(r"/control/subscriptions/(\w+)/answers", self.path)
        subscription = found and STATE.subscriptions.get(found[1])
        answers = json.loads(self.body())
        if not subscription:
            return self.reply(404)
        with STATE.lock:
            subscription.answers = answers
        return self.reply_json({})

    def do_POST(self):
        body = self.body()
        if self.path == "/control/subscriptions":
            subscription = Subscription(json.loads(body or b"{}"))
            STATE.subscriptions[subscription.id] = subscription
            return self.reply_json({"id": subscription.id, "subscription": subscription.shown(self.origin())})
        found = re.fullmatch(r"/push/(\w+)", self.path)
        subscription = found and STATE.subscriptions.get(found[1])
        if not subscription:
            return self.reply(404)
        with STATE.lock:
            arrival, answer = receive(subscription, self.origin(), self.headers, body)
            STATE.arrivals.append(arrival)
            print(json.dumps(arrival), flush=True)
        headers = [("Location", f"{self.origin()}/message/{uuid.uuid4().hex}")] if answer["status"] == 201 else []
        if answer.get("retry_after") is not None:
            headers.append(("Retry-After", str(answer["retry_after"])))
        return self.reply(answer["status"], headers=headers)

    def log_message(self, *_):
        pass


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--fixed-port", type=int, default=0)
    arguments.add_argument("--address", default="127.0.0.1")
    given = arguments.parse_args()
    server = ThreadingHTTPServer((given.address, given.fixed_port), Handler)
    print("listening on http://{}:{}".format(*server.server_address), flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


main()
