// Makes the function that evaluates templates in one context, and the objects that expressions see there.
// It first saves every builtin that it uses, since expressions can replace builtins. `grammar` is that of grammar.js.
(grammar) => {
  'use strict';
  const { parse, stringify } = JSON;
  const { defineProperty, keys, freeze } = Object;
  const { isArray } = Array;
  const Compile = Function;
  const Text = String;
  const Fault = Error;
  const SystemDate = Date;
  const construct = Reflect.construct;

  const PARAMETERS = [
    '$', '$json', '$input', '$node', '$items', '$execution', '$workflow', '$vars', '$prevNode',
    '$runIndex', '$itemIndex', '$parameter', '$now', '$today',
  ];

  class AccessError extends Fault {
    constructor({ code, message, fix }) {
      super(message);
      this.code = code;
      this.fix = fix;
    }
  }

  // A source that is not what it should be: the text of its error is that of the engine's.
  class SourceError extends Fault {}

  // Clock and random numbers belong to the node run, so that a repeated run gives the same values.
  let nowMs = 0;
  let state = 0;

  function SteadyDate(...parts) {
    if (new.target === undefined) return new SystemDate(nowMs).toString();
    return construct(SystemDate, parts.length === 0 ? [nowMs] : parts, new.target);
  }
  SteadyDate.prototype = SystemDate.prototype;
  defineProperty(SteadyDate, 'name', { value: 'Date' });
  for (const name of ['UTC', 'parse']) defineProperty(SteadyDate, name, { value: SystemDate[name] });
  defineProperty(SteadyDate, 'now', { value: () => nowMs });
  defineProperty(SystemDate.prototype, 'constructor', { value: SteadyDate });
  globalThis.Date = SteadyDate;

  const seedFrom = (text) => {
    let hash = 2166136261; // FNV-1a, 32 bits
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
    return hash >>> 0;
  };
  const imul = Math.imul;
  Math.random = () => { // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };

  const isEmpty = (value) =>
    value === undefined || value === null || value === '' ||
    (isArray(value) && value.length === 0) ||
    (typeof value === 'object' && !isArray(value) && !(value instanceof SystemDate) && keys(value).length === 0);
  const flat = (values) => (values.length === 1 && isArray(values[0]) ? values[0] : values);
  const tools = {
    $if: (condition, then, otherwise) => (condition ? then : otherwise),
    $ifEmpty: (value, otherwise) => (isEmpty(value) ? otherwise : value),
    $max: (...values) => (flat(values).length === 0 ? null : Math.max(...flat(values))),
    $min: (...values) => (flat(values).length === 0 ? null : Math.min(...flat(values))),
    $jmespath: (value, query) => globalThis.jmespath.search(value, query),
  };
  for (const name of keys(tools)) defineProperty(globalThis, name, { value: tools[name] });

  const functions = new Map();
  const compile = (source) => {
    let found = functions.get(source);
    if (found === undefined) {
      const problem = grammar.expression(source);
      if (problem !== null) throw new SourceError(problem);
      found = new Compile(...PARAMETERS, `return (${source}\n)`);
      functions.set(source, found);
    }
    return found;
  };

  // Another node, or the input: its items, and the one from which the current item comes.
  const viewOf = (items, pairedIndex) => {
    const view = {
      first: () => items[0],
      last: () => items[items.length - 1],
      all: () => items,
      itemMatching: (index) => items[pairedIndex(index)],
      isExecuted: true,
    };
    defineProperty(view, 'item', { get: () => items[pairedIndex(current)], enumerable: true });
    defineProperty(view, 'pairedItem', { value: (index) => items[pairedIndex(index ?? current)] });
    return view;
  };
  let current = 0;

  const wrap = (jsons) => jsons.map((json) => ({ json }));

  const scopeOf = (request, items) => {
    const views = new Map();
    const view = (name) => {
      const sent = request.nodes[name];
      if (sent === undefined || sent.error) {
        const error = sent?.error ?? { code: 'node_has_not_run', message: `No node '${name}' has run before this one.` };
        if (error.code === 'node_has_not_run') {
          return freeze({
            isExecuted: false,
            get item() { throw new AccessError(error); },
            first() { throw new AccessError(error); },
            last() { throw new AccessError(error); },
            all() { throw new AccessError(error); },
          });
        }
        throw new AccessError(error);
      }
      let found = views.get(name);
      if (found === undefined) {
        found = viewOf(wrap(sent.items), (index) => {
          const paired = sent.paired?.[index];
          if (typeof paired !== 'number') throw new AccessError(paired ?? { code: 'pairing_unavailable', message: `Item ${index} is not there.` });
          return paired;
        });
        views.set(name, found);
      }
      return found;
    };
    const node = new Proxy({}, {
      get: (_, name) => {
        if (typeof name === 'symbol') return undefined;
        const found = view(name);
        return { get json() { return found.item.json; }, get item() { return found.item; }, isExecuted: found.isExecuted };
      },
      has: (_, name) => name in request.nodes,
    });
    const input = viewOf(items, (index) => index);
    return {
      $: view,
      $input: input,
      $node: node,
      $items: (name) => (name === undefined ? items : view(name).all()),
    };
  };

  const textOf = (value) => {
    if (value === undefined || value === null) return '';
    const text = Text(value);
    if (text !== '[object Object]') return text;
    throw new AccessError({
      code: 'object_in_text',
      message: 'An object stands inside text, where it would read "[object Object]".',
      fix: 'Use JSON.stringify(…), or one of its members.',
    });
  };

  const refusePromise = (value) => {
    if (typeof value?.then !== 'function') return;
    throw new AccessError({
      code: 'promise_result',
      message: 'It gives a promise, and nothing here can wait for one.',
      fix: 'Give the value itself.',
    });
  };

  const jsonOf = (value) => {
    refusePromise(value);
    if (typeof value === 'number' && !(value - value === 0)) return 'null'; // NaN and the infinities
    return stringify(value) ?? 'null';
  };

  const codeOf = (error) => {
    if (error instanceof AccessError) return error.code;
    if (error.message === 'out of memory') return 'expression_memory';
    return error.message.includes('stack') && error.name !== 'Error' ? 'expression_stack' : 'expression_failed';
  };

  const describe = (error, source) => {
    if (!(error instanceof Fault)) return { code: 'expression_failed', message: `threw ${Text(error)}`, source };
    const message = error instanceof AccessError || error instanceof SourceError ? error.message : `${error.name}: ${error.message}`;
    return { code: codeOf(error), message, fix: error.fix, source };
  };

  // One row per item: "[value, …]", or the description of the error.
  const evaluate = (requestText) => {
    const request = parse(requestText);
    nowMs = request.now;
    state = seedFrom(request.seed);
    const items = wrap(request.items);
    const scope = scopeOf(request, items);
    const templates = request.templates.map(({ texts, expressions }) => ({ texts, expressions, run: expressions.map(compile) }));
    const luxon = request.needsTime ? globalThis.luxonFor(request.now, request.timezone) : undefined;
    const rows = [];
    for (current = 0; current < items.length; current++) {
      const values = [];
      let at = 0;
      let part = 0;
      try {
        for (at = 0; at < templates.length; at++) {
          const { texts, run } = templates[at];
          let text = texts[0];
          let value;
          for (part = 0; part < run.length; part++) {
            value = run[part](
              scope.$, items[current].json, scope.$input, scope.$node, scope.$items, request.execution, request.workflow,
              request.vars, request.prevNode, request.runIndex, current, request.parameters, luxon?.now, luxon?.today,
            );
            if (!request.sole[at]) text += textOf(value) + texts[part + 1];
          }
          values.push(request.sole[at] ? jsonOf(value) : stringify(text));
        }
        rows.push(`[${values.join(',')}]`);
      } catch (error) {
        rows.push(stringify(describe(error, templates[at]?.expressions[part])));
      }
    }
    return `[${rows.join(',')}]`;
  };

  // Runs the function of a code node: it returns a list for all items, or a value for each. `{code, …}` is an error.
  const runScript = (requestText) => {
    const request = parse(requestText);
    nowMs = request.now;
    state = seedFrom(request.seed);
    const items = wrap(request.items);
    const scope = scopeOf(request, items);
    const { source, each } = request.script;
    const luxon = request.needsTime ? globalThis.luxonFor(request.now, request.timezone) : undefined;
    current = 0;
    try {
      const problem = grammar.body(source);
      if (problem !== null) throw new SourceError(problem);
      const run = new Compile(...PARAMETERS, 'items', source);
      const call = () => run(
        scope.$, items[current]?.json, scope.$input, scope.$node, scope.$items, request.execution, request.workflow,
        request.vars, request.prevNode, request.runIndex, current, request.parameters, luxon?.now, luxon?.today,
        request.items,
      );
      if (each) {
        const results = [];
        for (; current < items.length; current++) results.push(jsonOf(call()));
        return `[${results.join(',')}]`;
      }
      const returned = call();
      refusePromise(returned);
      if (returned === undefined || returned === null) return '[]';
      return jsonOf(isArray(returned) ? returned : [returned]);
    } catch (error) {
      return stringify({ ...describe(error), item: each ? current : undefined });
    }
  };

  const tasks = { __proto__: null, evaluate, script: runScript };
  return (task, text) => tasks[task](text);
}
