# [Set up]
import json, os, urllib.error, urllib.request

URL, TOKEN = os.environ["REDRIVE_URL"], os.environ["REDRIVE_TOKEN"]


def send(method, path, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["Authorization"] = f"Bearer {TOKEN}"
    if isinstance(body, dict):
        headers["Content-Type"], body = "application/json", json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(URL + path, body, headers, method=method))


# [Start a run]
run = json.load(send("POST", "/workflow-runs", {
    "template": "summarise",
    "files": [{"name": "a.txt", "text": "Sales rose."}, {"name": "fail-b.txt", "text": "Costs fell."}],
}, Idempotency_Key="reports-of-november"))
print(run["id"])


# [Wait until it is closed]
def closed(run):
    last = {}
    while True:  # the stream may break: go on after the last event
        with send("GET", f"/workflow-runs/{run['id']}/events", **last) as stream:
            for line in stream:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "id":
                    last = {"Last_Event_ID": value}
                elif field == "data" and json.loads(value).get("status", "RUNNING") != "RUNNING":
                    return json.loads(value)


print(closed(run)["status"])

# [Read the run with its files]
run = json.load(send("GET", f"/workflow-runs/{run['id']}"))
print([(f["name"], f["status"]) for f in run["files"]])

# [Ask what a Continue would do and cost]
preview = json.load(send("GET", f"/workflow-runs/{run['id']}/retry-failed"))
print(preview["files"], preview["price"])

# [Continue: run again what failed]
send("POST", f"/workflow-runs/{run['id']}/retry-failed?maxPrice={preview['price']}",
     Idempotency_Key="reports-of-november-again")
print(closed(run)["status"])

# [Read an output]
print(send("GET", f"/workflow-runs/{run['id']}/files/1/output").read().decode())

# [Read what each file cost, and why]
receipt = json.load(send("GET", f"/workflow-runs/{run['id']}/receipt"))
print([(f["index"], f["why"], f["credits"]) for a in receipt["attempts"] for f in a["files"]])

# [Read the balance]
print(json.load(send("GET", "/balance"))["available"])

# [Upload files]
form = b"".join(b"--redrive\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in [
    b'name="template"\r\n\r\nsummarise',
    b'name="files"; filename="c.txt"\r\n\r\nA longer text.',
]) + b"--redrive--\r\n"
uploaded = json.load(send("POST", "/workflow-runs", form, Content_Type="multipart/form-data; boundary=redrive"))
print(uploaded["id"])

# [See why a request is refused]
try:
    send("POST", f"/workflow-runs/{run['id']}/retry-failed")
except urllib.error.HTTPError as refused:
    problem = json.load(refused)
    print(problem["code"], problem["detail"])
