"""What a deployment in the emulator lacks, and a test's shorter times. Everything else is as template.yaml says.

The emulator (ministack 1.5.33) is told again what it got wrong:
 - numbers that came as parameters stand as text in the event source mapping, and its poller stumbles over them;
 - it asks for `sqs:SendMessageBatch`, which AWS does not know (`sqs:SendMessage` covers it), and takes every
   EventBridge schedule to be of the group `default`. Whoever may do the one may do the other here, through a policy
   named `emulator`, which the comparison of permissions leaves aside.

stdin:  {"resources": {logical id: {"type", "id"}}, "environment": {function's suffix or "*": {name: value}},
         "visibility_timeout": s}
stdout: {}
"""

import json
import sys

import boto3

STAND_INS = {
    "sqs:SendMessage": lambda resource: ("sqs:SendMessageBatch", resource),
    "scheduler:CreateSchedule": lambda resource: ("scheduler:CreateSchedule", in_default_group(resource)),
    "scheduler:DeleteSchedule": lambda resource: ("scheduler:DeleteSchedule", in_default_group(resource)),
}


def in_default_group(resource):
    before, _, name = resource.rsplit("/", 2)
    return f"{before}/default/{name}"


def listed(value):
    return value if isinstance(value, list) else [value]


def stand_in_policy(iam, role):
    statements = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    if action in STAND_INS:
                        stand_in, on = STAND_INS[action](resource)
                        statements.append({"Effect": "Allow", "Action": stand_in, "Resource": on})
    if statements:
        document = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName=role, PolicyName="emulator", PolicyDocument=json.dumps(document))


def main():
    order = json.load(sys.stdin)
    functions, iam, sqs = boto3.client("lambda"), boto3.client("iam"), boto3.client("sqs")

    def of_type(kind):
        return [resource["id"] for resource in order["resources"].values() if resource["type"] == kind]

    for name in of_type("AWS::Lambda::Function"):
        configuration = functions.get_function_configuration(FunctionName=name)
        variables = configuration["Environment"]["Variables"]
        for suffix in ("*", name.rsplit("-", 1)[-1]):
            variables |= order["environment"].get(suffix, {})
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        stand_in_policy(iam, configuration["Role"].rsplit("/", 1)[-1])
    for mapping in of_type("AWS::Lambda::EventSourceMapping"):
        found = functions.get_event_source_mapping(UUID=mapping)
        functions.update_event_source_mapping(
            UUID=mapping,
            BatchSize=int(found["BatchSize"]),
            MaximumBatchingWindowInSeconds=int(found["MaximumBatchingWindowInSeconds"]),
            ScalingConfig={"MaximumConcurrency": int(found["ScalingConfig"]["MaximumConcurrency"])},
        )
        queue = sqs.get_queue_url(QueueName=found["EventSourceArn"].rsplit(":", 1)[-1])["QueueUrl"]
        sqs.set_queue_attributes(
            QueueUrl=queue, Attributes={"VisibilityTimeout": str(order["visibility_timeout"])},
        )
    json.dump({}, sys.stdout)


main()
