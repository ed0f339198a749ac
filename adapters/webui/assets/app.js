// What a server cannot do. Without this script every page works by being loaded again.

// Only the browser knows the time zone; the next page is rendered in it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes("zone=" + zone)) {
  document.cookie = `zone=${zone};path=/ui/;max-age=31536000;samesite=lax`;
}

// A second click is not sent while the first request is under way.
addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => form.querySelectorAll("button").forEach((b) => b.setAttribute("aria-disabled", "true")));
});
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
   // Restored by the back button: the page is out of date, and its request has ended.
  location.reload();
});

// A menu closes when something else is clicked, or by Escape.
const menus = "details.account[open], details.confirm[open]";
addEventListener("click", (event) => {
  document.querySelectorAll(menus).forEach((d) => d.contains(event.target) || (d.open = false));
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelectorAll(menus).forEach((d) => {
    d.open = false;
    d.querySelector("summary").focus();
  });
});

// A button copies a field. Without a secure connection the browser has no clipboard for
// pages; then the field is selected for the user to copy.
document.querySelectorAll("[data-copy]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      document.getElementById(field.id + "-said").textContent = button.dataset.done;
    } catch {
      field.focus();
    }
  });
});

// morph makes one element equal to another and does not touch equal parts, so that focus,
// selection and unfolded parts are kept.
function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id) {
    return from.replaceWith(document.importNode(to, true));
  }
  if (from.nodeType !== Node.ELEMENT_NODE) return void (from.nodeValue = to.nodeValue);
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(from.nodeName === "DETAILS" && name === "open")) from.removeAttribute(name);
  }
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
   // The field that the user is typing in is not changed.
  if (from.nodeName === "INPUT" && from.type === "hidden") from.value = to.value;
  const want = [...to.childNodes];
   // What has an ID stays itself wherever it goes: the tick on a run is not given to another
   // run because a new one is listed above it.
  const named = new Set(want.map((node) => node.id).filter(Boolean));
  [...from.children].forEach((node) => node.id && !named.has(node.id) && node.remove());
  want.forEach((node, i) => {
    let have = from.childNodes[i] ?? null;
    if (node.id && have?.id !== node.id) {
      have = from.insertBefore([...from.children].find((other) => other.id === node.id) ?? document.importNode(node, true), have);
    }
    if (have) morph(have, node);
    else from.append(document.importNode(node, true));
  });
  [...from.childNodes].slice(want.length).forEach((node) => node.remove());
}

// Live pages: when something has changed, or may have, the page is fetched again and the
// changed parts are replaced. One fetch at a time; of a run at most two a second, and of other
// pages one in two seconds: in a busy tenant something changes all the time.
const main = document.querySelector("main");
const pause = main.dataset.state ? 500 : 2000;
let fetching = false;
let again = false;

async function refresh() {
  if (fetching) return void (again = true);
  fetching = true;
  try {
    const running = () => (main.dataset.state || "").startsWith("RUNNING");
    let page = await load(running() ? "live" : "whole");
    if (page && page.dataset.state !== main.dataset.state && running()) page = await load("whole");
    if (page) {
      page.querySelectorAll("[data-region]").forEach((part) => {
        const here = document.getElementById(part.id);
               // While a form is being sent nothing is replaced: its answer is a new page.
        if (here && !here.querySelector("form[data-sent]")) morph(here, part);
      });
      for (const name of ["state", "poll"]) {
        if (page.dataset[name]) main.dataset[name] = page.dataset[name];
        else delete main.dataset[name];
      }
    }
  } finally {
    setTimeout(() => {
      fetching = false;
      if (again) {
        again = false;
        refresh();
      }
    }, pause);
  }
}

async function load(what) {
  try {
    const answer = await fetch(location.href, { headers: { "X-Redrive-Live": what } });
    if (answer.status === 401) return void location.reload();
    if (!answer.ok) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  } catch {
       return null; // the server cannot be reached; the next fetch will show whether it can again
  }
}

