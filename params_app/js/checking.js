// Reads JSON with patience, checks it against the schema, and says in words what is wrong.
"use strict";

const Checking = (() => {
  const { Ajv, parseTree, visit, findNodeAtLocation, getNodeValue, printParseErrorCode, distance } = ParamsLibraries;
  const PROBLEM_TEXTS = {
    InvalidSymbol: "this is no JSON: text needs double quotes",
    InvalidNumberFormat: "this is no number",
    PropertyNameExpected: "a key in double quotes belongs here",
    ValueExpected: "a value belongs here",
    ColonExpected: "a colon belongs here",
    CommaExpected: "a comma belongs before this",
    CloseBraceExpected: "a closing } is missing",
    CloseBracketExpected: "a closing ] is missing",
    EndOfFileExpected: "the file should end before this",
    UnexpectedEndOfString: "the text is not closed",
    UnexpectedEndOfComment: "the comment is not closed",
    InvalidCharacter: "this character is not allowed in JSON text",
  };

  let validateSchema = null;

  function compiled(schema) {
    if (!validateSchema) {
      validateSchema = new Ajv({ allErrors: true, verbose: true, strict: false }).compile(schema);
    }
    return validateSchema;
  }

  // --- reading ---

  /**
   * Read text as JSON, tolerating comments and trailing commas.
   * Returns {value, tree, problems, warnings}; each problem and warning has {message, offset, length, line, column}.
   */
  function read(text) {
    const errors = [];
    const tree = parseTree(text, errors, { allowTrailingComma: true, disallowComments: false });
    const place = placer(text);
    const problems = errors.map((error) => ({
      path: "",
      message: PROBLEM_TEXTS[printParseErrorCode(error.error)] || printParseErrorCode(error.error),
      ...place(error.offset, error.length),
    }));
    if (!problems.length && (!tree || tree.type !== "object")) {
      problems.push({ path: "", message: "a params file is one object: {...}", ...place(0, 1) });
    }
    const value = tree && !problems.length ? getNodeValue(tree) : undefined;
    return { value, tree, problems: [...problems, ...twins(tree, place)], warnings: leniencies(text, place), place };
  }

  function placer(text) {
    const starts = [0];
    for (let i = 0; i < text.length; i += 1) if (text[i] === "\n") starts.push(i + 1);
    return (offset, length = 0) => {
      let line = starts.length;
      while (line > 1 && starts[line - 1] > offset) line -= 1;
      return { offset, length, line, column: offset - starts[line - 1] + 1 };
    };
  }

  /** What we take and JSON does not: comments and trailing commas. */
  function leniencies(text, place) {
    const found = [];
    visit(text, { onComment: (offset, length) => found.push({ message: "a comment", ...place(offset, length) }) });
    const strict = [];
    parseTree(text, strict, { allowTrailingComma: false });
    const lenient = [];
    parseTree(text, lenient, { allowTrailingComma: true });
    const known = new Set(lenient.map((error) => `${error.error}:${error.offset}`));
    for (const error of strict) {
      if (!known.has(`${error.error}:${error.offset}`)) {
        const comma = text.lastIndexOf(",", error.offset);
        found.push({ message: "a trailing comma", ...place(comma, 1) });
      }
    }
    const seen = new Set();
    return found.filter(({ offset }) => !seen.has(offset) && seen.add(offset)).sort((a, b) => a.offset - b.offset);
  }

  /** Keys that stand twice in one object. */
  function twins(node, place, path = []) {
    if (!node || !node.children) return [];
    const seen = new Set();
    return node.children.flatMap((child) => {
      if (node.type !== "object") return twins(child, place, path);
      const [key, value] = child.children;
      const here = [...path, key.value];
      const twin = seen.has(key.value)
        ? [{ path: here.join("."), message: "this key stands twice in one object; keep one of them", ...place(key.offset, key.length) }]
        : [];
      seen.add(key.value);
      return [...twin, ...twins(value, place, here)];
    });
  }

  /** Say where in the text the value at a path stands; the key rather than the value where the key is what is wrong. */
  function locate(source, path, wholeKey) {
    for (let length = path.length; length >= 0; length -= 1) {
      const node = findNodeAtLocation(source.tree, path.slice(0, length));
      if (node) {
        const key = wholeKey && node.parent && node.parent.type === "property" ? node.parent.children[0] : node;
        return source.place(key.offset, key.length);
      }
    }
    return source.place(0, 0);
  }

  // --- checking ---

  /** Check a value; return problems {path, keys, value, message, suggestion}. */
  function check(schema, value) {
    const validate = compiled(schema);
    if (validate(value)) return [];
    const known = Model.knownPaths(schema);
    return oneAPlace(validate.errors).map((error) => problemOf(error, schema, known));
  }

  /** Keep one error a place: of a choice between types, those of the type that the value has. */
  function oneAPlace(errors) {
    const choices = errors.filter((error) => error.keyword === "anyOf");
    const kept = errors.filter((error) => {
      if (error.keyword === "anyOf" && branchFits(error)) return false;
      const around = choices.filter((one) => error.schemaPath.startsWith(`${one.schemaPath}/`) && isAtOrBelow(error, one));
      return around.every((choice) => {
        const index = Number(error.schemaPath.slice(choice.schemaPath.length + 1).split("/")[0]);
        return choice.schema[index] === branchFits(choice);
      });
    });
    const chosen = new Set(kept.filter((error) => error.keyword === "enum").map((error) => error.instancePath));
    const seen = new Set();
    return kept.filter((error) => {
      if (error.keyword === "type" && chosen.has(error.instancePath)) return false; // the list of values says more
      const key = `${error.instancePath}|${error.keyword}|${JSON.stringify(error.params)}`;
      return error.keyword !== "propertyNames" && !seen.has(key) && seen.add(key);
    });
  }

  const isAtOrBelow = (error, choice) =>
    error.instancePath === choice.instancePath || error.instancePath.startsWith(`${choice.instancePath}/`);

  const branchFits = (choice) =>
    choice.schema.find((branch) => Model.kindsOf(branch).includes(Model.kindOf(choice.data)));

  const pointerKeys = (pointer) =>
    pointer.split("/").slice(1).map((part) => part.replace(/~1/g, "/").replace(/~0/g, "~"));

  function problemOf(error, schema, known) {
    const keys = pointerKeys(error.instancePath);
    if (error.keyword === "additionalProperties") {
      const key = error.params.additionalProperty;
      return {
        ...told([...keys, key], error.data[key], "unknown key"),
        suggestion: suggestKey(key, Object.keys(error.parentSchema.properties || {}), known),
        wholeKey: true,
      };
    }
    if (error.propertyName !== undefined) {
      return {
        ...told([...keys, error.propertyName], error.data, "unknown key"),
        suggestion: closest(error.propertyName, error.schema || []),
        wholeKey: true,
      };
    }
    if (error.keyword === "required") {
      return told([...keys, error.params.missingProperty], undefined, "is required");
    }
    return { ...told(keys, error.data, rule(error)), suggestion: suggestValue(error) };
  }

  const told = (keys, value, message) => ({ keys, path: keys.join("."), value, message });

  function rule(error) {
    const { params, keyword } = error;
    switch (keyword) {
      case "type": return `must be ${named(params.type)}`;
      case "enum": return `must be one of ${params.allowedValues.map((value) => JSON.stringify(value)).join(", ")}`;
      case "minimum": return `must be ${params.limit} or more`;
      case "maximum": return `must be ${params.limit} or less`;
      case "exclusiveMinimum": return `must be above ${params.limit}`;
      case "exclusiveMaximum": return `must be below ${params.limit}`;
      case "minItems": return `must have at least ${params.limit} entries`;
      case "maxItems": return `must have at most ${params.limit} entries`;
      case "minLength": return "must not be empty";
      case "pattern": return `must match ${params.pattern}`;
      case "anyOf": return `must be ${error.schema.map((branch) => named(branch.type)).join(", or ")}`;
      default: return error.message;
    }
  }

  const NAMES = { string: "text", integer: "a whole number", number: "a number", boolean: "true or false", array: "a list", object: "an object", null: "null" };
  const named = (type) => NAMES[type] || type;

  function suggestValue(error) {
    return error.keyword === "enum" && typeof error.data === "string" ? closest(error.data, error.params.allowedValues) : null;
  }

  function suggestKey(key, siblings, known) {
    const similar = closest(key, siblings);
    if (similar) return similar;
    const elsewhere = known.filter((path) => path[path.length - 1] === key).slice(0, 3);
    return elsewhere.length ? `it belongs at ${elsewhere.map((path) => path.join(".")).join(" or ")}` : null;
  }

  /** "did you mean ...?", or null where nothing is alike. */
  function closest(name, candidates) {
    const plain = (text) => String(text).toLowerCase().replace(/-/g, "_");
    const ranked = candidates
      .map((candidate) => ({ candidate, far: distance(plain(name), plain(candidate)) }))
      .sort((a, b) => a.far - b.far);
    const best = ranked[0];
    return best && best.far <= Math.max(2, String(name).length * 0.4) ? `did you mean "${best.candidate}"?` : null;
  }

  /** Keys of older layouts that a file holds. */
  function olderKeys(value) {
    return (window.paramsOlderKeys || []).filter((path) => Model.at(value, path.split(".")) !== undefined);
  }

  return { check, locate, olderKeys, read };
})();
