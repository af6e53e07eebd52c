"""Invokes a function with AWS credentials, as an operator does.

stdin:  {"function": name, "event": JSON}
stdout: what it answered
"""

import json
import sys

import boto3

order = json.load(sys.stdin)
answer = boto3.client("lambda").invoke(FunctionName=order["function"], Payload=json.dumps(order["event"]))
payload = answer["Payload"].read().decode()
if "FunctionError" in answer:
    sys.exit(f"{answer['FunctionError']}: {payload}")
sys.stdout.write(payload)
