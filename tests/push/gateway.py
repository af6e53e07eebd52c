"""A gateway that knows its devices itself: it takes `POST /v4/push` as the vendor's service does, and answers with
message ids, or with errors as it is told. It shares no code with the project.

    gateway.py [--fixed-port PORT]      its one app's credentials are GATEWAY_KEY and GATEWAY_SECRET

First line on stdout: `listening on http://127.0.0.1:PORT`; then a JSON line for each push as it came. It ends with its
standard input.

Control, JSON in and out:
  PUT /control/answers   [ANSWER]: in this order; after them every push is accepted
  GET /control/arrivals  every push so far, oldest first

ANSWER is {"status": 500, "error": {"code", "message"}?, "body": any?, "text": bare text?, "retry_after": seconds?,
"after": seconds?}. Pushes with a fault are answered with the vendor's own errors, whatever was told.
"""

import argparse
import base64
import itertools
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()
ANSWERS, ARRIVALS = [], []
MESSAGE_IDS = itertools.count(1828256757)
KINDS = {"tag", "tag_and", "tag_not", "alias", "registration_id", "seg", "live_activity_id"}


def error(status, code, message):
    return {"status": status, "error": {"code": code, "message": message}}


def credentials():
    pair = f"{os.environ['GATEWAY_KEY']}:{os.environ['GATEWAY_SECRET']}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def fault_of(authorization, body):
    """The vendor's own refusal; none: the push can be taken. And the push, where it is one."""
    if authorization != credentials():
        return error(401, 21004, "Basic authentication failed"), None
    try:
        push = json.loads(body)
    except ValueError:
        return error(400, 21003, "The body is not JSON"), None
    if not isinstance(push, dict):
        return error(400, 21016, "The body is not an object"), None
    for name in ("to", "body"):
        if not push.get(name):
            return error(400, 21002, f"{name} is missing"), push
    to, content = push["to"], push["body"]
    if to != "all" and not (isinstance(to, dict) and to and set(to) <= KINDS):
        return error(400, 21003, "to is wrong"), push
    if isinstance(to, dict) and len(to.get("registration_id", [])) > 1000:
        return error(400, 21003, "to.registration_id has more than 1000"), push
    if not (content.get("notification") or content.get("message")):
        return error(400, 21002, "body.notification or body.message is missing"), push
    if len(json.dumps([content.get("notification"), content.get("message")]).encode()) > 8000:
        return error(400, 21005, "The message is too large"), push
    return None, push


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status, content, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def reply_json(self, value, status=200, headers=()):
        self.reply(status, json.dumps(value).encode(), [("Content-Type", "application/json"), *headers])

    def do_GET(self):
        if self.path != "/control/arrivals":
            return self.reply(404, b"")
        with LOCK:
            return self.reply_json(ARRIVALS)

    def do_PUT(self):
        answers = json.loads(self.body())
        if self.path != "/control/answers":
            return self.reply(404, b"")
        with LOCK:
            ANSWERS[:] = answers
        return self.reply_json({})

    def do_POST(self):
        body = self.body()
        if self.path.rstrip("/") != "/v4/push":
            return self.reply_json(error(404, 21003, "no such path"), 404)
        with LOCK:
            fault, push = fault_of(self.headers.get("Authorization"), body)
            told = {} if fault else (ANSWERS.pop(0) if ANSWERS else {})
            answer = fault or told
            status = answer.get("status", 200)
            msg_id = str(next(MESSAGE_IDS)) if status == 200 else None
            arrival = {
                "at": time.time(), "push": push, "status": status, "msg_id": msg_id, "fault": fault and fault["error"],
                "execution": self.headers.get("rondo-execution-id"), "content_type": self.headers.get("Content-Type"),
            }
            ARRIVALS.append(arrival)
            print(json.dumps(arrival), flush=True)
        time.sleep(answer.get("after", 0))
        headers = [("Retry-After", str(answer["retry_after"]))] if "retry_after" in answer else []
        if "text" in answer:
            return self.reply(status, answer["text"].encode(), headers)
        if "error" in answer:
            return self.reply_json({"error": answer["error"]}, status, headers)
        accepted = {"request_id": push.get("request_id", "") if push else "", "msg_id": msg_id}
        return self.reply_json(answer.get("body", accepted), status, headers)

    def log_message(self, *_):
        pass


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--fixed-port", type=int, default=0)
    server = ThreadingHTTPServer(("127.0.0.1", arguments.parse_args().fixed_port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


main()
