'use strict';
// Draws the story: one row after the other from top to bottom, one lane per actor,
// and beside it what was committed by the row that is chosen.
(function () {
  const data = JSON.parse(document.getElementById('data').textContent);
  const story = data.story, all = story.rows;
  const GUTTER = 152, SAID = 420;
  let ROW = 24;
  const $ = (id) => document.getElementById(id);
  const el = (name, className, text) => {
    const e = document.createElement(name);
    if (className) e.className = className;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const svg = (name, attributes, text) => {
    const e = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const key in attributes) e.setAttribute(key, attributes[key]);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const clock = (at) => at.slice(5, 10) + ' ' + at.slice(11, 19);
  const shownWords = { commit: 'commit', rollback: '', fault: '', calls: '' };

  let chosen = -1;     // index in all
  let showIdle = false;
  let shown = [];      // indexes of rows that are drawn
  let place = [];      // of a row in shown; -1
  let lanes = [];      // indexes of lanes that are drawn
  let x = [];          // of each lane
  let width = 0;
  let divs = [];

  const isIdle = (row) => row.lane >= 0 && story.lanes[row.lane].idle;
  const y = (row) => place[row] * ROW + ROW / 2;

  function arrange() {
    shown = []; place = all.map(() => -1);
    all.forEach((row, i) => {
      if (showIdle || !isIdle(row)) { place[i] = shown.length; shown.push(i); }
    });
    ROW = Math.round(Math.max(24, Math.min(30, ($('lanes').clientHeight - 70) / shown.length)));
    $('rows').style.setProperty('--row', ROW + 'px');
    lanes = story.lanes.map((l, i) => i).filter((i) => showIdle || !story.lanes[i].idle);
    const room = $('lanes').clientWidth - GUTTER - SAID - 20;
    const laneWidth = Math.max(30, Math.min(118, room / Math.max(1, lanes.length)));
    x = story.lanes.map(() => 0);
    lanes.forEach((lane, n) => { x[lane] = GUTTER + laneWidth * (n + 0.5); });
    width = GUTTER + laneWidth * lanes.length;
    return laneWidth;
  }

  function draw() {
    const laneWidth = arrange();
    drawHeads(laneWidth);
    drawRows();
    drawSigns(laneWidth);
  }

  const groupOf = (lane) => (story.lanes[lane].process < 0 ? 'users' : 'process ' + story.lanes[lane].process);

  function drawHeads(laneWidth) {
    const heads = $('heads');
    heads.replaceChildren();
    heads.className = laneWidth < 64 ? 'narrow' : '';
    heads.style.minWidth = (width + SAID) + 'px';
    let from = 0;
    lanes.forEach((lane, n) => {
      const name = el('div', 'name', story.lanes[lane].name);
      name.style.left = (x[lane] - laneWidth / 2) + 'px';
      name.style.width = laneWidth + 'px';
      heads.append(name);
      if (n + 1 === lanes.length || groupOf(lanes[n + 1]) !== groupOf(lane)) {
        const group = el('div', 'group', groupOf(lane));
        group.style.left = (x[lanes[from]] - laneWidth / 2 + 2) + 'px';
        group.style.width = (laneWidth * (n - from + 1) - 4) + 'px';
        heads.append(group);
        from = n + 1;
      }
    });
  }

  function drawRows() {
    const rows = $('rows');
    divs.forEach((d) => d && d.remove());
    divs = [];
    rows.style.height = (shown.length * ROW + 12) + 'px';
    rows.style.minWidth = (width + SAID) + 'px';
    let step = -1, when = '';
    shown.forEach((i) => {
      const row = all[i];
      const d = el('div', 'tr ' + row.kind);
      d.style.top = (place[i] * ROW) + 'px';
      d.dataset.row = i;
      d.append(el('span', 'step', row.step === step ? '' : String(row.step)));
      const now = clock(row.at);
      d.append(el('span', 'when', now === when ? '' : now));
      step = row.step; when = now;
      const said = el('span', 'said');
      said.style.left = (width + 8) + 'px';
      if (row.lane >= 0) said.append(el('b', '', story.lanes[row.lane].name.replace('for ', '') + ' '));
      said.append((shownWords[row.kind] ? shownWords[row.kind] + ' ' : '') + row.text);
      said.title = row.text;
      d.append(said);
      d.addEventListener('click', () => choose(i));
      rows.append(d);
      divs[i] = d;
    });
  }

  function drawSigns(laneWidth) {
    const drawing = $('drawing'), height = shown.length * ROW;
    drawing.replaceChildren();
    drawing.setAttribute('width', width);
    drawing.setAttribute('height', height);
    const defs = svg('defs', {});
    for (const head of ['arrowhead', 'askhead']) {
      const marker = svg('marker', { id: head, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto' });
      marker.append(svg('path', { d: 'M0 0 L8 4 L0 8 Z', class: head }));
      defs.append(marker);
    }
    drawing.append(defs);
    drawLanes(height, laneWidth);
    drawBars(drawing);
    drawThread(drawing);
    drawLinks(drawing);
    shown.forEach((i) => drawSign(drawing, all[i], y(i), laneWidth));
  }

  function drawLanes(height, laneWidth) {
    const under = $('under');
    under.replaceChildren();
    under.setAttribute('width', width);
    under.setAttribute('height', height);
    lanes.forEach((lane) => {
      if (story.lanes[lane].process >= 0 && story.lanes[lane].process % 2 === 0) {
        under.append(svg('rect', { x: x[lane] - laneWidth / 2, y: 0, width: laneWidth, height: height, class: 'band' }));
      }
      under.append(svg('line', { x1: x[lane], x2: x[lane], y1: 0, y2: height, class: 'lane' }));
    });
  }

  // The time in which a process works on a user's request.
  function drawBars(drawing) {
    const since = {};
    const bar = (lane, to) => {
      const from = since[lane];
      drawing.append(svg('rect', { x: x[lane] - 6, y: y(from), width: 12, height: Math.max(4, to - y(from)), rx: 3, class: 'bar' }));
      delete since[lane];
    };
    shown.forEach((i) => {
      const row = all[i];
      if (row.kind === 'ask') since[row.to] = i;
      if (row.kind === 'answer' && row.lane in since) bar(row.lane, y(i));
      if (row.kind === 'crash') {
        for (const lane in since) if (story.lanes[lane].process === row.process) bar(lane, y(i));
      }
    });
    for (const lane in since) bar(lane, shown.length * ROW);
  }

  // The order of execution, as a line from sign to sign.
  function drawThread(drawing) {
    const points = [];
    shown.forEach((i) => {
      const row = all[i];
      if (row.lane < 0) return;
      points.push(x[row.lane] + ',' + y(i));
      if (row.to >= 0) points.push(x[row.to] + ',' + y(i));
    });
    drawing.append(svg('polyline', { points: points.join(' '), class: 'thread' }));
  }

  function drawLinks(drawing) {
    story.links.forEach((link) => {
      if (place[link.from] < 0) return;
      const x1 = x[all[link.from].lane], y1 = y(link.from);
      if (link.to < 0 || place[link.to] < 0) {
        drawing.append(svg('path', { d: 'M' + x1 + ' ' + y1 + ' l14 10', class: 'link stub' }));
        return;
      }
      const x2 = x[all[link.to].lane], y2 = y(link.to), side = x2 >= x1 ? 1 : -1;
      const self = x1 === x2; // bows out, and comes back from the right
      const bend = self ? 26 : Math.min(40, Math.abs(y2 - y1) / 2);
      const end = self ? x2 + 6 : x2 - side * 6;
      const path = svg('path', {
        d: 'M' + x1 + ' ' + y1 + ' C' + (x1 + side * bend) + ' ' + y1 + ' ' + (self ? end + bend : end - side * bend) + ' ' + y2 + ' ' + end + ' ' + y2,
        class: 'link' + (link.again ? ' again' : '') + (link.lost ? ' lost' : ''),
      });
      if (!link.lost) path.setAttribute('marker-end', 'url(#arrowhead)');
      path.append(svg('title', {}, link.job));
      drawing.append(path);
      if (link.lost) cross(drawing, end, y2);
    });
  }

  function cross(drawing, cx, cy) {
    drawing.append(svg('path', { d: 'M' + (cx - 5) + ' ' + (cy - 5) + ' l10 10 m0 -10 l-10 10', class: 'cross' }));
  }

  function drawSign(drawing, row, cy, laneWidth) {
    if (row.lane < 0) { drawOverAll(drawing, row, cy, laneWidth); return; }
    const cx = x[row.lane];
    if (row.turn) drawing.append(svg('path', { d: 'M' + (cx - 18) + ' ' + (cy - 5) + ' l9 5 l-9 5 Z', class: 'turn' }));
    switch (row.kind) {
      case 'calls':
        drawing.append(svg('circle', { cx: cx, cy: cy, r: 3.4, class: 'calls' }));
        break;
      case 'commit':
        drawing.append(svg('rect', { x: cx - 5.5, y: cy - 5.5, width: 11, height: 11, rx: 1.5, class: 'commit' }));
        break;
      case 'rollback':
        drawing.append(svg('path', { d: 'M' + (cx - 4.5) + ' ' + (cy - 4.5) + ' l9 9 m0 -9 l-9 9', class: 'rollback' }));
        break;
      case 'fault':
        drawing.append(svg('path', { d: 'M' + (cx + 2) + ' ' + (cy - 9) + ' l-7 10 l5 0 l-2 8 l8 -11 l-5 0 l3 -7 Z', class: 'fault' }));
        break;
      case 'send': case 'deliver':
        drawing.append(svg('circle', { cx: cx, cy: cy, r: 4.5, class: 'message' }));
        break;
      case 'ask': case 'answer': {
        const to = x[row.to], side = to >= cx ? 1 : -1;
        const refused = row.kind === 'answer' && row.text !== 'done';
        const line = svg('line', { x1: cx, x2: to - side * 2, y1: cy, y2: cy, class: 'request' + (refused ? ' refused' : ''), 'marker-end': 'url(#askhead)' });
        if (refused) line.setAttribute('stroke-dasharray', '4 3');
        drawing.append(line);
        break;
      }
    }
  }

  // What is about a whole process or the whole world.
  function drawOverAll(drawing, row, cy, laneWidth) {
    if (row.kind === 'crash') {
      const hit = lanes.filter((lane) => story.lanes[lane].process === row.process);
      hit.forEach((lane) => {
        drawing.append(svg('rect', { x: x[lane] - laneWidth / 2, y: cy - ROW / 2, width: laneWidth, height: ROW, class: 'crash' }));
        cross(drawing, x[lane], cy);
      });
      return;
    }
    drawing.append(svg('line', { x1: GUTTER, x2: width, y1: cy, y2: cy, class: row.kind === 'violation' ? 'end' : 'rule' }));
  }

  // The plot: what is left of the month's allowance, and purchased credits.

  function balance(tenant, row) {
    const state = story.states[row.state];
    const t = (state.tenants || []).find((t) => t.tenant === tenant);
    if (!t) return null;
    return { monthly: (t.monthly || {})[row.at.slice(0, 7)] || 0, purchased: t.purchased };
  }

  const last = all.length - 1;
  const lastStep = Math.max(1, all.length ? all[last].step : 1);
  let cursors = [];

  function drawPlot() {
    $('plot').replaceChildren();
    cursors = [];
    const tenants = (story.states[story.states.length - 1].tenants || []).map((t) => t.tenant);
    const W = Math.floor(($('plot').clientWidth - 28) / Math.max(1, tenants.length)) - 10, H = 84, LEFT = 26;
    tenants.forEach((tenant) => {
      const figure = el('figure');
      const caption = el('figcaption');
      const points = all.map((row) => ({ step: row.step, at: balance(tenant, row) })).filter((p) => p.at);
      const top = Math.max(1, ...points.map((p) => Math.max(p.at.monthly, p.at.purchased)));
      const bottom = Math.min(0, ...points.map((p) => Math.min(p.at.monthly, p.at.purchased)));
      const px = (step) => LEFT + (W - LEFT - 2) * step / lastStep;
      const py = (v) => H - 12 - (H - 18) * (v - bottom) / (top - bottom);
      const picture = svg('svg', { viewBox: '0 0 ' + W + ' ' + H, role: 'img' });
      picture.append(svg('rect', { x: LEFT, y: 0, width: W - LEFT, height: H - 10, class: 'frame' }));
      [bottom, top].forEach((v) => {
        picture.append(svg('line', { x1: LEFT, x2: W, y1: py(v), y2: py(v), class: 'grid' }));
        picture.append(svg('text', { x: LEFT - 3, y: py(v) + 3, 'text-anchor': 'end' }, String(v)));
      });
      picture.append(svg('text', { x: LEFT, y: H - 1 }, 'step 0'));
      picture.append(svg('text', { x: W - 1, y: H - 1, 'text-anchor': 'end' }, String(lastStep)));
      for (const part of ['monthly', 'purchased']) {
        let d = '';
        points.forEach((p, n) => {
          d += n === 0 ? 'M' + px(p.step) + ' ' + py(p.at[part]) : ' H' + px(p.step) + ' V' + py(p.at[part]);
        });
        picture.append(svg('path', { d: d, class: part, 'vector-effect': 'non-scaling-stroke' }));
      }
      if (data.violation >= 0) {
        const at = px(all[data.violation].step);
        picture.append(svg('line', { x1: at, x2: at, y1: 0, y2: H - 10, class: 'wrong', 'vector-effect': 'non-scaling-stroke' }));
      }
      const cursor = svg('line', { y1: 0, y2: H - 10, class: 'cursor', 'vector-effect': 'non-scaling-stroke' });
      picture.append(cursor);
      picture.addEventListener('click', (event) => {
        const box = picture.getBoundingClientRect();
        chooseStep(((event.clientX - box.left) / box.width * W - LEFT) / (W - LEFT - 2) * lastStep);
      });
      figure.append(caption, picture);
      $('plot').append(figure);
      cursors.push((row) => {
        cursor.setAttribute('x1', px(row.step)); cursor.setAttribute('x2', px(row.step));
        const now = balance(tenant, row);
        caption.replaceChildren(el('b', '', tenant));
        if (!now) return;
        caption.append(el('i', 'key monthly'), now.monthly + ' left of ' + row.at.slice(0, 7), el('i', 'key purchased'), now.purchased + ' purchased');
      });
    });
  }

  // The state beside: what is committed, and what the model says.

  const facts = (f) => [
    ['status', f.status], ['attempt', String(f.attempt)],
    ['jobs', f.completedJobs + ' + ' + f.failedJobs + ' of ' + f.attemptJobs], ['credits', String(f.credits)],
  ].concat((f.files || []).map((text, n) => ['file ' + n, text]));

  function drawState(row) {
    const state = story.states[row.state], before = story.states[Math.max(0, row.state - 1)];
    const fresh = row.kind === 'commit'; // mark what this row changed
    const out = $('state');
    out.replaceChildren();
    const balances = el('table');
    balances.append(cells('tr', 'th', ['credits', 'allowance left', 'purchased']));
    (state.tenants || []).forEach((t, n) => {
      const months = (t) => Object.keys(t.monthly || {}).sort().map((m) => t.monthly[m] + ' of ' + m).join(', ');
      const was = (before.tenants || [])[n];
      const tr = cells('tr', 'td', [t.tenant, months(t), String(t.purchased)]);
      if (fresh && was && (months(was) !== months(t) || was.purchased !== t.purchased)) tr.className = 'changed';
      balances.append(tr);
    });
    out.append(balances);
    if (!(state.runs || []).length) return;
    const runs = el('table');
    runs.append(cells('tr', 'th', ['runs', 'committed', 'model']));
    let first = null, last = null; // what should be seen
    state.runs.forEach((r, n) => {
      const was = (before.runs || [])[n];
      const actual = facts(r.actual), model = facts(r.model), old = was ? facts(was.actual) : [];
      const differ = actual.some((f, k) => f[1] !== model[k][1]);
      const head = el('tr', r.run === concerned(row) ? 'run concerned' : 'run'), name = el('td', '', r.run + ' of ' + r.tenant + ' ');
      name.colSpan = 3;
      name.append(el('span', differ ? 'differs' : 'agrees', differ ? '≠ model' : '= model'));
      head.append(name);
      runs.append(head);
      actual.forEach((f, k) => {
        const tr = cells('tr', 'td', [f[0], f[1], model[k][1]]);
        if (f[1] !== model[k][1]) tr.className = 'wrong';
        else if (fresh && (!old[k] || old[k][1] !== f[1])) tr.className = 'changed';
        if (tr.className && !first) first = tr;
        if (r.run === concerned(row)) last = tr;
        runs.append(tr);
      });
    });
    runs.append(note('a file: status, retryAttempt/epoch'));
    out.append(runs);
    for (const tr of [last, first]) if (tr) tr.scrollIntoView({ block: 'nearest' });
  }

  // The run that a row is about; that of a violation is the one that was touched last.
  function concerned(row) {
    for (let i = all.indexOf(row); row.kind === 'violation' && i >= 0; i--) if (all[i].run) return all[i].run;
    return row.run;
  }

  function note(text) {
    const tr = el('tr'), td = el('th', '', text);
    td.colSpan = 3;
    tr.append(td);
    return tr;
  }

  function cells(row, cell, texts) {
    const tr = el(row);
    texts.forEach((text) => tr.append(el(cell, '', text)));
    return tr;
  }

  function drawRow(row) {
    const out = $('row');
    out.replaceChildren();
    const who = row.lane < 0 ? 'the world' : story.lanes[row.lane].name + (story.lanes[row.lane].process < 0 ? '' : ', process ' + story.lanes[row.lane].process);
    out.append(el('div', 'title', 'Step ' + row.step + ' of ' + lastStep + ' · ' + row.at.slice(0, 10) + ' ' + row.at.slice(11, 19) + ' · ' + who));
    out.append(el('p', '', row.kind + ': ' + row.text));
    if (row.turn) out.append(el('p', 'note', 'By default another actor would have gone on.'));
  }

  function choose(i) {
    if (i < 0 || i > last) return;
    if (place[i] < 0) { showIdle = true; $('idle').checked = true; draw(); }
    if (divs[chosen]) divs[chosen].classList.remove('chosen');
    chosen = i;
    divs[i].classList.add('chosen');
    const scroller = $('lanes'), top = place[i] * ROW, head = $('heads').offsetHeight;
    if (top < scroller.scrollTop + ROW) scroller.scrollTop = Math.max(0, top - ROW);
    if (top + head + 3 * ROW > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + head + 3 * ROW - scroller.clientHeight;
    drawRow(all[i]);
    drawState(all[i]);
    cursors.forEach((move) => move(all[i]));
    document.querySelectorAll('#deviations li').forEach((li) => li.classList.toggle('chosen', Number(li.dataset.step) === all[i].step));
    history.replaceState(null, '', '#' + i);
  }

  function chooseStep(step) {
    let best = shown[0];
    shown.forEach((i) => { if (Math.abs(all[i].step - step) < Math.abs(all[best].step - step)) best = i; });
    choose(best);
  }

  const move = (by) => choose(shown[Math.max(0, Math.min(shown.length - 1, place[chosen] + by))]);
  const next = (wanted) => {
    const after = shown.filter((i) => i > chosen && wanted(all[i]));
    if (after.length) choose(after[0]);
  };

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      ArrowLeft: () => move(-1), ArrowUp: () => move(-1), ArrowRight: () => move(1), ArrowDown: () => move(1),
      PageUp: () => move(-10), PageDown: () => move(10), Home: () => choose(shown[0]), End: () => choose(shown[shown.length - 1]),
      c: () => next((r) => r.kind === 'commit'), f: () => next((r) => r.kind === 'fault' || r.kind === 'crash'),
      v: () => choose(data.violation),
    };
    const act = keys[event.key] || keys[event.key.toLowerCase()];
    if (act) { act(); event.preventDefault(); }
  });
  $('idle').addEventListener('change', () => {
    showIdle = $('idle').checked;
    $('idle').blur();
    draw();
    choose(place[chosen] >= 0 ? chosen : shown[0]);
  });
  $('copy').addEventListener('click', () => {
    const range = document.createRange();
    range.selectNodeContents($('command'));
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    document.execCommand('copy'); // also where there is no clipboard: a page from a file
  });
  document.querySelectorAll('#deviations li').forEach((li) => li.addEventListener('click', () => chooseStep(Number(li.dataset.step))));
  addEventListener('resize', () => { drawPlot(); draw(); choose(chosen); });

  drawPlot();
  draw();
  const asked = location.hash === '' ? NaN : Number(location.hash.slice(1));
  choose(asked >= 0 && asked <= last ? asked : data.violation >= 0 ? data.violation : shown[shown.length - 1]);
})();
