"use strict";
/* The findings table: unpack, filter, sort, draw only the rows in view, tell everything about one row. No dependency. */
(() => {
  const byId = (id) => document.getElementById(id);
  const scroller = byId("scroller"), sizer = byId("sizer"), table = byId("table"), body = byId("rows");
  const panel = byId("panel"), count = byId("count"), search = byId("q");
  const selects = { status: byId("status"), severity: byId("severity"), subscription: byId("subscription") };
  const DAY = 864e5, MOST_PRINTED = 500;
  const TALLEST = 8e6;           // Browsers lose precision in taller elements; beyond this, scrolling is scaled.
  const SEVERITIES = ["critical", "high", "medium", "low", "info"];
  const KEYS = ["rule", "status", "severity", "subscription", "q"];
  const LETTERS = { f: 0, u: 1, w: 2, d: 3, n: 4, p: 5 };
  let D, F, R, M, T, total;
  let view = new Int32Array(0), filters = {}, order = { key: "serial", down: false };
  let rowHeight = 46, headHeight = 34, first = -1, last = -1, current = -1, opener = null, haystack = null, ranks = {};

  // Names come from strangers: what cannot be seen is written as its code point, everything goes in as text.
  const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
  const seen = (text) => String(text).replace(HIDDEN, (c) => c === "\n" ? c : "[U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "]");
  const string = (number) => number < 0 ? null : D.strings[number];
  const fill = (text, ...values) => text.replace(/\{(\d)\}/g, (_, n) => values[n]);
  const many = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, T.thousands);
  const make = (tag, props = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (key === "class") node.className = value;
      else if (key === "on") node.addEventListener("click", value);
      else node.setAttribute(key, value);
    }
    for (const child of children) if (child !== null && child !== undefined && child !== false) node.append(typeof child === "object" ? child : seen(child));
    return node;
  };
  const statusWord = (number) => make("span", { class: "status word-" + T.statuses[number] }, make("span", { class: "shape shape-" + T.statuses[number] }), T.status[number]);
  const cut = (value) => String(Math.floor(value * 100) / 100).replace(".", T.point);
  const hours = (value) => value === null ? T.nothing : value < 96 ? cut(value) + " h" : cut(value / 24) + " d";
  // A name in a command comes from a stranger: it is quoted for the shell; what is not known is described in words.
  const quote = (text) => /^[\w@%+=:,./-]+$/.test(text) ? text : "'" + seen(text).replaceAll("\n", "[U+000A]").replaceAll("'", "'\"'\"'") + "'";
  const filled = (text, known, wrap) => text.replace(/\{(\w+)\}|<(vault-group|vault|container|item)>/g, (place, name, part) => {
    const value = known[name || part.replace("-", "_")];
    return value ? wrap(value) : name ? "<" + name.replaceAll("_", " ") + ">" : place;
  });
  const ITEM = /\/subscriptions\/[^/]+\/resourcegroups\/(?<vault_group>[^/]+)\/providers\/[^/]+\/vaults\/(?<vault>[^/]+)(?:\/backupfabrics\/[^/]+\/protectioncontainers\/(?<container>[^/]+)\/protecteditems\/(?<item>[^/]+))?$/i;
  const placeOf = (r) => R.sub[r] < 0 ? null : D.subscriptions[R.sub[r]][1];
  const idOf = (r) => D.heads[R.head[r]] + (R.tail[r] === 0 ? R.name[r].toLowerCase() : R.tail[r]);

  async function unpack() {
    const text = byId("data").textContent;
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  }

  // ---- filter and sort ------------------------------------------------------------------------------------------
  function words() {
    if (!haystack) {
      haystack = new Array(total);
      for (let i = 0; i < total; i++) {
        const r = F.resource[i];
        haystack[i] = [F.serial[i], R.name[r], string(R.group[r]), placeOf(r), string(R.owner[r]), D.rules[F.rule[i]].id, string(F.reason[i])].join("\n").toLowerCase();
      }
    }
    return haystack;
  }
  function rank(column) {
    // Sorting compares numbers: texts are ranked once.
    if (!ranks[column]) {
      const values = column === "resource" ? R.name : column === "rule" ? D.rules.map((rule) => rule.title) : D.strings;
      const compare = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;
      const numbers = [...values.keys()].sort((a, b) => compare(values[a], values[b]) || a - b);
      const result = new Int32Array(values.length);
      numbers.forEach((number, place) => { result[number] = place; });
      ranks[column] = result;
    }
    return ranks[column];
  }
  function keys() {
    const key = order.key;
    if (key === "status") return F.status;
    if (key === "severity") return F.severity;
    if (key === "resource") { const ranked = rank("resource"); return F.resource.map((r) => ranked[r]); }
    if (key === "rule") { const ranked = rank("rule"); return F.rule.map((r) => ranked[r]); }
    if (key === "due") { const ranked = rank("strings"); return F.due.map((s) => s < 0 ? 1e9 : ranked[s]); }
    return null;
  }
  function apply() {
    const status = filters.status || "", wanted = T.statuses.indexOf(status);
    const severity = SEVERITIES.indexOf(filters.severity || "");
    const rule = filters.rule ? D.rules.findIndex((it) => it.id === filters.rule) : -1;
    const subscription = filters.subscription ? D.subscriptions.findIndex(([id]) => id === filters.subscription) : -1;
    const terms = (filters.q || "").toLowerCase().split(/\s+/).filter(Boolean);
    const texts = terms.length ? words() : null;
    const kept = new Int32Array(total);
    let n = 0;
    for (let i = 0; i < total; i++) {
      if (wanted >= 0 ? F.status[i] !== wanted : status !== "any" && F.status[i] === 4) continue;
      if (severity >= 0 && F.severity[i] !== severity) continue;
      if (filters.rule && F.rule[i] !== rule) continue;
      if (filters.subscription && R.sub[F.resource[i]] !== subscription) continue;
      if (texts && !terms.every((term) => texts[i].includes(term))) continue;
      kept[n++] = i;
    }
    view = kept.subarray(0, n);
    const by = keys();
    if (by) view.sort((a, b) => by[a] - by[b] || a - b);
    if (order.down) { if (by) view.sort((a, b) => by[b] - by[a] || a - b); else view.reverse(); }
    count.textContent = n ? fill(T.shown, many(n), many(total)) : total ? T.none : T.all_clear;
    table.setAttribute("aria-rowcount", n + 1);
    for (const th of table.tHead.rows[0].cells) {
      const mine = th.firstElementChild.dataset.sort === order.key;
      if (mine) th.setAttribute("aria-sort", order.down ? "descending" : "ascending"); else th.removeAttribute("aria-sort");
    }
    for (const button of document.querySelectorAll("#rule-list button")) button.setAttribute("aria-pressed", String(button.dataset.rule === (filters.rule || "")));
    machinesFound(terms);
    scroller.scrollTop = 0;
    measure();
  }
  function machinesFound(terms) {
    const box = byId("machines");
    box.replaceChildren();
    const wanted = terms.join(" ");
    if (wanted.length < 2) return;
    const found = [];
    for (let m = 0; m < M.verdicts.length && found.length < 400; m++) {
      const name = R.name[m].toLowerCase();
      if (name.includes(wanted)) found.push([name === wanted ? 0 : name.startsWith(wanted) ? 1 : 2, name.length, m]);
    }
    found.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
    for (const [, , m] of found.slice(0, 3)) {
      const tally = {};
      for (const letter of M.verdicts[m]) if (letter !== "-" && letter !== "n") tally[letter] = (tally[letter] || 0) + 1;
      const said = Object.entries(LETTERS).filter(([letter]) => tally[letter]).map(([letter, s]) => tally[letter] + " " + T.status[s]).join(", ");
      box.append(make("button", { type: "button", on: (event) => openMachine(m, event.currentTarget) }, make("strong", {}, R.name[m]), ": ", said || (M.excluded[m] < 0 ? T.machine_none : T.outside)));
    }
  }

  // ---- rows in view -----------------------------------------------------------------------------------------------
  function measure() {
    rowHeight = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
    headHeight = table.tHead.offsetHeight;
    sizer.style.height = Math.min(view.length * rowHeight + headHeight, TALLEST) + "px";
    first = -1;
    draw();
  }
  function place() {
    // Where the view begins, in rows; scaled where the true height is more than a browser can hold.
    const height = view.length * rowHeight + headHeight, room = scroller.clientHeight;
    const top = scroller.scrollTop;
    const virtual = height > TALLEST ? top * (height - room) / Math.max(TALLEST - room, 1) : top;
    return { top, virtual, rows: Math.ceil(room / rowHeight) };
  }
  function draw(most = 0) {
    const at = place();
    const from = most ? 0 : Math.max(0, Math.min(Math.floor(at.virtual / rowHeight) - 6, view.length - at.rows));
    const to = most ? Math.min(most, view.length) : Math.min(view.length, from + at.rows + 14);
    table.style.transform = most ? "none" : "translateY(" + (at.top - (at.virtual - from * rowHeight)) + "px)";
    if (from === first && to === last) return;
    const focused = document.activeElement && body.contains(document.activeElement) ? Number(document.activeElement.closest("tr").dataset.at) : -1;
    first = from; last = to;
    while (body.rows.length > to - from) body.lastElementChild.remove();
    while (body.rows.length < to - from) body.append(blank());
    for (let at = from; at < to; at++) write(body.rows[at - from], at);
    if (focused >= from && focused < to) body.rows[focused - from].querySelector(".name").focus({ preventScroll: true });
  }
  function blank() {
    const cell = (name, ...children) => make("td", { class: name }, ...children);
    const name = make("button", { type: "button", class: "name" });
    return make("tr", {}, cell("c-serial quiet"), cell("c-status", make("span"), make("div", { class: "quiet graded" })), cell("c-severity"),
      cell("c-resource", name, make("div", { class: "quiet" }), make("div", { class: "narrow" })),
      cell("c-finding", make("div"), make("div", { class: "quiet" })), cell("c-due", make("div"), make("div", { class: "quiet" })));
  }
  function write(tr, at) {
    const i = view[at], r = F.resource[i], cells = tr.cells, rule = D.rules[F.rule[i]];
    tr.dataset.at = at;
    tr.setAttribute("aria-rowindex", at + 2);
    tr.classList.toggle("current", i === current);
    cells[0].textContent = F.serial[i];
    cells[1].firstChild.replaceWith(statusWord(F.status[i]));
    cells[1].lastChild.textContent = cells[2].textContent = T.severity[F.severity[i]];
    const [name, where, narrow] = cells[3].children;
    name.textContent = seen(R.name[r]);
    name.title = R.name[r].length > 40 ? seen(R.name[r]) : "";
    where.textContent = seen([string(R.group[r]), placeOf(r)].filter(Boolean).join(", "));
    narrow.textContent = rule.title;
    cells[4].children[0].textContent = rule.title;
    cells[4].children[1].textContent = seen(string(F.reason[i]) || "");
    cells[5].children[0].textContent = string(F.due[i]) || "–";
    cells[5].children[1].textContent = seen(string(R.owner[r]) || T.no_owner);
  }
  function reveal(at) {
    const height = view.length * rowHeight + headHeight, room = scroller.clientHeight;
    const scale = height > TALLEST ? Math.max(TALLEST - room, 1) / (height - room) : 1;
    const top = at * rowHeight * scale, bottom = top + rowHeight + headHeight - room;
    if (scroller.scrollTop > top) scroller.scrollTop = top;
    else if (scroller.scrollTop < bottom) scroller.scrollTop = bottom;
    draw();
  }
  function go(at) {
    if (at < 0 || at >= view.length) return;
    reveal(at);
    const row = [...body.rows].find((tr) => Number(tr.dataset.at) === at);
    if (row) row.querySelector(".name").focus({ preventScroll: true });
    if (!panel.hidden) openFinding(view[at], null, false);
  }

  // ---- one row in full ------------------------------------------------------------------------------------------
  const facts = (pairs) => make("dl", {}, ...pairs.filter(([, value]) => value !== null && value !== "" && value !== undefined).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  function copier(label, text) {
    return make("button", { type: "button", on: async (event) => {
      const button = event.currentTarget;
      try { await navigator.clipboard.writeText(text()); } catch {
        const area = make("textarea"); area.value = text(); document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
      }
      button.textContent = T.copied;
      setTimeout(() => { button.textContent = label; }, 1500);
    } }, label);
  }
  function chain(m) {
    const step = (name, value, there) => make("li", there ? {} : { class: "missing" }, make("span", { class: "quiet" }, name + ": "), value);
    const item = M.item[m] && D.heads[M.item[m][0]] + M.item[m][1];
    const state = [M.excluded[m] < 0 && string(M.protection[m]), item].filter(Boolean).join("; ");
    return [
      make("h4", {}, T.chain),
      make("ol", { class: "chain" },
        step(T.chain_vm, R.name[m] + (M.excluded[m] < 0 ? "" : ", " + T.outside + " (" + string(M.excluded[m]) + ")"), true),
        step(T.chain_item, state || T.nothing, item),
        step(T.chain_vault, string(M.vault[m]) || T.nothing, M.vault[m] >= 0),
        step(T.chain_policy, string(M.policy[m]) || T.nothing, M.policy[m] >= 0),
        step(T.chain_points, M.points[m] === null ? T.nothing : fill(T.points, many(M.points[m]), hours(M.newest[m]), hours(M.vaulted[m]), hours(M.oldest[m])), M.points[m])),
      facts([[T.demanded, string(M.demanded[m])], [T.promised, string(M.promised[m])], [T.days_label, M.expected[m] === null ? null : fill(T.days, many(M.expected[m] - (M.missing[m] || 0)), many(M.expected[m]))]]),
      calendar(m),
    ];
  }
  function calendar(m) {
    if (M.calendar[m] < 0) return make("p", { class: "quiet" }, T.no_calendar);
    const [last, letters] = D.calendars[M.calendar[m]], end = Date.parse(last), length = letters.length;
    const dates = [...letters].map((_, n) => new Date(end - (length - 1 - n) * DAY));
    const iso = (n) => dates[n].toISOString().slice(0, 10);
    if (!length) return make("p", { class: "quiet" }, T.none_promised);
    // Weeks are columns, Monday stands on top.
    const offset = (dates[0].getUTCDay() + 6) % 7, size = 18, top = 14, wide = Math.ceil((length + offset) / 7) * size;
    const title = fill(T.calendar, iso(0), last);
    const svg = svgNode("svg", { class: "calendar", viewBox: "0 0 " + wide + " " + (top + 7 * size), width: wide, role: "img", "aria-label": title });
    const gaps = [];
    dates.forEach((date, n) => {
      const x = Math.floor((n + offset) / 7) * size, y = top + (n + offset) % 7 * size, letter = letters[n];
      if (date.getUTCDate() === 1 || !n && date.getUTCDate() < 10) svg.append(svgNode("text", { x, y: 10 }, iso(n).slice(5, 7)));
      svg.append(mark(letter, x, y, iso(n)));
      if (letter !== "-") return;
      if (letters[n - 1] === "-") gaps.at(-1)[1] = iso(n); else gaps.push([iso(n), iso(n)]);
    });
    const said = gaps.map(([from, to]) => from === to ? from : from + " – " + to).join(", ");
    const key = make("p", { class: "quiet key" });
    for (const [letter, word] of Object.entries(T.letters)) {
      const sign = svgNode("svg", { class: "sign", viewBox: "0 0 18 18", width: 12, height: 12, "aria-hidden": "true" });
      sign.append(mark(letter, 0, 0, ""));
      key.append(make("span", {}, sign, word));
    }
    return make("div", {}, make("h4", {}, title), svg, key,
      make("p", {}, said ? fill(T.gaps, said) : /[+]/.test(letters) ? T.no_gaps : T.none_promised));
  }
  function svgNode(tag, props, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(props)) node.setAttribute(key, value);
    if (text) node.textContent = text;
    return node;
  }
  function mark(letter, x, y, date) {
    const box = { x: x + 1, y: y + 1, width: 16, height: 16 };
    const node = letter === "+" ? svgNode("rect", { class: "cal-found", ...box }) : letter === "-" ? svgNode("rect", { class: "cal-missing", ...box })
      : svgNode("circle", { class: letter === "x" ? "cal-extra" : "cal-none", cx: x + 9, cy: y + 9, r: letter === "x" ? 6 : 1.2 });
    if (date) node.append(svgNode("title", {}, date + (T.letters[letter] ? ": " + T.letters[letter] : "")));
    return node;
  }
  function verdicts(r, title) {
    const list = make("ul", { class: "verdicts" }), done = new Set();
    for (let i = 0; i < total; i++) {
      if (F.resource[i] !== r || i === current) continue;
      done.add(F.rule[i]);
      list.append(make("li", {}, statusWord(F.status[i]), make("button", { type: "button", on: () => openFinding(i, null, true) }, D.rules[F.rule[i]].id)));
    }
    if (current >= 0) done.add(F.rule[current]);
    if (r < M.verdicts.length) [...M.verdicts[r]].forEach((letter, n) => {
      if (letter === "p" && !done.has(n)) list.append(make("li", {}, statusWord(5), D.rules[n].id));
    });
    return list.children.length ? [make("h4", {}, title), list] : [];
  }
  function show(title, parts, link, from, focus) {
    const head = make("h3", { tabindex: "-1", id: "panel-title" }, ...title);
    panel.replaceChildren(
      make("div", { class: "bar" }, make("button", { type: "button", on: close }, T.close), copier(T.link, () => location.href.split("#")[0] + "#" + new URLSearchParams(link))),
      head, ...parts.flat().filter(Boolean));
    if (from) opener = from;
    panel.hidden = false;
    panel.scrollTop = 0;
    panel.parentElement.classList.add("open");
    if (focus) head.focus({ preventScroll: false });
  }
  function openFinding(i, from, focus = true) {
    current = i;
    const r = F.resource[i], rule = D.rules[F.rule[i]], machine = r < M.verdicts.length;
    const read = Object.fromEntries(D.keys[F.keys[i]].map((name, n) => [name, F.values[i][n]]));
    const pairs = rule.pairs.filter(([demanded]) => demanded in read), paired = new Set(pairs.flat());
    const evidence = Object.entries(read).filter(([name]) => !paired.has(name)).map(([name, value]) => [D.columns[name], value]);
    const known = { resource_id: idOf(r), resource_name: R.name[r], resource_group: string(R.group[r]), subscription_id: (/subscriptions\/([^/]+)/.exec(idOf(r)) || [])[1] };
    Object.assign(known, (ITEM.exec(read.item_id || "") || {}).groups, read);
    const az = filled(rule.az, known, quote);
    show([F.serial[i] + "  ", statusWord(F.status[i]), ", " + T.severity[F.severity[i]] + ": " + rule.title], [
      make("p", {}, make("strong", {}, R.name[r])),
      facts([[T.found, string(F.reason[i])], [T.reason_code, string(F.code[i])], [T.owner, string(R.owner[r]) || T.no_owner], [T.due, string(F.due[i])],
        [T.history, string(F.since[i])], [T.class_tier, [string(R["class"][r]), string(R.tier[r])].filter(Boolean).join(" / ")], [T.explained, F.group[i] < 0 ? null : D.rules[F.group[i]].id],
        [T.waiver, string(F.waiver[i])], [T.response, string(F.response[i])], [T.baseline, string(F.baseline[i])], [T.resource_id, idOf(r)]]),
      rule.portal || rule.az ? [make("h4", {}, T.do), rule.portal && make("p", {}, filled(rule.portal, known, (text) => text)), az && make("pre", {}, az), az && copier(T.copy, () => az)] : null,
      pairs.length ? make("table", {},
        make("thead", {}, make("tr", {}, ...[T.value, T.demanded, T.observed].map((text) => make("th", { scope: "col" }, text)))),
        make("tbody", {}, ...pairs.map(([demanded, observed]) => make("tr", {}, make("td", {}, D.columns[observed] || observed.replaceAll("_", " ")), make("td", {}, read[demanded]), make("td", {}, read[observed] || T.nothing))))) : null,
      evidence.length ? [make("h4", {}, T.values), facts(evidence)] : null,
      machine ? chain(r) : null,
      make("h4", {}, T.why), make("p", {}, rule.rationale),
      rule.params.length ? make("p", { class: "quiet" }, T.parameters + ": " + rule.params.join(", ")) : null,
      rule.controls.length ? make("p", { class: "quiet" }, T.supports + " " + rule.controls.join("; ") + (rule.controls.join("").includes("\u2020") ? " (" + T.unverified + ")" : "")) : null,
      rule.references.length ? make("p", { class: "quiet" }, ...rule.references.flatMap((link) => [make("a", { href: link, rel: "noreferrer" }, link), " "])) : null,
      verdicts(r, machine ? T.other : T.also),
    ].map((part) => Array.isArray(part) ? part.flat() : part), { row: F.serial[i] }, from, focus);
    remember({ row: F.serial[i] }, focus);
    for (const tr of body.rows) tr.classList.toggle("current", view[Number(tr.dataset.at)] === i);
  }
  function openMachine(m, from, focus = true) {
    current = -1;
    show([R.name[m]], [
      facts([[T.class_tier, [string(R["class"][m]), string(R.tier[m])].filter(Boolean).join(" / ")], [T.owner, string(R.owner[m]) || T.no_owner], [T.resource_id, idOf(m)]]),
      verdicts(m, T.other), chain(m)], { vm: idOf(m) }, from, focus);
    remember({ vm: idOf(m) }, focus);
    for (const tr of body.rows) tr.classList.remove("current");
  }
  function shut() {
    panel.hidden = true;
    panel.parentElement.classList.remove("open");
    current = -1;
    for (const tr of body.rows) tr.classList.remove("current");
  }
  function close() {
    const at = view.indexOf(current);
    shut();
    remember({}, true);
    if (opener && opener.isConnected && !body.contains(opener)) opener.focus();
    else if (at >= 0) go(at);
    else scroller.focus();
  }

  // ---- the address is the state ------------------------------------------------------------------------------------
  function remember(opened, push) {
    const said = new URLSearchParams();
    for (const key of KEYS) if (filters[key]) said.set(key, filters[key]);
    if (order.key !== "serial" || order.down) said.set("sort", (order.down ? "-" : "") + order.key);
    for (const [key, value] of Object.entries(opened)) said.set(key, value);
    const text = said.toString();
    if (text === location.hash.slice(1)) return;
    history[push ? "pushState" : "replaceState"](null, "", text ? "#" + text : location.pathname + location.search);
  }
  function recall(hash) {
    const said = new URLSearchParams(hash);
    filters = {};
    for (const key of KEYS) if (said.get(key)) filters[key] = said.get(key);
    const sort = said.get("sort") || "serial";
    order = { key: sort.replace("-", ""), down: sort.startsWith("-") };
    search.value = filters.q || "";
    for (const [key, select] of Object.entries(selects)) { select.value = filters[key] || ""; if (select.selectedIndex < 0) select.selectedIndex = 0; }
    const row = said.get("row"), i = row ? F.serial.indexOf(row) : -1;
    if (i >= 0 && F.status[i] === 4 && !filters.status) filters.status = selects.status.value = "any";
    if (!panel.hidden) shut();
    opener = null;
    apply();
    const name = (said.get("vm") || "").toLowerCase();
    const m = name ? M.verdicts.findIndex((_, n) => idOf(n) === name || R.name[n].toLowerCase() === name) : -1;
    if (i >= 0) {
      const at = view.indexOf(i);
      if (at >= 0) reveal(at);
      openFinding(i, null, false);
    } else if (m >= 0) openMachine(m, null, false);
  }
  const isState = (hash) => hash.includes("=");
  function changed(push = true) {
    if (!panel.hidden) shut();
    apply();
    remember({}, push);
  }
  function follow(hash) {
    recall(hash);
    byId("findings").scrollIntoView();
  }

  // ---- the rows leave the page: saved, printed -------------------------------------------------------------------------
  // A spreadsheet runs what begins like a formula; it is made text.
  const cell = (value) => '"' + String(value ?? "").replace(/^[=+\-@\t\r\n]/, "'$&").replaceAll('"', '""') + '"';
  function csv() {
    const lines = [["serial", "status", "severity", "rule", "title", "resource_type", "resource_name", "resource_id", "resource_group", "subscription_id",
      "subscription_name", "class", "tier", "owner", "reason_code", "reason", "due", "first_seen", "group", "waiver", "response", "values"]];
    for (const i of view) {
      const r = F.resource[i], rule = D.rules[F.rule[i]], keys = D.keys[F.keys[i]];
      lines.push([F.serial[i], T.statuses[F.status[i]], SEVERITIES[F.severity[i]], rule.id, rule.title, string(R.type[r]), R.name[r], idOf(r), string(R.group[r]),
        D.subscriptions[R.sub[r]][0], placeOf(r), string(R["class"][r]), string(R.tier[r]), string(R.owner[r]), string(F.code[i]), string(F.reason[i]),
        string(F.due[i]), string(F.since[i]), F.group[i] < 0 ? "" : D.rules[F.group[i]].id, string(F.waiver[i]), string(F.response[i]),
        keys.map((name, n) => name + " = " + F.values[i][n]).join("; ")]);
    }
    return "\ufeff" + lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
  }
  function save() {
    const name = "findings-" + D.run.id + ".csv", url = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    count.textContent = fill(T.saved, many(view.length), name);
  }
  function paper() {
    const labels = { q: T.search, rule: T.rule, status: T.status_label, severity: T.severity_label, subscription: T.subscription };
    const word = (key) => key in selects ? selects[key].selectedOptions[0].textContent : filters[key];
    const kept = KEYS.filter((key) => filters[key]).map((key) => labels[key] + " " + word(key));
    const shown = fill(T.printed, many(Math.min(MOST_PRINTED, view.length)), many(view.length));
    byId("printed").textContent = seen((kept.length ? fill(T.filtered, kept.join(", ")) + ". " : "") + shown);
    draw(MOST_PRINTED);
  }

  function listen() {
    let waiting = 0, framed = 0;
    search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { filters.q = search.value.trim(); changed(false); }, total > 20000 ? 120 : 0);
    });
    search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      clearTimeout(waiting);
      filters.q = search.value.trim();
      changed(false);
      const card = byId("machines").querySelector("button");
      if (card) card.click();
    });
    byId("save").addEventListener("click", save);
    for (const [key, select] of Object.entries(selects)) select.addEventListener("change", () => { filters[key] = select.value; changed(); });
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("clear").addEventListener("click", () => { recall(""); remember({}, true); search.focus(); });
    byId("rule-list").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) { filters.rule = button.dataset.rule; changed(); }
    });
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      order = { key: button.dataset.sort, down: order.key === button.dataset.sort && !order.down };
      changed();
    });
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) openFinding(view[Number(row.dataset.at)], row.querySelector(".name"));
    });
    scroller.addEventListener("keydown", (event) => {
      const row = event.target.closest("#rows tr");
      const at = row ? Number(row.dataset.at) : event.target === scroller ? first - 1 : -2;
      if (at < -1) return;
      const step = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: view.length - 1 }[event.key];
      if (step !== undefined && (row || event.key === "ArrowDown")) { event.preventDefault(); go(Math.max(0, step)); }
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !panel.hidden) { event.preventDefault(); close(); }
      if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) { event.preventDefault(); search.focus(); }
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-filter]");
      if (!link) return;
      event.preventDefault();
      follow(link.dataset.filter);
      remember({}, true);
      scroller.focus({ preventScroll: true });
    });
    scroller.addEventListener("scroll", () => {
      if (!framed) framed = requestAnimationFrame(() => { framed = 0; draw(); });
    }, { passive: true });
    addEventListener("resize", measure);
    // Fired by back and forward too; a section's anchor leaves the filters as they are.
    addEventListener("hashchange", () => {
      if (isState(location.hash)) follow(location.hash.slice(1));
      else if (!location.hash) recall("");
    });
    addEventListener("beforeprint", paper);
    addEventListener("afterprint", measure);
  }

  unpack().then((data) => {
    D = data; F = D.findings; R = D.resources; M = D.machines; T = D.texts; total = F.serial.length;
    byId("app").hidden = false;
    if (matchMedia("(max-width: 820px)").matches) byId("rule-box").open = false;
    for (const strip of document.querySelectorAll(".broad .wide")) strip.scrollLeft = strip.scrollWidth; // the newest days
    listen();
    if (isState(location.hash)) follow(location.hash.slice(1));
    else recall("");
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
  }).catch(() => {
    byId("app").hidden = false;
    byId("app").textContent = byId("app").dataset.failed;
    document.documentElement.dataset.ready = "failed";
  });
})();
