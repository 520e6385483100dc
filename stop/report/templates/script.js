// The tree of programs and the panel beside it. Texts are hostile: they become text nodes, never
// markup. Without this script the page tells the same story in lists.
(() => {
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const nodes = new Map(data.nodes.map((node) => [node.id, node]));
const texts = new Map(Object.entries(data.texts));
const tree = document.getElementById("tree");
const panel = document.getElementById("panel");
const CHUNK = 200;
const LEVELS = ["nothing", "intent", "attempt", "tampering"];
const HOW = {
  tried: "in its text, and seen at run time", intended: "in its text only",
  unannounced: "seen at run time only",
};

function make(name, classes, ...children) {
  const element = document.createElement(name);
  if (classes) element.className = classes;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const short = (id) => id.slice(0, 10);
function number(value) {
  if (value === null || value === undefined) return "–";
  let places = 3;
  while (value && places < 6 && Number(value.toFixed(places)) === 0) places += 1;
  if (Number(value.toFixed(places)) === 0) return "0.000";
  return value.toFixed(places).replace("-", "−");
}
const badge = (level) => level ? make("span", "badge level-" + level, LEVELS[level]) : null;

function link(id) {
  const anchor = make("a", "id", short(id));
  anchor.href = "#p-" + short(id);
  anchor.dataset.program = id;
  return anchor;
}

// --- the tree: items are made when their branch is opened

const children = new Map();
const grouped = new Set(data.groups.flatMap((group) => group.members));
for (const node of data.nodes) {
  if (node.parent && nodes.has(node.parent) && !grouped.has(node.id)) {
    if (!children.has(node.parent)) children.set(node.parent, []);
    children.get(node.parent).push(node.id);
  }
}
const groups = new Map();
for (const group of data.groups) {
  const owner = group.owner || "";
  if (!groups.has(owner)) groups.set(owner, []);
  groups.get(owner).push(group);
}
const state = new WeakMap(); // treeitem -> {id, branch, opened}
const items = new Map(); // program id -> treeitem
let current = null; // the item that has the focus, or would get it
let chosen = null; // the program in the panel
let pinned = null; // compared with
let tab = "text";

function branchOf(id) {
  const made = (children.get(id) || []).map((child) => ({ id: child }));
  return made.concat((groups.get(id) || []).map((group) => ({ group })));
}

function item(what, level) {
  const branch = what.group ? what.group.members.map((id) => ({ id, inside: true }))
    : what.inside ? [] : branchOf(what.id);
  const row = make("div", "row", make("span", "twist"));
  const element = make("li", "", row);
  element.setAttribute("role", "treeitem");
  element.setAttribute("aria-level", level);
  element.tabIndex = -1;
  if (what.group) {
    const { label, count, members } = what.group;
    const shown = members.length < count ? members.length + " of " + count.toLocaleString("en") : String(count);
    row.append(make("span", ""), make("span", "what", label), make("span", "score", shown));
  } else {
    fillRow(row, nodes.get(what.id));
    element.setAttribute("aria-selected", String(what.id === chosen));
    if (!items.has(what.id)) items.set(what.id, element);
  }
  if (branch.length) element.setAttribute("aria-expanded", "false");
  state.set(element, { id: what.id || null, branch, level, opened: false });
  return element;
}

function fillRow(row, node) {
  const failed = node.status && node.status !== "ok";
  const [sign, name] = failed ? ["×", "failed"] : node.accepted ? ["●", "accepted"] : ["○", "tried"];
  const glyph = make("span", "glyph " + name, sign);
  glyph.setAttribute("role", "img");
  glyph.setAttribute("aria-label", name);
  const label = make("span", "", make("span", "id", short(node.id)), " ");
  if (node.best) label.append(make("span", "star", "best"), " ");
  if (node.label) label.append(make("span", "what", node.label), " ");
  if (failed) label.append(make("span", "what", node.status), " ");
  if (node.level) label.append(badge(node.level));
  const score = make("span", "score", node.score === null ? "" : number(node.score));
  row.append(glyph, label, score);
}

function grow(list, branch, level, from) {
  for (const what of branch.slice(from, from + CHUNK)) list.append(item(what, level));
  const left = branch.length - from - CHUNK;
  if (left <= 0) return;
  const more = item({ group: { label: "show " + Math.min(CHUNK, left) + " more", members: [], count: left } }, level);
  more.addEventListener("more", () => {
    more.remove();
    const before = list.children.length;
    grow(list, branch, level, from + CHUNK);
    focusItem(list.children[before]);
  });
  list.append(more);
}

function open(element, whether) {
  const known = state.get(element);
  if (!known.branch.length) return;
  if (whether && !known.opened) {
    known.opened = true;
    const list = make("ul", "");
    list.setAttribute("role", "group");
    grow(list, known.branch, known.level + 1, 0);
    element.append(list);
  }
  element.setAttribute("aria-expanded", String(whether));
  const list = element.querySelector(":scope > [role=group]");
  if (list) list.hidden = !whether;
}

const isOpen = (element) => element.getAttribute("aria-expanded") === "true";
const shown = () => [...tree.querySelectorAll("[role=treeitem]")].filter((each) => !each.closest("[hidden]"));

function focusItem(element) {
  if (!element) return;
  if (current) current.tabIndex = -1;
  current = element;
  element.tabIndex = 0;
  element.focus();
}

function act(element, byPointer) {
  const known = state.get(element);
  if (known.id) {
    choose(known.id);
    if (byPointer && matchMedia("(max-width: 46rem)").matches) panel.scrollIntoView();
  } else if (known.branch.length) {
    open(element, !isOpen(element));
  } else {
    element.dispatchEvent(new Event("more"));
  }
}

tree.addEventListener("click", (event) => {
  const element = event.target.closest("[role=treeitem]");
  if (!element) return;
  focusItem(element);
  if (event.target.closest(".twist") && state.get(element).branch.length) open(element, !isOpen(element));
  else act(element, true);
});

tree.addEventListener("keydown", (event) => {
  const element = event.target.closest("[role=treeitem]");
  if (!element || event.ctrlKey || event.altKey || event.metaKey) return;
  const move = (by) => {
    const all = shown();
    focusItem(all[Math.max(0, Math.min(all.length - 1, all.indexOf(element) + by))]);
  };
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Home: () => focusItem(shown()[0]),
    End: () => focusItem(shown().at(-1)),
    ArrowRight: () => {
      if (!state.get(element).branch.length) return;
      if (isOpen(element)) move(1);
      else open(element, true);
    },
    ArrowLeft: () => {
      if (isOpen(element)) open(element, false);
      else focusItem(element.parentElement.closest("[role=treeitem]"));
    },
    Enter: () => act(element),
    " ": () => act(element),
  };
  if (!(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});

// Open every branch on the way to a program, so that its item exists.
function reveal(id) {
  const way = [];
  const seen = new Set();
  for (let at = id; at && nodes.has(at) && !seen.has(at); at = grouped.has(at) ? nodes.get(at).maker : nodes.get(at).parent) {
    way.unshift(at);
    seen.add(at);
  }
  for (const each of way.slice(0, -1)) if (items.has(each)) open(items.get(each), true);
  if (!items.has(id)) {
    for (const element of shown()) {
      const known = state.get(element);
      if (!known.id && known.branch.some((what) => what.id === id)) open(element, true);
    }
  }
  return items.get(id);
}

// --- the panel

function choose(id) {
  chosen = id;
  for (const each of tree.querySelectorAll("[aria-selected=true]")) each.setAttribute("aria-selected", "false");
  for (const each of tree.querySelectorAll("[role=treeitem]")) if (state.get(each).id === id) each.setAttribute("aria-selected", "true");
  show();
}

function fact(name, ...value) {
  return make("div", "", make("dt", "", name), make("dd", "", ...value));
}

function show(focusTab) {
  const node = nodes.get(chosen);
  const title = make("h3", "", node.kind === "improver" ? "Improver " : "Solution ", make("span", "id", short(node.id)));
  title.setAttribute("aria-live", "polite");
  if (node.best) title.append(" ", make("span", "star", "best"));
  if (node.level) title.append(" ", badge(node.level));
  const facts = make("dl", "facts");
  if (node.label) facts.append(fact("What", node.label));
  if (node.score !== null) {
    const ends = node.interval ? " (" + number(node.interval[0]) + " to " + number(node.interval[1]) + ")" : "";
    facts.append(fact(node.kind === "improver" ? "Meta-utility" : "Score", number(node.score) + ends));
  }
  if (node.status && node.status !== "ok") facts.append(fact("Status", node.status));
  if (node.task) facts.append(fact("Task", node.task));
  if (node.parent) facts.append(fact("Made from", nodes.has(node.parent) ? link(node.parent) : short(node.parent)));
  if (node.maker && node.maker !== node.parent) facts.append(fact("By improver", nodes.has(node.maker) ? link(node.maker) : short(node.maker)));
  if (node.maker && node.maker === node.parent) facts.append(fact("By", "itself: this improver was applied to itself"));
  if (node.origin) facts.append(fact("Where its text is from", node.origin));
  if (node.fate) facts.append(fact("What came of it", node.fate));

  const tabs = make("div", "tabs");
  tabs.setAttribute("role", "tablist");
  tabs.setAttribute("aria-label", "About this program");
  const parts = [["text", "Text"], ["diff", "What changed"], ["scores", "Scores"]];
  if (node.evidence.length) parts.push(["security", "Security"]);
  if (!parts.some(([name]) => name === tab)) tab = "text";
  for (const [name, label] of parts) {
    const button = make("button", "", label);
    button.type = "button";
    button.id = "tab-" + name;
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(name === tab));
    button.setAttribute("aria-controls", "tab-panel");
    button.tabIndex = name === tab ? 0 : -1;
    button.addEventListener("click", () => { tab = name; show(true); });
    tabs.append(button);
  }
  tabs.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const at = parts.findIndex(([name]) => name === tab);
    tab = parts[(at + by + parts.length) % parts.length][0];
    show(true);
  });
  const body = make("div", "");
  body.id = "tab-panel";
  body.setAttribute("role", "tabpanel");
  body.setAttribute("aria-labelledby", "tab-" + tab);
  body.append(...{ text: textOf, diff: diffOf, scores: scoresOf, security: securityOf }[tab](node));
  panel.replaceChildren(title, facts, tabs, body);
  if (focusTab) document.getElementById("tab-" + tab).focus();
}

function textOf(node) {
  if (!texts.has(node.id)) return [absent(node)];
  const list = make("ol", "text");
  for (const line of highlight(texts.get(node.id))) list.append(make("li", "", ...spans(line)));
  const box = make("div", "code", list);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Program text");
  return [box];
}

function absent(node) {
  return make("p", "aside", "The text of this program is not in this file. To read it: stop show RUN " + short(node.id));
}

function diffOf(node) {
  const bar = make("div", "compare");
  const select = make("select", "");
  const options = [[node.parent, "the program it was made from"], [data.roots[0], "the first program"]];
  const best = data.nodes.find((each) => each.best);
  if (best) options.push([best.id, "the best program"]);
  if (pinned) options.push([pinned, "the one kept in mind"]);
  const seen = new Set([node.id]);
  const possible = options.filter(([id]) => id && nodes.has(id) && !seen.has(id) && seen.add(id));
  for (const [id, words] of possible) {
    const option = make("option", "", words + " (" + short(id) + ")");
    option.value = id;
    select.append(option);
  }
  const keep = make("button", "button", pinned === node.id ? "Kept in mind" : "Compare others with this one");
  keep.type = "button";
  keep.addEventListener("click", () => {
    pinned = pinned === node.id ? null : node.id;
    show();
    panel.querySelector(".compare .button").focus();
  });
  const result = make("div", "");
  if (possible.length) {
    if (pinned && pinned !== node.id) select.value = pinned;
    select.addEventListener("change", () => result.replaceChildren(...compareTexts(select.value, node.id)));
    bar.append(make("label", "", "Compared with ", select));
    result.append(...compareTexts(select.value, node.id));
  } else {
    result.append(make("p", "aside", "There is nothing to compare it with: the run began with it. Keep it in mind, and choose another program."));
  }
  bar.append(keep);
  return [bar, result];
}

function compareTexts(old, fresh) {
  for (const id of [old, fresh]) if (!texts.has(id)) return [absent(nodes.get(id))];
  const [before, after] = [highlight(texts.get(old)), highlight(texts.get(fresh))];
  const changes = compare(texts.get(old).split("\n"), texts.get(fresh).split("\n"));
  const added = changes.filter(([kind]) => kind === "+").length;
  const removed = changes.filter(([kind]) => kind === "-").length;
  if (!added && !removed) return [make("p", "", "The texts are the same.")];
  const table = make("table", "diff");
  const body = make("tbody", "");
  let last = -1;
  changes.forEach(([kind, i, j], place) => {
    const near = changes.slice(Math.max(0, place - 3), place + 4).some(([each]) => each !== " ");
    if (!near) return;
    if (last >= 0 && place > last + 1) {
      body.append(make("tr", "gap", make("td", "n"), make("td", "n"), make("td", "sign"), make("td", "", "⋯")));
    }
    last = place;
    const name = { "+": "added", "-": "removed", " ": "same" }[kind];
    body.append(make("tr", name,
      make("td", "n", kind === "+" ? "" : String(i + 1)),
      make("td", "n", kind === "-" ? "" : String(j + 1)),
      make("td", "sign", { "+": "+", "-": "−", " ": " " }[kind]),
      make("td", "line", ...spans(kind === "-" ? before[i] : after[j]))));
  });
  table.append(body);
  const box = make("div", "code", table);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "What changed");
  return [make("p", "", make("span", "plus", "+" + added), " ", make("span", "minus", "−" + removed), " lines"), box];
}