if (main.querySelector("[data-region]")) {
  let events = null;
  let streaming = false;
  let polled = Date.now();
  const follow = () => {
    if (!main.dataset.live || document.hidden || (events && events.readyState !== EventSource.CLOSED)) return;
    events = new EventSource(main.dataset.live);
    events.onopen = () => {
      streaming = true;
           // Fetch the changes of a run that happened while there was no stream; that of a tenant
           // sends them, or a snapshot.
      if (main.dataset.state) refresh();
    };
    events.onerror = (event) => {
      streaming = false;
           // The browser reconnects by itself after a broken connection, not after a refusal.
      if (event.target.readyState !== EventSource.CLOSED) return;
      setTimeout(refresh, 500);
      setTimeout(follow, 30000);
    };
    ["state", "closed", "run", "snapshot"].forEach((name) => events.addEventListener(name, refresh));
       // The server has stopped, or the session has ended: the next fetch will show which.
    events.addEventListener("end", () => {
      streaming = false;
      refresh();
    });
  };
  follow();
   // A page that nobody sees holds no stream: a browser has six connections to a server, and a
   // server a bound on streams.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      events?.close();
      streaming = false;
    } else {
      refresh();
      follow();
    }
  });
  setInterval(() => {
    if (!main.dataset.poll || streaming || document.hidden || Date.now() - polled < 1000 * main.dataset.poll) return;
    polled = Date.now();
    refresh();
  }, 1000);
}

// A new run: files are checked as they are chosen, and the upload shows its progress.
const form = document.getElementById("upload");
if (form) upload(form);

