// The tab "Validate JSON": text in, everything that is wrong with it out.
"use strict";

/** @param onopen  called with (params, source) to edit them in the form */
function ValidateTab(schema, onopen) {
  const { make, plural } = Dom;
  const area = make("textarea", {
    id: "validate-text", class: "json", rows: 22, spellcheck: "false", "aria-label": "Params JSON",
    placeholder: '{\n  "preprocessing": {\n    "denoising_strategy": "destripe"\n  }\n}',
    oninput: () => { clearTimeout(timer); timer = setTimeout(run, 300); },
  });
  const results = make("div", { class: "results", role: "status", "aria-live": "polite" });
  const file = make("input", { type: "file", accept: ".json,.jsonc,application/json", id: "validate-file", class: "visually-hidden", onchange: () => file.files[0] && load(file.files[0]) });
  const openButton = make("button", { type: "button", id: "validate-open", text: "Open in the editor", disabled: true, onclick: () => current && onopen(current.params, name || "the pasted text") });
  const element = make("div", { class: "validate" },
    make("div", { class: "validate-input" },
      make("div", { class: "buttons" },
        make("label", { class: "button", for: "validate-file", text: "Open a file…" }), file,
        make("button", { type: "button", class: "quiet", text: "Clear", onclick: () => { area.value = ""; name = ""; run(); area.focus(); } }), openButton),
      area,
      make("p", { class: "note", text: "Comments and trailing commas are taken, with a warning. A file can be dropped here." })),
    results);
  let timer = 0;
  let name = "";
  let current = null; // {params}: what could be read, in today's layout
  let turn = 0;

  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) load(event.dataTransfer.files[0]); });

  async function load(chosen) {
    name = chosen.name;
    area.value = await chosen.text();
    file.value = "";
    run();
  }

  async function run() {
    turn += 1;
    const mine = turn;
    current = null;
    openButton.disabled = true;
    if (!area.value.trim()) { results.replaceChildren(); return; }
    const source = Checking.read(area.value);
    if (source.problems.length) {
      show({ title: `Not readable: ${plural(source.problems.length, "problem")}`, bad: true, problems: source.problems, warnings: source.warnings });
      return;
    }
    const older = Checking.olderKeys(source.value);
    if (!older.length) showChecked(source, source.value, [], Checking.check(schema, source.value), Server.isAway() ? "" : "going on");
    const answer = await Server.check(source.value);
    if (mine !== turn) return;
    if (answer) showChecked(source, answer.params, answer.changes, allProblems(answer), answer.problems === null ? "" : "whole");
    else if (older.length) showOlder(source, older);
    else showChecked(source, source.value, [], Checking.check(schema, source.value), "");
  }

  /** The problems of the schema and of Python's check: Python's where it could check. */
  function allProblems(answer) {
    if (answer.problems === null) return Checking.check(schema, answer.params);
    return answer.problems.map((problem) => ({ ...problem, keys: problem.path.split("."), wholeKey: problem.message === "unknown key" }));
  }

  function showChecked(source, params, changes, problems, extent) {
    current = { params };
    openButton.disabled = false;
    const placed = problems.map((problem) => ({ ...problem, ...Checking.locate(source, problem.keys, problem.wholeKey) }))
      .sort((a, b) => a.offset - b.offset);
    const notes = [];
    if (extent === "going on") notes.push("By the schema; rules between keys and the names of SpikeInterface's arguments are being checked…");
    else if (extent !== "whole") notes.push("By the schema. Rules between keys (such as freq_min below freq_max) and the names of SpikeInterface's arguments are checked by `spikepipe params validate`.");
    show({ title: placed.length ? `Invalid: ${plural(placed.length, "error")}` : "Valid", bad: placed.length > 0, problems: placed, warnings: source.warnings, changes, notes });
  }

  function showOlder(source, older) {
    show({
      title: "An older layout", bad: true, problems: [], warnings: source.warnings, changes: [],
      notes: [`This file has keys of an older layout: ${older.join(", ")}. Bring it to today's with \`spikepipe params migrate OLD.json -o NEW.json\`, or open this page by \`spikepipe params edit\`, which does it here.`],
    });
  }

  function show({ title, bad, problems, warnings, changes = [], notes = [] }) {
    const parts = [make("h2", { class: bad ? "verdict bad" : "verdict good", text: title })];
    if (problems.length) parts.push(make("ul", { class: "problems" }, ...problems.map(problemLine)));
    if (warnings.length) {
      parts.push(make("details", { class: "warnings", open: true },
        make("summary", { text: `${plural(warnings.length, "warning")}: JSON has neither comments nor trailing commas; spikepipe refuses them` }),
        make("ul", {}, ...warnings.map((warning) => make("li", {}, placeLink(warning), ` ${warning.message}`)))));
    }
    if (changes.length) {
      parts.push(make("details", { class: "changes" },
        make("summary", { text: `An older layout, brought to today's: ${plural(changes.length, "change")}` }),
        make("ul", {}, ...changes.map((change) => make("li", { text: change })))));
    }
    parts.push(...notes.map((note) => make("p", { class: "note", text: note })));
    results.replaceChildren(...parts);
  }

  function problemLine(problem) {
    const value = problem.value === undefined ? "" : ` = ${Dom.brief(problem.value)}`;
    return make("li", {},
      make("div", {}, make("code", { text: (problem.path || "the file") + value }), " ", placeLink(problem)),
      make("div", { class: "what", text: problem.message + (problem.suggestion ? `; ${problem.suggestion}` : "") }));
  }

  function placeLink({ line, column, offset, length }) {
    return make("button", {
      type: "button", class: "link", text: `line ${line}, column ${column}`,
      onclick: () => { area.focus(); area.setSelectionRange(offset, offset + Math.max(1, length)); scrollTo(line); },
    });
  }

  function scrollTo(line) {
    const height = parseFloat(getComputedStyle(area).lineHeight) || 20;
    area.scrollTop = Math.max(0, (line - 4) * height);
  }

  return { element };
}
