#!/usr/bin/env python3
"""Writes vectors.jsonl: what periodical and cron triggers must yield, computed without any of Rondo's code.

    python3 -m venv venv
    venv/bin/pip install tzdata==2025.2 croniter==7.0.0 python-dateutil==4.0.0
    venv/bin/python shared/domain/tests/calendar/generate.py

Run with Python 3.11; the output is the same every time. tzdata 2025.2 holds IANA 2025b, the version that
chrono-tz 0.10.4 was made from; the system's own zone files are not used.

Zoned cases ("source": "walk") come from a plain walk: it looks at every UTC minute of a stretch around a
transition, reads the local clock there, and so sees for itself which wall times come twice or never.
Cases without daylight saving come from croniter ("croniter") and from dateutil's rrule ("rrule"); croniter
knows no W, so those days are picked from a printed calendar ("calendar").

One line is one case: [source, zone, rule, "gap fold", after, length, [due, …]]. The rule is a cron expression,
or an object with the fields of a periodical trigger. `after` is in seconds since the epoch; the length of the
stretch looked at, (after, after + length], and everything due in it are in seconds from there.
"""

import calendar
import json
import random
import zlib
import zoneinfo
from datetime import datetime, timedelta, timezone
from pathlib import Path

import tzdata
from croniter import croniter
from dateutil import rrule

zoneinfo.reset_tzpath(to=[])
assert tzdata.IANA_VERSION == "2025b", tzdata.IANA_VERSION

MINUTE, HOUR, DAY = 60, 3600, 86400
POLICIES = [("shift", "first"), ("skip", "first"), ("shift", "second"), ("shift", "both")]
# Zones whose history is odd enough to try every transition since 1990: whole days skipped, half hours, two
# hours, changes at midnight, winter time as the exception.
ODD = [
    "Africa/Cairo", "Africa/Casablanca", "America/Caracas", "America/Nuuk", "America/Santiago",
    "America/Sao_Paulo", "America/St_Johns", "Antarctica/Casey", "Antarctica/Troll", "Asia/Beirut",
    "Asia/Gaza", "Asia/Kathmandu", "Asia/Pyongyang", "Asia/Tehran", "Australia/Lord_Howe", "Europe/Dublin",
    "Europe/Volgograd", "Pacific/Apia", "Pacific/Chatham", "Pacific/Enderbury", "Pacific/Fakaofo",
    "Pacific/Kwajalein",
]
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def utc(*parts):
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())


def offset(zone, at):
    return int(datetime.fromtimestamp(at, zone).utcoffset().total_seconds())


def transitions(zone, begin, end):
    """(instant, seconds the clock jumps ahead) of every change of offset, found by looking every 6 hours."""
    found = []
    before = offset(zone, begin)
    for at in range(begin, end, 6 * HOUR):
        now = offset(zone, at)
        if now != before:
            low, high = at - 6 * HOUR, at
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
            found.append((high, now - before))
            before = now
    return found


class Stretch:
    """Every minute from begin to end: its instant and what the clock on the wall shows."""

    def __init__(self, zone, begin, end):
        self.minutes = []
        self.seen = {}
        for at in range(begin - begin % MINUTE, end + MINUTE, MINUTE):
            wall = datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0)
            self.minutes.append((at, wall))
            self.seen.setdefault(wall, []).append(at)

    def due(self, matches, gap, fold, after, until):
        out = []
        previous = None
        for at, wall in self.minutes:
            hit = False
            if previous is not None and gap == "shift":
                missing = previous + timedelta(minutes=1)
                while missing < wall:
                    if matches(missing):
                        hit = True
                        break
                    missing += timedelta(minutes=1)
            previous = wall
            if matches(wall):
                passes = self.seen[wall]
                wanted = {"first": passes[:1], "second": passes[-1:], "both": passes}[fold]
                hit = hit or at in wanted
            if hit and after < at <= until:
                out.append(at)
        return out


def field(text):
    """The numbers of the simple fields used around transitions: *, */n, or a list."""
    if text == "*":
        return range(60)
    if text.startswith("*/"):
        return range(0, 60, int(text[2:]))
    return [int(part) for part in text.split(",")]


