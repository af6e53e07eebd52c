"""Reads what a deployment holds, with no code of the project: the table raw, the queues, the schedule group.

stdin:  {"outputs": the stack's outputs}
stdout: {"schedules": {id: {"state": {…}, "records": {"NUMBER#SLOT": {…}}}}, "other": [keys of all other items],
         "due": [keys that are in the index `due`], "group": [names of EventBridge schedules],
         "queues": {name: {"visible", "delayed", "in_flight"}}, "dead_letters": [bodies]}
"""

import decimal
import json
import sys

import boto3
from boto3.dynamodb.types import TypeDeserializer

COUNTS = {
    "visible": "ApproximateNumberOfMessages",
    "delayed": "ApproximateNumberOfMessagesDelayed",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
}


def plain(value):
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, (list, set)):
        return [plain(member) for member in value]
    return value


def scanned(dynamodb, **what):
    read = TypeDeserializer().deserialize
    for page in dynamodb.get_paginator("scan").paginate(**what):
        for item in page["Items"]:
            yield {name: plain(read(value)) for name, value in item.items()}


def table(name):
    dynamodb = boto3.client("dynamodb")
    schedules, other = {}, []
    for item in scanned(dynamodb, TableName=name, ConsistentRead=True):
        kind, _, owner = item["pk"].partition("#")
        if kind != "SCHEDULE":
            other.append(f"{item['pk']} {item['sk']}")
            continue
        schedule = schedules.setdefault(owner, {"state": None, "records": {}})
        if item["sk"] == "STATE":
            schedule["state"] = item
            if "record" in item:
                schedule["records"]["0000000001#000"] = item["record"]
        elif item["sk"].startswith("EXECUTION#"):
            schedule["records"][item["sk"].removeprefix("EXECUTION#")] = item
    due = [f"{item['pk']} {item['sk']}" for item in scanned(dynamodb, TableName=name, IndexName="due")]
    return {"schedules": schedules, "other": sorted(other), "due": sorted(due)}


def group(name):
    pages = boto3.client("scheduler").get_paginator("list_schedules").paginate(GroupName=name)
    return sorted(schedule["Name"] for page in pages for schedule in page["Schedules"])


def counts(sqs, url):
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(COUNTS.values()))["Attributes"]
    return {name: int(attributes[attribute]) for name, attribute in COUNTS.items()}


def bodies(sqs, url):
    """All of them, and left as they were."""
    found = []
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0, VisibilityTimeout=60,
    ).get("Messages"):
        found += messages
    for message in found:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    return sorted(message["Body"] for message in found)


def main():
    outputs = json.load(sys.stdin)["outputs"]
    sqs = boto3.client("sqs")
    queues = {
        "delivery": outputs["QueueUrl"],
        "dead_letters": outputs["DeadLettersUrl"],
        "scheduler_dead_letters": outputs["SchedulerDeadLettersUrl"],
    }
    json.dump({
        **table(outputs["TableName"]),
        "group": group(outputs["ScheduleGroupName"]),
        "queues": {name: counts(sqs, url) for name, url in queues.items()},
        "dead_letters": bodies(sqs, queues["dead_letters"]),
    }, sys.stdout)


main()
