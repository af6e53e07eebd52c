#!/usr/bin/env python3
"""Writes pushes.jsonl: when scheduled pushes are due, computed without any of Rondo's code.

    python3 -m venv venv
    venv/bin/pip install tzdata==2025.2 python-dateutil==4.0.0
    venv/bin/python shared/domain/tests/calendar/generate_pushes.py

Run with Python 3.11; the output is the same every time. tzdata 2025.2 holds IANA 2025b, the version that
chrono-tz 0.10.4 was made from; the system's own zone files are not used.

A wall time's instant is found by looking at the zone's offsets around it: the first instant at which the clock on the
wall shows that time or a later one. So one that a gap swallows is due at the gap's end, and one that comes twice at its
first coming. Days of a periodical trigger come from dateutil's rrule. Three kinds of lines:

["wall", [zone, …], [[east, offset, wall, …], …]]
    `wall`, in seconds as if it were UTC, is due in each of these zones `east` seconds before that; the zone's offset
    is then `offset` seconds.
["best", [zone, …], start, [due for 00:00, …, due for 23:00], [[time of day, due], …]]
    A recipient whose best hour is known, and then one whose backup time is a time of day (in seconds); both in seconds
    from `start`.
["trigger", zone of the app, now, trigger, {zone: [due, …], …}]
    A trigger as clients send it, made at `now`, and when it is due for recipients in each zone, in seconds from `now`.
    null instead of zones: it is refused, as nothing is due in its window.
"""

import json
import random
import zlib
import zoneinfo
from datetime import datetime, timedelta, timezone
from pathlib import Path

import tzdata
from dateutil import rrule

zoneinfo.reset_tzpath(to=[])
assert tzdata.IANA_VERSION == "2025b", tzdata.IANA_VERSION

MINUTE, HOUR, DAY = 60, 3600, 86400
WEEKDAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
# "Factory" stands for a clock that was never set; chrono-tz does not carry it, and nobody lives there.
NAMES = sorted(zoneinfo.available_timezones() - {"Factory"})
# Every transition since 1990 is tried in these, not only those near today: whole days skipped at the date line, half
# hours, changes at midnight, winter time as the exception, offsets of 45 minutes, rules that were changed.
ODD = [
    "Africa/Cairo", "Africa/Casablanca", "America/Caracas", "America/Nuuk", "America/Santiago", "America/Sao_Paulo",
    "America/St_Johns", "Antarctica/Casey", "Antarctica/Troll", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu",
    "Asia/Pyongyang", "Asia/Tehran", "Australia/Eucla", "Australia/Lord_Howe", "Europe/Dublin", "Europe/Istanbul",
    "Europe/Volgograd", "Pacific/Apia", "Pacific/Chatham", "Pacific/Enderbury", "Pacific/Fakaofo",
    "Pacific/Kiritimati", "Pacific/Kwajalein",
]
# Recipients of the triggers: the two ends of the day, 30 and 45 minutes, rules that change, and ordinary ones.
RECIPIENTS = ODD + [
    "America/New_York", "Asia/Kolkata", "Asia/Tokyo", "Etc/GMT+12", "Etc/GMT-14", "Europe/Madrid", "Pacific/Midway", "UTC",
]


def stamp(wall):
    return int(wall.replace(tzinfo=timezone.utc).timestamp())


