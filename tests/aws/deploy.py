"""Packages template.yaml and deploys it by CloudFormation, as `sam package` and `sam deploy` would, with nothing but
boto3: uploads a zip for each function, puts its address into the template, makes a change set and executes it.

stdin:  {"template": path, "stack": name, "programs": {"functions/NAME": path of the program, …},
         "parameters": {name: value, …}}
stdout: {"outputs": {name: value, …}, "resources": {logical id: {"type": …, "id": physical id}, …}}
"""

import io
import json
import pathlib
import re
import sys
import time
import zipfile

import boto3

BUCKET = "artifacts"


def zipped(program):
    """A custom runtime runs the file named `bootstrap`."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as files:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        files.writestr(entry, pathlib.Path(program).read_bytes(), compresslevel=1)
    return archive.getvalue()


def packaged(template, programs, s3):
    def upload(found):
        folder = found.group(2)
        key = f"{folder}.zip"
        s3.put_object(Bucket=BUCKET, Key=key, Body=zipped(programs[folder]))
        return f"{found.group(1)}s3://{BUCKET}/{key}"

    text = pathlib.Path(template).read_text()
    return re.sub(r"^(\s+CodeUri: )(functions/\S+)$", upload, text, flags=re.MULTILINE)


def wait(ask, done, failed, what):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        answer = ask()
        state = answer.get("StackStatus") or answer["Status"]
        if state in done:
            return answer
        if state in failed:
            sys.exit(f"{what}: {state}: {answer.get('StatusReason') or answer.get('StackStatusReason')}")
        time.sleep(0.2)
    sys.exit(f"{what}: still {state}")


def main():
    order = json.load(sys.stdin)
    stack = order["stack"]
    s3, cloudformation = boto3.client("s3"), boto3.client("cloudformation")
    s3.create_bucket(Bucket=BUCKET)
    template = packaged(order["template"], order["programs"], s3)
    s3.put_object(Bucket=BUCKET, Key="template.yaml", Body=template.encode())
    address = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "template.yaml"})
    cloudformation.create_change_set(
        StackName=stack, ChangeSetName="first", ChangeSetType="CREATE",
        TemplateURL=address.split("?")[0], Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in order["parameters"].items()],
    )
    wait(
        lambda: cloudformation.describe_change_set(StackName=stack, ChangeSetName="first"),
        {"CREATE_COMPLETE"}, {"FAILED"}, "the change set",
    )
    cloudformation.execute_change_set(StackName=stack, ChangeSetName="first")

    def events():
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        if "ROLLBACK" in found["StackStatus"] or "FAILED" in found["StackStatus"]:
            for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
                if "FAILED" in event["ResourceStatus"]:
                    print(event["LogicalResourceId"], event.get("ResourceStatusReason"), file=sys.stderr)
        return found

    failed = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
    made = wait(events, {"CREATE_COMPLETE"}, failed, "the stack")
    resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    json.dump({
        "outputs": {output["OutputKey"]: output["OutputValue"] for output in made.get("Outputs", [])},
        "resources": {
            resource["LogicalResourceId"]: {"type": resource["ResourceType"], "id": resource["PhysicalResourceId"]}
            for resource in resources
        },
    }, sys.stdout)


main()
