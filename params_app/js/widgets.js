// One widget for each kind of value. A widget is {element, set(value)}; it calls change(value) when a person changes it.
"use strict";

const Widgets = (() => {
  const { make } = Dom;

  /** The widget of a schema without alternatives; `context` is {id, label, describedby}. */
  function widgetFor(schema, value, change, context) {
    if (schema.enum) return choice(schema, value, change, context);
    switch (schema.type) {
      case "boolean": return toggle(value, change, context);
      case "number":
      case "integer": return number(schema, value, change, context);
      case "string": return string(schema, value, change, context);
      case "array": return list(schema, value, change, context);
      default: return json(value, change, context);
    }
  }

  const aria = ({ id, label, describedby }) => ({ id, "aria-label": label, "aria-describedby": describedby });

  function toggle(value, change, context) {
    const input = make("input", { type: "checkbox", role: "switch", ...aria(context), onchange: () => { show(); change(input.checked); } });
    const word = make("span", { class: "switch-word", "aria-hidden": "true" });
    const show = () => { word.textContent = input.checked ? "true" : "false"; };
    const set = (next) => { input.checked = next === true; show(); };
    set(value);
    return { element: make("label", { class: "switch" }, input, make("span", { class: "track" }), word), set };
  }

  function choice(schema, value, change, context) {
    const select = make("select", { ...aria(context), onchange: () => change(schema.enum[select.selectedIndex]) });
    select.append(...schema.enum.map((item) => make("option", { value: item, text: item })));
    const set = (next) => {
      select.querySelectorAll("option.foreign").forEach((option) => option.remove());
      const index = schema.enum.indexOf(next);
      if (index < 0) select.append(make("option", { class: "foreign", text: `${Dom.brief(next, 30)} (not allowed)` }));
      select.selectedIndex = index < 0 ? schema.enum.length : index;
    };
    set(value);
    return { element: select, set };
  }

  function bounds(schema) {
    const low = schema.minimum ?? schema.exclusiveMinimum;
    const high = schema.maximum ?? schema.exclusiveMaximum;
    const from = schema.minimum !== undefined ? `${low} or more` : low !== undefined ? `above ${low}` : "";
    const to = schema.maximum !== undefined ? `${high} or less` : high !== undefined ? `below ${high}` : "";
    return { low, high, text: schema.minimum !== undefined && schema.maximum !== undefined ? `${low} to ${high}` : [from, to].filter(Boolean).join(", ") };
  }

  function number(schema, value, change, context) {
    const { low, high, text } = bounds(schema);
    const read = (input) => (input.value === "" ? "" : Number(input.value));
    const step = schema.type === "integer" ? 1 : "any";
    const input = make("input", {
      type: "number", inputmode: "decimal", step, min: low, max: high, ...aria(context),
      oninput: () => { if (slider && input.value !== "") slider.value = input.value; change(read(input)); },
    });
    const slider = low !== undefined && high !== undefined
      ? make("input", {
        type: "range", min: low, max: high, step: (high - low) / 100, "aria-label": `${context.label}, slider`,
        oninput: () => { input.value = String(Number(slider.value)); change(read(input)); },
      })
      : null;
    const set = (next) => {
      input.value = typeof next === "number" ? String(next) : "";
      if (slider) slider.value = input.value;
    };
    set(value);
    const whole = schema.type === "integer" ? "whole number" : "";
    const hint = [whole, text].filter(Boolean).join(", ");
    return { element: make("div", { class: "number" }, input, slider, hint ? make("span", { class: "hint", text: hint }) : null), set };
  }

  function string(schema, value, change, context) {
    const length = String(schema.default ?? value ?? "").length;
    const long = length > 60;
    const input = make(long ? "textarea" : "input", {
      ...(long ? { rows: 2 } : { type: "text" }), ...aria(context), spellcheck: "false", autocomplete: "off",
      oninput: () => change(input.value),
    });
    const set = (next) => { input.value = typeof next === "string" ? next : ""; };
    set(value);
    const element = schema.examples ? make("span", { class: "suggesting" }, input, suggestions(input, schema.examples)) : input;
    return { element, set, wide: length > 24 };
  }

  /** Texts that are proposed where any other may be typed. */
  function suggestions(input, texts) {
    const id = `${input.id}-suggestions`;
    input.setAttribute("list", id);
    return make("datalist", { id }, ...texts.map((text) => make("option", { value: text })));
  }

  function list(schema, value, change, context) {
    const items = schema.items || {};
    if (items.enum) return checklist(items.enum, value, change, context);
    if (items.type === "number" && schema.minItems !== undefined && schema.minItems === schema.maxItems) {
      return numbers(schema, value, change, context);
    }
    if (items.type === "string") return lines(value, change, context);
    return json(value, change, context);
  }

  /** A list of some of a few names: boxes to tick; the order of what was ticked is kept. */
  function checklist(names, value, change, context) {
    let chosen = [];
    const boxes = names.map((name) => make("input", {
      type: "checkbox", value: name,
      onchange: (event) => {
        chosen = event.target.checked ? [...chosen, name] : chosen.filter((other) => other !== name);
        change([...chosen]);
      },
    }));
    const set = (next) => {
      chosen = Array.isArray(next) ? [...next] : [];
      boxes.forEach((box) => { box.checked = chosen.includes(box.value); });
    };
    set(value);
    const labels = boxes.map((box) => make("label", { class: "check" }, box, make("span", { text: box.value })));
    return {
      element: make("div", { class: "checklist", role: "group", ...aria(context), tabindex: "-1" }, ...labels), set, wide: true,
    };
  }

  /** A list of a fixed number of numbers, side by side. */
  function numbers(schema, value, change, context) {
    const count = schema.minItems;
    const inputs = Array.from({ length: count }, (_, index) => make("input", {
      type: "number", step: "any", "aria-label": `${context.label}, ${index + 1} of ${count}`, "aria-describedby": context.describedby,
      id: index === 0 ? context.id : undefined,
      oninput: () => change(inputs.map((input) => (input.value === "" ? "" : Number(input.value)))),
    }));
    const set = (next) => inputs.forEach((input, index) => { input.value = Array.isArray(next) && typeof next[index] === "number" ? String(next[index]) : ""; });
    set(value);
    const parts = inputs.flatMap((input, index) => (index ? [make("span", { class: "times", text: "×", "aria-hidden": "true" }), input] : [input]));
    return { element: make("div", { class: "numbers" }, ...parts), set };
  }

  /** A list of texts, one a line. */
  function lines(value, change, context) {
    const area = make("textarea", {
      rows: 2, ...aria(context), spellcheck: "false", placeholder: "one a line",
      oninput: () => change(area.value.split("\n").map((line) => line.trim()).filter(Boolean)),
    });
    const set = (next) => { area.value = Array.isArray(next) ? next.join("\n") : ""; };
    set(value);
    return { element: area, set };
  }

  /** Any JSON, typed as text over several lines. */
  function json(value, change, context) {
    const problem = make("p", { class: "problem", role: "alert", hidden: true });
    const area = make("textarea", {
      rows: 4, class: "json", ...aria(context), spellcheck: "false",
      oninput: () => {
        try {
          const next = JSON.parse(area.value);
          problem.hidden = true;
          area.removeAttribute("aria-invalid");
          change(next);
        } catch (error) {
          problem.textContent = `not JSON yet, so not taken: ${error.message}`;
          problem.hidden = false;
          area.setAttribute("aria-invalid", "true");
        }
      },
    });
    const set = (next) => {
      if (area === document.activeElement && problem.hidden && area.value) return; // not under a person's hands
      area.value = JSON.stringify(next, null, 2) ?? "";
      area.rows = Math.min(16, Math.max(3, area.value.split("\n").length));
      problem.hidden = true;
    };
    set(value);
    return { element: make("div", { class: "json-box" }, area, problem), set, wide: true };
  }

  /** One value of any plain kind, typed as on the command line: JSON, and anything else is text. */
  function anyValue(value, change, context) {
    if (typeof value === "boolean") return toggle(value, change, context);
    const badge = make("span", { class: "badge", "aria-hidden": "true" });
    const input = make("input", {
      type: "text", ...aria(context), spellcheck: "false", autocomplete: "off",
      oninput: () => { const next = parseLoosely(input.value); name(next); change(next); },
    });
    const name = (next) => { badge.textContent = KIND_NAMES[Model.kindOf(next)]; };
    const set = (next) => { input.value = writeLoosely(next); name(next); };
    set(value);
    return { element: make("div", { class: "any" }, input, badge), set };
  }

  const KIND_NAMES = { string: "text", number: "number", boolean: "true/false", null: "null", array: "list", object: "object" };

  function parseLoosely(text) {
    try {
      return JSON.parse(text);
    } catch (error) {
      return text;
    }
  }

  /** Text stands bare where it would be read back as the same text. */
  function writeLoosely(value) {
    return typeof value === "string" && parseLoosely(value) === value ? value : JSON.stringify(value) ?? "";
  }

  return { KIND_NAMES, anyValue, parseLoosely, widgetFor };
})();