def cron_matcher(expression):
    minute, hour, day, month, weekday = (field(part) for part in expression.split())
    return lambda wall: (
        wall.minute in minute and wall.hour in hour and wall.day in day and wall.month in month
        and wall.isoweekday() % 7 in weekday
    )


def day_number(wall):
    return wall.date().toordinal()


def periodical_matcher(trigger):
    start = datetime.fromisoformat(trigger["start"])
    end = datetime.fromisoformat(trigger["end"]) if "end" in trigger else datetime.max
    hour, minute, _ = (int(part) for part in trigger["time"].split(":"))
    every = trigger["frequency"]
    unit = trigger["unit"]

    def matches(wall):
        if (wall.hour, wall.minute) != (hour, minute) or not start <= wall <= end:
            return False
        if unit == "day":
            return (day_number(wall) - day_number(start)) % every == 0
        if "week" in unit:
            # Ordinal 1 is a Monday.
            weeks = (day_number(wall) - 1) // 7 - (day_number(start) - 1) // 7
            return weeks % every == 0 and WEEKDAYS[wall.weekday()] in unit["week"]
        months = (wall.year - start.year) * 12 + wall.month - start.month
        return months % every == 0 and wall.day in unit["month"]

    return matches


class Writer:
    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8", newline="\n")
        self.count = 0

    def write(self, source, trigger, gap, fold, after, until, due):
        (rule,) = trigger.values()
        rule = dict(rule)
        zone = rule.pop("time_zone")
        case = [source, zone, rule.get("expression", rule), f"{gap} {fold}", after, until - after, [at - after for at in due]]
        self.file.write(json.dumps(case, separators=(",", ":")) + "\n")
        self.count += 1


