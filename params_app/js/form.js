// The form: groups that collapse, one row a key, made from the schema.
"use strict";

/**
 * @param root      the schema
 * @param state     {values, defaults}: the whole params, and the built-in ones
 * @param onchange  called after every change
 */
function Form(root, state, onchange) {
  const { make, idOf, brief, plural } = Dom;
  const { at } = Model;
  const open = new Set(Object.keys(root.properties)); // dotted paths of the groups that are open
  const lastValues = new Map(); // dotted path -> what stood there before it was set to null
  const element = make("div", { class: "form" });
  let problems = [];

  const keyOf = (path) => path.join(".");

  function change(path, value) {
    Model.put(state.values, path, value);
    onchange();
  }

  function reset(path) {
    const standard = standardAt(path);
    if (standard === undefined) Model.remove(state.values, path);
    else Model.put(state.values, path, Model.clone(standard));
    rebuild(path);
    onchange();
  }

  /** The default at a path; inside an object that is null by default, the default that its key has once it is there. */
  function standardAt(path) {
    let standard = state.defaults;
    let schema = root;
    for (const key of path) {
      const branch = Model.objectBranch(schema);
      if (!Model.isObject(standard)) standard = branch && branch.properties ? Model.defaultsOfKeys(branch) : undefined;
      standard = standard === undefined ? undefined : standard[key];
      schema = Model.schemaOfKey(branch, key);
    }
    return standard;
  }

  const isChanged = (path) => !Model.equal(at(state.values, path), standardAt(path));

  // --- nodes ---

  /** A key of a known object. */
  function node(schema, path) {
    const branch = Model.objectBranch(schema);
    const alternatives = Model.branches(schema).filter((one) => one.type !== "null");
    if (branch && branch.properties && alternatives.length === 1) return group(schema, branch, path);
    if (Model.isFree(branch) && alternatives.length === 1 && !isWholeObject(schema)) return group(schema, branch, path);
    return row(schema, path);
  }

  /** Objects of objects of anything, null by default: a whole that is written as JSON. */
  const isWholeObject = (schema) => Model.isNullable(schema) && schema.default === null && Model.isFree(Model.objectBranch(schema));

  function group(schema, branch, path) {
    const key = keyOf(path);
    const nullable = Model.isNullable(schema);
    const id = idOf(path);
    const body = make("div", { class: "group-body", id: `${id}-body` });
    const caret = make("button", { type: "button", class: "caret", id, "aria-controls": `${id}-body`, onclick: () => setOpen(!open.has(key)) },
      make("span", { class: "arrow", "aria-hidden": "true" }), make("span", { class: "key", text: path[path.length - 1] }));
    const preview = make("span", { class: "preview" });
    const marks = make("span", { class: "marks" });
    const head = make("div", { class: "group-head" }, caret, preview, marks);
    const section = make("section", { class: `group depth-${path.length}`, "data-path": key, "aria-labelledby": id }, head, body);
    if (nullable) head.append(nullSwitch(schema, path));
    head.append(standardAt(path) === undefined ? removeButton(path) : resetButton(path));
    if (schema.description) body.append(make("p", { class: "description", text: schema.description }));

    function setOpen(wanted) {
      if (wanted) open.add(key);
      else open.delete(key);
      section.node.refresh();
    }

    function fill() {
      body.querySelectorAll(":scope > :not(.description)").forEach((child) => child.remove());
      const value = at(state.values, path);
      if (!Model.isObject(value)) return;
      for (const [name, below] of Object.entries(branch.properties || {})) body.append(node(below, [...path, name]));
      if (Model.takesFurtherKeys(branch)) body.append(furtherKeys(branch, path));
    }

    section.node = {
      path, description: schema.description || "",
      refresh() {
        const value = at(state.values, path);
        const isNull = !Model.isObject(value);
        const expanded = (open.has(key) || section.classList.contains("found")) && !isNull;
        caret.setAttribute("aria-expanded", String(expanded));
        caret.disabled = isNull;
        body.hidden = !expanded && !(isNull && schema.description); // what it would be is said before it is there
        preview.textContent = expanded ? "" : isNull ? "null" : previewOf(value);
        const count = Model.countLeaves(Model.differing(schema, value, standardAt(path)));
        const wrong = problems.filter((problem) => startsWith(problem.keys, path)).length;
        showMarks(marks, count, wrong);
        section.classList.toggle("changed", count > 0);
        section.classList.toggle("null", isNull);
      },
      rebuild() {
        fill();
        refreshBelow(section);
      },
      open: () => setOpen(true),
    };
    fill();
    return section;
  }

  function previewOf(value) {
    const parts = Object.entries(value).map(([key, below]) =>
      Model.isObject(below) ? `${key} {${Object.keys(below).length ? "…" : ""}}` : `${key} ${brief(below, 24)}`);
    return parts.length ? parts.join(" · ") : "{}";
  }

  function showMarks(marks, count, wrong) {
    marks.replaceChildren(
      ...(wrong ? [make("span", { class: "mark wrong", text: plural(wrong, "error") })] : []),
      ...(count ? [make("span", { class: "mark", text: `${count} changed` })] : []),
    );
  }

  function row(schema, path) {
    const id = idOf(path);
    const context = { id, label: keyOf(path), describedby: `${id}-text ${id}-problem` };
    const holder = make("div", { class: "widget" });
    const problem = make("p", { class: "problem", id: `${id}-problem`, hidden: true });
    const standard = make("span", { class: "standard" });
    const head = make("div", { class: "row-head" },
      make("label", { class: "key", for: id, text: path[path.length - 1] }), make("span", { class: "mark", text: "changed" }), resetButton(path));
    const text = make("div", { class: "row-text" }, head, make("p", { class: "description", id: `${id}-text`, text: schema.description || "" }));
    const side = make("div", { class: "row-value" }, holder, standard, problem);
    const element_ = make("div", { class: "row", "data-path": keyOf(path) }, text, side);
    let widget = null;

    function build() {
      const made = alternatives(schema, path, context, build);
      widget = made.widget;
      holder.replaceChildren(...made.elements);
      element_.classList.toggle("wide", Boolean(widget && widget.wide));
    }

    element_.node = {
      path, description: schema.description || "",
      refresh() {
        const changed = isChanged(path);
        element_.classList.toggle("changed", changed);
        standard.textContent = changed ? `default: ${brief(standardAt(path), 80)}` : "";
        const wrong = problems.filter((one) => startsWith(one.keys, path));
        problem.textContent = wrong.map((one) => [one.keys.slice(path.length).join("."), one.message].filter(Boolean).join(": ")).join("; ");
        problem.hidden = wrong.length === 0;
        element_.classList.toggle("wrong", wrong.length > 0);
        holder.querySelectorAll("input, select, textarea").forEach((input) => input.toggleAttribute("aria-invalid", wrong.length > 0));
      },
      rebuild: build,
    };
    build();
    return element_;
  }

  /** The widget of a key, with a switch for null and a choice of kinds where several are allowed. */
  function alternatives(schema, path, context, build) {
    const value = at(state.values, path);
    const branches = Model.branches(schema);
    const some = branches.filter((branch) => branch.type !== "null");
    const elements = [];
    const chosen = value === null ? null : Model.branchOf(schema, Model.kindOf(value)) || some[0];
    const inherit = { default: schema.default };
    if (some.length > 1) elements.push(kinds(branches, value, path, context, build));
    else if (some.length < branches.length) elements.push(nullSwitch(schema, path));
    if (chosen === null) return { widget: null, elements };
    const widget = Widgets.widgetFor({ ...inherit, ...chosen }, value, (next) => change(path, next), context);
    return { widget, elements: some.length > 1 ? [...elements, widget.element] : [widget.element, ...elements] };
  }

  function kinds(branches, value, path, context, build) {
    const current = Model.kindOf(value);
    const buttons = branches.map((branch) => {
      const kind = branch.type === "null" ? "null" : Model.kindsOf(branch)[0];
      const input = make("input", {
        type: "radio", name: `${context.id}-kind`, checked: kind === current,
        onchange: () => { change(path, firstOf(branch)); build(); onchange(); focusIn(path, ".kinds input:checked"); },
      });
      return make("label", {}, input, make("span", { text: Widgets.KIND_NAMES[kind] }));
    });
    return make("div", { class: "kinds", role: "radiogroup", "aria-label": `${context.label}: kind of value` }, ...buttons);
  }

  function nullSwitch(schema, path) {
    const branch = Model.branches(schema).find((one) => one.type !== "null");
    const key = keyOf(path);
    const input = make("input", {
      type: "checkbox", role: "switch", "aria-label": `${key}: null`, checked: at(state.values, path) === null,
      onchange: () => {
        if (input.checked) lastValues.set(key, at(state.values, path));
        change(path, input.checked ? null : lastValues.get(key) ?? startOf(schema, branch));
        if (!input.checked && Model.objectBranch(schema)) open.add(key);
        rebuild(path);
        focusIn(path, ".null-switch input");
      },
    });
    return make("label", { class: "switch null-switch" }, input, make("span", { class: "track" }), make("span", { class: "switch-word", text: "null" }));
  }

  function focusIn(path, selector) {
    const found = element.querySelector(`[data-path="${CSS.escape(keyOf(path))}"] ${selector}`);
    if (found) found.focus();
  }

  /** What a key gets when it is no longer null. */
  function startOf(schema, branch) {
    return schema.default !== null && schema.default !== undefined ? Model.clone(schema.default) : firstOf(branch);
  }

  function firstOf(branch) {
    if (branch.type === "null") return null;
    if (branch.enum) return branch.enum[0];
    switch (branch.type) {
      case "number":
      case "integer": return branch.minimum ?? (branch.exclusiveMinimum !== undefined ? branch.exclusiveMinimum + 1 : 0);
      case "string": return branch.examples ? branch.examples[0] : "";
      case "boolean": return false;
      case "array": return [];
      default: return requiredFilled(branch);
    }
  }

  function requiredFilled(branch) {
    const value = {};
    for (const key of branch.required || []) value[key] = firstOf(branch.properties[key]);
    return { ...value, ...Model.defaultsOfKeys(branch) };
  }

  // --- keys that the schema does not name ---

  function furtherKeys(branch, path) {
    const standard = standardAt(path);
    const known = Object.keys(branch.properties || {});
    const names = Object.keys(at(state.values, path)).filter((name) => !known.includes(name));
    const cleared = Model.isFree(branch) && names.length === 0 && Model.isObject(standard) && Object.keys(standard).length > 0;
    const box = make("div", { class: "further" });
    if (cleared) {
      box.append(make("p", { class: "note", text: "Cleared, {}: the tool's own defaults apply to all of them. Reset brings these back." }));
      return box;
    }
    for (const name of names) box.append(furtherKey(branch, [...path, name]));
    box.append(adder(branch, path));
    return box;
  }

  /** A key that the schema does not name: a group like the others' where it says what such keys hold. */
  function furtherKey(branch, path) {
    const below = Model.schemaOfKey(branch, path[path.length - 1]);
    const keys = Object.keys((below && below.properties) || {});
    const value = at(state.values, path);
    const isWhole = keys.length > 0 && Model.isObject(value) && keys.every((key) => key in value);
    return isWhole ? group(below, below, path) : freeRow(path);
  }

  function freeRow(path) {
    const value = at(state.values, path);
    if (Model.isObject(value) && (Object.keys(value).length || Model.isObject(standardFree(path)))) return freeGroup(path);
    const id = idOf(path);
    const context = { id, label: keyOf(path), describedby: undefined };
    const widget = Widgets.anyValue(value, (next) => change(path, next), context);
    const standard = make("span", { class: "standard" });
    const own = standardFree(path) === undefined;
    const row_ = make("div", { class: "row free", "data-path": keyOf(path) },
      make("div", { class: "row-text" }, make("div", { class: "row-head" },
        make("label", { class: "key", for: id, text: path[path.length - 1] }), make("span", { class: "mark", text: own ? "added" : "changed" }),
        own ? removeButton(path) : resetButton(path))),
      make("div", { class: "row-value" }, make("div", { class: "widget" }, widget.element), standard));
    row_.node = {
      path, description: "",
      refresh() {
        const was = standardFree(path);
        const changed = !Model.equal(at(state.values, path), was);
        row_.classList.toggle("changed", changed);
        standard.textContent = changed && was !== undefined ? `default: ${brief(was, 80)}` : "";
      },
      rebuild: () => row_.replaceWith(refreshBelow(freeRow(path))),
    };
    return row_;
  }

  function freeGroup(path) {
    const branch = { type: "object", additionalProperties: {} };
    return group({ ...branch, default: standardFree(path) }, branch, path);
  }

  const standardFree = (path) => at(state.defaults, path);

  function removeButton(path) {
    return make("button", {
      type: "button", class: "quiet", title: `Remove ${keyOf(path)}`, "aria-label": `Remove ${keyOf(path)}`, text: "remove",
      onclick: () => { Model.remove(state.values, path); rebuild(path.slice(0, -1)); onchange(); },
    });
  }

  function adder(branch, path) {
    const names = branch.propertyNames && branch.propertyNames.enum;
    const isOfObjects = Model.isObject(branch.additionalProperties) && branch.additionalProperties.type === "object";
    const rest = names ? names.filter((name) => !(name in at(state.values, path))) : null;
    const input = rest
      ? make("select", { "aria-label": `Name of a key to add to ${keyOf(path)}` }, ...rest.map((name) => make("option", { text: name, value: name })))
      : make("input", { type: "text", placeholder: isOfObjects ? "name" : "argument", "aria-label": `Name of ${isOfObjects ? "a key" : "an argument"} to add to ${keyOf(path)}`, spellcheck: "false", autocomplete: "off" });
    const add = () => {
      const name = input.value.trim();
      if (!name || name in at(state.values, path)) return;
      Model.put(state.values, [...path, name], isOfObjects ? Model.defaultsOfKeys(rest ? {} : branch.additionalProperties) : null);
      if (isOfObjects) open.add(keyOf([...path, name]));
      rebuild(path);
      onchange();
      const added = document.getElementById(idOf([...path, name]));
      if (added) added.focus();
    };
    if (!rest) input.addEventListener("keydown", (event) => { if (event.key === "Enter") add(); });
    const controls = [input, make("button", { type: "button", class: "small", text: "Add", onclick: add })];
    const value = at(state.values, path);
    if (Model.isFree(branch) && Object.keys(value).length > 0) {
      controls.push(make("button", {
        type: "button", class: "quiet", text: "Clear all", title: "Leave every one of these to the tool: {}",
        onclick: () => { Model.put(state.values, path, {}); rebuild(path); onchange(); },
      }));
    }
    return make("div", { class: "adder" }, ...controls);
  }

  function resetButton(path) {
    return make("button", {
      type: "button", class: "quiet reset", title: "Back to the default", "aria-label": `Reset ${keyOf(path)} to its default`, text: "reset",
      onclick: () => reset(path),
    });
  }

  // --- keeping it current ---

  const startsWith = (keys, path) => path.every((key, index) => keys[index] === key);

  function refreshBelow(from) {
    if (from.node) from.node.refresh();
    from.querySelectorAll("[data-path]").forEach((one) => one.node.refresh());
    return from;
  }

  /** Make the closest row or group at or above a path again. */
  function rebuild(path) {
    for (let length = path.length; length > 0; length -= 1) {
      const found = element.querySelector(`[data-path="${CSS.escape(keyOf(path.slice(0, length)))}"]`);
      if (found) {
        found.node.rebuild();
        refreshBelow(found);
        return;
      }
    }
  }

  function build() {
    const sections = Object.entries(root.properties).filter(([key]) => key !== "$schema");
    element.replaceChildren(...sections.map(([key, schema]) => node(schema, [key])));
    refreshBelow(element);
  }

  function refresh(nextProblems) {
    problems = nextProblems;
    refreshBelow(element);
  }

  /** Show only what matches; returns how many rows do. */
  function filter(query, changedOnly) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const active = words.length > 0 || changedOnly;
    const matches = (one) => {
      const text = `${keyOf(one.node.path)} ${one.node.description}`.toLowerCase();
      return words.every((word) => text.includes(word)) && (!changedOnly || one.classList.contains("changed"));
    };
    let count = 0;
    element.querySelectorAll("[data-path]").forEach((one) => { one.classList.remove("found"); one.hidden = active; });
    if (active) {
      element.querySelectorAll(".row, .group.null").forEach((one) => {
        if (!matches(one)) return;
        count += 1;
        for (let up = one; up && up !== element; up = up.parentElement) {
          if (up.node) { up.hidden = false; up.classList.add("found"); }
        }
      });
    }
    element.classList.toggle("filtered", active);
    refreshBelow(element);
    return count;
  }

  function setAll(wanted) {
    open.clear();
    if (wanted) element.querySelectorAll(".group").forEach((one) => open.add(one.dataset.path));
    refreshBelow(element);
  }

  /** Open all groups on the way to a path and go there. */
  function reveal(path) {
    path.forEach((_, index) => open.add(keyOf(path.slice(0, index + 1))));
    refreshBelow(element);
    for (let length = path.length; length > 0; length -= 1) {
      const found = element.querySelector(`[data-path="${CSS.escape(keyOf(path.slice(0, length)))}"]`);
      if (!found) continue;
      found.scrollIntoView({ block: "center" });
      const input = found.querySelector("input, select, textarea, button.caret");
      if (input) input.focus({ preventScroll: true });
      return;
    }
  }

  return { build, element, filter, refresh, reveal, setAll };
}
