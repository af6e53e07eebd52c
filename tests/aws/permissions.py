"""Compares what each function asked of AWS with what its role allows, both ways.

What was asked is the emulator's own record of every request (its CloudTrail), by the access key that it was signed
with; what is allowed is read from IAM. Some permissions are used by AWS itself in the function's name: writing its
log, and receiving for an event source mapping.

stdin:  {"functions": [name, …]}
stdout: {function: {"used": [[action, resource], …], "missing": [the used ones that nothing allows],
                    "unused": [the allowed ones that nothing used]}}
"""

import fnmatch
import hashlib
import json
import sys
import urllib.request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

PAGE = 50
# A transaction is authorized item by item.
TRANSACTED = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
ANY = "*"  # of a resource that the record does not tell


class Account:
    def __init__(self):
        session = boto3.Session()
        self.region = session.region_name
        self.credentials = session.get_credentials().get_frozen_credentials()
        self.endpoint = session.client("cloudtrail").meta.endpoint_url
        self.number = boto3.client("sts").get_caller_identity()["Account"]

    def arn(self, service, resource):
        return f"arn:aws:{service}:{self.region}:{self.number}:{resource}"

    def events_of(self, key):
        """Newest first. The emulator gives no token for a next page, and boto3 rounds instants to seconds, so this
        asks by itself for what is older than the last page's last event."""
        end = None
        while True:
            asked = {"MaxResults": PAGE, "LookupAttributes": [{"AttributeKey": "AccessKeyId", "AttributeValue": key}]}
            if end is not None:
                asked["EndTime"] = end
            request = AWSRequest("POST", self.endpoint, data=json.dumps(asked).encode(), headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
            })
            SigV4Auth(self.credentials, "cloudtrail", self.region).add_auth(request)
            prepared = request.prepare()
            raw = urllib.request.Request(prepared.url, prepared.body, dict(prepared.headers), method="POST")
            with urllib.request.urlopen(raw, timeout=60) as answer:
                page = json.load(answer)["Events"]
            yield from (json.loads(event["CloudTrailEvent"]) for event in page)
            if len(page) < PAGE:
                return
            end = page[-1]["EventTime"] - 1e-6


def dynamodb(account, name, asked):
    def table(request):
        resource = f"table/{request['TableName']}"
        if "IndexName" in request:
            resource += f"/index/{request['IndexName']}"
        return account.arn("dynamodb", resource)

    if name in ("BatchGetItem", "BatchWriteItem"):
        return [(name, table({"TableName": of})) for of in asked["RequestItems"]]
    if name == "TransactWriteItems":
        return [(TRANSACTED[kind], table(of)) for item in asked["TransactItems"] for kind, of in item.items()]
    if name == "TransactGetItems":
        return [("GetItem", table(item["Get"])) for item in asked["TransactItems"]]
    return [(name, table(asked))]


def sqs(account, name, asked):
    return [(name.removesuffix("Batch"), account.arn("sqs", asked["QueueUrl"].rsplit("/", 1)[-1]))]


def scheduler(account, name, asked):
    if name == "POST.scheduler":
        place = account.arn("scheduler", f"schedule/{asked['GroupName']}/any")
        return [("CreateSchedule", place), ("iam:PassRole", asked["Target"]["RoleArn"])]
    # Its group stands in the query, which is not on record.
    return [({"DELETE.scheduler": "DeleteSchedule"}[name], ANY)]


def secretsmanager(account, name, asked):
    found = boto3.client("secretsmanager").describe_secret(SecretId=asked["SecretId"])
    return [(name, found["ARN"])]


SERVICES = {"dynamodb": dynamodb, "sqs": sqs, "scheduler": scheduler, "secretsmanager": secretsmanager}


def asked_for(account, key):
    used, known = set(), set()
    for event in account.events_of(key):
        service = event["eventSource"].split(".")[0]
        name, asked = event["eventName"], event["requestParameters"]
        # Most are alike: what differs is what they name, not what they hold.
        for action, resource in SERVICES[service](account, name, asked):
            if (service, action, resource) not in known:
                known.add((service, action, resource))
                used.add((action if ":" in action else f"{service}:{action}", resource))
    return used


def used_by_aws(account, lambda_, function):
    group = account.arn("logs", f"log-group:/aws/lambda/{function}:*")
    used = {("logs:CreateLogStream", group), ("logs:PutLogEvents", group)}
    for mapping in lambda_.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]:
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
            used.add((f"sqs:{action}", mapping["EventSourceArn"]))
    return used


def listed(value):
    return value if isinstance(value, list) else [value]


def allowed(iam, role):
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        if policy == "emulator":  # see adapt.py
            continue
        for statement in iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]["Statement"]:
            if statement["Effect"] != "Allow":
                sys.exit(f"{role}: a statement that does not allow; this knows no other")
            for action in listed(statement["Action"]):
                yield from ((action, resource) for resource in listed(statement["Resource"]))


def covers(permission, use):
    (action, resource), (used_action, used_resource) = permission, use
    return fnmatch.fnmatchcase(used_action.lower(), action.lower()) and (
        used_resource == ANY or fnmatch.fnmatchcase(used_resource, resource)
    )


def main():
    account, iam, lambda_ = Account(), boto3.client("iam"), boto3.client("lambda")
    found = {}
    for function in json.load(sys.stdin)["functions"]:
        configuration = lambda_.get_function_configuration(FunctionName=function)
        arn, role = configuration["FunctionArn"], configuration["Role"]
        # How the emulator makes the key of a function's session.
        key = f"ASIA{hashlib.sha256(f'{arn}:{role}'.encode()).hexdigest()[:16].upper()}"
        used = asked_for(account, key) | used_by_aws(account, lambda_, function)
        permissions = set(allowed(iam, role.rsplit("/", 1)[-1]))
        found[function] = {
            "used": sorted(used),
            "missing": sorted(use for use in used if not any(covers(one, use) for one in permissions)),
            "unused": sorted(one for one in permissions if not any(covers(one, use) for use in used)),
        }
    json.dump(found, sys.stdout)


main()