def wall_of(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


class Zone:
    def __init__(self, name):
        self.name = name
        self.rules = zoneinfo.ZoneInfo(name)
        self.known = {}

    def offset(self, at):
        if at not in self.known:
            self.known[at] = int(datetime.fromtimestamp(at, self.rules).utcoffset().total_seconds())
        return self.known[at]

    def turns(self, begin, end, step):
        """Instants at which the offset changes, with the offsets before and after."""
        found, before = [], self.offset(begin)
        for at in range(begin + step, end + step, step):
            now = self.offset(at)
            if now != before:
                low, high = at - step, at
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if self.offset(middle) == before else (low, middle)
                found.append((high, before, now))
                before = now
        return found

    def due(self, wall):
        """The first instant at which the clock shows `wall` or later. No zone is further from UTC than 16 hours, and
        none has skipped more than one day."""
        whole = wall - wall % HOUR
        begin, end = whole - 20 * HOUR, whole + 44 * HOUR
        turns = self.turns(begin, end, HOUR)
        edges = [begin] + [turn for turn, _, _ in turns] + [end]
        offsets = [self.offset(begin)] + [after for _, _, after in turns]
        for since, until, offset in zip(edges, edges[1:], offsets):
            at = max(since, wall - offset)
            if at < until:
                return at
        raise AssertionError((self.name, wall))

    def next_shown(self, time, start):
        """The first due instant at or after `start` of a time of day, in seconds."""
        today = start + self.offset(start)
        today -= today % DAY
        return min(at for at in (self.due(today + days * DAY + time) for days in range(-2, 4)) if at >= start)


def everywhere():
    """Wall times asked of every zone: month ends, leap days, the last second of years, nights of changes, the far
    future, and days that some zone never had."""
    texts = [
        "2024-02-29 00:00:00", "2024-12-31 23:59:59", "2025-01-01 00:00:00", "2026-02-28 23:59:59", "2026-03-29 02:30:00",
        "2026-03-08 02:30:00", "2026-10-25 02:30:00", "2026-11-01 01:30:00", "2026-04-05 01:45:00", "2026-10-04 02:10:00",
        "2027-01-31 09:00:00", "2027-03-31 09:00:00", "2027-08-31 18:45:00", "2028-02-29 09:00:00", "2028-02-29 23:59:59",
        "2028-03-01 00:00:00", "2028-12-31 23:59:59", "2032-02-29 12:00:00", "2036-02-29 03:15:00", "2037-12-31 23:59:59",
        "2038-01-19 03:14:08", "2038-07-01 09:00:00", "2040-02-29 09:00:00", "2050-06-30 09:00:00", "2087-05-11 02:30:00",
        "2098-12-31 09:00:00", "2011-12-30 09:00:00", "1994-12-31 09:00:00", "1995-01-01 09:00:00", "1993-08-21 12:00:00",
    ]
    walls = [stamp(datetime.fromisoformat(text)) for text in texts]
    rng = random.Random(20261129)
    span = stamp(datetime(2032, 1, 1)) - stamp(datetime(2024, 1, 1))
    walls += [stamp(datetime(2024, 1, 1)) + rng.randrange(span) for _ in range(30)]
    return walls


def around(turn, before, after):
    """Wall times at the edges and in the middle of what one change of the clock swallows or repeats."""
    first, last = sorted((turn + before, turn + after))
    return [first - 1, first, (first + last) // 2, last - 1, last]


def wall_lines():
    common = everywhere()
    near = stamp(datetime(2023, 1, 1)), stamp(datetime(2032, 1, 1))
    long_ago = stamp(datetime(1990, 1, 1))
    alike = {}
    for name in NAMES:
        zone = Zone(name)
        turns = zone.turns(long_ago if name in ODD else near[0], near[1], 6 * HOUR)
        walls = sorted(set(common + [wall for turn in turns for wall in around(*turn)]))
        groups = {}
        for wall in walls:
            at = zone.due(wall)
            groups.setdefault((wall - at, zone.offset(at)), []).append(wall)
        groups = [[*key, *walls] for key, walls in sorted(groups.items())]
        alike.setdefault(json.dumps(groups), []).append(name)
    for groups, names in alike.items():
        yield ["wall", names, json.loads(groups)]


def best_lines():
    begin, end = stamp(datetime(2026, 1, 1)), stamp(datetime(2028, 1, 1))
    alike = {}
    for name in NAMES:
        zone = Zone(name)
        pick = zlib.crc32(name.encode())
        # A little before a change of the clock, a little after one, and on a day like any other.
        turns = [turn for turn, _, _ in zone.turns(begin, end, 6 * HOUR)]
        starts = [turn + (-17 * HOUR, 35 * MINUTE)[count % 2] for count, turn in enumerate(turns[:4])]
        for start in starts + [begin + pick % 700 * DAY + pick % 1439 * MINUTE]:
            hours = [min(zone.next_shown(hour * HOUR, start) - start, DAY) for hour in range(24)]
            times = (0, 2 * HOUR + 30 * MINUTE, 23 * HOUR + 59 * MINUTE + 59)
            backups = [[time, zone.next_shown(time, start) - start] for time in times]
            alike.setdefault(json.dumps([start, hours, backups]), []).append(name)
    for line, names in alike.items():
        yield ["best", names, *json.loads(line)]


def days_of(start, end, unit, frequency, points):
    """Wall times of a periodical trigger's days, at midnight; what lies before its start is cut off by the caller."""
    midnight = start.replace(hour=0, minute=0, second=0)
    if unit == "day":
        return rrule.rrule(rrule.DAILY, midnight, frequency, until=end)
    if unit == "week":
        days = [WEEKDAYS.index(point.upper()) for point in points]
        return rrule.rrule(rrule.WEEKLY, midnight, frequency, wkst=rrule.MO, byweekday=days, until=end)
    # rrule skips a day that a month lacks.
    return rrule.rrule(rrule.MONTHLY, midnight, frequency, bymonthday=[int(point) for point in points], until=end)


def spelt(rng, text):
    return rng.choice([text.lower(), text.upper(), text.capitalize()])


def due_in(zones, walls, now, own_zone, app):
    """Each recipient's instants. In its own zone every wall time is an occasion of its own; in the app's, two that end
    up at one instant are one."""
    instants = lambda zone: [at for at in (zone.due(wall) for wall in walls) if at >= now]
    if own_zone:
        return {zone.name: sorted(at - now for at in instants(zone)) for zone in zones}
    return {app.name: sorted({at - now for at in instants(app)})}


def trigger_line(zones, app, now, kind, trigger, walls, rng):
    own_zone = trigger.get("zone_type") == 2
    some = rng.sample([zone for zone in zones.values() if zone is not app], 5) + [app]
    due = due_in(some, walls, now, own_zone, zones[app.name])
    if not own_zone and not any(due.values()):
        due = None
    return ["trigger", app.name, now, {kind: trigger}, due]


def singles(zones):
    """Around changes of the clock, in the app's zone and in the recipients'."""
    rng = random.Random(31)
    for zone in zones.values():
        turns = zone.turns(stamp(datetime(2010, 1, 1)), stamp(datetime(2030, 1, 1)), 6 * HOUR)
        for turn in rng.sample(turns, min(4, len(turns))) or [(stamp(datetime(2028, 2, 29, 12)), 0, 0)]:
            wall = rng.choice(around(*turn))
            for zone_type in (1, 2):
                trigger = {"time": str(wall_of(wall)), "zone_type": zone_type}
                now = wall - rng.choice([2, 9, 300]) * DAY - rng.randrange(DAY)
                yield trigger_line(zones, zone, now, "single", trigger, [wall], rng)


def periodicals(zones):
    rng = random.Random(29)
    for number in range(500):
        app = zones[rng.choice(RECIPIENTS)]
        # Half of them near a change of this clock, at a time that it touches.
        turns = app.turns(stamp(datetime(2010, 1, 1)), stamp(datetime(2033, 1, 1)), 6 * HOUR)
        touched = wall_of(rng.choice(around(*rng.choice(turns)))) if turns and number % 2 else None
        if touched:
            start = touched - timedelta(days=rng.randrange(40), seconds=rng.randrange(DAY))
            time = timedelta(hours=touched.hour, minutes=touched.minute, seconds=touched.second)
        else:
            start = datetime(2023, 11, 1) + timedelta(seconds=rng.randrange(6 * 365 * DAY))
            time = timedelta(seconds=rng.randrange(DAY))
        unit = rng.choice(["day", "week", "month", "month"])
        frequency = rng.choice([1, 1, 1, 2, 3, 7, 12, 100])
        points = {
            "day": [],
            "week": sorted(rng.sample(WEEKDAYS, rng.randint(1, 4))),
            "month": sorted(rng.sample(["29", "30", "31"], rng.randint(1, 3)) + rng.sample(["01", "15", "28"], rng.randint(0, 1))),
        }[unit]
        end = start + timedelta(days=rng.choice([1, 20, 59, 200, 364]), seconds=rng.randrange(DAY))
        midnights = list(days_of(start, end, unit, frequency, points))
        walls = [stamp(day + time) for day in midnights if start <= day + time <= end][:40]
        if len(walls) == 40:
            end = wall_of(walls[-1])
        zone_type = rng.choice([1, 2])
        trigger = {
            "start": str(start), "end": str(end), "time": str(datetime(2000, 1, 1) + time)[11:],
            "time_unit": spelt(rng, unit), "point": [spelt(rng, point) for point in points], "zone_type": zone_type,
        }
        if frequency > 1:
            trigger["frequency"] = frequency
        # Made before it starts, or while it goes on: what has passed is not made up for.
        now = stamp(start) - 3 * DAY - rng.randrange(DAY)
        if not walls:
            yield ["trigger", app.name, now, {"periodical": trigger}, None]
            continue
        if walls[-1] - walls[0] > 4 * DAY and rng.random() < 0.3:
            now = rng.randrange(walls[0], walls[-1] - 2 * DAY)
        yield trigger_line(zones, app, now, "periodical", trigger, walls, rng)


def main():
    zones = {name: Zone(name) for name in RECIPIENTS}
    counts = {}
    with open(Path(__file__).with_name("pushes.jsonl"), "w", encoding="utf-8", newline="\n") as file:
        for lines in (wall_lines(), best_lines(), singles(zones), periodicals(zones)):
            for line in lines:
                file.write(json.dumps(line, separators=(",", ":")) + "\n")
                counts[line[0]] = counts.get(line[0], 0) + 1
    print(counts)


if __name__ == "__main__":
    main()
