#!/bin/sh
set -eu

# [Start a run]
RUN=$(curl -sS --fail-with-body "$REDRIVE_URL/workflow-runs" \
  -H "Authorization: Bearer $REDRIVE_TOKEN" \
  -H "Idempotency-Key: reports-of-november" \
  -H "Content-Type: application/json" \
  -d '{"template": "summarise", "files": [{"name": "a.txt", "text": "Sales rose."}, {"name": "fail-b.txt", "text": "Costs fell."}]}' |
  grep -o '"id":"[^"]*"' | head -n 1 | cut -d '"' -f 4)
echo "$RUN"

# [Wait until it is closed]
curl -sSN --fail-with-body "$REDRIVE_URL/workflow-runs/$RUN/events" \
  -H "Authorization: Bearer $REDRIVE_TOKEN" |
  sed -n '/^data: .*"status":"RUNNING"/d; /^data: /{s///p;q;}'

# [Read the run with its files]
curl -sS --fail-with-body "$REDRIVE_URL/workflow-runs/$RUN" \
  -H "Authorization: Bearer $REDRIVE_TOKEN"

# [Ask what a Continue would do and cost]
curl -sS --fail-with-body "$REDRIVE_URL/workflow-runs/$RUN/retry-failed" \
  -H "Authorization: Bearer $REDRIVE_TOKEN"

# [Continue: run again what failed]
curl -sS --fail-with-body -X POST "$REDRIVE_URL/workflow-runs/$RUN/retry-failed?maxPrice=2" \
  -H "Authorization: Bearer $REDRIVE_TOKEN" \
  -H "Idempotency-Key: reports-of-november-again"
# []
curl -sSN --fail-with-body "$REDRIVE_URL/workflow-runs/$RUN/events" \
  -H "Authorization: Bearer $REDRIVE_TOKEN" |
  sed -n '/^data: .*"status":"RUNNING"/d; /^data: /{s///p;q;}'

# [Read an output]
curl -sS --fail-with-body "$REDRIVE_URL/workflow-runs/$RUN/files/1/output" \
  -H "Authorization: Bearer $REDRIVE_TOKEN"

# [Read what each file cost, and why]
curl -sS --fail-with-body "$REDRIVE_URL/workflow-runs/$RUN/receipt" \
  -H "Authorization: Bearer $REDRIVE_TOKEN"

# [Read the balance]
curl -sS --fail-with-body "$REDRIVE_URL/balance" \
  -H "Authorization: Bearer $REDRIVE_TOKEN"

# [Upload files]
printf 'A longer text.' >c.txt
curl -sS --fail-with-body "$REDRIVE_URL/workflow-runs" \
  -H "Authorization: Bearer $REDRIVE_TOKEN" \
  -F template=summarise -F files=@c.txt

# [See why a request is refused]
curl -sS -X POST "$REDRIVE_URL/workflow-runs/$RUN/retry-failed" \
  -H "Authorization: Bearer $REDRIVE_TOKEN"