function madeOf(node) {
  const head = make("tr", "");
  for (const [name, classes] of [["task", ""], ["repetition", "num"], ["program it made", ""], ["score", "num"]]) {
    const cell = make("th", classes, name);
    cell.scope = "col";
    head.append(cell);
  }
  const body = make("tbody", "");
  for (const each of node.made) {
    const program = !each.result ? "none" : nodes.has(each.result) ? link(each.result) : short(each.result);
    body.append(make("tr", "", make("td", "", each.task), make("td", "num", String(each.repetition + 1)),
      make("td", "", program), make("td", "num", number(each.score))));
  }
  const box = make("div", "scroll", make("table", "plain", make("thead", "", head), body));
  box.tabIndex = 0;
  return [make("p", "", "Its meta-utility is the mean over tasks of the mean over repetitions of these scores, on meta instances."), box];
}

function scoresOf(node) {
  if (node.kind === "improver" && node.made.length) return madeOf(node);
  if (!node.scores.length) {
    return [make("p", "aside", node.kind === "improver"
      ? "An improver has no scores of its own: its meta-utility is the mean score of the programs that it makes."
      : "No score of it is on record.")];
  }
  const head = make("tr", "");
  for (const [name, classes] of [["task", ""], ["split", ""], ["score", "num"], ["instances", "num"], ["status", ""]]) {
    const cell = make("th", classes, name);
    cell.scope = "col";
    head.append(cell);
  }
  const body = make("tbody", "");
  for (const each of node.scores) {
    const status = make("td", "", each.status);
    if (each.detail) status.append(make("small", "", each.detail));
    if (each.output) status.append(make("details", "", make("summary", "", "output"), make("pre", "answer", each.output)));
    const place = each.task + (each.repetition ? " " + each.repetition : "");
    body.append(make("tr", "", make("td", "", place), make("td", "", each.split), make("td", "num", number(each.score)),
      make("td", "num", String(each.instances)), status));
  }
  const box = make("div", "scroll", make("table", "plain", make("thead", "", head), body));
  box.tabIndex = 0;
  return [box];
}