function upload(form) {
  const $ = (id) => document.getElementById(id);
  const limits = JSON.parse(form.dataset.limits);
  const texts = JSON.parse(form.dataset.texts);
  const number = new Intl.NumberFormat(document.documentElement.lang);
  const plural = new Intl.PluralRules(document.documentElement.lang);
  const listed = 200;
  let files = []; // {file, name, wrong}

  const say = (key, values = {}) =>
    texts["upload." + key].replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number.format(values[name]) : values[name]));
  const count = (key, n, values = {}) => say(key + (plural.select(n) === "one" ? ".one" : ".other"), { ...values, n });
  const tenths = (n) => number.format(Math.round(n * 10) / 10);
  const size = (n) => (n < 1024 ? n + " B" : n < 1048576 ? tenths(n / 1024) + " KB" : tenths(n / 1048576) + " MB");
  const good = () => files.filter((f) => !f.wrong);

  function look() {
    let left = limits.maxFiles;
    let bytes = limits.maxUploadBytes;
    for (const f of files) {
           if (f.said) continue; // the server's refusal stays
      f.wrong = "";
      if (f.file.size === 0) f.wrong = say("empty");
      else if (f.file.size > limits.maxFileBytes) f.wrong = say("large", { max: size(limits.maxFileBytes) });
      else if (left === 0) f.wrong = say("many", { n: limits.maxFiles });
      else if (f.file.size > bytes) f.wrong = say("total", { max: size(limits.maxUploadBytes) });
      else {
        left--;
        bytes -= f.file.size;
      }
    }
    show();
  }

  function show() {
    const bad = files.length - good().length;
    $("chosen").textContent = files.length === 0 ? "" : count("chosen", good().length) + (bad ? " " + count("refused", bad) : "");
    const sorted = [...files.filter((f) => f.wrong), ...good()];
    $("picked").replaceChildren(...sorted.slice(0, listed).map(row));
    if (sorted.length > listed) {
      const li = document.createElement("li");
      li.textContent = say("more", { n: sorted.length - listed });
      $("picked").append(li);
    }
    const price = form.template.selectedOptions[0]?.dataset.price;
    if (good().length === 0 || !price) return void ($("price").textContent = texts["upload.nothing"]);
    const total = price * good().length;
    $("price").textContent = count("price", good().length, { price: +price, total });
    const left = form.dataset.available - total;
    $("balance").textContent = left < 0 ? say("short", { n: -left, available: +form.dataset.available }) : say("balance", { before: +form.dataset.available, after: left });
  }

  function row(f) {
    const li = document.createElement("li");
    const name = document.createElement("bdi");
    name.textContent = f.name;
    const what = document.createElement("span");
    what.className = f.wrong ? "error" : "ok";
    what.textContent = f.wrong || say("accepted", { size: size(f.file.size) });
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = texts["upload.remove"];
    remove.setAttribute("aria-label", texts["upload.remove"] + " " + f.name);
    remove.onclick = () => {
      files = files.filter((other) => other !== f);
      look();
      $("f-files").focus();
    };
    li.append(name, what, remove);
    return li;
  }

  function add(list) {
    for (const { file, name } of list) {
      const same = (f) => f.name === name && f.file.size === file.size && f.file.lastModified === file.lastModified;
      if (!files.some(same)) files.push({ file, name, wrong: "" });
    }
    wrong("files", "");
    look();
  }

  for (const id of ["f-files", "f-folder"]) {
    $(id).addEventListener("change", (event) => {
      add([...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
      event.target.value = ""; // they are in the list now; the same may be chosen again
    });
  }
  form.template.addEventListener("change", () => (wrong("template", ""), show()));
  form.retries.addEventListener("input", () => wrong("retries", ""));

  const drop = $("drop");
  const over = (on) => (event) => {
    event.preventDefault();
    drop.classList.toggle("over", on);
  };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", async (event) => {
    over(false)(event);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (entries.length === 0) return add([...event.dataTransfer.files].map((file) => ({ file, name: file.name })));
    add((await Promise.all(entries.map((e) => walk(e, "")))).flat());
  });

  async function walk(entry, folder) {
    if (entry.isFile) {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      return file ? [{ file, name: folder + file.name }] : [];
    }
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      // A folder is read a hundred entries at a time.
      const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
      if (some.length === 0 || found.length > limits.maxFiles) return found;
      for (const e of some) found.push(...(await walk(e, folder + entry.name + "/")));
    }
  }

  function wrong(field, message) {
    if (field === "form") {
      $("e-form").textContent = message;
      return $("form-error").classList.toggle("hidden", !message);
    }
    $("e-" + field).textContent = message;
    const box = form.querySelector(`[data-field="${field}"]`);
    box.classList.toggle("wrong", !!message);
    const input = $("f-" + field);
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  function state(text, percent) {
    $("sending").textContent = text;
    $("sending").classList.toggle("hidden", !text);
    $("sent").classList.toggle("hidden", percent === undefined);
    $("sent").value = percent ?? 0;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if ($("start").getAttribute("aria-disabled")) return;
    ["form", "template", "retries", "files"].forEach((field) => wrong(field, ""));
    const sent = good();
    const retries = form.retries.valueAsNumber;
    if (!form.template.value) wrong("template", texts["new.template.missing"]);
    if (!Number.isInteger(retries) || retries < 1 || retries > form.retries.max) wrong("retries", texts["new.retries.wrong"]);
    if (sent.length === 0) wrong("files", texts["new.files.none"]);
    const first = form.querySelector("[aria-invalid]");
    if (first) return first.focus();
    const body = new FormData();
    for (const [name, value] of new FormData(form)) if (name !== "files") body.append(name, value);
    body.append("count", sent.length);
    for (const f of sent) body.append("files", f.file, f.name);

    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    $("start").setAttribute("aria-disabled", "true");
    const end = (message) => {
      $("start").removeAttribute("aria-disabled");
      state("");
      if (message) wrong("form", message);
    };
    request.upload.onprogress = ({ loaded, total }) => {
      const percent = Math.floor((100 * loaded) / total);
      state(percent < 100 ? say("sending", { percent }) : texts["upload.working"], percent);
    };
    request.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // a proxy's page, or none
      }
      if (answer.location) return void (location.href = answer.location);
      if (request.status === 401) return end(texts["upload.signedout"]);
      if (!answer.message) return end(texts["upload.broken"]);
      if (answer.key) form.elements.key.value = answer.key;
      if (answer.template) {
        const { id, text, price } = answer.template;
        form.elements["shown." + id].value = price;
        const option = [...form.template.options].find((o) => o.value === id);
        option.textContent = text;
        option.dataset.price = price;
      }
      for (const f of answer.files || []) {
        if (sent[f.index]) Object.assign(sent[f.index], { wrong: f.message, said: true });
      }
      for (const f of answer.fields || []) wrong(f.field, f.message);
      end(answer.fields?.some((f) => f.field === "form") ? "" : answer.message);
      look();
      (form.querySelector("[aria-invalid]") || $("start")).focus();
    };
    request.onerror = () => end(texts["upload.broken"]);
    state(say("sending", { percent: 0 }), 0);
    request.send(body);
  });
  show();
}
