// [Set up]
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js"; // npx openapi-typescript "$REDRIVE_URL/openapi.json" -o schema.d.ts

const { REDRIVE_URL: baseUrl = "", REDRIVE_TOKEN } = process.env;
const redrive = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${REDRIVE_TOKEN}` } });

// [Start a run]
const started = await redrive.POST("/workflow-runs", {
  params: { header: { "Idempotency-Key": "reports-of-november" } },
  body: {
    template: "summarise",
    files: [{ name: "a.txt", text: "Sales rose." }, { name: "fail-b.txt", text: "Costs fell." }],
  },
});
if (started.error) throw new Error(started.error.detail);
const path = { id: started.data.id };
console.log(path.id);

// [Wait until it is closed]
async function closed(): Promise<components["schemas"]["RunState"]> {
  for (let last: { "Last-Event-ID"?: string } = {}; ; ) { // the stream may break: go on after the last event
    const { data, error } = await redrive.GET("/workflow-runs/{id}/events", { params: { path, header: last }, parseAs: "stream" });
    if (error) throw new Error(error.detail);
    let rest = "";
    for await (const chunk of data!.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("id: ")) last = { "Last-Event-ID": line.slice(4) };
        if (!line.startsWith("data: ")) continue;
        const state = JSON.parse(line.slice(6));
        if ((state.status ?? "RUNNING") !== "RUNNING") return state;
      }
    }
  }
}
console.log((await closed()).status);

// [Read the run with its files]
const { data: run } = await redrive.GET("/workflow-runs/{id}", { params: { path } });
console.log(run?.files.map((f) => [f.name, f.status]));

// [Ask what a Continue would do and cost]
const { data: preview } = await redrive.GET("/workflow-runs/{id}/retry-failed", { params: { path } });
console.log(preview?.files, preview?.price);

// [Continue: run again what failed]
await redrive.POST("/workflow-runs/{id}/retry-failed", {
  params: { path, query: { maxPrice: preview?.price ?? 0 }, header: { "Idempotency-Key": "reports-of-november-again" } },
});
console.log((await closed()).status);

// [Read an output]
const { data: output } = await redrive.GET("/workflow-runs/{id}/files/{index}/output", {
  params: { path: { ...path, index: "1" } }, parseAs: "text",
});
console.log(output);

// [Read what each file cost, and why]
const { data: receipt } = await redrive.GET("/workflow-runs/{id}/receipt", { params: { path } });
console.log(receipt?.attempts.flatMap((a) => a.files.map((f) => [f.index, f.why, f.credits])));

// [Read the balance]
const { data: balance } = await redrive.GET("/balance");
console.log(balance?.available);

// [Upload files]
const form = new FormData();
form.append("template", "summarise");
form.append("files", new Blob(["A longer text."]), "c.txt");
const uploaded = await redrive.POST("/workflow-runs", { body: { files: [] }, bodySerializer: () => form });
console.log(uploaded.data?.id);

// [See why a request is refused]
const refused = await redrive.POST("/workflow-runs/{id}/retry-failed", { params: { path } });
console.log(refused.error?.code, refused.error?.detail);