function securityOf(node) {
  return node.evidence.map((each) => {
    const facts = make("dl", "facts");
    if (each.deeds.length) facts.append(fact("Seen", ...each.deeds.map((text) => make("code", "", text))));
    facts.append(fact("Effect", each.effect));
    if (each.text.length) facts.append(fact("Its text", ...each.text.map((text) => make("code", "", text))));
    const topic = each.topic.slice(0, 1).toUpperCase() + each.topic.slice(1);
    return make("div", "", make("h4", "", badge(each.level), " ", topic, " ",
      make("small", "", HOW[each.how] || each.how)), facts);
  });
}

// --- colours: the same expression as in highlight.py

const TOKEN = /(#[^\n]*)|([rbfuRBFU]{0,2}(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:[^"\\\n]|\\[^\n])*"?|'(?:[^'\\\n]|\\[^\n])*'?))|(@[A-Za-z_][\w.]*)|(\d[\w.]*)|([\p{L}_][\p{L}\p{N}_]*)|(\s+|[^])/uy;
const KEYWORDS = new Set(("False None True and as assert async await break class continue def del elif else except "
  + "finally for from global if import in is lambda nonlocal not or pass raise return try while with yield").split(" "));
const BUILTINS = new Set(("abs all any bool bytes callable dict dir enumerate eval exec filter float format frozenset getattr "
  + "globals hasattr hash id input int isinstance issubclass iter len list locals map max min next object open ord "
  + "pow print range repr reversed round set setattr slice sorted str sum super tuple type vars zip").split(" "));
const CLASSES = ["", "c", "s", "d", "m"];

function highlight(text) {
  const lines = [[]];
  let before = "";
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    const token = match[0];
    const kind = match.slice(1).findIndex((group) => group !== undefined) + 1;
    let name = CLASSES[kind] || "";
    if (kind === 5) {
      name = KEYWORDS.has(token) ? "k" : before === "def" || before === "class" ? "f"
        : BUILTINS.has(token) && before !== "." ? "b" : "";
    }
    if (token.trim()) before = token;
    token.split("\n").forEach((part, i) => {
      if (i) lines.push([]);
      const line = lines.at(-1);
      if (!part) return;
      if (line.length && line.at(-1)[0] === name) line.at(-1)[1] += part;
      else line.push([name, part]);
    });
  }
  return lines;
}

