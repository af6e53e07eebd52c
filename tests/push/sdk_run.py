"""The vendor's SDK (engagelab-apppush 0.1.1), unmodified, against a base URL: all six schedule calls and the push and
device calls beside them, errors included. Every answer is checked; a transcript goes to stdout.

    sdk_run.py BASE_URL [--fires gateway|nobody]     credentials: RONDO_APP_KEY, RONDO_APP_SECRET

`--fires` also waits for a push that is due in a few seconds, and reads its message ids: accepted by the app's gateway,
or without anybody to go to. Exit code 1 where an answer is not as the contract says.
"""

import argparse
import datetime
import json
import os
import socket
import sys
import time
import traceback
import uuid

from engagelab import Client
from engagelab.device import DeviceSetParam, DeviceSetTags
from engagelab.errors import ApiError
from engagelab.push import AndroidNotification, NotificationMessage, Options, PushBody, PushParam, PushTo
from engagelab.schedule import (
    SchedulePushParam,
    ScheduleTrigger,
    TriggerIntelligent,
    TriggerPeriodical,
    TriggerSingle,
)

CHECKS = []


def wall(**ahead):
    """A time on a clock in UTC, which is the app's zone, as the contract writes it."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ahead)
    return at.strftime("%Y-%m-%d %H:%M:%S")


def check(what, got, wanted):
    good = got == wanted
    CHECKS.append(good)
    print(f"  {'ok' if good else 'WRONG'}  {what}: {got!r}" + ("" if good else f", not {wanted!r}"), flush=True)


def step(what):
    print(f"\n{what}", flush=True)


def refused(what, call, status, code, names=None):
    """Must be refused with this status and code, in a sentence that names what is wrong."""
    try:
        answer = call()
    except ApiError as error:
        print(f"  {what}: {error}")
        check("status and code", (error.status_code, error.error.code), (status, code))
        check("a sentence", bool(error.error.message), True)
        if names:
            check(f"it names {names}", names in error.error.message, True)
        return
    check(f"{what} is refused", answer, "an error")


def push(alert="hello", **to):
    notification = NotificationMessage(alert=alert, android=AndroidNotification(alert=alert, title="title"))
    body = PushBody(platform="all", notification=notification, options=Options(time_to_live=60))
    return PushParam(from_="push", to=PushTo(**to) if to else "all", body=body, request_id="r-1", custom_args={"a": 1})


def single(zone_type=1, **ahead):
    return ScheduleTrigger(single=TriggerSingle(time=wall(**(ahead or {"days": 2})), zone_type=zone_type))


def periodical(unit="day", point=None, start=None, end=None, at="09:00:00", frequency=None):
    return ScheduleTrigger(periodical=TriggerPeriodical(
        start=start or wall(days=1), end=end or wall(days=300), time=at, time_unit=unit, point=point,
        frequency=frequency, zone_type=1,
    ))


def wanted(name, trigger, enabled=True, what=None):
    return SchedulePushParam(name=name, enabled=enabled, trigger=trigger, push=what or push())


def echoed(value):
    """What the SDK makes of it on its way out."""
    from engagelab._serialization import to_dict
    return to_dict(value)


def create_and_read(client):
    step("create: each kind of trigger; get answers what was sent")
    ids = {}
    for name, trigger in {
        "once": single(),
        "once, in each recipient's time": single(zone_type=2),
        "every day": periodical("day"),
        "every second week": periodical("WEEK", ["MON", "FRI"], frequency=2),
        "at the ends of months": periodical("MONTH", ["01", "31"]),
        "at the best time": ScheduleTrigger(intelligent=TriggerIntelligent(backup_time=wall(days=1))),
        "at the best time, or now": ScheduleTrigger(intelligent=TriggerIntelligent(backup_time="now")),
        "名 é 🕘": single(),
    }.items():
        # Those at the best time would go out during the run.
        what = push(tag=["nobody-has-this-tag"]) if trigger.intelligent else push()
        made = client.schedule.create(wanted(name, trigger, what=what))
        check("name", made.name, name)
        check("an id", str(uuid.UUID(made.schedule_id)), made.schedule_id)
        got = client.schedule.get(made.schedule_id)
        check("an array of one", (type(got), len(got)), (list, 1))
        check("its keys", sorted(got[0]), ["enabled", "name", "push", "schedule_id", "trigger"])
        check("its trigger", got[0]["trigger"], echoed(trigger))
        check("its push", got[0]["push"], echoed(what))
        check("enabled", (got[0]["schedule_id"], got[0]["enabled"]), (made.schedule_id, True))
        ids[name] = made.schedule_id
    return ids


def lists(client, ids):
    step("list")
    first = client.schedule.list()
    listed = [schedule["schedule_id"] for schedule in first.schedules]
    check("all, oldest first", [one for one in listed if one in ids.values()], list(ids.values()))
    check("counted", (first.total_count, first.page), (len(listed), 1))
    check("pages", first.total_pages, -(-first.total_count // 50))
    beyond = client.schedule.list(page=10**9)
    check("beyond the end", (beyond.page, beyond.schedules), (10**9, []))
    for page in (0, -1, "abc", "1.5"):
        refused(f"page {page}", lambda page=page: client.schedule.list(page=page), 400, 28100, "page")


def updates(client, ids):
    step("update: any subset of the four keys")
    one = ids["every day"]

    def change(**what):
        return client.schedule.update(one, SchedulePushParam(**what))

    def read():
        return client.schedule.get(one)[0]

    answer = change(name="renamed")
    check("the whole schedule", (answer.schedule_id, answer.name, answer.enabled), (one, "renamed", True))
    check("what was not named stays", (answer.trigger, answer.push), (read()["trigger"], echoed(push())))
    check("paused", change(enabled=False).enabled, False)
    check("and says so", read()["enabled"], False)
    check("resumed", change(enabled=True).enabled, True)
    other = periodical("week", ["SUN"])
    check("another trigger of the kind", change(trigger=other).trigger, echoed(other))
    what = push("other", tag=["a"], tag_not=["b"])
    check("another push", change(push=what).push, echoed(what))
    before = read()
    refused("another kind", lambda: change(trigger=single()), 400, 28100)
    zone = periodical("week", ["SUN"])
    zone.periodical.zone_type = 2
    refused("another zone type", lambda: change(trigger=zone), 400, 28100)
    refused("a push without to", lambda: change(push=PushParam(body=push().body)), 400, 28102, "to")
    refused("a time that has passed", lambda: client.schedule.update(
        ids["once"], SchedulePushParam(trigger=single(days=-1))), 400, 28103)
    refused("a good name and a bad push", lambda: change(name="half", push=PushParam(to="all")), 400, 28102)
    check("a refused change changes nothing", read(), before)
    refused("an unknown id", lambda: client.schedule.update(
        str(uuid.uuid4()), SchedulePushParam(name="x")), 404, 28104)


def refusals(client, base_url, key):
    step("create: refused")

    def create(name="n", trigger=None, enabled=True, what=None):
        return lambda: client.schedule.create(wanted(name, trigger or single(), enabled, what))

    def raw(**changes):
        body = echoed(wanted("n", single())) | changes
        return lambda: client._post("/v4/schedules", body=body)

    refused("disabled from the start", create(enabled=False), 400, 28100, "enabled")
    refused("no name", raw(name=""), 400, 28100, "name")
    refused("a name of 256 bytes", create(name="é" * 128), 400, 28100, "name")
    refused("no trigger", raw(trigger={}), 400, 28100, "trigger")
    two = ScheduleTrigger(single=single().single, intelligent=TriggerIntelligent(backup_time="now"))
    refused("two triggers", create(trigger=two), 400, 28100, "trigger")
    refused("a trigger that is none", raw(trigger={"yearly": {}}), 400, 28100, "trigger")
    refused("a push that is none", raw(push="hello"), 400, 28102, "push")
    refused("a push for nobody", raw(push={"to": {}, "body": echoed(push().body)}), 400, 28102, "to")
    refused("a push that says nothing", raw(push={"to": "all", "body": {"platform": "all"}}), 400, 28102)
    refused("too large", create(what=push("x" * 5000)), 400, 28102)
    for what, time_of in {
        "passed": wall(days=-2), "more than a year ahead": wall(days=367), "30 February": "2031-02-30 10:00:00",
        "not padded": "2031-1-1 9:00:00", "with an offset": "2031-01-01T09:00:00Z",
    }.items():
        trigger = ScheduleTrigger(single=TriggerSingle(time=time_of, zone_type=1))
        refused(f"a time {what}", create(trigger=trigger), 400, 28103, "time")
    refused("no such weekday", create(trigger=periodical("week", ["MO"])), 400, 28103, "point")
    refused("no such day of a month", create(trigger=periodical("month", ["32"])), 400, 28103, "point")
    refused("a week without points", create(trigger=periodical("week")), 400, 28103, "point")
    refused("an end before its start", create(trigger=periodical(
        start=wall(days=3), end=wall(days=2))), 400, 28103, "end")
    refused("longer than a year", create(trigger=periodical(end=wall(days=380))), 400, 28103)
    refused("no occurrence in the window", create(trigger=periodical(
        start=wall(days=1), end=wall(days=1, seconds=1), at="00:00:00" if wall()[11:] > "12" else "23:59:59",
    )), 400, 28103)
    refused("an hour 24", create(trigger=periodical(at="24:00:00")), 400, 28103, "time")

    step("credentials and ids")
    stranger = Client(key, "another-secret-altogether-wrong", base_url=base_url)
    refused("a wrong secret", lambda: stranger.schedule.list(), 401, 28101)
    refused("a wrong secret, for a push", lambda: stranger.push.send(push()), 401, 21004)
    for unknown in (str(uuid.uuid4()), "no-uuid"):
        refused(f"get {unknown}", lambda unknown=unknown: client.schedule.get(unknown), 404, 28104)
        refused(f"msg-ids {unknown}", lambda unknown=unknown: client.schedule.get_msg_ids(unknown), 404, 28104)
        refused(f"delete {unknown}", lambda unknown=unknown: client.schedule.delete(unknown), 404, 28104)


def pushes(client):
    step("push: validate, and what is refused")
    answer = client.push.validate(push())
    check("the request's own id", answer.request_id, "r-1")
    for call in (client.push.validate, client.push.send):
        name = call.__name__
        refused(f"{name} nothing", lambda call=call: call(PushParam(to="all")), 400, 21002, "body")
        refused(f"{name} to nobody", lambda call=call: call(PushParam(body=push().body)), 400, 21002, "to")
        refused(f"{name} too much", lambda call=call: call(push("x" * 5000)), 400, 21005)
        bad = push()
        bad.body.options = Options(time_to_live=1296001)
        refused(f"{name} for too long", lambda call=call, bad=bad: call(bad), 400, 21003, "time_to_live")


def devices(client):
    step("devices")
    one = f"sdk-{uuid.uuid4().hex[:12]}"
    refused("an unknown device", lambda: client.device.get(one), 404, 20101)
    body = {"platform": "android", "time_zone": "Europe/Madrid", "tags": ["a"], "alias": "x"}
    client._put(f"/v4/devices/{one}", body=body)
    client.device.set(one, DeviceSetParam(tags=DeviceSetTags(add=["b", "c"], remove=["a"]), alias="y"))
    got = client.device.get(one)
    check("tags and alias", (sorted(got.tags), got.alias), (["b", "c"], "y"))
    client.device.set(one, DeviceSetParam(tags=""))
    check("no tags", client.device.get(one).tags, [])
    client.device.delete(one)
    refused("a device that was removed", lambda: client.device.get(one), 404, 20101)


def deletes(client, ids):
    step("delete")
    for name, one in ids.items():
        check(f"{name}: an empty answer", client.schedule.delete(one), None)
    one = ids["once"]
    refused("get afterwards", lambda: client.schedule.get(one), 404, 28104)
    refused("delete again", lambda: client.schedule.delete(one), 404, 28104)
    listed = {schedule["schedule_id"] for schedule in client.schedule.list().schedules}
    check("none is listed", listed & set(ids.values()), set())


def until(what, ask, holds, within=60):
    """Asks again and again; the last answer counts, whatever it is."""
    began, answer = time.time(), ask()
    while not holds(answer) and time.time() - began < within:
        time.sleep(0.2)
        answer = ask()
    check(what, holds(answer), True)
    return answer


def sends_now(client, how):
    step(f"push now: {how}")
    if how == "nobody":
        refused("a push that nobody gets", lambda: client.push.send(push()), 400, 21011)
        return
    answer = client.push.send(push())
    check("accepted", (answer.request_id, answer.msg_id.isdigit()), ("r-1", True))


def fires(client, how):
    step(f"message ids: {how}")
    made = client.schedule.create(wanted("soon", single(seconds=4)))
    one = made.schedule_id
    if how == "gateway":
        check("none so far", client.schedule.get_msg_ids(one).msg_ids, [])
    found = until("they come", lambda: client.schedule.get_msg_ids(one), lambda found: found.count > 0)
    check("one", (found.count, len(found.msg_ids)), (1, 1))
    message = json.loads(found.msg_ids[0])
    print(f"  {message}")
    check("its keys", sorted(message), ["error", "msg_id", "needRetry", "ts"])
    check("ts in ms", abs(message["ts"] / 1000 - time.time()) < 90, True)
    if how == "gateway":
        check("accepted", (message["msg_id"].isdigit(), message["msg_id"] != "0"), (True, True))
        check("no error", (message["error"], message["needRetry"]), ({"code": 0, "message": ""}, False))
    else:
        check("nobody", (message["msg_id"], message["error"]["code"]), ("0", 1011))

    def is_gone(found):
        return one not in {schedule["schedule_id"] for schedule in found.schedules}

    until("one that is over is listed no longer", client.schedule.list, is_gone)
    late = SchedulePushParam(name="late")
    refused("an expired one is not changed", lambda: client.schedule.update(one, late), 400, 28100)


def nobody_left(client):
    step("each recipient's time: passed for all of them")
    device = f"sdk-{uuid.uuid4().hex[:12]}"
    client._put(f"/v4/devices/{device}", body={"platform": "android", "time_zone": "Pacific/Kiritimati"})
    # Fourteen hours ahead of UTC: what the clock shows in an hour in UTC, it showed there yesterday.
    late = wanted("late", single(zone_type=2, hours=1), what=push(registration_id=[device]))
    refused("a time that has passed for all", lambda: client.schedule.create(late), 404, 28105)
    in_time = wanted("in time", single(zone_type=2, hours=15), what=push(registration_id=[device]))
    client.schedule.delete(client.schedule.create(in_time).schedule_id)
    client.device.delete(device)


def resolve_localhost():
    """Names below localhost are this machine (RFC 6761, section 6.3), whatever its resolver knows of that."""
    ask = socket.getaddrinfo

    def answer(host, *rest, **named):
        return ask("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **named)

    socket.getaddrinfo = answer


def main():
    resolve_localhost()
    arguments = argparse.ArgumentParser()
    arguments.add_argument("base_url")
    arguments.add_argument("--fires", choices=["gateway", "nobody"])
    given = arguments.parse_args()
    key, secret = os.environ["RONDO_APP_KEY"], os.environ["RONDO_APP_SECRET"]
    client = Client(key, secret, base_url=given.base_url)
    try:
        ids = create_and_read(client)
        lists(client, ids)
        updates(client, ids)
        refusals(client, given.base_url, key)
        pushes(client)
        devices(client)
        if given.fires:
            sends_now(client, given.fires)
            fires(client, given.fires)
        if given.fires == "gateway":
            nobody_left(client)
        deletes(client, ids)
    except Exception:
        # The transcript so far says where; an answer that the SDK itself cannot read is a failure too.
        traceback.print_exc()
        CHECKS.append(False)
    wrong = CHECKS.count(False)
    print(f"\n{len(CHECKS)} checks, {wrong} wrong")
    sys.exit(1 if wrong else 0)


main()
