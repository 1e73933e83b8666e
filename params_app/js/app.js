// The page: tabs, toolbar, navigation, import and export.
"use strict";

(() => {
  const { make, plural } = Dom;
  const DRAFT = "spikepipe-params-draft";
  const THEME = "spikepipe-params-theme";
  const $ = (id) => document.getElementById(id);
  const schema = window.paramsSchema;
  const defaults = Model.defaultOf(schema);
  const state = { values: Model.clone(defaults), defaults };
  const form = Form(schema, state, changed);
  const validateTab = ValidateTab(schema, (params, source) => { showTab("editor"); take(params, source, []); });
  let problems = [];
  let pending = 0;

  // --- what is edited ---

  const onlyChanged = () => Model.differing(schema, state.values, defaults) || {};

  function changed() {
    cancelAnimationFrame(pending);
    pending = requestAnimationFrame(refresh);
  }

  function refresh() {
    problems = Checking.check(schema, state.values);
    form.refresh(problems);
    const count = Model.countLeaves(Model.differing(schema, state.values, defaults));
    $("count").textContent = count ? `${count} changed` : "all defaults";
    $("count").classList.toggle("some", count > 0);
    $("errors").textContent = problems.length ? plural(problems.length, "error") : "";
    $("errors").hidden = problems.length === 0;
    $("reset-all").disabled = count === 0;
    refreshNavigation();
    if ($("only-changed").checked) filter();
    keepDraft(count);
  }

  function keepDraft(count) {
    try {
      if (count) localStorage.setItem(DRAFT, JSON.stringify(onlyChanged()));
      else localStorage.removeItem(DRAFT);
    } catch (error) {
      // without storage there is no draft, and all else works
    }
  }

  function storedDraft() {
    try {
      return localStorage.getItem(DRAFT);
    } catch (error) {
      return null;
    }
  }

  function restore(draft) {
    if (!draft) return;
    try {
      replace(JSON.parse(draft));
      notify("Your latest edits are back.", [], "info", make("button", { type: "button", class: "small", text: "Start from the defaults", onclick: () => { resetAll(); clearNotice(); } }));
    } catch (error) {
      notify("An earlier draft could not be read and was left out.", [], "warn");
    }
  }

  function replace(given) {
    state.values = Model.mergeOver(schema, defaults, given);
    form.build();
    refresh();
  }

  function resetAll() {
    replace({});
  }

  // --- import ---

  async function importText(text, source) {
    const read = Checking.read(text);
    if (read.problems.length) {
      const first = read.problems[0];
      notify(`${source} is not readable JSON: ${first.message} (line ${first.line}, column ${first.column}). Nothing was changed.`, [], "bad");
      return;
    }
    const warnings = read.warnings.length ? ["its comments and trailing commas, which spikepipe refuses, are left out of what is written here"] : [];
    const answer = await Server.check(read.value);
    if (answer) {
      take(answer.params, source, answer.changes, [...warnings, ...beyondSchema(answer)]);
      return;
    }
    const older = Checking.olderKeys(read.value);
    if (older.length) {
      notify(`${source} is of an older layout (${older.join(", ")}). Nothing was changed: bring it to today's with "spikepipe params migrate OLD.json -o NEW.json", or open this page by "spikepipe params edit", which does it here.`, [], "bad");
      return;
    }
    take(read.value, source, [], warnings);
  }

  /** Problems that only Python sees; the others stand at their keys. */
  function beyondSchema(answer) {
    const seen = new Set(Checking.check(schema, answer.params).map((problem) => problem.path));
    return (answer.problems || []).filter((one) => !seen.has(one.path)).map((one) => `wrong: ${one.path}: ${one.message}${one.suggestion ? `; ${one.suggestion}` : ""}`);
  }

  /** Edit params of today's layout. */
  function take(params, source, changes, warnings = []) {
    const given = Model.clone(params);
    const unknown = Model.takeUnknown(schema, given);
    replace(given);
    const count = Model.countLeaves(Model.differing(schema, state.values, defaults));
    const lines = [
      ...unknown.map((path) => `left out, no such key: ${path}`),
      ...warnings,
      ...changes,
    ];
    const migrated = changes.length ? ` It was of an older layout, and was brought to today's: ${plural(changes.length, "change")}.` : "";
    notify(`Imported ${source}: ${count ? `${plural(count, "value")} differ${count === 1 ? "s" : ""} from the defaults` : "all defaults"}.${migrated}`, lines, unknown.length ? "warn" : "info");
  }

  // --- notices ---

  function notify(text, lines, kind, action) {
    const parts = [make("p", { text }, action ? " " : null, action || null)];
    if (lines.length) {
      parts.push(make("details", { open: lines.length < 6 }, make("summary", { text: plural(lines.length, "line") + " of details" }), make("ul", {}, ...lines.map((line) => make("li", { text: line })))));
    }
    $("notice").className = `notice ${kind}`;
    $("notice").replaceChildren(make("div", {}, ...parts), make("button", { type: "button", class: "quiet close", "aria-label": "Close this notice", text: "✕", onclick: clearNotice }));
  }

  function clearNotice() {
    $("notice").className = "notice";
    $("notice").replaceChildren();
  }

  // --- export ---

  const outputText = () => {
    const whole = document.querySelector('input[name="extent"]:checked').value === "all";
    const params = whole ? Model.clone(state.values) : onlyChanged();
    if (params.$schema === null) delete params.$schema;
    return `${JSON.stringify(params, null, 2)}\n`;
  };

  function showOutput() {
    refresh();
    fillOutput();
    $("output").showModal();
    $("output-text").focus();
    $("output-text").setSelectionRange(0, 0);
    $("output-text").scrollTop = 0;
  }

  async function fillOutput() {
    const text = outputText();
    $("output-text").value = text;
    sayVerdict(problems, false);
    const answer = await Server.check(JSON.parse(text));
    if (answer && answer.problems !== null && $("output-text").value === text) sayVerdict(answer.problems, true);
  }

  function sayVerdict(found, whole) {
    const verdict = $("output-verdict");
    verdict.className = found.length ? "verdict bad" : "verdict good";
    verdict.replaceChildren(
      found.length ? `${plural(found.length, "error")}: spikepipe would refuse this file` : whole ? "Valid" : "Valid by the schema",
      ...(found.length ? [make("ul", {}, ...found.slice(0, 8).map((one) => make("li", { text: `${one.path}: ${one.message}` })))] : []),
    );
  }

  function download() {
    const url = URL.createObjectURL(new Blob([$("output-text").value], { type: "application/json" }));
    const link = make("a", { href: url, download: $("output-name").value.trim() || "params.json" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  async function copy() {
    const text = $("output-text").value;
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) {
      $("output-text").select();
      document.execCommand("copy");
    }
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
  }

  // --- finding ---

  function filter() {
    const query = $("search").value;
    const onlyThose = $("only-changed").checked;
    const count = form.filter(query, onlyThose);
    const active = Boolean(query.trim()) || onlyThose;
    $("found").textContent = active ? (count ? plural(count, "key") : "nothing found") : "";
    $("nothing").hidden = !active || count > 0;
  }

  function buildNavigation() {
    const sections = [...form.element.children];
    $("sections").replaceChildren(...sections.map((section) => make("a", { href: `#${section.dataset.path}`, "data-section": section.dataset.path, onclick: (event) => { event.preventDefault(); goTo(section.dataset.path); } },
      make("span", { text: section.dataset.path }), make("span", { class: "marks" }))));
  }

  function goTo(name) {
    const section = form.element.querySelector(`:scope > [data-path="${name}"]`);
    section.node.open();
    section.scrollIntoView({ block: "start" });
    section.querySelector(".caret").focus({ preventScroll: true });
  }

  function refreshNavigation() {
    for (const link of $("sections").children) {
      const marks = form.element.querySelector(`:scope > [data-path="${link.dataset.section}"] .marks`);
      const changedMark = marks.querySelector(".mark:not(.wrong)");
      const wrongMark = marks.querySelector(".wrong");
      link.querySelector(".marks").replaceChildren(
        ...(wrongMark ? [make("span", { class: "mark wrong", text: parseInt(wrongMark.textContent, 10), title: wrongMark.textContent })] : []),
        ...(changedMark ? [make("span", { class: "mark", text: parseInt(changedMark.textContent, 10), title: changedMark.textContent })] : []),
      );
    }
  }

  // --- tabs and theme ---

  const TABS = ["editor", "validate"];

  function showTab(name) {
    for (const tab of TABS) {
      const chosen = tab === name;
      $(`tab-${tab}`).setAttribute("aria-selected", String(chosen));
      $(`tab-${tab}`).tabIndex = chosen ? 0 : -1;
      $(tab).hidden = !chosen;
    }
  }

  function useTabs() {
    for (const tab of TABS) {
      $(`tab-${tab}`).addEventListener("click", () => showTab(tab));
      $(`tab-${tab}`).addEventListener("keydown", (event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        const other = TABS[1 - TABS.indexOf(tab)];
        showTab(other);
        $(`tab-${other}`).focus();
      });
    }
  }

  function useTheme() {
    const choices = ["auto", "light", "dark"];
    const apply = (theme) => {
      if (theme === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
      $("theme").replaceChildren(make("span", { class: "glyph", text: { auto: "◐", light: "☀", dark: "☾" }[theme], "aria-hidden": "true" }), make("span", { class: "long", text: `Theme: ${theme}` }));
      $("theme").setAttribute("aria-label", `Theme: ${theme}`);
    };
    let theme = "auto";
    try { theme = localStorage.getItem(THEME) || "auto"; } catch (error) { /* no storage, no memory of it */ }
    apply(choices.includes(theme) ? theme : "auto");
    $("theme").addEventListener("click", () => {
      theme = choices[(choices.indexOf(theme) + 1) % choices.length];
      apply(theme);
      try { localStorage.setItem(THEME, theme); } catch (error) { /* as above */ }
    });
  }

  // --- starting ---

  function useImport() {
    $("import").addEventListener("click", () => { $("import-text").value = ""; $("importing").showModal(); });
    $("import-file").addEventListener("change", async () => {
      const file = $("import-file").files[0];
      if (!file) return;
      const text = await file.text();
      $("import-file").value = "";
      $("importing").close();
      importText(text, file.name);
    });
    $("import-take").addEventListener("click", () => { $("importing").close(); importText($("import-text").value, "the pasted text"); });
    $("editor").addEventListener("dragover", (event) => event.preventDefault());
    $("editor").addEventListener("drop", async (event) => {
      const file = event.dataTransfer.files[0];
      if (!file) return;
      event.preventDefault();
      importText(await file.text(), file.name);
    });
  }

  function useToolbar() {
    $("search").addEventListener("input", filter);
    $("only-changed").addEventListener("change", filter);
    $("expand").addEventListener("click", () => form.setAll(true));
    $("collapse").addEventListener("click", () => form.setAll(false));
    $("generate").addEventListener("click", showOutput);
    $("reset-all").addEventListener("click", () => { if (window.confirm("Set every value back to its default?")) { clearNotice(); resetAll(); } });
    $("errors").addEventListener("click", () => problems[0] && form.reveal(problems[0].keys));
    document.querySelectorAll('input[name="extent"]').forEach((input) => input.addEventListener("change", fillOutput));
    $("download").addEventListener("click", download);
    $("copy").addEventListener("click", copy);
    document.querySelectorAll("dialog .close").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input, textarea, select, dialog");
      if (event.key === "/" && !typing && !$("editor").hidden) { event.preventDefault(); $("search").focus(); }
    });
  }

  const draft = storedDraft(); // before anything is shown, which would replace it
  $("form").append(form.element);
  $("validate").append(validateTab.element);
  form.build();
  buildNavigation();
  useTabs();
  useTheme();
  useImport();
  useToolbar();
  refresh();
  restore(draft);
  showTab(location.hash === "#validate" ? "validate" : "editor");
  document.body.dataset.ready = "true";
})();
