// Runs the body of a code node. `shared` is what prelude.js shares.
//
// Of the objects that it returns it says from which item they come, as far as that is certain: an object is known by
// itself, by the copies that `{...item}` and Object.assign make of it, and where a function that map or flatMap called
// for it returned it. For objects of other makes nothing is known.
(shared) => {
  'use strict';
  const { grammar, requestOf, wrap, scopeOf, place, jsonOf, describe, refuse, refusePromise, isObject } = shared;
  const { AccessError, Compile, PARAMETER_TEXT, strictly } = shared;
  const { apply } = Reflect;
  const { defineProperty } = Object;
  const { isArray } = Array;
  const { map, flatMap, join } = Array.prototype;
  const { get, set } = WeakMap.prototype;
  const { get: mapGet, set: mapSet } = Map.prototype;
  const functions = new Map();
  const compile = (source) => {
    let found = apply(mapGet, functions, [source]);
    if (found === undefined) {
      refuse(grammar.body(source));
      found = new Compile(`${PARAMETER_TEXT},items`, `${strictly()}${source}`);
      apply(mapSet, functions, [source, found]);
    }
    return found;
  };
  const [Known, Hidden] = [WeakMap, Symbol];
  let made; // of the call that runs now: an object from another one comes from none of its items
  let ORIGIN; // a member that copies take along, and JSON and Object.keys do not

  const originOf = (value) => {
    if (!isObject(value)) return undefined;
    const own = value[ORIGIN] ?? apply(get, made, [value]);
    return own === undefined && isObject(value.json) ? value.json[ORIGIN] ?? apply(get, made, [value.json]) : own;
  };
  const note = (value, origin) => {
    if (isObject(value) && originOf(value) === undefined) apply(set, made, [value, origin]);
  };

  const noting = (callback, self) => (element, index, all) => {
    const value = apply(callback, self, [element, index, all]);
    const origin = isObject(value) ? originOf(element) : undefined;
    if (origin !== undefined) {
      if (isArray(value)) for (let at = 0; at < value.length; at++) note(value[at], origin);
      else note(value, origin);
    }
    return value;
  };
  for (const [name, original] of [['map', map], ['flatMap', flatMap]]) {
    defineProperty(Array.prototype, name, {
      value: { [name](callback, self) {
        return apply(original, this, [typeof callback === 'function' ? noting(callback, self) : callback]);
      } }[name],
      writable: true, configurable: true,
    });
  }

  const mark = (item, index) => defineProperty(item, ORIGIN, { value: index, enumerable: true, configurable: true });

  // Runs the body, for all items or for each of them. A line per result: "[value, origin]", where origin
  // is the index of an item or null; or the description of an error.
  return (requestText, isExact) => {
    const request = requestOf(requestText, isExact);
    const items = wrap(request.items);
    const { source, each } = request.script;
    const scope = scopeOf(request, items);
    [made, ORIGIN] = [new Known(), Hidden('origin')];
    for (let at = 0; at < items.length && !each; at++) {
      mark(items[at].json, at);
      mark(items[at], at);
    }
    place.current = 0;
    let run;
    const call = () => run(
      scope.$, items[place.current]?.json, scope.$input, scope.$node, scope.$items, request.execution, request.workflow,
      request.vars, request.prevNode, request.runIndex, place.current, request.parameters, request.items,
    );
    const checked = (value) => {
      refusePromise(value);
      if (value !== undefined || !grammar.neverReturns(source)) return value;
      throw new AccessError({
        code: 'bad_code_result',
        message: 'The code never returns anything: it has no return of its own.',
        fix: each
          ? 'End it with return and the object that the item becomes, or return null to drop the item.'
          : 'End it with return and the list of items: return items.map(item => ({...item}));',
      });
    };
    const line = (value, origin) => `[${jsonOf(value)},${typeof origin === 'number' ? origin : null}]`;
    try {
      run = compile(source);
    } catch (error) {
      return describe(error);
    }
    const lines = [];
    if (each) {
      for (; place.current < items.length; place.current++) {
        let found;
        try {
          found = line(checked(call()) ?? null, place.current);
        } catch (error) {
          found = describe(error);
        }
        lines[place.current] = found;
      }
      return apply(join, lines, ['\n']);
    }
    try {
      const returned = checked(call());
      if (returned === undefined || returned === null) return '';
      if (!isArray(returned)) return apply(join, [line(returned, originOf(returned))], ['']);
      for (let at = 0; at < returned.length; at++) lines[at] = line(returned[at], originOf(returned[at]));
      return apply(join, lines, ['\n']);
    } catch (error) {
      return describe(error);
    }
  };
}
