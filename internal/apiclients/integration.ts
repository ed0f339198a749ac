// What an integration needs beside runs, with a client that openapi-typescript made of the
// document: an API key, webhooks, the tenant's events by a ticket, a bulk continue, all
// outputs, the month's statement.
import assert from "node:assert/strict";
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import createClient from "openapi-fetch";
import type { components, paths, webhooks } from "./schema.js";

const env = (name: string): string => {
  const value = process.env[name];
  assert(value, `${name} is not set`);
  return value;
};
const baseUrl = env("REDRIVE_URL");
const as = (token: string) => createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

// ok gives the data of an answer; a refusal fails.
function ok<D>(answer: { data?: D; error?: unknown; response: Response }): D {
  assert(answer.error === undefined && answer.data !== undefined, `${answer.response.status}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

const admin = as(env("REDRIVE_TOKEN"));
const key = ok(await admin.POST("/api-keys", { body: { name: "nightly job", role: "customer_admin" } }));
const redrive = as(key.token);

// A receiver of webhooks, which takes what is authentic, and each event once.
type Hook = webhooks["run.closed"]["post"]["requestBody"]["content"]["application/json"]
  | webhooks["run.continued"]["post"]["requestBody"]["content"]["application/json"];
let secret = "";
const seen = new Set<string>();
const came: Hook[] = [];
let arrived: () => void = () => {};

async function verified(request: IncomingMessage): Promise<Hook> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  const id = request.headers["webhook-id"] as string;
  const at = request.headers["webhook-timestamp"] as string;
  assert(Math.abs(Date.now() / 1000 - Number(at)) < 300, "signed too long ago");
  const want = createHmac("sha256", Buffer.from(secret.slice("whsec_".length), "base64")).update(`${id}.${at}.${body}`).digest();
  const signatures = (request.headers["webhook-signature"] as string).split(" ").map((s) => Buffer.from(s.slice("v1,".length), "base64"));
  assert(signatures.some((s) => s.length === want.length && timingSafeEqual(s, want)), "not authentic");
  const event = JSON.parse(body) as Hook;
  assert.equal(event.id, id);
  return event;
}

const receiver = createServer((request, response) => {
  verified(request).then((event) => {
    response.writeHead(204).end();
    if (seen.has(event.id)) return;
    seen.add(event.id);
    came.push(event);
    arrived();
  }, (error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
await new Promise<void>((listens) => receiver.listen(0, "127.0.0.1", listens));

async function next(): Promise<Hook> {
  for (;;) {
    const event = came.shift();
    if (event) return event;
    await new Promise<void>((resolve) => { arrived = resolve; });
  }
}

const endpoint = ok(await redrive.POST("/webhook-endpoints", {
  body: { url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/redrive`, events: ["run.closed", "run.continued"] },
}));
assert(endpoint.secret);
secret = endpoint.secret;

// The tenant's events, as a browser has them: with a ticket in the place of a header.
const { ticket } = ok(await redrive.POST("/event-tickets"));
const { data: stream, error } = await createClient<paths>({ baseUrl }).GET("/events", {
  params: { query: { ticket } as never }, parseAs: "stream",
});
assert(stream, JSON.stringify(error));
type TenantEvent = { event: "snapshot"; data: components["schemas"]["TenantSnapshot"] } | { event: "run"; data: components["schemas"]["RunEvent"] } | { event: "balance"; data: components["schemas"]["Balance"] };
async function* eventsOf(bytes: ReadableStream<Uint8Array>): AsyncGenerator<TenantEvent> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of bytes) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = new Map(text.slice(0, end).split("\n").map((l) => [l.slice(0, l.indexOf(":")), l.slice(l.indexOf(":") + 2)]));
      text = text.slice(end + 2);
      if (fields.has("data")) yield { event: fields.get("event"), data: JSON.parse(fields.get("data") ?? "") } as TenantEvent;
    }
  }
}
const events = eventsOf(stream as ReadableStream<Uint8Array>);
const first = (await events.next()).value as TenantEvent;
assert(first.event === "snapshot" && first.data.balance.available === 100);

// Two runs, of each of which one file fails.
const runs: string[] = [];
for (let n = 0; n < 2; n++) {
  runs.push(ok(await redrive.POST("/workflow-runs", {
    params: { header: { "Idempotency-Key": randomUUID() } },
    body: { template: "summarise", files: [`fail-${n}.txt`, "b.txt"].map((name) => ({ name, text: `Text of ${name}.` })) },
  })).id);
}
const told = [await next(), await next()].map((e) => [e.type, e.data.runId, e.data.status]);
assert.deepEqual(told.sort(), runs.map((run) => ["run.closed", run, "COMPLETED_WITH_ERRORS"]).sort());
for (const closed = new Set<string>(); closed.size < runs.length; ) {
  const e = (await events.next()).value as TenantEvent;
  if (e.event === "run" && e.data.run.status === "COMPLETED_WITH_ERRORS") closed.add(e.data.run.run);
}

// All of them continued as one, at the price of its preview.
const selection = { template: "summarise", failureCode: "rate_limited" };
const preview = ok(await redrive.POST("/bulk-continues/preview", { body: selection }));
assert.deepEqual([preview.accepted, preview.price], [2, 4]);
const create = { params: { header: { "Idempotency-Key": randomUUID() } }, body: { ...selection, maxPrice: preview.price } };
const bulk = ok(await redrive.POST("/bulk-continues", create));
assert.equal(ok(await redrive.POST("/bulk-continues", create)).id, bulk.id, "the repeat continues nothing twice");
const after = [await next(), await next(), await next(), await next()].map((e) => `${e.type} ${e.data.status}`);
assert.deepEqual(after.sort(), ["run.closed COMPLETED", "run.closed COMPLETED", "run.continued RUNNING", "run.continued RUNNING"]);
for (let state = bulk.state; state !== "finished"; ) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  const now = ok(await redrive.GET("/bulk-continues/{id}", { params: { path: { id: bulk.id } } }));
  assert(now.state === "running" || now.state === "finished", now.state);
  state = now.state;
}

// All outputs of a run, and the month's statement.
const outputs = ok(await redrive.GET("/workflow-runs/{id}/outputs", {
  params: { path: { id: runs[0]! }, query: { format: "jsonl" } }, parseAs: "text",
})) as string;
assert.match(outputs, /TEXT OF FAIL-0\.TXT\./);
const balance = ok(await redrive.GET("/balance"));
assert.equal(balance.available, 100 - 2 * 4 - 4);
const statement = ok(await redrive.GET("/tenants/{id}/statements/{period}", {
  params: { path: { id: env("REDRIVE_TENANT"), period: balance.period } },
})) as components["schemas"]["Statement"]; // the other form is CSV
assert.equal(statement.closing.purchased, balance.purchased);

// A key that is revoked is good for nothing at once.
assert.equal(ok(await admin.DELETE("/api-keys/{id}", { params: { path: { id: key.id } } })).status, "revoked");
assert.equal((await redrive.GET("/balance")).response.status, 401);
console.log("integration done");
process.exit(0); // with the streams that are open
