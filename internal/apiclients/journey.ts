// The whole journey with a client that openapi-typescript made of the document. What it
// calls and reads is checked by tsc; what it gets, here.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const env = (name: string): string => {
  const value = process.env[name];
  assert(value, `${name} is not set`);
  return value;
};
const baseUrl = env("REDRIVE_URL");
const as = (token: string) => createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
const operator = as(env("REDRIVE_OPERATOR"));
const redrive = as(env("REDRIVE_TOKEN"));
const tenant = env("REDRIVE_TENANT");

// ok gives the data of an answer; a refusal fails.
function ok<D>(answer: { data?: D; error?: unknown; response: Response }): D {
  assert(answer.error === undefined && answer.data !== undefined, `${answer.response.status}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

type RunState = components["schemas"]["RunState"];

// closed waits for a run by its events, and connects again if it has to.
async function closed(run: string): Promise<RunState> {
  let last: string | undefined;
  for (;;) {
    const { data, error } = await redrive.GET("/workflow-runs/{id}/events", {
      params: { path: { id: run }, ...(last === undefined ? {} : { header: { "Last-Event-ID": last } }) },
      parseAs: "stream",
    });
    assert(data, JSON.stringify(error));
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of data) {
      text += decoder.decode(chunk, { stream: true });
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const fields = new Map(text.slice(0, end).split("\n").map((l) => [l.slice(0, l.indexOf(":")), l.slice(l.indexOf(":") + 2)]));
        text = text.slice(end + 2);
        last = fields.get("id") ?? last;
        if (fields.get("event") !== "state") continue;
        const state = JSON.parse(fields.get("data") ?? "") as RunState;
        assert.equal(state.run, run);
        if (state.status !== "RUNNING") return state;
      }
    }
  }
}

// The platform's side: a tenant with credits and a template.
ok(await operator.POST("/tenants", { body: { id: tenant, name: "Acme Ltd" } }));
const key = randomUUID();
for (let i = 0; i < 2; i++) {
  const entry = ok(
    await operator.POST("/tenants/{id}/purchases", {
      params: { path: { id: tenant }, header: { "Idempotency-Key": key } },
      body: { amount: 100 },
    }),
  );
  assert.equal(entry.seq, 1, "the repeat adds nothing");
}
const template = ok(
  await operator.POST("/templates", {
    params: { query: { tenant } },
    body: { id: "summarise", name: "Summarise", instructions: "Summarise the file.", creditsPerRun: 2, mode: "per_file" },
  }),
);
ok(await operator.POST("/templates/{id}/publish", { params: { path: { id: template.id }, query: { tenant } } }));

// A run of three files, of which one fails.
const initiate = { params: { header: { "Idempotency-Key": randomUUID() } }, body: {
  template: template.id,
  files: ["a.txt", "fail-b.txt", "c.txt"].map((name) => ({ name, text: `Text of ${name}.` })),
} };
const run = ok(await redrive.POST("/workflow-runs", initiate));
assert.equal(ok(await redrive.POST("/workflow-runs", initiate)).id, run.id, "the repeat starts no other run");
assert.equal((await closed(run.id)).status, "COMPLETED_WITH_ERRORS");
const path = { id: run.id };
const before = ok(await redrive.GET("/workflow-runs/{id}", { params: { path } }));
assert.deepEqual(before.files.map((f) => f.status), ["completed", "failed", "completed"]);
assert.equal(before.creditsConsumed, 6);

// The Continue, at the price of its preview.
const preview = ok(await redrive.GET("/workflow-runs/{id}/retry-failed", { params: { path } }));
assert.deepEqual([preview.ok, preview.files, preview.price], [true, [1], 2]);
ok(await redrive.POST("/workflow-runs/{id}/retry-failed", {
  params: { path, query: { maxPrice: preview.price }, header: { "Idempotency-Key": randomUUID() } },
}));
assert.equal((await closed(run.id)).status, "COMPLETED");
const output = ok(await redrive.GET("/workflow-runs/{id}/files/{index}/output", {
  params: { path: { ...path, index: "1" } }, parseAs: "text",
}));
assert.equal(output, "TEXT OF FAIL-B.TXT.");
const receipt = ok(await redrive.GET("/workflow-runs/{id}/receipt", { params: { path } }));
assert.deepEqual(receipt.attempts.map((a) => a.files.length), [3, 1]);
assert.equal(ok(await redrive.GET("/balance")).available, 92);

// An upload, as a form.
const form = new FormData();
form.append("template", template.id);
form.append("files", new Blob(["Uploaded."]), "d.txt");
const uploaded = ok(await redrive.POST("/workflow-runs", { body: form as never, bodySerializer: (f: unknown) => f as FormData }));
assert.equal((await closed(uploaded.id)).status, "COMPLETED");

// A refusal, whose type leads to what to do about it.
const refused = await redrive.POST("/workflow-runs/{id}/retry-failed", { params: { path } });
assert.equal(refused.response.status, 400);
assert.equal(refused.error?.code, "no_errors_to_retry");
const problem = ok(await redrive.GET("/problems/{code}", { params: { path: { code: refused.error.code } } }));
assert.equal(problem.type, refused.error.type);
console.log("journey done");