const spans = (line) => line.map(([name, text]) => name ? make("span", "h-" + name, text) : text);

// --- diffs: as diffs.py (Myers 1986); [kind, place in old, place in new]

const MAX_EDITS = 500;
const MAX_WORK = 400000;

function compare(old, fresh) {
  let low = 0;
  let tail = 0;
  const end = Math.min(old.length, fresh.length);
  while (low < end && old[low] === fresh[low]) low += 1;
  while (tail < end - low && old[old.length - 1 - tail] === fresh[fresh.length - 1 - tail]) tail += 1;
  const changes = [];
  for (let i = 0; i < low; i += 1) changes.push([" ", i, i]);
  const inner = middle(old.slice(low, old.length - tail), fresh.slice(low, fresh.length - tail));
  for (const [kind, i, j] of inner) changes.push([kind, i + low, j + low]);
  for (let i = tail; i > 0; i -= 1) changes.push([" ", old.length - i, fresh.length - i]);
  return removalsFirst(changes);
}

function middle(old, fresh) {
  const trace = follow(old, fresh);
  if (!trace) return [...old.map((_, i) => ["-", i, 0]), ...fresh.map((_, i) => ["+", old.length, i])];
  const back = [];
  let [x, y] = [old.length, fresh.length];
  for (let edits = trace.length - 1; edits > 0; edits -= 1) {
    const reach = trace[edits];
    const k = x - y;
    const down = k === -edits || (k !== edits && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
    const beforeK = down ? k + 1 : k - 1;
    const beforeX = reach.get(beforeK);
    const beforeY = beforeX - beforeK;
    while (x > beforeX && y > beforeY) back.push([" ", x -= 1, y -= 1]);
    [x, y] = [beforeX, beforeY];
    back.push([down ? "+" : "-", x, y]);
  }
  while (x > 0 && y > 0) back.push([" ", x -= 1, y -= 1]);
  return back.reverse();
}

function follow(old, fresh) {
  const reach = new Map([[1, 0]]);
  const trace = [];
  let work = 0;
  for (let edits = 0; edits <= Math.min(old.length + fresh.length, MAX_EDITS); edits += 1) {
    trace.push(new Map(reach));
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? reach.get(k + 1) : reach.get(k - 1) + 1;
      const start = x;
      while (x < old.length && x - k >= 0 && x - k < fresh.length && old[x] === fresh[x - k]) x += 1;
      work += 1 + x - start;
      reach.set(k, x);
      if (x >= old.length && x - k >= fresh.length) return trace;
    }
    if (work > MAX_WORK) return null;
  }
  return null;
}