def around(writer, name, zone, turn, jump, full):
    """Cases around one transition; jump > 0 is a gap, < 0 a fold."""
    # The wall time in the middle of what is swallowed or repeated, on a minute.
    begin = turn + offset(zone, turn - 1) if jump > 0 else turn + offset(zone, turn)
    middle = datetime.fromtimestamp(begin + abs(jump) // 2, timezone.utc).replace(tzinfo=None, second=0)
    fixed = f"{middle.minute} {middle.hour} * * *"
    stretch = Stretch(zone, turn - 2 * DAY, turn + 2 * DAY)
    wide = Stretch(zone, turn - 9 * DAY, turn + 11 * DAY) if full else None

    def cron(expression, gap, fold, reach):
        every_hour = expression.split()[1].startswith("*")
        policy = ("skip", "both") if every_hour else (gap, fold)
        due = stretch.due(cron_matcher(expression), *policy, turn - reach, turn + reach)
        trigger = {"cron": {"expression": expression, "time_zone": name}}
        writer.write("walk", trigger, gap, fold, turn - reach, turn + reach, due)

    def periodical(unit, frequency, gap, fold, lead):
        start = (middle - timedelta(days=lead)).replace(hour=0, minute=0)
        trigger = {"start": start.isoformat(), "end": (middle + timedelta(days=9)).isoformat(), "time": middle.strftime("%H:%M:%S"),
                   "unit": unit, "frequency": frequency, "time_zone": name}
        due = wide.due(periodical_matcher(trigger), gap, fold, turn - 8 * DAY, turn + 10 * DAY)
        writer.write("walk", {"periodical": trigger}, gap, fold, turn - 8 * DAY, turn + 10 * DAY, due)

    mine = POLICIES[:2] if jump > 0 else [POLICIES[0]] + POLICIES[2:]
    for gap, fold in mine:
        cron(fixed, gap, fold, 30 * HOUR)
    if not full:
        return
    # Bursts within the hour: those that a gap swallows become one.
    cron(f"*/15 {middle.hour} * * *", *mine[0], 26 * HOUR)
    cron(f"*/20 {middle.hour},{(middle.hour + 2) % 24} {middle.day} {middle.month} *", *mine[-1], 30 * HOUR)
    # Hours that begin with *: time as it passes.
    cron("*/20 * * * *", *mine[0], 80 * MINUTE)
    cron(f"{middle.minute} */2 * * *", *mine[0], 4 * HOUR)
    periodical("day", 2, *mine[0], 4)
    periodical({"week": [WEEKDAYS[middle.weekday()]]}, 1, *mine[-1], 10)
    periodical({"month": [middle.day]}, 1, *mine[-1], 40)


def zoned(writer):
    # "Factory" stands for a clock that was never set; chrono-tz does not carry it, and nobody lives there.
    for name in sorted(zoneinfo.available_timezones() - {"Factory"}):
        zone = zoneinfo.ZoneInfo(name)
        pick = zlib.crc32(name.encode())
        past = transitions(zone, utc(1990, 1, 1), utc(2024, 1, 1))
        coming = transitions(zone, utc(2024, 1, 1), utc(2032, 1, 1))
        for found, full in ((past, False), (coming, True)):
            if name in ODD:
                for turn, jump in found:
                    around(writer, name, zone, turn, jump, full and turn < utc(2028, 1, 1))
                continue
            for sign in (1, -1):
                of_sign = [(turn, jump) for turn, jump in found if jump * sign > 0]
                if of_sign:
                    around(writer, name, zone, *of_sign[pick % len(of_sign)], full)
        # And one ordinary day.
        after = utc(2024, 1, 1) + pick % 2900 * DAY
        stretch = Stretch(zone, after, after + DAY)
        expression = f"{pick % 60} {pick % 24},{pick % 23} * * *"
        if not any(abs(turn - after) < 2 * DAY for turn, _ in coming):
            due = stretch.due(cron_matcher(expression), "shift", "first", after, after + DAY)
            writer.write("walk", {"cron": {"expression": expression, "time_zone": name}}, "shift", "first", after, after + DAY, due)


def random_field(rng, low, high, names=None):
    kind = rng.random()
    a, b = sorted((rng.randint(low, high), rng.randint(low, high)))
    if kind < 0.3:
        return "*"
    if kind < 0.45:
        return f"*/{rng.randint(1, max(2, high // 3))}"
    if kind < 0.6 and a < b:
        return f"{a}-{b}"
    if kind < 0.7 and a < b:
        return f"{a}-{b}/{rng.randint(1, 4)}"
    if kind < 0.8 and names:
        return names[rng.randrange(len(names))]
    if kind < 0.9:
        return ",".join(str(n) for n in sorted({rng.randint(low, high) for _ in range(3)}))
    return str(a)


def naive_cron(writer):
    rng = random.Random(20250322)
    months = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
    days = "SUN MON TUE WED THU FRI SAT".split()
    written = 0
    while written < 700:
        day = random_field(rng, 1, 31) if rng.random() < 0.85 else "L"
        weekday = random_field(rng, 0, 6, days)
        special = rng.random()
        if special < 0.12:
            weekday = f"{rng.randint(0, 6)}#{rng.randint(1, 5)}"
        elif special < 0.2:
            weekday = f"L{rng.randint(0, 6)}"
        elif special < 0.25:
            weekday = "7"
        fields = [random_field(rng, 0, 59), random_field(rng, 0, 23), day, random_field(rng, 1, 12, months), weekday]
        seconds = rng.random() < 0.25
        if seconds:
            fields.insert(0, random_field(rng, 0, 59))
        start = datetime(2024, 1, 1) + timedelta(minutes=rng.randrange(8 * 365 * 1440), seconds=rng.randrange(60))
        asked = [fields]
        if special < 0.2 and not day.startswith("*"):
            # Either day matches. croniter does not count # and L as a restriction of the day of week and
            # would want both: so ask for each and merge.
            asked = [fields[:-3] + ["*"] + fields[-2:], fields[:-1] + ["*"]]
        # implement_cron_bug is Vixie's rule: a day field that begins with * leaves the choice to the other.
        walks = [croniter(" ".join(each), start, datetime, implement_cron_bug=True, second_at_beginning=True) for each in asked]
        try:
            due = sorted({walk.get_next(datetime) for walk in walks for _ in range(6)})[:6]
        except Exception:
            continue  # croniter looks 50 years ahead; what never matches is tested in Rust
        # croniter writes the last Friday L5, Rondo 5L.
        spelt = " ".join(part[1:] + "L" if len(part) == 2 and part[0] == "L" else part for part in fields)
        stamps = [int(at.replace(tzinfo=timezone.utc).timestamp()) for at in due]
        after = int(start.replace(tzinfo=timezone.utc).timestamp())
        writer.write("croniter", {"cron": {"expression": spelt, "time_zone": "UTC"}}, "shift", "first", after, stamps[-1], stamps)
        written += 1


def nearest_weekdays(writer):
    """W and LW, from the printed month."""
    for year in (2024, 2026, 2029):
        for day in ("1W", "15W", "30W", "31W", "LW", "6W,20W"):
            due = []
            for month in range(1, 13):
                weeks = calendar.Calendar().monthdayscalendar(year, month)
                working = {n for week in weeks for n in week[:5] if n}
                last = calendar.monthrange(year, month)[1]
                picked = set()
                for item in day.split(","):
                    if item == "LW":
                        picked.add(max(working))
                    elif (wanted := int(item[:-1])) <= last:
                        # On a Saturday the Friday before is nearer, on a Sunday the Monday after.
                        picked.add(min(working, key=lambda n: (abs(n - wanted), n)))
                due += [utc(year, month, n, 9, 30) for n in sorted(picked)]
            trigger = {"cron": {"expression": f"30 9 {day} * *", "time_zone": "UTC"}}
            writer.write("calendar", trigger, "shift", "first", utc(year, 1, 1), utc(year, 12, 31, 23), due)


def naive_periodical(writer):
    rng = random.Random(7)
    for _ in range(300):
        start = datetime(2024, 1, 1) + timedelta(minutes=rng.randrange(6 * 365 * 1440), seconds=rng.randrange(60))
        end = start + timedelta(days=rng.choice([3, 40, 365, 900]), seconds=rng.randrange(86400))
        frequency = rng.choice([1, 1, 1, 2, 3, 5, 12, 37, 100])
        time = timedelta(seconds=rng.randrange(86400))
        kind = rng.choice(["day", "week", "month"])
        # The rule begins with the day, week or month that holds the start; what lies before it is cut off.
        midnight = start.replace(hour=0, minute=0, second=0)
        if kind == "day":
            unit, rule = "day", rrule.rrule(rrule.DAILY, midnight, frequency, until=end)
        elif kind == "week":
            chosen = sorted(rng.sample(range(7), rng.randint(1, 4)))
            unit = {"week": [WEEKDAYS[n] for n in chosen]}
            rule = rrule.rrule(rrule.WEEKLY, midnight, frequency, wkst=rrule.MO, byweekday=chosen, until=end)
        else:
            # At least one day that every month has: a rule that never matches is refused.
            chosen = sorted({rng.randint(1, 28), rng.randint(26, 31), 31})
            unit = {"month": chosen}
            rule = rrule.rrule(rrule.MONTHLY, midnight, frequency, bymonthday=chosen, until=end)
        due = [day + time for day in rule if start <= day + time <= end][:40]
        after = start - timedelta(days=30)
        until = due[-1] if len(due) == 40 else end + timedelta(days=400)
        trigger = {"start": start.isoformat(), "end": end.isoformat(), "time": (midnight + time).strftime("%H:%M:%S"),
                   "unit": unit, "frequency": frequency, "time_zone": "UTC"}
        stamp = lambda at: int(at.replace(tzinfo=timezone.utc).timestamp())
        writer.write("rrule", {"periodical": trigger}, "shift", "first", stamp(after), stamp(until), [stamp(at) for at in due])


if __name__ == "__main__":
    writer = Writer(Path(__file__).with_name("vectors.jsonl"))
    zoned(writer)
    naive_cron(writer)
    nearest_weekdays(writer)
    naive_periodical(writer)
    writer.file.close()
    print(f"{writer.count} cases")
