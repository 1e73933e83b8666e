// What the schema says about values: defaults, merging a file over them, and what differs from them.
// The rules of merging are those of spikepipe_core/params/merging.py.
"use strict";

const Model = (() => {
  const clone = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

  function kindOf(value) {
    if (value === null) return "null";
    if (Array.isArray(value)) return "array";
    return typeof value; // object, string, number, boolean, undefined
  }

  function equal(a, b) {
    if (a === b) return true;
    if (Array.isArray(a) && Array.isArray(b)) {
      return a.length === b.length && a.every((item, index) => equal(item, b[index]));
    }
    if (isObject(a) && isObject(b)) {
      const keys = Object.keys(a);
      return keys.length === Object.keys(b).length && keys.every((key) => key in b && equal(a[key], b[key]));
    }
    return false;
  }

  const branches = (schema) => (schema && schema.anyOf ? schema.anyOf : [schema || {}]);

  function kindsOf(branch) {
    if (branch.type === "integer") return ["number"];
    if (branch.type) return [branch.type];
    return branch.enum ? [...new Set(branch.enum.map(kindOf))] : [];
  }

  /** The branch of a schema that a value of this kind belongs to. */
  const branchOf = (schema, kind) => branches(schema).find((branch) => kindsOf(branch).includes(kind));

  const objectBranch = (schema) => branchOf(schema, "object");

  const isNullable = (schema) => branchOf(schema, "null") !== undefined;

  /** An object whose keys belong to the tool that receives it. */
  function isFree(branch) {
    return Boolean(branch) && branch.type === "object" && !branch.properties;
  }

  const takesFurtherKeys = (branch) =>
    Boolean(branch) && branch.type === "object" && branch.additionalProperties !== false;

  function defaultOf(schema) {
    if (!schema) return undefined;
    const branch = objectBranch(schema);
    const filled = schema.default === undefined && !schema.anyOf ? branch : undefined;
    if (filled && filled.properties) return defaultsOfKeys(filled);
    if (schema.default !== undefined) {
      return branch && branch.properties && isObject(schema.default)
        ? { ...defaultsOfKeys(branch), ...clone(schema.default) }
        : clone(schema.default);
    }
    return schema.type === "object" ? {} : undefined;
  }

  /** The defaults of all keys of an object with known keys. */
  function defaultsOfKeys(branch) {
    const result = {};
    for (const [key, below] of Object.entries(branch.properties || {})) {
      const value = defaultOf(below);
      if (value !== undefined) result[key] = value;
    }
    return result;
  }

  /** Put a file's value over a weaker one: objects key by key, an empty free one clears, the rest replaces. */
  function mergeOver(schema, weaker, given) {
    if (!isObject(given)) return clone(given);
    const branch = schema && objectBranch(schema);
    if ((!branch || isFree(branch)) && Object.keys(given).length === 0) return {};
    const base = isObject(weaker) ? clone(weaker) : branch ? defaultsOfKeys(branch) : {};
    for (const [key, value] of Object.entries(given)) {
      base[key] = mergeOver(schemaOfKey(branch, key), base[key], value);
    }
    return base;
  }

  function schemaOfKey(branch, key) {
    if (!branch) return undefined;
    if (branch.properties && branch.properties[key]) return branch.properties[key];
    return isObject(branch.additionalProperties) && Object.keys(branch.additionalProperties).length
      ? branch.additionalProperties
      : undefined;
  }

  /** The schema at a path, undefined inside free objects and beyond. */
  function schemaAt(root, path) {
    return path.reduce((schema, key) => schema && schemaOfKey(objectBranch(schema), key), root);
  }

  /** What is left of a value when everything that is a default is left out; undefined if nothing is. */
  function differing(schema, value, standard) {
    if (equal(value, standard)) return undefined;
    const branch = schema && objectBranch(schema);
    if (!isObject(value)) return clone(value);
    if (!isObject(standard)) {
      if (!branch || !branch.properties) return clone(value);
      return differingKeys(branch, value, defaultsOfKeys(branch));
    }
    return differingKeys(branch, value, standard);
  }

  function differingKeys(branch, value, standard) {
    const result = {};
    for (const [key, below] of Object.entries(value)) {
      const left = differing(schemaOfKey(branch, key), below, standard[key]);
      if (left !== undefined) result[key] = left;
    }
    return result;
  }

  const at = (root, path) => path.reduce((node, key) => (node === null || node === undefined ? undefined : node[key]), root);

  function put(root, path, value) {
    let node = root;
    for (const key of path.slice(0, -1)) {
      if (typeof node[key] !== "object" || node[key] === null) node[key] = {};
      node = node[key];
    }
    node[path[path.length - 1]] = value;
  }

  function remove(root, path) {
    const parent = at(root, path.slice(0, -1));
    if (parent) delete parent[path[path.length - 1]];
  }

  /** Leave out keys that the schema refuses; return their paths. */
  function takeUnknown(schema, value, path = []) {
    const branch = schema && objectBranch(schema);
    if (!isObject(value) || !branch || !branch.properties) return [];
    const unknown = [];
    for (const key of Object.keys(value)) {
      if (branch.properties[key]) {
        unknown.push(...takeUnknown(branch.properties[key], value[key], [...path, key]));
      } else if (!takesFurtherKeys(branch)) {
        delete value[key];
        unknown.push([...path, key].join("."));
      }
    }
    return unknown;
  }

  /** Dotted paths of all keys the schema knows. */
  function knownPaths(schema, path = []) {
    const branch = objectBranch(schema);
    return Object.entries((branch && branch.properties) || {}).flatMap(([key, below]) => [
      [...path, key],
      ...knownPaths(below, [...path, key]),
    ]);
  }

  /** How many values differ from their defaults. */
  function countLeaves(value) {
    if (value === undefined) return 0;
    if (!isObject(value)) return 1;
    const keys = Object.keys(value);
    return keys.length === 0 ? 1 : keys.reduce((sum, key) => sum + countLeaves(value[key]), 0);
  }

  return {
    at, branches, branchOf, clone, countLeaves, defaultOf, defaultsOfKeys, differing, equal, isFree, isNullable, isObject,
    kindOf, kindsOf, knownPaths, mergeOver, objectBranch, put, remove, schemaAt, schemaOfKey, takesFurtherKeys, takeUnknown,
  };
})();