function removalsFirst(changes) {
  const ordered = [];
  let [removed, added] = [[], []];
  for (const change of [...changes, [" ", -1, -1]]) {
    if (change[0] === "-") removed.push(change);
    else if (change[0] === "+") added.push(change);
    else {
      ordered.push(...removed, ...added);
      [removed, added] = [[], []];
      if (change[1] >= 0) ordered.push(change);
    }
  }
  return ordered;
}

// --- beginning

for (const root of data.roots) tree.append(item({ id: root }, 1));
for (const group of groups.get("") || []) tree.append(item({ group }, 1));

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[data-program]");
  if (!anchor || !nodes.has(anchor.dataset.program)) return;
  event.preventDefault();
  const id = anchor.dataset.program;
  choose(id);
  const element = reveal(id);
  if (element) focusItem(element);
  document.getElementById("programs").scrollIntoView();
  if (matchMedia("(max-width: 46rem)").matches) panel.scrollIntoView();
});

addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});

if (nodes.size) {
  document.getElementById("browser").hidden = false;
  document.getElementById("list").hidden = true;
  for (const each of document.querySelectorAll(".needs-script")) each.hidden = false;
  if (data.focus && nodes.has(data.focus)) {
    choose(data.focus);
    reveal(data.focus);
    choose(data.focus);
  }
  if (data.nodes.filter((node) => node.kind === "improver").length <= 60) {
    for (const node of data.nodes) if (children.has(node.id) && items.has(node.id)) open(items.get(node.id), true);
  }
  current = items.get(data.focus) || tree.firstElementChild;
  current.tabIndex = 0;
}
})();
